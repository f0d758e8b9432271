//! The admin address: where it is, and the token that opens it.

use super::listen::{Bind, Bound};
use super::sockets::Sockets;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    pub bind: Bind,
    /// `None`: whoever can connect may do everything.
    pub token_file: Option<PathBuf>,
}

impl Default for AdminSettings {
    fn default() -> AdminSettings {
        let bind = Bind::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900));
        AdminSettings { bind, token_file: None }
    }
}

/// Whether programs of other machines may be able to connect, for all that is known.
pub fn is_exposed(bind: &Bind) -> bool {
    match bind {
        Bind::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        Bind::Unix(_) => false,
        // Whoever wrote the socket unit knows.
        Bind::Systemd(_) => true,
    }
}

/// Connections at a time. Those whose clients watch are among them.
pub const MAX_CONNECTIONS: usize = 64;

/// Its socket, its connections, and the one that it will not let in.
pub const DESCRIPTORS: u64 = 2 + MAX_CONNECTIONS as u64;

/// Who may connect to a unix socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// By this name its sockets go from one process to the next. No listener can have it.
const SOCKETS: &str = "the admin address";

/// Listens at the address, for one event loop.
pub fn open(bind: &Bind, sockets: &Sockets) -> io::Result<Vec<Bound>> {
    sockets.open_as(SOCKETS, bind, 1, || match bind {
        Bind::Unix(path) => Bound::open_with_mode(path, SOCKET_MODE),
        bind => Bound::open(bind, 1),
    })
}

/// A shorter one is guessed.
pub const MIN_TOKEN: usize = 16;

/// Nobody has a longer one, and heads have to hold it.
const MAX_TOKEN: usize = 4096;

/// A secret, known by its digest: comparing digests takes the same time whatever is compared, and the secret itself does
/// not stay in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// `text` as the file has it: white space around it does not count.
    pub fn parse(text: &str) -> Result<Token, String> {
        let token = text.trim();
        if token.is_empty() {
            return Err("holds no token".into());
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds a token with characters that cannot stand in a header".into());
        }
        if token.len() < MIN_TOKEN {
            return Err(format!("holds a token of {} characters, which can be guessed", token.len()));
        }
        if token.len() > MAX_TOKEN {
            return Err(format!("holds a token of more than {MAX_TOKEN} characters"));
        }
        Ok(Token::of(token))
    }

    pub fn is(&self, presented: &str) -> bool {
        verify_slices_are_equal(&self.0, &Token::of(presented).0).is_ok()
    }

    fn of(text: &str) -> Token {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Token(bytes)
    }
}

/// Reads a token once. The error says what to look at, and repeats nothing of the token.
pub fn read_token(path: &Path) -> Result<Token, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let read = file.take(2 * MAX_TOKEN as u64).read_to_string(&mut text);
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Token::parse(&text).map_err(|why| format!("{} {why}", path.display()))
}

/// A token as its file has it now. A file that came out broken changes nothing.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    last: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    token: Token,
    /// What was told of the file since it was last good.
    problem: Option<String>,
}

impl TokenFile {
    pub fn open(path: &Path) -> Result<TokenFile, String> {
        let token = read_token(path)?;
        Ok(TokenFile { path: path.into(), last: Mutex::new(Known { token, problem: None }) })
    }

    /// Read anew each time: few ask, and so a token that was replaced is no good from that moment on.
    pub fn current(&self) -> Token {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read_token(&self.path) {
            Ok(token) => *last = Known { token, problem: None },
            Err(problem) if last.problem.as_ref() == Some(&problem) => {}
            Err(problem) => {
                tracing::warn!(problem = problem.as_str(), "the admin token stays what it was");
                last.problem = Some(problem);
            }
        }
        last.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_token() {
        for (text, expected) in [
            ("0123456789abcdef", Ok(())),
            (" 0123456789abcdef\r\n", Ok(())),
            ("", Err("no token")),
            (" \n", Err("no token")),
            ("0123456789abcde\n", Err("15 characters")),
            ("0123456789 abcdef", Err("cannot stand in a header")),
            ("0123456789abcdef\nanother", Err("cannot stand in a header")),
            ("0123456789abcd\u{e9}f", Err("cannot stand in a header")),
        ] {
            match (Token::parse(text), expected) {
                (Ok(token), Ok(())) => assert!(token.is(text.trim()), "{text:?}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text:?}: {why}"),
                (other, _) => panic!("{text:?}: {other:?}"),
            }
        }
        assert!(Token::parse(&"x".repeat(MAX_TOKEN)).is_ok());
        assert!(Token::parse(&"x".repeat(MAX_TOKEN + 1)).is_err());
    }

    #[test]
    fn only_the_same_opens() {
        let token = Token::parse("0123456789abcdef").unwrap();
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", " 0123456789abcdef"] {
            assert!(!token.is(other), "{other:?}");
        }
        assert!(!format!("{token:?}").contains("0123456789"));
    }

    #[test]
    fn a_file_that_came_out_broken_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(TokenFile::open(&path).is_err());
        std::fs::write(&path, "the first token of all\n".replace(' ', "-")).unwrap();
        let file = TokenFile::open(&path).unwrap();
        let is = |presented: &str| file.current().is(presented);
        assert!(is("the-first-token-of-all"));
        for broken in ["", "short", "two words and more than enough"] {
            std::fs::write(&path, broken).unwrap();
            assert!(is("the-first-token-of-all"), "{broken:?}");
        }
        std::fs::write(&path, "the-second-token-of-all").unwrap();
        assert!(is("the-second-token-of-all") && !is("the-first-token-of-all"));
        std::fs::remove_file(&path).unwrap();
        assert!(is("the-second-token-of-all"));
    }

    #[test]
    fn a_socket_is_for_its_owner_and_its_group() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        // One that a process left behind when it was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let sockets = Sockets::default();
        let bound = open(&Bind::Unix(path.clone()), &sockets).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
        assert!(open(&Bind::Unix(path), &sockets).is_err(), "somebody else is there");
        drop(bound);
    }

    #[test]
    fn which_addresses_others_can_reach() {
        for (bind, expected) in [
            ("127.0.0.1:1", false),
            ("127.0.0.2:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
        ] {
            assert_eq!(is_exposed(&Bind::Tcp(bind.parse().unwrap())), expected, "{bind}");
        }
        assert!(!is_exposed(&Bind::Unix("a.sock".into())));
        assert!(is_exposed(&Bind::Systemd("admin".into())));
    }
}
