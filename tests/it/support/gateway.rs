//! The real program, with its configuration in a file and its log in our hands.

use super::{Backend, Raw, SOON};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Gateway {
    pub child: Child,
    pub dir: TempDir,
    /// By listener, in the order of the file.
    pub listeners: Vec<SocketAddr>,
    lines: Receiver<Value>,
    /// Lines that were passed over while waiting for another.
    seen: std::cell::RefCell<Vec<Value>>,
}

impl Gateway {
    /// One plain listener and one route to `backend`; `route` is more TOML for the route.
    pub fn in_front_of(backend: &Backend, route: &str) -> Gateway {
        Gateway::in_front_of_address(backend.address, route)
    }

    /// The same for a backend that is a process of its own.
    pub fn in_front_of_address(backend: SocketAddr, route: &str) -> Gateway {
        let url = format!("ws://{backend}");
        Gateway::start(&format!(
            "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
             [[route]]\nname = \"test\"\nbackend = \"{url}\"\n{route}\n"
        ))
    }

    /// Runs `framegate run` with this configuration, JSON log added, and waits until every listener listens.
    pub fn start(config: &str) -> Gateway {
        Gateway::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same, in a directory that already holds what the configuration names (certificates, sockets).
    pub fn start_in(dir: TempDir, config: &str) -> Gateway {
        Gateway::spawn(Command::new(program()), dir, config)
    }

    /// The same, by a command of the test's own, which is given the arguments.
    pub fn start_by(command: Command, dir: TempDir, config: &str) -> Gateway {
        Gateway::spawn(command, dir, config)
    }

    /// The same with `FRAMEGATE_LOG` set.
    pub fn start_with_log(overrides: &str, config: &str) -> Gateway {
        let mut command = Command::new(program());
        command.env("FRAMEGATE_LOG", overrides);
        Gateway::spawn(command, tempfile::tempdir().unwrap(), config)
    }

    /// The same with these variables in its environment.
    pub fn start_with_environment(variables: &[(&str, &str)], config: &str) -> Gateway {
        let mut command = Command::new(program());
        command.envs(variables.iter().copied());
        Gateway::spawn(command, tempfile::tempdir().unwrap(), config)
    }

    /// The same, with this many file descriptors and no more.
    pub fn start_with_descriptors(limit: usize, config: &str) -> Gateway {
        Gateway::start_through(&format!("ulimit -n {limit}; exec \"$0\" \"$@\""), config)
    }

    /// The same, started by this script of the shell's.
    pub fn start_through(script: &str, config: &str) -> Gateway {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(program());
        Gateway::spawn(shell, tempfile::tempdir().unwrap(), config)
    }

    fn spawn(mut program: Command, dir: TempDir, config: &str) -> Gateway {
        let file = write_config(&dir, config);
        let mut child = program
            .args(["run", "--config"])
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut gateway = Gateway { child, dir, listeners: Vec::new(), lines, seen: Default::default() };
        for _ in 0..config.matches("[[listener]]").count() {
            let line = gateway.wait_for("listening", |line| listening_at(line).is_some());
            let bind = listening_at(&line).unwrap();
            // A unix socket has no port; it keeps its place in the list.
            gateway.listeners.push(bind.parse().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
        }
        gateway
    }

    pub fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// Puts another configuration in place of the one before. Nobody is told.
    pub fn write(&self, config: &str) {
        write_config(&self.dir, config);
    }

    /// Has another configuration read in place of the one before; the line that says what that changed.
    pub fn reload(&self, config: &str) -> Value {
        write_config(&self.dir, config);
        self.signal("HUP");
        let is_verdict = |line: &Value| {
            line["message"].as_str().is_some_and(|message| ["reloaded", NOT_RELOADED].contains(&message))
        };
        let line = self.wait_for("reloaded", is_verdict);
        assert_eq!(line["message"], "reloaded", "{line:#}");
        line
    }

    /// The same where the log may say nothing of it.
    pub fn reload_unheard(&self, config: &str) {
        write_config(&self.dir, config);
        self.signal("HUP");
    }

    /// The same where the configuration is no good: why.
    pub fn refuses_to_reload(&self, config: &str) -> String {
        write_config(&self.dir, config);
        self.signal("HUP");
        let line = self.wait_for(NOT_RELOADED, |line| line["message"] == NOT_RELOADED);
        line["problem"].as_str().unwrap().into()
    }

    /// Where a listener of this name has come to listen.
    pub fn listens(&self, name: &str) -> SocketAddr {
        let line = self.wait_for(name, |line| line["listener"] == name && listening_at(line).is_some());
        listening_at(&line).unwrap().parse().unwrap()
    }

    pub fn connect(&self) -> Raw {
        Raw::connect(self.address())
    }

    /// The first log line, past or to come, that `matches`. Each line is found once.
    pub fn wait_for(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let mut seen = self.seen.borrow_mut();
        if let Some(at) = seen.iter().position(&matches) {
            return seen.remove(at);
        }
        let deadline = Instant::now() + SOON;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if matches(&line) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no log line: {what}; seen {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the log ended without: {what}; seen {seen:#?}")
                }
            }
        }
    }

    /// Whether a line that `matches` was written so far.
    pub fn has_said(&self, matches: impl Fn(&Value) -> bool) -> bool {
        let mut seen = self.seen.borrow_mut();
        seen.extend(self.lines.try_iter());
        seen.iter().any(matches)
    }

    /// Every line that no test has asked for, up to the end of the log: the program has to end.
    pub fn lines_to_the_end(&self) -> Vec<Value> {
        let mut lines = self.seen.take();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("the log does not end"),
            }
        }
    }

    /// Ends the program in order; every line of its log that no test has taken yet.
    pub fn rest_of_log(mut self) -> Vec<Value> {
        self.signal("TERM");
        assert_eq!(self.exit_code(), Some(0));
        self.seen.take().into_iter().chain(self.lines.iter()).collect()
    }

    /// The line of the next session that ended.
    pub fn ended(&self) -> Value {
        self.wait_for("session ended", |line| line["message"] == "session ended")
    }

    /// The line of the next refusal.
    pub fn refused(&self) -> Value {
        self.wait_for("handshake refused", |line| line["message"] == "handshake refused")
    }

    /// The next session ended by `by` for `cause`.
    pub fn expect_ended(&self, by: &str, cause: &str) -> Value {
        let line = self.ended();
        assert_eq!((line["by"].as_str(), line["cause"].as_str()), (Some(by), Some(cause)), "{line:#}");
        line
    }

    /// The program's own memory, in bytes (resident, without what it shares with files).
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The processor time it has used so far, in clock ticks (a hundred a second).
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, which may hold anything: utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// The time it has spent on a processor.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        // A hundred a second on every Linux.
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Sends a signal by its name: "TERM", "STOP", "HUP".
    pub fn signal(&self, name: &str) {
        kill(self.child.id(), name);
    }

    /// Waits for the program to end; its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the gateway does not end");
            std::thread::yield_now();
        }
    }
}

