//! SIGUSR2: another process takes over the listeners. Nobody who connects notices, and one that cannot start changes
//! nothing.

use crate::support::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Why there was no hand-over.
fn expect_none(gateway: &Gateway) -> String {
    gateway.signal("USR2");
    let line = gateway.wait_for("not handed over", |line| message(line).starts_with("not handed over"));
    line["problem"].as_str().unwrap().to_string()
}

fn configuration(keys: &str, binds: &[&str], backend: &str) -> String {
    let listener = |bind: &&str| format!("[[listener]]\nname = {bind:?}\nbind = {bind:?}\n");
    let listeners: String = binds.iter().map(listener).collect();
    format!("{keys}\n{listeners}[[route]]\nname = \"test\"\nbackend = {backend:?}\n")
}

const ANY: &str = "127.0.0.1:0";

/// How a short visit went.
#[derive(Debug, PartialEq, Eq)]
enum Visit {
    Served,
    /// It fell among those whom the old process sent away.
    SentAway,
}

/// Connects, says something, hears it again, and leaves in good order. Whatever else happens is an error.
fn visit<S: Read + Write>(stream: std::io::Result<S>) -> Result<Visit, String> {
    let mut stream = stream.map_err(|error| format!("connect: {error}"))?;
    let mut all = Vec::new();
    let read_to = |stream: &mut S, all: &mut Vec<u8>, enough: &dyn Fn(&[u8]) -> bool| {
        while !enough(all) {
            let mut chunk = [0; 1024];
            match stream.read(&mut chunk) {
                Ok(0) => return Err(format!("end after {:?}", all.escape_ascii().to_string())),
                Ok(n) => all.extend(&chunk[..n]),
                Err(error) => return Err(format!("{error} after {:?}", all.escape_ascii().to_string())),
            }
        }
        Ok(())
    };
    let say =
        |stream: &mut S, bytes: &[u8]| stream.write_all(bytes).map_err(|error| format!("write: {error}"));
    say(&mut stream, upgrade_request("/", "").as_bytes())?;
    let end_of_head = |all: &[u8]| all.windows(4).position(|four| four == b"\r\n\r\n");
    read_to(&mut stream, &mut all, &|all| end_of_head(all).is_some())?;
    if !all.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("an answer: {}", all.escape_ascii()));
    }
    let mut frames = all.split_off(end_of_head(&all).unwrap_or_default() + 4);
    say(&mut stream, &text("hello"))?;
    read_to(&mut stream, &mut frames, &|frames| frames.len() >= 7)?;
    let outcome = if frames.starts_with(&server_frame(0x81, b"hello")) {
        Visit::Served
    } else if frames.starts_with(&[0x88]) && frames[2..4] == 1012_u16.to_be_bytes() {
        Visit::SentAway
    } else {
        return Err(format!("frames: {}", frames.escape_ascii()));
    };
    say(&mut stream, &client_frame(0x88, &close_payload(1000, "")))?;
    // The echo, or for one who was sent away the end.
    let _ = stream.read(&mut [0; 64]);
    Ok(outcome)
}

fn visit_tcp(address: SocketAddr) -> Result<Visit, String> {
    let stream = TcpStream::connect(address);
    visit(stream.inspect(|stream| {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
    }))
}

fn visit_unix(path: &Path) -> Result<Visit, String> {
    let stream = UnixStream::connect(path);
    visit(stream.inspect(|stream| stream.set_read_timeout(Some(SOON)).unwrap()))
}

struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Visitors who come one after the other, several at a time, while `meanwhile` happens; and how many were served.
fn under_visitors(
    visit: impl Fn() -> Result<Visit, String> + Sync,
    meanwhile: impl FnOnce(&dyn Fn(usize)),
) -> (usize, usize) {
    const AT_A_TIME: usize = 6;
    let (over, served, sent_away) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Also when something goes wrong meanwhile: nobody waits for visitors who go on for ever.
        let _over = SetAtTheEnd(&over);
        let visitors: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        match visit()? {
                            Visit::Served => served.fetch_add(1, Ordering::Relaxed),
                            Visit::SentAway => sent_away.fetch_add(1, Ordering::Relaxed),
                        };
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        // So many more visits are over when this returns, or one went wrong.
        let wait = |more: usize| {
            let (goal, since) = (served.load(Ordering::Relaxed) + more, Instant::now());
            while served.load(Ordering::Relaxed) < goal && !visitors.iter().any(|one| one.is_finished()) {
                assert!(since.elapsed() < SOON, "the visitors do not get on");
                std::thread::yield_now();
            }
        };
        meanwhile(&wait);
        over.store(true, Ordering::Relaxed);
        for visitor in visitors {
            visitor.join().unwrap().unwrap();
        }
    });
    (served.into_inner(), sent_away.into_inner())
}

