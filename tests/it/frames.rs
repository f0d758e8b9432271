//! What a peer may not send: the offender's bytes, what each side gets for them, and the line that says so.

use crate::support::*;
use std::time::Instant;

/// `from` sends `good`, which arrives, and then `bad`, which does not: both are told, both streams end, and the log
/// names the rule.
fn check(bench: &Bench, from: Peer, good: &[u8], bad: &[u8], (code, cause, rule): (u16, &str, &str)) {
    let mut ends = bench.open();
    ends.exchange("ok");
    let (offender, innocent) = ends.of(from);
    offender.send([good, bad].concat());
    innocent.expect(good);
    let innocent_code = if from == Peer::Client { 1001 } else { 1011 };
    assert_eq!(ends.hears(from, code), rule, "{bad:02x?}");
    assert_eq!(ends.hears(from.other(), innocent_code), cause);
    ends.closes(from.other(), innocent_code, "");
    ends.both_end();
    let line = bench.expect_gateway_ended(from.word(), cause);
    assert_eq!(told(&line), (code.into(), rule, rule));
    assert_eq!(
        (line["client_text"].as_u64(), line["backend_text"].as_u64()),
        (Some(1), Some(1)),
        "{bad:02x?}"
    );
    assert_eq!(counted(&line, &format!("{}_text", from.other().word())), (1, 2));
}

/// The same rule for both directions.
fn check_both(bench: &Bench, good: (u8, &[u8]), bad: (u8, &[u8]), expected: (u16, &str, &str)) {
    for from in Peer::BOTH {
        let good = if good.0 == 0 { Vec::new() } else { from.frame(good.0, good.1) };
        check(bench, from, &good, &from.frame(bad.0, bad.1), expected);
    }
}

const NOTHING: (u8, &[u8]) = (0, b"");

#[test]
fn masks() {
    let bench = Bench::new("");
    let unmasked = (1002, "protocol", "unmasked client frame");
    let masked = (1002, "protocol", "masked server frame");
    for first in [0x81, 0x82, 0x88, 0x89, 0x8A] {
        check(&bench, Peer::Client, b"", &server_frame(first, b""), unmasked);
        check(&bench, Peer::Server, b"", &client_frame(first, b""), masked);
    }
    // What hides in the payload of a refused frame is not looked at, and does not arrive.
    check(&bench, Peer::Client, b"", &server_frame(0x82, &text("smuggled")), unmasked);
    // HTTP behind the 101.
    check(
        &bench,
        Peer::Client,
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        (1002, "protocol", "reserved bits"),
    );
}

#[test]
fn reserved_bits() {
    let bench = Bench::new("");
    for first in [0xC1, 0xA1, 0x91, 0xC9, 0xB2, 0xF8] {
        check_both(&bench, NOTHING, (first, b""), (1002, "protocol", "reserved bits"));
    }
    check_both(&bench, (0x01, b"a"), (0xC0, b"b"), (1002, "protocol", "reserved bits"));
}

