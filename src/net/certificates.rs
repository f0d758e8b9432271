//! The certificates that a listener serves, as their files have them now. What renews one writes it anew, and the next
//! handshake is done with it; sessions never notice. Files that came out broken change nothing: what was served goes on
//! being served, and the operator is told once.

use super::pem;
use super::tls::CertificateFiles;
use super::tls_server::note_asked_name;
use super::validity::{Expiry, Validity};
use crate::latest::Latest;
use crate::watched::{self, Look, Watched};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the operator hears of a certificate that runs out.
const REMINDER: Duration = Duration::from_secs(24 * 60 * 60);

/// Resolves names to certificates, which may be others from one handshake to the next.
#[derive(Debug)]
pub struct Certificates {
    listener: String,
    /// In the order of the configuration, as all of these. Empty where a certificate is in no file.
    files: Vec<CertificateFiles>,
    served: Latest<Vec<Served>>,
    /// For the one who looks at the files; nobody else waits for it.
    shelves: Mutex<Vec<Shelf>>,
}

/// A certificate in use.
#[derive(Clone, Debug)]
struct Served {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

/// What became of the files of a certificate, and what was said about it.
#[derive(Debug)]
struct Shelf {
    watched: Watched<2>,
    /// The files are no good, and that was told.
    is_troubled: bool,
    /// What was said of its expiry, and when.
    told: Option<(Expiry, Duration)>,
}

/// What status and metrics show of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As configured.
    pub file: PathBuf,
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_after: u64,
}

impl Certificates {
    /// Every pair has to be good at the start; later ones only replace good ones by good ones.
    pub fn open(listener: &str, files: &[CertificateFiles]) -> Result<Certificates, String> {
        let (mut served, mut shelves) = (Vec::new(), Vec::new());
        for files in files {
            let opened = Opened::open(files);
            let watched = Watched::new(opened.stamps);
            served.push(opened.read(files)?);
            shelves.push(Shelf { watched, is_troubled: false, told: None });
        }
        Ok(Certificates {
            listener: listener.into(),
            files: files.to_vec(),
            served: Latest::new(Arc::new(served)),
            shelves: Mutex::new(shelves),
        })
    }

    /// One that is in no file.
    pub fn made(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Certificates, String> {
        let validity = Validity::of(chain.first().ok_or("there is no certificate")?)?;
        let key = Arc::new(certified(chain, key).map_err(|error| error.to_string())?);
        Ok(Certificates {
            listener: String::new(),
            files: Vec::new(),
            served: Latest::new(Arc::new(vec![Served { key, validity }])),
            shelves: Mutex::default(),
        })
    }

    pub fn shown(&self) -> Vec<Certificate> {
        let shown = |(files, served): (&CertificateFiles, &Served)| Certificate {
            file: files.cert.clone(),
            names: served.validity.names.clone(),
            not_after: served.validity.not_after,
        };
        self.files.iter().zip(self.served.get().iter()).map(shown).collect()
    }

    /// Takes over what the files have become, if they have become anything, and says what runs out. It waits for the
    /// disk. `now` counts from 1970.
    pub fn look(&self, now: Duration) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let mut served = self.served.get().to_vec();
        let mut is_other = false;
        for ((shelf, files), served) in shelves.iter_mut().zip(&self.files).zip(&mut served) {
            let file = files.cert.display().to_string();
            let said_of = Subject { listener: &self.listener, file: &file };
            if let Some(new) = shelf.look(&said_of, files, &served.key.cert) {
                *served = new;
                is_other = true;
            }
            shelf.remind(&said_of, &served.validity, now);
        }
        if is_other {
            self.served.replace(Arc::new(served));
        }
    }
}

/// Whom a line of the log is about.
struct Subject<'a> {
    listener: &'a str,
    file: &'a str,
}

