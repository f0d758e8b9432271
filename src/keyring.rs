//! The keys that tokens are checked with, as their files have them now. An issuer that changes its keys writes the file
//! anew; a file that came out broken changes nothing, for the keys of a minute ago are better than none.

use crate::policy::jwks::KeySet;
use crate::watched::{self, LOOK, Stamp};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More than any issuer publishes, and little enough to hold.
const MAX_SIZE: u64 = 1 << 20;

/// Every set that a configuration names, by its path.
#[derive(Debug, Default)]
pub struct Keyrings(HashMap<PathBuf, Keyring>);

#[derive(Debug)]
struct Keyring {
    path: PathBuf,
    /// Held for as long as it takes to copy the `Arc`.
    keys: Mutex<Arc<KeySet>>,
    /// The file that was looked at last, good or bad; its problem was told.
    seen: Mutex<Option<Stamp>>,
}

/// Reads a set once. The error says what to look at, and repeats nothing of a key.
pub fn read(path: &Path) -> Result<KeySet, String> {
    watched::open(path).and_then(|(file, _)| read_set(file, path))
}

impl Keyrings {
    /// Every file has to be good at the start; later ones only replace good keys by good keys.
    pub fn open<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Keyrings, String> {
        let mut rings = HashMap::new();
        for path in paths {
            if !rings.contains_key(path) {
                rings.insert(path.to_path_buf(), Keyring::open(path)?);
            }
        }
        Ok(Keyrings(rings))
    }

    /// The keys of this file. One that nobody opened has none, and no token passes.
    pub fn keys(&self, path: &Path) -> Arc<KeySet> {
        self.0.get(path).map_or_else(Arc::default, |ring| lock(&ring.keys).clone())
    }

    /// Looks at the files again and again. For a thread that carries no sessions: it waits for the disk.
    pub async fn watch(&self) {
        while !self.0.is_empty() {
            tokio::time::sleep(LOOK).await; // why: files do not say when they change
            self.0.values().for_each(Keyring::look);
        }
    }
}

impl Keyring {
    fn open(path: &Path) -> Result<Keyring, String> {
        let (file, stamp) = watched::open(path)?;
        let set = read_set(file, path)?;
        tell_ignored(path, &set);
        Ok(Keyring {
            path: path.to_path_buf(),
            keys: Mutex::new(Arc::new(set)),
            seen: Mutex::new(Some(stamp)),
        })
    }

    /// Takes over what the file has become, if it has become anything.
    fn look(&self) {
        let opened = watched::open(&self.path);
        let stamp = opened.as_ref().ok().map(|(_, stamp)| *stamp);
        if std::mem::replace(&mut *lock(&self.seen), stamp) == stamp {
            return;
        }
        let file = self.path.display().to_string();
        match opened.and_then(|(file, _)| read_set(file, &self.path)) {
            Ok(set) => {
                tracing::info!(file, keys = set.len(), "jwks_file was read again");
                tell_ignored(&self.path, &set);
                *lock(&self.keys) = Arc::new(set);
            }
            Err(problem) => {
                tracing::warn!(file, problem, "jwks_file is no good any more; its old keys are kept");
            }
        }
    }
}

fn tell_ignored(path: &Path, set: &KeySet) {
    let file = path.display().to_string();
    for why in &set.ignored {
        tracing::warn!(file, why = why.as_str(), "a key of jwks_file is not used");
    }
}

fn read_set(file: File, path: &Path) -> Result<KeySet, String> {
    let text = String::from_utf8(watched::read(file, path, MAX_SIZE)?);
    let text = text.map_err(|_| format!("{} is not a text file", path.display()))?;
    KeySet::parse(&text).map_err(|problem| format!("{} {problem}", path.display()))
}

/// A panic while the lock was held left nothing half done: it is held for one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set(keys: usize) -> String {
        let key = r#"{ "kty": "oct", "k": "YSBzZWNyZXQgdGhhdCBpcyBsb25nIGVub3VnaCBmb3IgaXQ" }"#;
        format!("{{ \"keys\": [{}] }}", vec![key; keys].join(","))
    }

    #[test]
    fn good_files_replace_good_keys_and_bad_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwks.json");
        fs::write(&path, set(1)).unwrap();
        let rings = Keyrings::open([path.as_path(), &path].into_iter()).unwrap();
        let count = || {
            rings.0[&path].look();
            rings.keys(&path).len()
        };
        assert_eq!((rings.0.len(), count()), (1, 1));
        // Written over, and by another file in its place.
        fs::write(&path, set(2)).unwrap();
        assert_eq!(count(), 2);
        let other = dir.path().join("new.json");
        fs::write(&other, set(3)).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(count(), 3);
        for broken in [&b""[..], b"{", b"\xFF", &set(9).as_bytes()[..200], b"{\"keys\": []}"] {
            fs::write(&path, broken).unwrap();
            assert_eq!(count(), 3, "{}", broken.escape_ascii());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(count(), 3);
        fs::write(&path, vec![b' '; MAX_SIZE as usize + 1]).unwrap();
        assert_eq!(count(), 3);
        fs::write(&path, set(4)).unwrap();
        assert_eq!(count(), 4);
    }

    #[test]
    fn no_start_without_good_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwks.json");
        let problem = || Keyrings::open([path.as_path()].into_iter()).unwrap_err();
        assert!(problem().contains("cannot read"));
        fs::write(&path, "{}").unwrap();
        assert!(problem().contains("is not a JWK set"));
        assert!(Keyrings::default().keys(&path).is_empty());
    }
}
