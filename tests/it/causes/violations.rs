//! Every rule that a peer can break, and every peer that can break it.

use super::ends::{Opening, Way, hears};
use super::table;
use crate::support::*;
use framegate::frame::Violation;

type Bytes = fn(Peer) -> Vec<u8>;

/// These peers say this, and hear what comes of it.
fn by(peers: &[Peer], rule: Violation, bytes: Bytes) -> Vec<Way> {
    let code = u64::from(rule.close_code());
    let way = |peer: Peer| {
        let offence = Way::offence(peer, code, move |mut ends: Ends| {
            ends.of(peer).0.send(bytes(peer));
            hears(ends, peer, code);
        });
        Way { rule: rule.rule(), ..offence }
    };
    peers.iter().copied().map(way).collect()
}

/// The same on a route of its own, which carries text only.
fn limited(
    peers: &[Peer],
    rule: Violation,
    route: &'static str,
    keys: &'static str,
    bytes: Bytes,
) -> Vec<Way> {
    by(peers, rule, bytes).into_iter().map(|way| way.on(route, keys).opening(Opening::Text)).collect()
}

const BOTH: &[Peer] = &Peer::BOTH;
const CLIENT: &[Peer] = &[Peer::Client];
const BACKEND: &[Peer] = &[Peer::Server];

const LIMITS: &str = "limits.client = { max_frame_size = \"20B\", max_message_size = \"30B\", max_fragments = 3, opcodes = [\"text\"] }\n\
                      limits.backend = { max_frame_size = \"20B\", max_message_size = \"30B\", max_fragments = 3, opcodes = [\"text\"] }";

table!(pub violations: Violation => Vec<Way> {
    Unmasked => by(CLIENT, Violation::Unmasked, |_| server_frame(0x81, b"x")),
    Masked => by(BACKEND, Violation::Masked, |_| client_frame(0x81, b"x")),
    ReservedBits => by(BOTH, Violation::ReservedBits, |peer| peer.frame(0xA1, b"x")),
    ReservedOpcode => by(BOTH, Violation::ReservedOpcode, |peer| peer.frame(0x83, b"x")),
    ControlSize => by(BOTH, Violation::ControlSize, |peer| peer.frame(0x89, &[0; 126])),
    ControlFragmented => by(BOTH, Violation::ControlFragmented, |peer| peer.frame(0x09, b"x")),
    Continuation => by(BOTH, Violation::Continuation, |peer| peer.frame(0x80, b"x")),
    Interleaved => by(BOTH, Violation::Interleaved, |peer| {
        [peer.frame(0x01, b"once"), peer.frame(0x81, b"twice")].concat()
    }),
    LengthEncoding => by(BOTH, Violation::LengthEncoding, |peer| {
        vec![0x82, mask_bit(peer) | 126, 0, 5, 0, 0, 0, 0]
    }),
    LengthSign => by(BOTH, Violation::LengthSign, |peer| {
        vec![0x82, mask_bit(peer) | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }),
    ClosePayload => by(BOTH, Violation::ClosePayload, |peer| peer.frame(0x88, b"x")),
    CloseCode => by(BOTH, Violation::CloseCode, |peer| peer.frame(0x88, &close_payload(1005, ""))),
    CloseReason => by(BOTH, Violation::CloseReason, |peer| peer.frame(0x88, b"\x03\xE8\xFF")),
    Utf8 => by(BOTH, Violation::Utf8, |peer| peer.frame(0x81, b"\xFF")),
    OpcodeRefused => limited(BOTH, Violation::OpcodeRefused, "limits", LIMITS, |peer| peer.frame(0x82, b"x")),
    FrameSize => limited(BOTH, Violation::FrameSize, "limits", LIMITS, |peer| peer.frame(0x81, &[b'x'; 21])),
    MessageSize => limited(BOTH, Violation::MessageSize, "limits", LIMITS, |peer| {
        [peer.frame(0x01, &[b'x'; 16]), peer.frame(0x80, &[b'x'; 16])].concat()
    }),
    Fragments => limited(BOTH, Violation::Fragments, "limits", LIMITS, |peer| {
        [peer.frame(0x01, b"x"), peer.frame(0x00, b"x"), peer.frame(0x00, b"x"), peer.frame(0x80, b"x")].concat()
    }),
    MessageDeadline => by(CLIENT, Violation::MessageDeadline, |peer| peer.frame(0x01, b"once upon"))
        .into_iter()
        .map(|way| way.later("message", "timeouts.message = \"50ms\""))
        .collect(),
    // More than any pause of this machine's refills.
    ControlRate => limited(
        CLIENT,
        Violation::ControlRate,
        "rate-control",
        "rate.control = { per_second = 1, burst = 2, action = \"close\" }",
        |peer| peer.frame(0x89, b"x").repeat(50),
    ),
    MessageRate => limited(
        CLIENT,
        Violation::MessageRate,
        "rate-messages",
        "rate.messages = { per_second = 1, burst = 2, action = \"close\" }",
        |peer| peer.frame(0x81, b"x").repeat(50),
    ),
    ByteRate => limited(
        CLIENT,
        Violation::ByteRate,
        "rate-bytes",
        "rate.bytes = { per_second = \"100B\", burst = \"1KB\", action = \"close\" }",
        |peer| peer.frame(0x81, &[b'x'; 100]).repeat(50),
    ),
} besides {});

/// A client's frames are masked.
fn mask_bit(peer: Peer) -> u8 {
    if peer == Peer::Client { 0x80 } else { 0 }
}
