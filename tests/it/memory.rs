//! What a session costs the process, whatever passes through it. `tests/limits/run` measures a release build the same way.

use crate::support::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const NO_LIMITS: &str = "limits = { client = { max_message_size = \"none\", max_fragments = \"none\" } }\n\
                         timeouts = { message = \"none\" }";

/// The most that the process grew by, and what else there is to tell.
struct Watch<'a> {
    gateway: &'a Gateway,
    before: u64,
    most: u64,
}

impl Watch<'_> {
    fn new(gateway: &Gateway) -> Watch<'_> {
        let before = gateway.resident();
        Watch { gateway, before, most: before }
    }

    fn look(&mut self) {
        self.most = self.most.max(self.gateway.resident());
    }

    fn grew_less_than(&self, limit: u64, what: &str) {
        let grew = self.most - self.before;
        println!("{what}: +{} KiB over {} KiB", grew / 1024, self.before / 1024);
        assert!(grew < limit, "{what}: {} KiB more", grew / 1024);
    }
}

/// A header that announces `len` bytes.
fn long_header(peer: Peer, first: u8, len: u64) -> Vec<u8> {
    let mask = if peer == Peer::Client { 0x80 } else { 0 };
    let mut header = vec![first, mask | 127];
    header.extend(len.to_be_bytes());
    if peer == Peer::Client {
        header.extend([0x12, 0x34, 0x56, 0x78]);
    }
    header
}

#[test]
fn a_frame_longer_than_the_memory_it_costs() {
    let size: u64 = 1 << 30;
    let pattern = Pattern::new();
    let bench = Bench::on_one_loop(NO_LIMITS);
    for from in Peer::BOTH {
        let mut ends = bench.open();
        // What the process needs to move anything at all it keeps.
        pass(&mut ends, from, &pattern, size / 64, || {});
        let mut watch = Watch::new(&bench.gateway);
        let since = Instant::now();
        pass(&mut ends, from, &pattern, size, || watch.look());
        ends.exchange("after");
        println!("{} MiB in {:?}", size >> 20, since.elapsed());
        watch.grew_less_than(1 << 20, &format!("one frame of {} MiB from the {}", size >> 20, from.word()));
        ends.closes(from, 1000, "");
        ends.hears(from.other(), 1000);
        drop(ends);
        let line = bench.gateway.expect_ended(from.word(), "closed");
        assert_eq!(counted(&line, &format!("{}_binary", from.word())), (2, size + size / 64));
    }
}

/// One frame of `size` bytes, made and compared on the way.
fn pass(ends: &mut Ends, from: Peer, pattern: &Pattern, size: u64, watch: impl FnMut()) {
    let header = long_header(from, 0x82, size);
    let (sender, receiver) = ends.of(from);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(&header);
            pattern.send(sender, size);
        });
        receiver.expect(&header);
        pattern.expect(receiver, size, watch);
    });
}

#[test]
fn a_message_of_a_million_fragments() {
    const THOUSANDS: u64 = 1000;
    let bench = Bench::on_one_loop(NO_LIMITS);
    for from in Peer::BOTH {
        let mut ends = bench.open();
        ends.exchange("warm");
        let mut watch = Watch::new(&bench.gateway);
        let since = Instant::now();
        // Text, so that every byte of it is looked at.
        let fragments: Vec<_> = (0..1000).map(|n| from.frame(0x00, &[b'a' + (n % 26) as u8])).collect();
        let fragments = fragments.concat();
        let (sender, receiver) = ends.of(from);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sender.send(from.frame(0x01, b""));
                for _ in 0..THOUSANDS {
                    sender.send(&fragments);
                }
                sender.send(from.frame(0x80, b""));
            });
            receiver.expect(from.frame(0x01, b""));
            for _ in 0..THOUSANDS {
                assert!(receiver.take(fragments.len()) == fragments);
                watch.look();
            }
            receiver.expect(from.frame(0x80, b""));
        });
        println!("{THOUSANDS} 000 fragments in {:?}", since.elapsed());
        watch.grew_less_than(1 << 20, &format!("{THOUSANDS} 000 fragments from the {}", from.word()));
        ends.closes(from, 1000, "");
        ends.hears(from.other(), 1000);
        drop(ends);
        let line = bench.gateway.expect_ended(from.word(), "closed");
        assert_eq!(counted(&line, &format!("{}_text", from.word())), (2, 4 + 1000 * THOUSANDS));
    }
}

/// Clients that read a little of an endless stream: each pins little, and their neighbours do not notice.
#[test]
fn slow_readers() {
    const SLOW: u64 = 8;
    let bench = Bench::on_one_loop("");
    let mut neighbour = bench.open();
    neighbour.exchange("warm");
    // The first one is paid for by the process, which keeps what it then has.
    let mut before = None;
    let frame = server_frame(0x82, &[1; 60_000]);
    std::thread::scope(|scope| {
        let mut slow = Vec::new();
        for _ in 0..=SLOW {
            let Ends { client, mut server } = bench.open();
            slow.push((client, server.stream.try_clone().unwrap()));
            let frame = &frame;
            // Until the end, or until nothing moved for as long as a test may take.
            scope.spawn(move || while server.stream.write_all(frame).is_ok() {});
            read_slowly(&mut slow, &mut neighbour, Duration::from_millis(300), || {});
            before.get_or_insert_with(|| Watch::new(&bench.gateway));
        }
        let mut watch = before.unwrap();
        let slowest = read_slowly(&mut slow, &mut neighbour, Duration::from_secs(1), || watch.look());
        for (_, server) in slow {
            server.shutdown(std::net::Shutdown::Both).unwrap();
        }
        println!("a neighbour's slowest exchange: {slowest:?}");
        assert!(slowest < AT_ONCE, "{slowest:?}");
        watch.grew_less_than(SLOW * (256 << 10), "eight more slow readers");
    });
}