const NOT_RELOADED: &str = "not reloaded; the running configuration stands";

fn write_config(dir: &TempDir, config: &str) -> PathBuf {
    let file = dir.path().join("framegate.toml");
    let log = if config.contains("[log]") { "" } else { "[log]\nformat = \"json\"\nlevel = \"debug\"\n" };
    // Whoever reads it at this moment reads one of the two.
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{config}\n{log}")).unwrap();
    std::fs::rename(next, &file).unwrap();
    file
}

/// The program under test: the one built with the tests, or the one that `FRAMEGATE` names.
pub fn program() -> OsString {
    std::env::var_os("FRAMEGATE").unwrap_or_else(|| env!("CARGO_BIN_EXE_framegate").into())
}

/// Where the line says that a listener listens, in either format of the log.
fn listening_at(line: &Value) -> Option<&str> {
    match line {
        Value::String(text) => {
            let at = text.split_once(" listening listener=")?.1.split_once(" bind=")?.1;
            at.split_whitespace().next()
        }
        json => json["bind"].as_str().filter(|_| json["message"] == "listening"),
    }
}

/// `kill` from procps or the shell is not everywhere; every POSIX shell has it built in.
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
    assert!(status.success());
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Who took over from it runs with the same file, which is this test's alone.
        let dir = self.dir.path().as_os_str().as_bytes();
        for process in std::fs::read_dir("/proc").unwrap().map_while(Result::ok) {
            let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = pid.filter(|_| command.windows(dir.len()).any(|part| part == dir)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
