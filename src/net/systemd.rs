//! Socket activation: the sockets that systemd bound and passed to this process (sd_listen_fds(3)), by name.
//!
//! A descriptor that is only known by its number cannot be taken without `unsafe`: that is listenfd's part. Which process
//! they are for (`LISTEN_PID`) it checks as well. Names it does not know.

use listenfd::ListenFd;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A socket as it was passed.
#[derive(Clone, Debug)]
pub struct Passed {
    /// `FileDescriptorName=` of the socket unit; by default the unit's own name.
    pub name: String,
    /// Or why it is none.
    pub socket: Result<Arc<OwnedFd>, String>,
}

/// What this process was started with, of the variables that go with it.
pub const VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", NAMES];
const NAMES: &str = "LISTEN_FDNAMES";

/// Takes them. To be called before there is a second thread, for it changes the environment.
pub fn take_passed() -> Vec<Passed> {
    let mut passed = ListenFd::from_env();
    let names = std::env::var(NAMES).unwrap_or_default();
    (0..passed.len())
        .map(|at| {
            let socket = take(&mut passed, at).map(Arc::new).map_err(|error| error.to_string());
            Passed { name: name(&names, at).into(), socket }
        })
        .collect()
}

/// Whatever kind of socket it is: why another kind will not do is said where one is wanted.
fn take(passed: &mut ListenFd, at: usize) -> io::Result<OwnedFd> {
    let taken = passed.take_tcp_listener(at).map(|socket| socket.map(OwnedFd::from));
    let taken = taken.or_else(|_| passed.take_unix_listener(at).map(|socket| socket.map(OwnedFd::from)));
    let taken = taken.or_else(|_| passed.take_udp_socket(at).map(|socket| socket.map(OwnedFd::from)));
    let taken = taken.or_else(|_| passed.take_unix_datagram(at).map(|socket| socket.map(OwnedFd::from)));
    taken?.ok_or_else(|| io::Error::other("it was taken before"))
}

/// Older service managers pass none; sd_listen_fds_with_names(3) calls those sockets so.
fn name(names: &str, at: usize) -> &str {
    names.split(':').nth(at).filter(|name| !name.is_empty()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_their_place() {
        let found = |names| [0, 1, 2].map(|at| name(names, at));
        assert_eq!(found("web:admin:web"), ["web", "admin", "web"]);
        assert_eq!(found("web"), ["web", "unknown", "unknown"]);
        assert_eq!(found("::x"), ["unknown", "unknown", "x"]);
        assert_eq!(found(""), ["unknown"; 3]);
    }
}