const DRAIN: &str = "[shutdown]\nclose_spread = \"1s\"\ndrain_timeout = \"5s\"";

#[test]
fn nobody_who_connects_is_refused() {
    let servant = Servant::start("echo", Manner::Echo);
    let config = configuration(&format!("workers = 3\n{DRAIN}"), &[ANY], &servant.url());
    let mut gateway = Gateway::start(&config);
    let (address, first) = (gateway.address(), gateway.child.id());
    let mut successors = Vec::new();
    let (served, sent_away) = under_visitors(
        || visit_tcp(address),
        |wait| {
            wait(100);
            // Two in a row: the second begins while the first old process may still drain.
            for _ in 0..2 {
                let pid = successors.last().map_or(first, |next: &Next| next.pid);
                let next = hand_over(&gateway, pid, 1);
                assert_eq!(next.listeners, [address]);
                successors.push(next);
                wait(100);
            }
        },
    );
    println!("{served} visitors were served, {sent_away} were sent away");
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(is_alive(successors[1].pid));
    let since = Instant::now();
    while is_alive(successors[0].pid) {
        assert!(since.elapsed() < SOON, "the one in the middle stays");
        std::thread::yield_now();
    }
    assert_eq!(visit_tcp(address), Ok(Visit::Served));
}

#[test]
fn nobody_who_connects_to_a_unix_socket_is_refused() {
    let servant = Servant::start("echo", Manner::Echo);
    let config = configuration(&format!("workers = 2\n{DRAIN}"), &["unix:in.sock"], &servant.url());
    let mut gateway = Gateway::start(&config);
    let path = gateway.dir.path().join("in.sock");
    let mut successors = Vec::new();
    under_visitors(
        || visit_unix(&path),
        |wait| {
            wait(100);
            successors.push(hand_over(&gateway, gateway.child.id(), 1));
            wait(100);
        },
    );
    assert_eq!(gateway.exit_code(), Some(0));
    assert_eq!(visit_unix(&path), Ok(Visit::Served), "the file outlives the process that made it");
    let next = successors.remove(0);
    kill(next.pid, "TERM");
    let since = Instant::now();
    while path.exists() {
        assert!(since.elapsed() < SOON, "the last one tidies up");
        std::thread::yield_now();
    }
}

/// The kernel spreads connections over the sockets of the old loops, and they wait there: a socket that no new loop
/// serves takes those along that are in its queue.
#[test]
fn any_number_of_loops_takes_over_from_any_other() {
    let servant = Servant::start("echo", Manner::Echo);
    let loops = |count: usize| configuration(&format!("workers = {count}\n{DRAIN}"), &[ANY], &servant.url());
    let gateway = Gateway::start(&loops(6));
    let (address, mut pid) = (gateway.address(), gateway.child.id());
    under_visitors(
        || visit_tcp(address),
        |wait| {
            for count in [1, 5, 2, 4] {
                gateway.write(&loops(count));
                pid = hand_over(&gateway, pid, 1).pid;
                wait(60);
            }
        },
    );
}

#[test]
fn listeners_come_and_go_with_the_file() {
    let servant = Servant::start("echo", Manner::Echo);
    let config = configuration(DRAIN, &[ANY, "127.0.0.2:0", "unix:gone.sock"], &servant.url());
    let mut gateway = Gateway::start(&config);
    let gone = gateway.dir.path().join("gone.sock");
    let [stays, goes, _] = gateway.listeners[..] else { panic!("three listeners") };
    gateway.write(&configuration(DRAIN, &["127.0.0.3:0", ANY, "unix:new.sock"], &servant.url()));
    let next = hand_over(&gateway, gateway.child.id(), 3);
    assert_eq!(next.listeners[1], stays);
    assert_eq!(gateway.exit_code(), Some(0));
    for address in [stays, next.listeners[0]] {
        assert_eq!(visit_tcp(address), Ok(Visit::Served));
    }
    assert_eq!(visit_unix(&gateway.dir.path().join("new.sock")), Ok(Visit::Served));
    visit_tcp(goes).unwrap_err();
    assert!(!gone.exists());
}

/// It is listened on by one process only, and that one is asked.
#[test]
fn the_admin_address_goes_along() {
    for bind in [ANY, "unix:admin.sock"] {
        let servant = Servant::start("echo", Manner::Echo);
        let keys = format!("{DRAIN}\n[admin]\nbind = {bind:?}");
        let mut gateway = Gateway::start(&configuration(&keys, &[ANY], &servant.url()));
        let admin = Admin::of(&gateway);
        assert_eq!(admin.told("/status")["pid"], gateway.child.id());
        let mut held = gateway.connect();
        held.send(upgrade_request("/", ""));
        assert!(held.head().starts_with("HTTP/1.1 101 "));
        let next = hand_over(&gateway, gateway.child.id(), 1);
        assert!(is_alive(gateway.child.id()), "it has somebody to wait for");
        for _ in 0..5 {
            assert_eq!(admin.told("/status")["pid"], next.pid);
            assert_eq!(admin.get("/readyz").status, 200);
        }
        drop(held);
        assert_eq!(gateway.exit_code(), Some(0));
        assert_eq!(admin.told("/status")["pid"], next.pid);
    }
}

