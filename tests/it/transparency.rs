//! The same traffic with and without the gateway is the same bytes at each end.

use crate::support::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

/// Random frames as `peer` may send them, ending in nothing unfinished.
fn traffic(peer: Peer, random: &mut fastrand::Rng, controls: &[u8]) -> Vec<u8> {
    let sizes = [0, 1, 2, 7, 125, 126, 127, 1000, 65_535, 65_536, 70_000];
    let mut bytes = Vec::new();
    for _ in 0..60 {
        let fragments = if random.bool() { 1 } else { random.usize(2..8) };
        let opcode = random.u8(1..=2);
        for fragment in 0..fragments {
            let size =
                if random.u8(..) < 40 { sizes[random.usize(..sizes.len())] } else { random.usize(..300) };
            // ASCII, which is text however it is cut.
            let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(0x20..0x7F)).take(size).collect();
            let fin = if fragment + 1 == fragments { 0x80 } else { 0 };
            let first = fin | if fragment == 0 { opcode } else { 0 };
            bytes.extend(peer.frame(first, &payload));
            if !controls.is_empty() && random.u8(..) < 60 {
                let size = random.usize(..=125);
                let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
                bytes.extend(peer.frame(controls[random.usize(..controls.len())], &payload));
            }
        }
    }
    bytes
}

/// Both ends send at once, in pieces of any size; what each of them got.
fn exchange(mut ends: Ends, seed: u64, controls: &[u8]) -> [Vec<u8>; 2] {
    let mut random = fastrand::Rng::with_seed(seed);
    let sent = Peer::BOTH.map(|peer| {
        let traffic = traffic(peer, &mut random, controls);
        [traffic, peer.frame(0x88, &close_payload(4000 + peer as u16, "that was all"))].concat()
    });
    let writers = [ends.client.stream.try_clone().unwrap(), ends.server.stream.try_clone().unwrap()];
    std::thread::scope(|scope| {
        for (mut writer, bytes) in writers.into_iter().zip(&sent) {
            let mut random = random.fork();
            scope.spawn(move || {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let most = if random.bool() { 20 } else { 30_000 };
                    let n = random.usize(1..=most).min(rest.len());
                    writer.write_all(&rest[..n]).unwrap();
                    rest = &rest[n..];
                }
            });
        }
        let client = scope.spawn(|| ends.client.take(sent[1].len()));
        let server = ends.server.take(sent[0].len());
        [client.join().unwrap(), server]
    })
}

/// Two ends with nothing between them.
fn direct() -> Ends {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = Raw::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    Ends { client, server: Raw::new(listener.accept().unwrap().0) }
}

fn check(route: &str, controls: &[u8]) {
    let bench = Bench::new(route);
    for seed in 0..8 {
        let without = exchange(direct(), seed, controls);
        let with = exchange(bench.open(), seed, controls);
        assert!(with == without, "seed {seed}");
        let line = bench.gateway.ended();
        assert_eq!(line["cause"], "closed", "{line:#}");
        let messages = ["client_text", "client_binary"].map(|key| line[key].as_u64().unwrap());
        assert_eq!(messages.iter().sum::<u64>(), 60);
    }
}

#[test]
fn data_passes_unchanged() {
    check("", &[]);
}

#[test]
fn control_frames_pass_unchanged_where_they_are_forwarded() {
    check("heartbeat = { mode = \"forward\" }\nrate = { control = \"none\" }", &[0x89, 0x8A]);
}

#[test]
fn data_passes_unchanged_without_validation() {
    check("validate_utf8 = false\nlimits = { client = { max_message_size = \"none\" } }", &[]);
}

/// Bytes that came glued to the request and to the 101 are the first of the stream.
#[test]
fn early_bytes_come_first() {
    let bench = Bench::new("");
    let early = client_frame(0x82, &[3; 3000]);
    let greeting = server_frame(0x81, &[b'g'; 5000]);
    let mut client = bench.gateway.connect();
    client.send([upgrade_request("/", "").as_bytes(), &early].concat());
    let (_, mut server) = bench.backend.accept_upgrade(&greeting);
    client.head();
    client.expect(&greeting);
    server.expect(&early);
    Ends { client, server }.exchange("and on");
}

/// Binary frames too large to be read pass inside the kernel, however slowly they are taken: with what comes before and
/// behind them they are the same bytes, in order.
#[test]
fn large_frames_pass_unchanged_and_in_order() {
    let bench = Bench::new("limits = { client = { max_message_size = \"none\" } }");
    for (seed, narrow) in [(1, false), (2, true), (3, true)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ends = if narrow { bench.open_narrow() } else { bench.open() };
        let sent = Peer::BOTH.map(|peer| {
            let mut bytes = Vec::new();
            for first in [0x82, 0x02, 0x00, 0x80, 0x82, 0x81] {
                let size = random.usize(100_000..3_000_000);
                let payload: Vec<u8> = match first {
                    0x81 => vec![b'a'; size],
                    _ => std::iter::repeat_with(|| random.u8(..)).take(size).collect(),
                };
                bytes.extend(peer.frame(first, &payload));
                bytes.extend(peer.frame(if first & 0x80 == 0 { 0x00 } else { 0x81 }, b"between"));
            }
            bytes.extend(peer.frame(0x88, &close_payload(4000 + peer as u16, "that was all")));
            bytes
        });
        let [mut to_server, mut to_client] =
            [ends.client.stream.try_clone(), ends.server.stream.try_clone()].map(Result::unwrap);
        std::thread::scope(|scope| {
            scope.spawn(|| to_server.write_all(&sent[0]).unwrap());
            scope.spawn(|| to_client.write_all(&sent[1]).unwrap());
            let client = scope.spawn(|| ends.client.take(sent[1].len()));
            assert!(ends.server.take(sent[0].len()) == sent[0], "seed {seed}: what the backend got");
            assert!(client.join().unwrap() == sent[1], "seed {seed}: what the client got");
        });
        let line = bench.gateway.ended();
        assert_eq!((&line["cause"], counted(&line, "client_binary").0), (&"closed".into(), 3), "{line:#}");
    }
}