impl Shelf {
    /// What is to be served from now on, if that is another certificate.
    fn look(
        &mut self,
        Subject { listener, file }: &Subject<'_>,
        files: &CertificateFiles,
        in_use: &[CertificateDer<'static>],
    ) -> Option<Served> {
        let opened = Opened::open(files);
        let look = self.watched.look(opened.stamps);
        if look == Look::Same {
            return None;
        }
        match opened.read(files) {
            Ok(new) => {
                let was_troubled = std::mem::take(&mut self.is_troubled);
                if new.key.cert != in_use {
                    let names = new.validity.names.join(" ");
                    tracing::info!(listener, file, names, "certificate was swapped");
                    self.told = None;
                    return Some(new);
                }
                if was_troubled {
                    tracing::info!(listener, file, "certificate and key are good again");
                }
            }
            // Certificate and key are written one after the other: between the two there is nothing to complain of.
            Err(_) if look == Look::Changed => {}
            Err(problem) => {
                self.is_troubled = true;
                tracing::warn!(
                    listener,
                    file,
                    problem,
                    "certificate and key are no good any more; the old ones are kept"
                );
            }
        }
        None
    }

    /// Says that the certificate runs out, once a day.
    fn remind(&mut self, Subject { listener, file }: &Subject<'_>, validity: &Validity, now: Duration) {
        let expiry = validity.expiry(now);
        let is_news = |(said, at): (Expiry, Duration)| {
            now.saturating_sub(at) >= REMINDER || (expiry == Expiry::Over) != (said == Expiry::Over)
        };
        if expiry == Expiry::Far || !self.told.is_none_or(is_news) {
            return;
        }
        self.told = Some((expiry, now));
        let names = validity.names.join(" ");
        match expiry {
            Expiry::Soon { days } => {
                tracing::warn!(listener, file, names, days_left = days, "certificate expires soon");
            }
            _ => tracing::error!(listener, file, names, "certificate has expired: clients refuse it"),
        }
    }
}

/// Both files of a pair, with what tells whether they have changed.
struct Opened {
    cert: Result<File, String>,
    key: Result<File, String>,
    stamps: [Option<watched::Stamp>; 2],
}

impl Opened {
    fn open(files: &CertificateFiles) -> Opened {
        let (cert, key) = (watched::open(&files.cert), watched::open(&files.key));
        let stamps = [&cert, &key].map(|opened| opened.as_ref().ok().map(|(_, stamp)| *stamp));
        Opened { cert: cert.map(|(file, _)| file), key: key.map(|(file, _)| file), stamps }
    }

    fn read(self, files: &CertificateFiles) -> Result<Served, String> {
        let chain = pem::certificates_in(self.cert?, &files.cert)?;
        let key = pem::key_in(self.key?, &files.key)?;
        let validity = chain.first().ok_or("there is no certificate".to_string()).and_then(Validity::of);
        let validity = validity.map_err(|problem| format!("{}: {problem}", files.cert.display()));
        let key = certified(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!(
                    "the key in {} is not that of the certificate in {}",
                    files.key.display(),
                    files.cert.display()
                )
            }
            other => format!("{} with {}: {other}", files.cert.display(), files.key.display()),
        })?;
        Ok(Served { key: Arc::new(key), validity: validity? })
    }
}

/// Whether the two files can be served together, and until when.
pub fn check_pair(files: &CertificateFiles) -> Result<Validity, String> {
    Opened::open(files).read(files).map(|served| served.validity)
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
}

impl ResolvesServerCert for Certificates {
    /// The certificate whose names cover the one asked for; the first is for all others.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        note_asked_name(hello.server_name());
        let served = self.served.get();
        // It is for all others too: whether it covers the name need not be known.
        if let [only] = served.as_slice() {
            return Some(only.key.clone());
        }
        let asked = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let covers = |served: &&Served| {
            let parsed =
                served.key.end_entity_cert().ok().and_then(|cert| ParsedCertificate::try_from(cert).ok());
            match (parsed, &asked) {
                (Some(parsed), Some(name)) => rustls::client::verify_server_name(&parsed, name).is_ok(),
                _ => false,
            }
        };
        served.iter().find(covers).or(served.first()).map(|served| served.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::UNIX_EPOCH;
    use tempfile::TempDir;

    /// A certificate and its key, as PEM.
    struct Pair {
        cert: String,
        key: String,
        name: String,
    }

    fn pair(name: &str) -> Pair {
        let made = rcgen::generate_simple_self_signed([name.to_string()]).unwrap();
        Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem(), name: name.into() }
    }

    struct Scene {
        dir: TempDir,
        certificates: Certificates,
    }

