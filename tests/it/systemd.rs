//! A service manager, played by a test: sockets that it passes, and what it is told.

use crate::support::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// As systemd starts a service: descriptor 3 is this socket, called `web`.
fn activated(socket: impl Into<OwnedFd>) -> Command {
    let script =
        "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program()).stdin(Stdio::from(socket.into()));
    shell
}

fn configuration(bind: &str, servant: &Servant) -> String {
    format!(
        "workers = 3\n[shutdown]\nclose_spread = \"1s\"\ndrain_timeout = \"5s\"\n\
         [[listener]]\nname = \"in\"\nbind = \"{bind}\"\n[[route]]\nbackend = \"{}\"\n",
        servant.url()
    )
}

/// A plain request is answered over this stream.
fn expect_served(mut stream: impl Read + Write) {
    stream.write_all(Ask::plain().bytes().as_ref()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn a_socket_by_its_name_through_a_hand_over() {
    let servant = Servant::start("servant", Manner::Serve);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut gateway = Gateway::start_by(
        activated(socket),
        tempfile::tempdir().unwrap(),
        &configuration("systemd:web", &servant),
    );
    assert_eq!(gateway.address(), address);
    // Each of the loops takes some.
    (0..20).for_each(|_| expect_served(TcpStream::connect(address).unwrap()));
    let next = hand_over(&gateway, gateway.child.id(), 1);
    assert_eq!(next.listeners, [address]);
    assert_eq!(gateway.exit_code(), Some(0));
    (0..20).for_each(|_| expect_served(TcpStream::connect(address).unwrap()));
    let environment = std::fs::read(format!("/proc/{}/environ", next.pid)).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("LISTEN_"), "they speak of another process");
    // And from there to the next.
    hand_over(&gateway, next.pid, 1);
    (0..20).for_each(|_| expect_served(TcpStream::connect(address).unwrap()));
}

#[test]
fn a_unix_socket_whose_file_is_systemds() {
    let servant = Servant::start("servant", Manner::Serve);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut gateway = Gateway::start_by(activated(socket), dir, &configuration("systemd:web", &servant));
    expect_served(UnixStream::connect(&path).unwrap());
    let next = hand_over(&gateway, gateway.child.id(), 1);
    assert_eq!(gateway.exit_code(), Some(0));
    expect_served(UnixStream::connect(&path).unwrap());
    kill(next.pid, "TERM");
    let since = Instant::now();
    while is_alive(next.pid) {
        assert!(since.elapsed() < SOON, "it stays");
        std::thread::yield_now();
    }
    assert!(path.exists());
}

/// A reload may take the listener away and bring it back: systemd passes its socket once.
#[test]
fn a_listener_that_goes_and_comes_back() {
    let servant = Servant::start("servant", Manner::Serve);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let with = configuration("systemd:web", &servant);
    let gateway = Gateway::start_by(activated(socket), tempfile::tempdir().unwrap(), &with);
    gateway.reload(&configuration("127.0.0.1:0", &servant));
    // Its socket is systemd's, and goes on listening: whoever comes waits.
    let waiting = TcpStream::connect(address).unwrap();
    gateway.reload(&with);
    expect_served(waiting);
}

#[test]
fn a_name_that_was_not_passed() {
    let servant = Servant::start("servant", Manner::Serve);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("framegate.toml");
    std::fs::write(&file, configuration("systemd:admin", &servant)).unwrap();
    let bare = Command::new(program());
    for (mut command, expected) in [
        (
            activated(socket),
            "listener in: cannot listen on systemd:admin: systemd passed no socket named \"admin\", but \"web\"",
        ),
        (bare, "systemd passed no sockets to this process"),
    ] {
        let output = command.args(["run", "--config"]).arg(&file).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    // What a service will be passed, no check can know.
    let output = Command::new(program()).arg("check").arg(&file).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

/// Who listens at `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Manager { socket }
    }

    /// The next thing it is told that begins like this. Status lines and signs of life come at any time.
    fn hears(&self, beginning: &str) -> String {
        loop {
            let mut bytes = [0; 1024];
            let n = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{beginning}: {error}"));
            let said = String::from_utf8(bytes[..n].to_vec()).unwrap();
            if said.starts_with(beginning) {
                return said;
            }
            assert!(said.starts_with("STATUS=") || said == "WATCHDOG=1", "before {beginning}: {said}");
        }
    }

    /// Everything that was said so far is of no interest any more.
    fn forget(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 1024]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

fn managed(watchdog: Duration) -> (Gateway, Manager, Servant) {
    let servant = Servant::start("servant", Manner::Serve);
    let dir: TempDir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::at(&path);
    let script = "export WATCHDOG_PID=$$; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program());
    shell.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    let gateway = Gateway::start_by(shell, dir, &configuration("127.0.0.1:0", &servant));
    (gateway, manager, servant)
}

#[test]
fn the_service_manager_is_told_how_the_service_stands() {
    let (mut gateway, manager, servant) = managed(Duration::from_secs(60));
    assert_eq!(manager.hears("READY=1"), "READY=1\nSTATUS=serving 0 sessions");
    gateway.reload(&configuration("127.0.0.1:0", &servant));
    assert!(manager.hears("RELOADING=1\nMONOTONIC_USEC=").ends_with("\nSTATUS=reloading"));
    manager.hears("READY=1");
    // One that changes nothing is over, too.
    gateway.refuses_to_reload("nonsense");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    gateway.signal("TERM");
    assert_eq!(manager.hears("STOPPING=1"), "STOPPING=1\nWATCHDOG_USEC=0\nSTATUS=draining 0 sessions");
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_hand_over_names_the_process_that_is_the_service_now() {
    let (mut gateway, manager, _servant) = managed(Duration::from_secs(2));
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    let next = hand_over(&gateway, gateway.child.id(), 1);
    assert_eq!(manager.hears("MAINPID="), format!("MAINPID={}", next.pid));
    manager.hears("READY=1");
    assert_eq!(gateway.exit_code(), Some(0));
    // That the old one stops is nobody's business; the new one is watched from now on.
    manager.forget();
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    kill(next.pid, "TERM");
    manager.hears("STOPPING=1");
}

/// A process that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A worker that waits for whoever reads the log hangs, with all its sessions. That others turn does not make up for it.
#[test]
fn a_loop_that_hangs_is_not_said_to_be_well() {
    let servant = Servant::start("servant", Manner::Serve);
    let dir = tempfile::tempdir().unwrap();
    let (file, path) = (dir.path().join("framegate.toml"), dir.path().join("notify"));
    let manager = Manager::at(&path);
    std::fs::write(&file, configuration("127.0.0.1:0", &servant)).unwrap();
    let (log, to_log) = std::io::pipe().unwrap();
    let mut command = Command::new(program());
    command.args(["run", "--config"]).arg(&file).stderr(to_log);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000000").stdout(Stdio::null());
    let child = Ended(command.spawn().unwrap());
    drop(command);
    let mut log = BufReader::new(log).lines();
    let port = log.find_map(|line| {
        let line = line.unwrap();
        let (_, port) = line.split_once(" bind=127.0.0.1:")?;
        port.split_whitespace().next()?.parse::<u16>().ok()
    });
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    // A pipe holds 64 KiB, and a session says half a KiB when it opens.
    let address = ("127.0.0.1", port.unwrap());
    let clients: Vec<_> = (0..400)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(upgrade_request("/", "").as_bytes()).unwrap();
            client
        })
        .collect();
    let silence = Duration::from_millis(2500);
    manager.socket.set_read_timeout(Some(silence)).unwrap();
    let since = Instant::now();
    while manager.socket.recv(&mut [0; 64]).is_ok() {
        assert!(since.elapsed() < SOON, "all is said to be well");
    }
    // Once the log is read again, the loop turns again.
    let reading = std::thread::spawn(move || log.map_while(Result::ok).count());
    manager.socket.set_read_timeout(Some(SOON)).unwrap();
    manager.hears("WATCHDOG=1");
    drop((child, clients));
    reading.join().unwrap();
}