#[test]
fn reserved_opcodes() {
    let bench = Bench::new("");
    for opcode in (3..=7).chain(0xB..=0xF) {
        check_both(&bench, NOTHING, (0x80 | opcode, b""), (1002, "protocol", "reserved opcode"));
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    let bench = Bench::new("");
    for opcode in [0x8, 0x9, 0xA] {
        let long = [0; 126];
        check_both(
            &bench,
            NOTHING,
            (0x80 | opcode, &long),
            (1002, "protocol", "control frame over 125 bytes"),
        );
        check_both(&bench, NOTHING, (opcode, b""), (1002, "protocol", "fragmented control frame"));
    }
}

#[test]
fn the_order_of_fragments() {
    let bench = Bench::new("");
    let continuation = (1002, "protocol", "continuation outside a message");
    check_both(&bench, NOTHING, (0x80, b"a"), continuation);
    check_both(&bench, NOTHING, (0x00, b"a"), continuation);
    let interleaved = (1002, "protocol", "new message inside a message");
    check_both(&bench, (0x01, b"a"), (0x81, b"b"), interleaved);
    check_both(&bench, (0x02, b""), (0x02, b""), interleaved);
}

#[test]
fn lengths_are_minimal_and_positive() {
    let bench = Bench::new("");
    let lengths: [(&[u8], &str); 4] = [
        (&[126, 0, 125], "length not minimal"),
        (&[127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], "length not minimal"),
        (&[127, 0x80, 0, 0, 0, 0, 0, 0, 0], "length top bit set"),
        (&[127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "length top bit set"),
    ];
    for (length, rule) in lengths {
        let from_server = [&[0x82], length].concat();
        let mut from_client = from_server.clone();
        from_client[1] |= 0x80;
        from_client.extend([1, 2, 3, 4]);
        check(&bench, Peer::Client, b"", &from_client, (1002, "protocol", rule));
        check(&bench, Peer::Server, b"", &from_server, (1002, "protocol", rule));
    }
}

#[test]
fn close_payloads() {
    let bench = Bench::new("");
    check_both(&bench, NOTHING, (0x88, b"x"), (1002, "protocol", "close payload of one byte"));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let payload = close_payload(code, "");
        check_both(&bench, NOTHING, (0x88, &payload), (1002, "protocol", "illegal close code"));
    }
    let reason = [&close_payload(1000, "caf")[..], &[0xC3]].concat();
    check_both(&bench, NOTHING, (0x88, &reason), (1007, "utf8", "close reason not UTF-8"));
}

#[test]
fn text_is_utf8() {
    let bench = Bench::new("");
    let utf8 = (1007, "utf8", "text not UTF-8");
    for wrong in [&b"\xC0\xAF"[..], b"a\xED\xA0\x80", b"\xF4\x90\x80\x80", b"cut\xE2\x82", b"\xFF"] {
        check_both(&bench, NOTHING, (0x81, wrong), utf8);
        // Certain before the end of the message, or at its end.
        check_both(&bench, (0x01, b"good"), (0x80, wrong), utf8);
    }
    // A character may be cut by a frame's end; the next frame has to go on with it.
    check_both(&bench, (0x01, b"\xE2\x82"), (0x80, b"("), utf8);
    check_both(&bench, (0x01, b"\xE2\x82"), (0x80, b""), utf8);
}

/// The header went out before the payload turned out to be wrong: the other side stands inside a frame that will
/// never end, and no Close is put into it.
#[test]
fn bad_text_inside_a_frame_cuts_the_other_side() {
    let bench = Bench::new("");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        let frame = from.frame(0x81, b"good \xFF never seen");
        let good = frame.len() - b"\xFF never seen".len();
        let (offender, innocent) = ends.of(from);
        offender.send(&frame[..good]);
        innocent.expect(&frame[..good]);
        offender.send(&frame[good..]);
        let since = Instant::now();
        innocent.expect_end();
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        assert_eq!(ends.hears(from, 1007), "text not UTF-8");
        ends.of(from.other()).0.finish();
        ends.of(from).0.expect_end();
        drop(ends);
        bench.expect_gateway_ended(from.word(), "utf8");
    }
}

#[test]
fn without_validation_text_passes_as_it_is() {
    let bench = Bench::new("validate_utf8 = false");
    let mut ends = bench.open();
    for from in Peer::BOTH {
        let frame = from.frame(0x81, b"\xFF\xFE");
        let (sender, receiver) = ends.of(from);
        sender.send(&frame);
        receiver.expect(&frame);
    }
}

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

#[test]
fn rsv1_passes_where_compression_was_agreed() {
    let bench = Bench::new("");
    let mut ends = bench.open_with(DEFLATE, DEFLATE);
    for from in Peer::BOTH {
        // Not UTF-8: compressed text is not text yet.
        let message = [from.frame(0x41, b"\xFF"), from.frame(0x00, b"\xFE"), from.frame(0x80, b"")].concat();
        let (sender, receiver) = ends.of(from);
        sender.send(&message);
        receiver.expect(&message);
    }
    // On a continuation it says nothing (RFC 7692 6.1).
    ends.client.send(client_frame(0x41, b"a"));
    ends.server.expect(client_frame(0x41, b"a"));
    ends.client.send(client_frame(0xC0, b"a"));
    assert_eq!(ends.hears(Peer::Client, 1002), "reserved bits");
    assert_eq!(ends.hears(Peer::Server, 1001), "protocol");
    // Only an offer is no agreement.
    let mut ends = bench.open_with(DEFLATE, "");
    ends.server.send(server_frame(0xC1, b"a"));
    assert_eq!(ends.hears(Peer::Server, 1002), "reserved bits");
    assert_eq!(ends.hears(Peer::Client, 1011), "protocol");
}
