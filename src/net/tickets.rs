//! Session tickets under keys from a file, which several gateways share: after a restart, or behind a balancer, clients
//! resume at whichever of them they come to, and a reconnect storm does not pay full handshakes.
//!
//! A line of the file is a key. The first seals, all of them open: a new key goes to the second line of every gateway's
//! file, later to the first, and the oldest is dropped when nobody comes with its tickets any more. Without a file rustls
//! makes keys of its own, which nobody else has.

use crate::clock;
use crate::latest::Latest;
use crate::watched::{self, Look, Watched};
use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use rustls::server::ProducesTickets;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What `openssl rand -base64 48` writes: more than an attacker can guess, and hard to confuse with a password.
const MIN_KEY: usize = 48;

/// Enough for any rotation. A ticket's key is found by its name, so that more would do no harm but hint at a mistake.
const MAX_KEYS: usize = 16;

const MAX_SIZE: u64 = 64 << 10;

/// As long as those of rustls' own keys. A client may be told of seven days at most (RFC 8446 4.6.1), and whoever gets
/// hold of a key can read what was said under its tickets in TLS 1.2.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// A ticket: the name of its key, a salt, the nonce, then under AES-256-GCM the time of issue and what rustls wants to
/// remember, and the tag (the construction of RFC 5077 4, with an AEAD). Each ticket has a key of its own, derived with
/// the salt: so many may be made of one line, by so many gateways, that random nonces alone would meet.
const NAME: usize = 16;
const SALT: usize = 16;
const NONCE: usize = 12;
const ISSUED: usize = 8;

/// What tickets are good for. Those of a listener that asks clients for certificates, or for other ones, open nothing
/// here: a session that is resumed brings the identity that was verified when it began.
pub type Purpose = [u8; 32];

/// Seals and opens tickets with the keys that the file has now.
pub struct FileTickets {
    listener: String,
    path: PathBuf,
    purpose: Purpose,
    keys: Latest<Vec<TicketKey>>,
    /// For the one who looks at the file.
    watched: Mutex<Watched<1>>,
}

/// A line of the file, made fit for one purpose.
struct TicketKey {
    name: [u8; NAME],
    secret: Prk,
}

/// Whether the file holds keys, and how many. The error says what to look at, and repeats nothing of a key.
pub fn check(path: &Path) -> Result<usize, String> {
    let (file, _) = watched::open(path)?;
    Ok(read(file, path, &Purpose::default())?.len())
}

impl FileTickets {
    pub fn open(listener: &str, path: &Path, purpose: Purpose) -> Result<FileTickets, String> {
        let (file, stamp) = watched::open(path)?;
        Ok(FileTickets {
            listener: listener.into(),
            path: path.into(),
            purpose,
            keys: Latest::new(Arc::new(read(file, path, &purpose)?)),
            watched: Mutex::new(Watched::new([Some(stamp)])),
        })
    }

    /// Takes over what the file has become, if it has become anything. It waits for the disk.
    pub fn look(&self) {
        let opened = watched::open(&self.path);
        let stamp = opened.as_ref().ok().map(|(_, stamp)| *stamp);
        let look = self.watched.lock().unwrap_or_else(PoisonError::into_inner).look([stamp]);
        if look == Look::Same {
            return;
        }
        let (listener, file) = (self.listener.as_str(), self.path.display().to_string());
        match opened.and_then(|(file, _)| read(file, &self.path, &self.purpose)) {
            Ok(keys) => {
                let names = |keys: &[TicketKey]| keys.iter().map(|key| key.name).collect::<Vec<_>>();
                if names(&keys) != names(&self.keys.get()) {
                    tracing::info!(listener, file, keys = keys.len(), "ticket_keys was read again");
                    self.keys.replace(Arc::new(keys));
                }
            }
            Err(_) if look == Look::Changed => {}
            Err(problem) => {
                tracing::warn!(
                    listener,
                    file,
                    problem,
                    "ticket_keys is no good any more; its old keys are kept"
                );
            }
        }
    }