#[test]
fn the_sessions_of_the_old_process_are_told_and_end_by_its_deadline() {
    let mut bench =
        Bench::new("[shutdown]\nclose_spread = \"1s\"\ndrain_timeout = \"3s\"\npre_stop_delay = \"1h\"");
    let (mut answers, mut silent) = (bench.open(), bench.open());
    let since = Instant::now();
    hand_over(&bench.gateway, bench.gateway.child.id(), 1);
    let mut new = bench.open();
    new.exchange("with the new process");
    for (ends, answer) in [(&mut answers, true), (&mut silent, false)] {
        assert_eq!(ends.hears(Peer::Client, 1012), "drain");
        if answer {
            ends.closes(Peer::Client, 1012, "");
            assert_eq!(ends.hears(Peer::Server, 1001), "drain");
            ends.closes(Peer::Server, 1001, "");
        }
    }
    answers.both_end();
    assert_eq!(bench.gateway.exit_code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(4) + AT_ONCE, "{:?}", since.elapsed());
    for _ in 0..2 {
        bench.gateway.expect_ended("gateway", "drain");
    }
    new.exchange("which knows nothing of it");
}

/// It connected before the hand-over, and speaks after it.
#[test]
fn who_is_late_is_let_in_by_the_old_process_and_sent_away_with_the_others() {
    let request = upgrade_request("/", "");
    for said in [0, 40] {
        // Its one loop accepts in turn.
        let mut bench = Bench::on_one_loop(DRAIN);
        let mut late = bench.gateway.connect();
        late.send(&request[..said]);
        // Whoever came later is there, so this one is too.
        bench.open().exchange("first");
        hand_over(&bench.gateway, bench.gateway.child.id(), 1);
        late.send(&request[said..]);
        let (_, server) = bench.backend.accept_upgrade(b"");
        assert!(late.head().starts_with("HTTP/1.1 101 "));
        let mut ends = Ends { client: late, server };
        assert_eq!(ends.hears(Peer::Client, 1012), "drain");
        ends.closes(Peer::Client, 1012, "");
        assert_eq!(ends.hears(Peer::Server, 1001), "drain");
        ends.closes(Peer::Server, 1001, "");
        ends.both_end();
        assert_eq!(bench.gateway.exit_code(), Some(0));
    }
}