    impl Scene {
        /// `a.test` in `cert` and `key`.
        fn new() -> Scene {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &pair("a.test"));
            let certificates = Certificates::open("test", &[files(dir.path())]).unwrap();
            let scene = Scene { dir, certificates };
            scene.expect("a.test");
            scene
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>) {
            write(&self.path(name), text);
        }

        /// What is served after a look.
        fn expect(&self, name: &str) {
            self.certificates.look(Duration::ZERO);
            let names: Vec<_> = self.certificates.shown().into_iter().flat_map(|it| it.names).collect();
            assert_eq!(names, [name]);
        }

        fn is_troubled(&self) -> bool {
            self.certificates.shelves.lock().unwrap()[0].is_troubled
        }
    }

    fn files(dir: &Path) -> CertificateFiles {
        CertificateFiles { cert: dir.join("cert"), key: dir.join("key") }
    }

    fn put(dir: &Path, Pair { cert, key, .. }: &Pair) {
        write(&dir.join("cert"), cert);
        write(&dir.join("key"), key);
    }

    /// Each time a second later: the looks of a test come faster than the clock of the file system ticks.
    fn write(path: &Path, text: impl AsRef<[u8]>) {
        static SECONDS: AtomicU64 = AtomicU64::new(1_000_000_000);
        fs::write(path, text).unwrap();
        let written = Duration::from_secs(SECONDS.fetch_add(1, Ordering::Relaxed));
        File::options().write(true).open(path).unwrap().set_modified(UNIX_EPOCH + written).unwrap();
    }

    #[test]
    fn one_file_after_the_other() {
        let (scene, b, c) = (Scene::new(), pair("b.test"), pair("c.test"));
        scene.write("cert", &b.cert);
        scene.expect("a.test");
        scene.write("key", &b.key);
        scene.expect("b.test");
        scene.write("key", &c.key);
        scene.expect("b.test");
        scene.write("cert", &c.cert);
        scene.expect("c.test");
        assert!(!scene.is_troubled(), "nothing was left half done for long");
    }

    #[test]
    fn cut_short_and_then_whole() {
        let (scene, b) = (Scene::new(), pair("b.test"));
        scene.write("key", &b.key);
        for cut in [0, 1, b.cert.len() / 2, b.cert.len() - 3] {
            scene.write("cert", &b.cert[..cut]);
            scene.expect("a.test");
        }
        scene.write("cert", &b.cert);
        scene.expect("b.test");
        assert!(!scene.is_troubled());
    }

    #[test]
    fn other_files_in_their_place() {
        let (scene, b) = (Scene::new(), pair("b.test"));
        scene.write("new cert", &b.cert);
        scene.write("new key", &b.key);
        fs::rename(scene.path("new cert"), scene.path("cert")).unwrap();
        scene.expect("a.test");
        fs::rename(scene.path("new key"), scene.path("key")).unwrap();
        scene.expect("b.test");
    }

    /// As Kubernetes does it: both files are links through a link to a directory, which then points to another one.
    #[test]
    fn a_link_that_points_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for pair in [pair("a.test"), pair("b.test")] {
            fs::create_dir(at(&pair.name)).unwrap();
            put(&at(&pair.name), &pair);
        }
        symlink("a.test", at("..data")).unwrap();
        symlink("..data/cert", at("cert")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let certificates = Certificates::open("test", &[files(dir.path())]).unwrap();
        let scene = Scene { dir, certificates };
        scene.expect("a.test");
        symlink("b.test", scene.path("..new")).unwrap();
        fs::rename(scene.path("..new"), scene.path("..data")).unwrap();
        scene.expect("b.test");
        fs::remove_dir_all(scene.path("a.test")).unwrap();
        scene.expect("b.test");
        assert!(!scene.is_troubled());
    }

    #[test]
    fn what_is_no_good_changes_nothing() {
        let (scene, b, c) = (Scene::new(), pair("b.test"), pair("c.test"));
        let broken = |cert: &[u8], key: &[u8]| {
            scene.write("cert", cert);
            scene.write("key", key);
            scene.expect("a.test");
            assert!(!scene.is_troubled(), "it may be half written");
            scene.expect("a.test");
            assert!(scene.is_troubled(), "{} {}", cert.escape_ascii(), key.escape_ascii());
            scene.expect("a.test");
        };
        let wrong = b"-----BEGIN CERTIFICATE-----\nMAAw\n-----END CERTIFICATE-----\n";
        for (cert, key) in [
            (b.cert.as_bytes(), c.key.as_bytes()),
            (b"garbage", b.key.as_bytes()),
            (b.cert.as_bytes(), b"garbage"),
            (b.key.as_bytes(), b.cert.as_bytes()),
            (wrong, b.key.as_bytes()),
            (b"\xFF\x00", b"\xFF\x00"),
            (b"", b""),
        ] {
            broken(cert, key);
            // Good again: with another certificate the trouble is over.
            let good = pair("a.test");
            put(scene.dir.path(), &good);
            scene.expect("a.test");
            assert!(!scene.is_troubled());
        }
        fs::remove_file(scene.path("key")).unwrap();
        scene.expect("a.test");
        scene.expect("a.test");
        assert!(scene.is_troubled());
        put(scene.dir.path(), &b);
        scene.expect("b.test");
    }

    /// Half a file may have been read under the stamp of the whole: it is read once more before it is given up.
    #[test]
    fn a_change_is_read_twice() {
        let (scene, b) = (Scene::new(), pair("b.test"));
        scene.expect("a.test");
        put(scene.dir.path(), &b);
        let opened = Opened::open(&files(scene.dir.path()));
        assert_eq!(scene.certificates.shelves.lock().unwrap()[0].watched.look(opened.stamps), Look::Changed);
        // The look that saw the change came to nothing. The next one sees no change, and takes it.
        scene.expect("b.test");
    }

    #[test]
    fn each_certificate_changes_by_itself() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let all = dirs.each_ref().map(|dir| files(dir.path()));
        put(dirs[0].path(), &pair("a.test"));
        let problem = Certificates::open("test", &all).unwrap_err();
        assert!(problem.contains("cannot read"), "{problem}");
        put(dirs[1].path(), &pair("b.test"));
        let certificates = Certificates::open("test", &all).unwrap();
        let expect = |wanted: [&str; 2]| {
            certificates.look(Duration::ZERO);
            let shown = certificates.shown();
            assert_eq!(shown.iter().map(|it| it.names[0].as_str()).collect::<Vec<_>>(), wanted);
            assert_eq!(shown.iter().map(|it| &it.file).collect::<Vec<_>>(), [&all[0].cert, &all[1].cert]);
        };
        expect(["a.test", "b.test"]);
        put(dirs[1].path(), &pair("c.test"));
        write(&dirs[0].path().join("cert"), "");
        expect(["a.test", "c.test"]);
        put(dirs[0].path(), &pair("d.test"));
        expect(["d.test", "c.test"]);
    }

    #[test]
    fn the_end_is_told_once_a_day() {
        let scene = Scene::new();
        let not_after = scene.certificates.shown()[0].not_after;
        let day = 24 * 60 * 60;
        let said = |now: u64| {
            scene.certificates.look(Duration::from_secs(now));
            scene.certificates.shelves.lock().unwrap()[0]
                .told
                .filter(|(_, at)| at.as_secs() == now)
                .map(|it| it.0)
        };
        let first = not_after - 14 * day;
        assert_eq!(said(first - 1), None);
        assert_eq!(said(first), Some(Expiry::Soon { days: 14 }));
        assert_eq!(said(first + 1), None);
        assert_eq!(said(first + day - 1), None);
        assert_eq!(said(first + day), Some(Expiry::Soon { days: 13 }));
        // The day on which it is over does not wait for the next reminder.
        assert_eq!(said(not_after), Some(Expiry::Soon { days: 0 }));
        assert_eq!(said(not_after + 1), Some(Expiry::Over));
        assert_eq!(said(not_after + 2), None);
        assert_eq!(said(not_after + day + 1), Some(Expiry::Over));
        // Another certificate is another matter.
        put(scene.dir.path(), &pair("b.test"));
        assert_eq!(said(not_after + day + 2), Some(Expiry::Over));
    }

    #[test]
    fn one_that_was_made_is_in_no_file() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificates = Certificates::made(vec![made.cert.der().clone()], key).unwrap();
        certificates.look(Duration::MAX);
        assert_eq!((certificates.shown(), certificates.served.get().len()), (Vec::new(), 1));
    }
}
