//! What the service manager is told (sd_notify(3)): that the service is ready, reloads, goes away, is alive, and is
//! another process from now on.
//!
//! The protocol is a datagram of lines to the socket that `NOTIFY_SOCKET` names, so it is spoken here. The crate for it,
//! sd-notify, opens a socket for each message and does not know the abstract addresses that some managers use.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Does nothing where no service manager listens.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// Another process speaks for the service now.
    is_silent: AtomicBool,
}

/// A manager that does not listen must not keep the service.
const PATIENCE: Duration = Duration::from_secs(1);

impl Notifier {
    /// To whom `NOTIFY_SOCKET` says.
    pub fn from_environment() -> Notifier {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Notifier::default();
        };
        let socket = connect(&address).inspect_err(|error| {
            tracing::warn!(%error, address = %address.display(), "the service manager cannot be told anything");
        });
        Notifier { socket: socket.ok(), is_silent: AtomicBool::new(false) }
    }

    /// Everything listens; also what ends a reload.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// A reload begins. `ready` is to follow, whether it went well or not.
    pub fn reloading(&self) {
        // So that the manager can tell which of two reloads an answer is to (`Type=notify-reload`).
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading"));
    }

    /// From here on the manager's patience with a stop counts, and not its watchdog: of a process that was handed the
    /// service by another one it does not see the end while that one still drains, and would end the drain for it.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nWATCHDOG_USEC=0\nSTATUS={}", line(status)));
    }

    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", line(status)));
    }

    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The last word of this process: what it would say from here on, that it stops above all, is not true of the service.
    pub fn handed_over_to(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
        self.is_silent.store(true, Ordering::Relaxed);
    }

    fn tell(&self, lines: &str) {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.is_silent.load(Ordering::Relaxed)) else {
            return;
        };
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// A path, or `@` and a name in the abstract namespace.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A status is one line.
fn line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

/// How often the service manager wants to hear that this process is alive: half the time after which it would act
/// (sd_watchdog_enabled(3)). `None`: it does not.
pub fn watchdog_interval() -> Option<Duration> {
    interval(
        std::env::var("WATCHDOG_USEC").ok().as_deref(),
        std::env::var("WATCHDOG_PID").ok().as_deref(),
        std::process::id(),
    )
}

fn interval(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let is_meant = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let usec = usec?.parse::<u64>().ok().filter(|usec| *usec > 0 && is_meant)?;
    Some(Duration::from_micros(usec) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager_at(address: &SocketAddr, name: &str) -> (UnixDatagram, Notifier) {
        let manager = UnixDatagram::bind_addr(address).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let socket = Some(connect(OsStr::new(name)).unwrap());
        (manager, Notifier { socket, is_silent: AtomicBool::new(false) })
    }

    fn heard(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let n = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("framegate-test-{}", std::process::id());
        for (address, text) in [
            (SocketAddr::from_pathname(&path).unwrap(), path.display().to_string()),
            (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}")),
        ] {
            let (manager, notifier) = manager_at(&address, &text);
            notifier.ready("two\nlines");
            assert_eq!(heard(&manager), "READY=1\nSTATUS=two lines");
            notifier.reloading();
            let reloading = heard(&manager);
            let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            let usec: u64 = usec.strip_suffix("\nSTATUS=reloading").unwrap().parse().unwrap();
            assert!(usec > 0);
            notifier.alive();
            assert_eq!(heard(&manager), "WATCHDOG=1");
            notifier.stopping("draining");
            assert_eq!(heard(&manager), "STOPPING=1\nWATCHDOG_USEC=0\nSTATUS=draining");
            notifier.handed_over_to(4711);
            assert_eq!(heard(&manager), "MAINPID=4711");
            // The rest is the other process's affair.
            notifier.stopping("draining");
            notifier.alive();
            manager.set_nonblocking(true).unwrap();
            assert_eq!(manager.recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn where_nobody_listens_nothing_happens() {
        let dir = tempfile::tempdir().unwrap();
        connect(dir.path().join("nobody").as_os_str()).unwrap_err();
        Notifier::default().ready("");
    }

    #[test]
    fn half_the_watchdogs_time() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (usec, pid, expected) in [
            (Some("30000000"), Some("7"), seconds(15)),
            (Some("30000000"), None, seconds(15)),
            (Some("30000000"), Some("8"), None),
            (Some("30000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("x"), None, None),
            (None, Some("7"), None),
        ] {
            assert_eq!(interval(usec, pid, 7), expected, "{usec:?} {pid:?}");
        }
    }
}