    fn seal(&self, state: &[u8], now: Duration) -> Option<Vec<u8>> {
        let keys = self.keys.get();
        let TicketKey { name, secret } = keys.first()?;
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).ok()?;
        let mut sealed = Vec::with_capacity(ISSUED + state.len() + AES_256_GCM.tag_len());
        sealed.extend(now.as_secs().to_be_bytes());
        sealed.extend(state);
        let key = one_ticket_key(secret, &salt)?;
        let nonce = key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([name, &salt, nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn unseal(&self, ticket: &[u8], now: Duration) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (salt, rest) = rest.split_first_chunk::<SALT>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let keys = self.keys.get();
        let TicketKey { secret, .. } = keys.iter().find(|key| key.name == *name)?;
        let mut sealed = rest.to_vec();
        let opened =
            one_ticket_key(secret, salt)?.open_in_place(nonce.into(), Aad::from(name), &mut sealed).ok()?;
        let (issued, state) = opened.split_first_chunk::<ISSUED>()?;
        // Clocks of several gateways differ a little: a ticket from the future is a fresh one.
        let age = now.as_secs().saturating_sub(u64::from_be_bytes(*issued));
        (age <= LIFETIME.as_secs()).then(|| state.to_vec())
    }
}

impl ProducesTickets for FileTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, clock::since_1970())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.unseal(cipher, clock::since_1970())
    }
}

/// Nothing of a key, not even its name.
impl fmt::Debug for FileTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTickets").field("path", &self.path).field("keys", &self.keys.get().len()).finish()
    }
}

fn read(file: File, path: &Path, purpose: &Purpose) -> Result<Vec<TicketKey>, String> {
    let bytes = watched::read(file, path, MAX_SIZE)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{} is not a text file", path.display()))?;
    parse(text, purpose).map_err(|problem| format!("{} {problem}", path.display()))
}

fn parse(text: &str, purpose: &Purpose) -> Result<Vec<TicketKey>, String> {
    let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let base64 = GeneralPurpose::new(&STANDARD, any_padding);
    let mut keys = Vec::new();
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        // Not what exactly is wrong with it: that would repeat a part of the key.
        let bytes = base64.decode(text).map_err(|_| format!("has a line {line} that is not base64"))?;
        if bytes.len() < MIN_KEY {
            return Err(format!(
                "has a key of {} bytes in line {line}; {MIN_KEY} are the least",
                bytes.len()
            ));
        }
        let key = TicketKey::derive(&bytes, purpose).ok_or("holds keys that cannot be derived from")?;
        keys.push(key);
    }
    match keys.len() {
        0 => Err("holds no key".into()),
        count if count > MAX_KEYS => {
            Err(format!("holds {count} keys; {MAX_KEYS} are enough for any rotation"))
        }
        _ => Ok(keys),
    }
}

impl TicketKey {
    fn derive(line: &[u8], purpose: &Purpose) -> Option<TicketKey> {
        let root = Salt::new(HKDF_SHA256, b"framegate session tickets 1").extract(line);
        let (mut secret, mut name) = ([0; 32], [0; 32]);
        root.expand(&[purpose], HKDF_SHA256).ok()?.fill(&mut secret).ok()?;
        let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
        secret.expand(&[b"name"], HKDF_SHA256).ok()?.fill(&mut name).ok()?;
        Some(TicketKey { name: *name.first_chunk::<NAME>()?, secret })
    }
}