#[test]
fn a_broken_file_leaves_the_old_process_serving() {
    let bench = Bench::new(DRAIN);
    let mut ends = bench.open();
    let file = bench.gateway.dir.path().join("framegate.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let also =
        format!("[[listener]]\nname = \"more\"\nbind = \"{}\"\n[[route]]", taken.local_addr().unwrap());
    for (bad, expected) in [
        (good.replace("[[route]]", "[[route]]\ncolour = \"red\""), ": route[test].colour: "),
        (good.replace("[[route]]", &also), "listener more: cannot listen on"),
    ] {
        std::fs::write(&file, bad).unwrap();
        let why = expect_none(&bench.gateway);
        assert!(why.contains(expected), "{why}");
        ends.exchange("still here");
        bench.open().exchange("new ones too");
    }
    // And once it is mended, it works.
    std::fs::write(&file, good).unwrap();
    hand_over(&bench.gateway, bench.gateway.child.id(), 1);
    assert_eq!(ends.hears(Peer::Client, 1012), "drain");
}

/// The file is left to the process that serves, whatever becomes of the other.
#[test]
fn a_process_that_cannot_start_takes_no_socket_file_along() {
    let servant = Servant::start("echo", Manner::Echo);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let gateway = Gateway::start(&configuration(DRAIN, &["unix:in.sock"], &servant.url()));
    let path = gateway.dir.path().join("in.sock");
    let both = configuration(DRAIN, &["unix:in.sock", &taken.to_string()], &servant.url());
    gateway.write(&both);
    let why = expect_none(&gateway);
    assert!(why.contains(&taken.to_string()), "{why}");
    assert_eq!(visit_unix(&path), Ok(Visit::Served));
}

/// A gateway that was started by a path in a folder of its own, where something else may come to stand.
fn replaceable(keys: &str, servant: &Servant) -> (Gateway, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    symlink(program(), &path).unwrap();
    let gateway = Gateway::start_by(Command::new(&path), dir, &configuration(keys, &[ANY], &servant.url()));
    (gateway, path)
}

fn replace(program: &Path, script: &str) {
    let next = program.with_extension("next");
    std::fs::write(&next, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&next, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(next, program).unwrap();
}

#[test]
fn a_program_that_is_none_leaves_the_old_process_serving() {
    let servant = Servant::start("echo", Manner::Echo);
    let (gateway, path) = replaceable("[shutdown]\nhandover_timeout = \"3s\"", &servant);
    let pids = path.with_extension("pid");
    let note = format!("echo $$ > {}; ", pids.display());
    for (script, expected) in [
        ("exit 7", "ended before it was ready (exit status: 7)"),
        ("kill -9 $$", "ended before it was ready (signal: 9"),
        ("exec sleep 600", "no word from the new process within 3s"),
        ("echo nonsense >&0; exec sleep 600", "it speaks another language"),
        ("exec sleep 600 <&-", "hung up without a word"),
    ] {
        replace(&path, &format!("{note}{script}"));
        let why = expect_none(&gateway);
        assert!(why.contains(expected), "{script}: {why}");
        let pid: u32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
        let since = Instant::now();
        while is_alive(pid) {
            assert!(since.elapsed() < SOON, "{script} lives on");
            std::thread::yield_now();
        }
        assert_eq!(visit_tcp(gateway.address()), Ok(Visit::Served), "{script}");
    }
    std::fs::remove_file(&path).unwrap();
    let why = expect_none(&gateway);
    assert!(why.contains("cannot start") && why.contains(path.to_str().unwrap()), "{why}");
    assert_eq!(visit_tcp(gateway.address()), Ok(Visit::Served));
}

/// What stands at the path now is what is started, with the arguments of then.
#[test]
fn the_program_that_takes_over_is_the_new_one() {
    let servant = Servant::start("echo", Manner::Echo);
    let (mut gateway, path) = replaceable(DRAIN, &servant);
    let seen = path.with_extension("seen");
    let script = format!("echo \"$0 $*\" > {}; exec {:?} \"$@\"", seen.display(), Path::new(&program()));
    replace(&path, &script);
    let next = hand_over(&gateway, gateway.child.id(), 1);
    let config = gateway.dir.path().join("framegate.toml");
    let expected = format!("{} run --config {}\n", path.display(), config.display());
    assert_eq!(std::fs::read_to_string(seen).unwrap(), expected);
    assert_eq!(gateway.exit_code(), Some(0));
    assert_eq!(visit_tcp(next.listeners[0]), Ok(Visit::Served));
    // Nothing is left of the way that it came by.
    let stdin = std::fs::read_link(format!("/proc/{}/fd/0", next.pid)).unwrap();
    assert_eq!(stdin, Path::new("/dev/null"));
}

#[test]
fn a_signal_to_end_ends_a_hand_over_that_is_under_way() {
    let servant = Servant::start("echo", Manner::Echo);
    let (mut gateway, path) = replaceable("[shutdown]\nhandover_timeout = \"10m\"", &servant);
    let pids = path.with_extension("pid");
    replace(&path, &format!("echo $$ > {}.new; mv {0}.new {0}; exec sleep 600", pids.display()));
    gateway.signal("USR2");
    let since = Instant::now();
    while !pids.exists() {
        assert!(since.elapsed() < SOON, "nothing is started");
        std::thread::yield_now();
    }
    // One at a time.
    gateway.signal("USR2");
    gateway.wait_for("one at a time", |line| message(line).contains("under way"));
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    let pid: u32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
    while is_alive(pid) {
        assert!(since.elapsed() < SOON, "the other one lives on");
        std::thread::yield_now();
    }
}

/// A service manager that stops the service signals every process of it: what drains already does not drain worse for it.
#[test]
fn the_first_signal_to_end_does_not_cut_a_process_that_drains_already() {
    let mut bench = Bench::new("[shutdown]\nclose_spread = \"1s\"\ndrain_timeout = \"20s\"");
    let mut ends = bench.open();
    hand_over(&bench.gateway, bench.gateway.child.id(), 1);
    bench.gateway.signal("TERM");
    bench.gateway.wait_for("a second one", |line| message(line).contains("already"));
    assert_eq!(ends.hears(Peer::Client, 1012), "drain");
    bench.gateway.signal("TERM");
    assert_eq!(bench.gateway.exit_code(), Some(1));
}

#[test]
fn what_runs_without_a_file_is_not_handed_over() {
    let mut child = Command::new(program())
        .args(["proxy", "--to", "ws://127.0.0.1:1", "--listen", ANY, "--self-signed"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let mut until = |what: &str| lines.find(|line| line.as_ref().unwrap().contains(what)).unwrap().unwrap();
    until("listening");
    kill(child.id(), "USR2");
    let said = until("not handed over");
    assert!(said.contains("framegate run"), "{said}");
    kill(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