/// A client that is delayed waits in its own kernel: hundreds of megabytes offered, and the process does not grow.
#[test]
fn bursts_that_are_delayed() {
    const OFFERED: usize = 512 << 20;
    // 64 KiB on the wire: sixteen a second are a megabyte.
    let message = client_frame(0x82, &[3; (64 << 10) - 8]);
    for rate in
        ["bytes = { per_second = \"1MiB\", burst = \"4MiB\" }", "messages = { per_second = 16, burst = 64 }"]
    {
        let bench = Bench::on_one_loop(&format!("rate = {{ {rate} }}"));
        let mut ends = bench.open();
        ends.exchange("warm");
        let (before, mut most) = (bench.gateway.resident(), 0);
        let since = Instant::now();
        let (sent, passed) = std::thread::scope(|scope| {
            let mut client = ends.client.stream.try_clone().unwrap();
            let message = &message;
            let offering = scope.spawn(move || {
                let offers = (0..OFFERED / message.len()).map(|_| client.write_all(message));
                offers.take_while(Result::is_ok).count() * message.len()
            });
            let mut passed = 0;
            while since.elapsed() < Duration::from_secs(3) || (passed < 4 << 20 && since.elapsed() < SOON) {
                passed += ends.server.some().len();
                most = most.max(bench.gateway.resident());
            }
            ends.client.stream.shutdown(std::net::Shutdown::Both).unwrap();
            (offering.join().unwrap(), passed)
        });
        let grew = most.saturating_sub(before);
        println!("{rate}: {} MiB offered, {} taken, {} passed", OFFERED >> 20, sent >> 20, passed >> 20);
        println!("{rate}: +{} KiB over {} KiB", grew / 1024, before / 1024);
        assert!(sent < OFFERED && passed >= 4 << 20, "{sent} taken, {passed} passed");
        let allowed = (4.0 + since.elapsed().as_secs_f64()) * f64::from(1 << 20) + f64::from(1 << 17);
        assert!(passed as f64 <= allowed, "{passed} of {allowed}");
        assert!(grew < 1 << 20, "{} KiB more", grew / 1024);
    }
}

/// A kilobyte for each of them, then an exchange of the neighbour's, again and again; the slowest of these.
fn read_slowly(
    slow: &mut [(Raw, TcpStream)],
    neighbour: &mut Ends,
    span: Duration,
    mut look: impl FnMut(),
) -> Duration {
    let (since, mut slowest) = (Instant::now(), Duration::ZERO);
    while since.elapsed() < span {
        for (client, _) in slow.iter_mut() {
            client.stream.read_exact(&mut [0; 1024]).unwrap();
        }
        let asked = Instant::now();
        neighbour.exchange("still there?");
        slowest = slowest.max(asked.elapsed());
        look();
    }
    slowest
}

/// Idle sessions own no buffers, and sessions that ended own nothing.
#[test]
fn sessions_give_back_what_they_used() {
    const SESSIONS: u64 = 500;
    let bench = Bench::on_one_loop("");
    let message = [Peer::Client.frame(0x82, &[1; 65_536]), Peer::Server.frame(0x82, &[2; 65_536])];
    let used = || {
        let mut ends = bench.open();
        ends.client.send(&message[0]);
        ends.server.expect(&message[0]);
        ends.server.send(&message[1]);
        ends.client.expect(&message[1]);
        ends
    };
    let descriptors = bench.gateway.descriptors();
    drop((0..20).map(|_| used()).collect::<Vec<_>>());
    for _ in 0..20 {
        bench.gateway.ended();
    }
    let memory = bench.gateway.resident();
    let mut after_round = Vec::new();
    for round in 0..3 {
        let open: Vec<_> = (0..SESSIONS).map(|_| used()).collect();
        let each = bench.gateway.resident().saturating_sub(memory) / SESSIONS;
        println!("round {round}: {each} bytes for an idle session");
        assert!(each < 8 * 1024, "{each} bytes for an idle session");
        assert_eq!(bench.gateway.descriptors(), descriptors + 2 * SESSIONS as usize);
        drop(open);
        for _ in 0..SESSIONS {
            bench.gateway.ended();
        }
        eventually("descriptors come back", || bench.gateway.descriptors() == descriptors);
        after_round.push(bench.gateway.resident());
    }
    // The allocator keeps some of it for the next ones; it does not keep more and more.
    println!("{memory} before, {after_round:?} after each round");
    assert!(
        after_round.iter().all(|after| *after < memory + 8 * 1024 * SESSIONS),
        "{memory} before, {after_round:?} after"
    );
}

/// What a blocked peer makes a session hold is let go once it has read it.
#[test]
fn nothing_is_held_once_it_was_read() {
    const SESSIONS: u64 = 64;
    let bench = Bench::on_one_loop("");
    let frame = server_frame(0x82, &[1; 60_000]);
    let blocked_for_a_while = || {
        let Ends { mut client, mut server } = bench.open_narrow();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..140).for_each(|_| server.send(&frame)));
            (0..140).for_each(|_| client.expect(&frame));
        });
        Ends { client, server }
    };
    let mut open: Vec<_> = (0..8).map(|_| blocked_for_a_while()).collect();
    let mut watch = Watch::new(&bench.gateway);
    open.extend((0..SESSIONS).map(|_| blocked_for_a_while()));
    watch.look();
    watch.grew_less_than(SESSIONS * (40 << 10), "64 sessions that were blocked");
}

/// What is not there yet is no error.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < SOON, "{what}");
        std::thread::yield_now();
    }
}
