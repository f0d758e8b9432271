//! Files that are looked at again and again while the process runs: what tells one state of them from the next, and when
//! a state has come to rest. What is in them is for others to say.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// How often a file is looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// Tells one state of a file from the next, also where it was replaced by another of the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// The stamp is that of the file that is then read, even if another takes its place in between. Symbolic links are
/// followed, so one that points elsewhere now is a change too.
pub fn open(path: &Path) -> Result<(File, Stamp), String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let data = file.metadata().map_err(unreadable)?;
    let stamp = Stamp {
        device: data.dev(),
        inode: data.ino(),
        size: data.size(),
        changed: (data.mtime(), data.mtime_nsec()),
    };
    Ok((file, stamp))
}

/// All of an open file, if that is not more than `max` bytes.
pub fn read(file: File, path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = file.take(max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if bytes.len() as u64 > max {
        return Err(format!("{} is larger than {} KiB", path.display(), max >> 10));
    }
    Ok(bytes)
}

/// Files that are good together or not at all, and are often written one after the other.
#[derive(Debug)]
pub struct Watched<const N: usize> {
    seen: [Option<Stamp>; N],
    has_settled: bool,
}

/// What a look at the files is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are what was read and judged.
    Same,
    /// They are others than before. Somebody may be at it still: what is good may be taken, what is not may be about to
    /// be.
    Changed,
    /// They have not changed since the last look, which was the first at this state. What was read at that look may
    /// have been half a file whose stamp was that of the whole: they are read once more, and that is the last word.
    Settled,
}

impl<const N: usize> Watched<N> {
    /// The files had these stamps when they were read. `None` is a file that cannot be opened.
    pub fn new(seen: [Option<Stamp>; N]) -> Watched<N> {
        Watched { seen, has_settled: false }
    }

    pub fn look(&mut self, stamps: [Option<Stamp>; N]) -> Look {
        if self.seen != stamps {
            *self = Watched::new(stamps);
            return Look::Changed;
        }
        if std::mem::replace(&mut self.has_settled, true) { Look::Same } else { Look::Settled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stamp(path: &Path) -> Option<Stamp> {
        open(path).ok().map(|(_, stamp)| stamp)
    }

    #[test]
    fn a_state_changes_settles_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("link"));
        fs::write(&path, "1").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut watched = Watched::new([stamp(&link)]);
        let mut looks = |wanted: [Look; 2]| {
            for wanted in wanted {
                assert_eq!(watched.look([stamp(&link)]), wanted);
            }
        };
        looks([Look::Settled, Look::Same]);
        looks([Look::Same, Look::Same]);
        fs::write(&path, "22").unwrap();
        looks([Look::Changed, Look::Settled]);
        // Another file of the same length in its place, and another target of the link.
        fs::write(dir.path().join("b"), "33").unwrap();
        fs::rename(dir.path().join("b"), &path).unwrap();
        looks([Look::Changed, Look::Settled]);
        fs::write(dir.path().join("c"), "33").unwrap();
        std::os::unix::fs::symlink(dir.path().join("c"), dir.path().join("new link")).unwrap();
        fs::rename(dir.path().join("new link"), &link).unwrap();
        looks([Look::Changed, Look::Settled]);
        fs::remove_file(&link).unwrap();
        looks([Look::Changed, Look::Settled]);
        looks([Look::Same, Look::Same]);
    }

    #[test]
    fn no_file_is_read_without_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let read = |size: usize| {
            fs::write(&path, vec![b'x'; size]).unwrap();
            read(open(&path).unwrap().0, &path, 2048).map(|bytes| bytes.len())
        };
        assert_eq!(read(2048), Ok(2048));
        assert!(read(2049).unwrap_err().ends_with("a is larger than 2 KiB"));
        let endless = Path::new("/dev/zero");
        assert!(super::read(open(endless).unwrap().0, endless, 2048).is_err());
    }
}