fn one_ticket_key(secret: &Prk, salt: &[u8; SALT]) -> Option<RandomizedNonceKey> {
    let mut key = [0; 32];
    secret.expand(&[b"ticket", salt], &AES_256_GCM).ok()?.fill(&mut key).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD;
    use std::fs;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const NOBODY: Purpose = [0; 32];

    /// A line of the file.
    fn line(key: u8) -> String {
        BASE64_STANDARD.encode([key; MIN_KEY])
    }

    struct Keys {
        path: PathBuf,
        _dir: tempfile::TempDir,
    }

    impl Keys {
        fn new(text: &str) -> Keys {
            let dir = tempfile::tempdir().unwrap();
            let keys = Keys { path: dir.path().join("tickets.key"), _dir: dir };
            keys.write(text);
            keys
        }

        fn write(&self, text: &str) {
            fs::write(&self.path, text).unwrap();
        }

        fn open(&self, purpose: Purpose) -> FileTickets {
            FileTickets::open("test", &self.path, purpose).unwrap()
        }
    }

    #[test]
    fn whoever_has_the_keys_opens_the_tickets() {
        let keys = Keys::new(&line(1));
        let (one, other) = (keys.open(NOBODY), keys.open(NOBODY));
        for state in [&b""[..], b"state", &[7; 20_000]] {
            let ticket = one.seal(state, NOW).unwrap();
            assert_eq!(other.unseal(&ticket, NOW).as_deref(), Some(state));
            assert!(state.is_empty() || !ticket.windows(state.len()).any(|part| part == state));
        }
        // Nothing repeats, and nothing may be changed or missing.
        let (ticket, twin) = (one.seal(b"state", NOW).unwrap(), one.seal(b"state", NOW).unwrap());
        assert_ne!(ticket[NAME..NAME + SALT], twin[NAME..NAME + SALT]);
        assert_ne!(ticket[NAME + SALT + NONCE..], twin[NAME + SALT + NONCE..]);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(other.unseal(&changed, NOW), None, "byte {at}");
            assert_eq!(other.unseal(&ticket[..at], NOW), None, "{at} bytes");
        }
        assert_eq!(other.unseal(&[ticket, vec![0]].concat(), NOW), None);
        // By the real clock, as rustls asks.
        assert_eq!(other.decrypt(&one.encrypt(b"state").unwrap()).as_deref(), Some(&b"state"[..]));
    }

    #[test]
    fn a_ticket_is_good_for_one_purpose_only() {
        let keys = Keys::new(&line(1));
        let ticket = keys.open(NOBODY).seal(b"state", NOW).unwrap();
        assert_eq!(keys.open([1; 32]).unseal(&ticket, NOW), None);
        // Nor when somebody writes the other's name on it.
        let mut renamed = ticket;
        renamed[..NAME].copy_from_slice(&keys.open([1; 32]).keys.get()[0].name);
        assert_eq!(keys.open([1; 32]).unseal(&renamed, NOW), None);
    }

    #[test]
    fn a_ticket_expires() {
        let tickets = Keys::new(&line(1)).open(NOBODY);
        let ticket = tickets.seal(b"state", NOW).unwrap();
        let is_good = |now: Duration| tickets.unseal(&ticket, now).is_some();
        assert!(is_good(NOW - Duration::from_secs(3600)), "a clock that is behind");
        assert!(is_good(NOW + LIFETIME));
        assert!(!is_good(NOW + LIFETIME + Duration::from_secs(1)));
        assert_eq!(tickets.lifetime(), 43_200);
    }

    #[test]
    fn keys_rotate() {
        let file = Keys::new(&line(1));
        let tickets = file.open(NOBODY);
        let after = |text: &str| {
            file.write(text);
            tickets.look();
            tickets.seal(b"state", NOW).unwrap()
        };
        let first = after(&line(1));
        let is_good = |ticket: &[u8]| tickets.unseal(ticket, NOW).is_some();
        // The new key is known before anybody seals with it.
        let still_first = after(&format!("{}\n{}\n", line(1), line(2)));
        assert_eq!(still_first[..NAME], first[..NAME]);
        let second = after(&format!("# new\n{}\n\n  {}\r\n", line(2), line(1)));
        assert_ne!(second[..NAME], first[..NAME]);
        assert!(is_good(&first) && is_good(&still_first) && is_good(&second));
        after(&line(2));
        assert!(!is_good(&first) && !is_good(&still_first) && is_good(&second));
        // A file that is no good changes nothing.
        for broken in ["", "# nothing", "x", "AAAA", &line(3)[..40]] {
            after(broken);
            tickets.look();
            assert!(is_good(&second), "{broken}");
        }
        fs::remove_file(&file.path).unwrap();
        tickets.look();
        assert!(is_good(&second));
        after(&line(3));
        assert!(!is_good(&second));
    }

    #[test]
    fn what_is_no_file_of_keys() {
        let count = |text: &str| parse(text, &NOBODY).map(|keys| keys.len());
        assert_eq!(count(&format!("{}\n{}", line(1), line(2))), Ok(2));
        assert_eq!(count(&BASE64_STANDARD.encode([1; 50])), Ok(1));
        assert_eq!(count(BASE64_STANDARD.encode([1; 50]).trim_end_matches('=')), Ok(1));
        assert_eq!(count(&vec![line(1); 16].join("\n")), Ok(16));
        let problem = |text: &str, wanted: &str| assert_eq!(count(text), Err(wanted.into()), "{text}");
        problem("", "holds no key");
        problem("# only this\n\n", "holds no key");
        problem("# a\nnot base64!", "has a line 2 that is not base64");
        problem(&BASE64_STANDARD.encode([1; 47]), "has a key of 47 bytes in line 1; 48 are the least");
        problem(&vec![line(1); 17].join("\n"), "holds 17 keys; 16 are enough for any rotation");
        let secret = format!("{}!", line(1));
        let said = count(&secret).unwrap_err();
        assert!(!said.contains(&line(1)[..8]), "{said}");
    }

    #[test]
    fn keys_are_not_shown() {
        let tickets = Keys::new(&line(1)).open(NOBODY);
        let shown = format!("{tickets:?}");
        assert!(shown.starts_with("FileTickets { path: ") && shown.ends_with(", keys: 1 }"), "{shown}");
    }
}
