//! Peers as processes of their own, to be killed and stopped: this test binary, started again.

use super::{Manner, Raw, Servant, kill, upgrade_request, upgrade_response};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What the process is to be; absent in an ordinary run.
const ROLE: &str = "FRAMEGATE_TEST_PEER";
const MARK: &str = "peer says ";

pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// A backend that takes one session and reads on; and where it listens.
    pub fn backend() -> (Process, SocketAddr) {
        let mut process = Process::start("backend");
        let address = process.says().parse().unwrap();
        (process, address)
    }

    /// A backend that serves everybody.
    pub fn servant() -> (Process, SocketAddr) {
        let mut process = Process::start("servant");
        let address = process.says().parse().unwrap();
        (process, address)
    }

    /// A client of this gateway that reads on.
    pub fn client(gateway: SocketAddr) -> Process {
        Process::start(&gateway.to_string())
    }

    fn start(role: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "support::process::peer", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Process { child, lines }
    }

    /// The next thing it says.
    pub fn says(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the peer ended");
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return said.to_string();
            }
        }
    }

    pub fn signal(&self, name: &str) {
        kill(self.child.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{MARK}{what}").unwrap();
    out.flush().unwrap();
}

/// Not a test: what a started peer runs.
#[test]
fn peer() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut raw = match role.as_str() {
        "backend" => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            say(listener.local_addr().unwrap());
            let mut raw = Raw::new(listener.accept().unwrap().0);
            raw.head();
            raw.send(upgrade_response(""));
            raw
        }
        "servant" => {
            say(Servant::start("servant", Manner::Serve).address);
            loop {
                std::thread::park();
            }
        }
        gateway => {
            let mut raw = Raw::connect(gateway.parse().unwrap());
            raw.send(upgrade_request("/", ""));
            raw.head();
            raw
        }
    };
    say("open");
    raw.stream.set_read_timeout(None).unwrap();
    let mut bytes = [0; 4096];
    while raw.stream.read(&mut bytes).is_ok_and(|n| n > 0) {}
}
