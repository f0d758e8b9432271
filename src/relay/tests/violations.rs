//! A peer that breaks the RFC: the first two rows of the table of frames, in both directions.

use super::*;

/// `from` says `before`, which passes, and then `bad`, which does not: it hears `code` and `rule`, the innocent hears
/// `word`, and nothing that comes after is delivered.
#[track_caller]
fn refused(deflate: bool, from: Side, before: &[Bytes], bad: Bytes, (code, rule, word): Told) {
    let innocent = to_innocent(!from, word);
    let mut steps: Vec<Step> = before.iter().map(|bytes| Says(from, bytes.clone())).collect();
    steps.extend([Says(from, bad), Says(from, text("after")), Says(!from, innocent.clone())]);
    let passed = [before, &[innocent]].concat();
    let told = vec![close(code, rule).ours()];
    check_deflate(deflate, still(), &steps, gets(from, told, passed), ended(By::Gateway, word, code, rule));
}

type Told = (u16, &'static str, &'static str);

const fn protocol(rule: &'static str) -> Told {
    (1002, rule, "protocol")
}

#[test]
fn a_protocol_violation_is_1002_with_the_rule_and_the_innocent_hears_1001_or_1011() {
    let table: &[(Bytes, Told)] = &[
        (frame(0x91, b"x"), protocol("reserved bits")),
        (frame(0xA1, b"x"), protocol("reserved bits")),
        (frame(0xC1, b"x"), protocol("reserved bits")),
        (frame(0xC2, b"x"), protocol("reserved bits")),
        (frame(0xC9, b"x"), protocol("reserved bits")),
        (frame(0x83, b"x"), protocol("reserved opcode")),
        (frame(0x87, b"x"), protocol("reserved opcode")),
        (frame(0x8B, b"x"), protocol("reserved opcode")),
        (frame(0x8F, b"x"), protocol("reserved opcode")),
        (frame(0x89, &[b'x'; 126]), protocol("control frame over 125 bytes")),
        (frame(0x8A, &[b'x'; 126]), protocol("control frame over 125 bytes")),
        (frame(0x88, &[3; 126]), protocol("control frame over 125 bytes")),
        (frame(0x09, b"x"), protocol("fragmented control frame")),
        (frame(0x0A, b"x"), protocol("fragmented control frame")),
        (frame(0x08, b""), protocol("fragmented control frame")),
        (continuation(b"x"), protocol("continuation outside a message")),
        (continuation(b"x").open(), protocol("continuation outside a message")),
        (frame(0x88, &[3]), protocol("close payload of one byte")),
        (close(0, ""), protocol("illegal close code")),
        (close(999, ""), protocol("illegal close code")),
        (close(1004, ""), protocol("illegal close code")),
        (close(1005, "x"), protocol("illegal close code")),
        (close(1006, ""), protocol("illegal close code")),
        (close(1015, ""), protocol("illegal close code")),
        (close(1016, ""), protocol("illegal close code")),
        (close(2999, ""), protocol("illegal close code")),
        (close(5000, ""), protocol("illegal close code")),
        (close(u16::MAX, ""), protocol("illegal close code")),
    ];
    for (bad, told) in table {
        for from in Side::BOTH {
            refused(false, from, &[], bad.clone(), *told);
            refused(false, from, &[text("é"), binary(&[7; 200])], bad.clone(), *told);
        }
    }
}

#[test]
fn the_mask_bit_is_set_from_clients_and_clear_from_backends() {
    let unmasked = raw(&text("x").on_the_wire_from(Backend));
    let masked = raw(&text("x").on_the_wire_from(Client));
    refused(false, Client, &[text("ok")], unmasked, protocol("unmasked client frame"));
    refused(false, Backend, &[text("ok")], masked, protocol("masked server frame"));
    let unmasked = raw(&ping(b"x").on_the_wire_from(Backend));
    let masked = raw(&close(1000, "").on_the_wire_from(Client));
    refused(false, Client, &[], unmasked, protocol("unmasked client frame"));
    refused(false, Backend, &[], masked, protocol("masked server frame"));
}

#[test]
fn lengths_are_minimal_and_never_negative() {
    let table: &[(&[u8], &[u8], &'static str)] = &[
        (&[0x82, 0xFE, 0, 125, 1, 2, 3, 4], &[0x82, 126, 0, 125], "length not minimal"),
        (
            &[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255],
            "length not minimal",
        ),
        (&[0x82, 0xFF, 0x80], &[0x82, 127, 0x80], "length top bit set"),
        (&[0x82, 0xFF, 0xFF, 255, 255, 255], &[0x82, 127, 0xFF], "length top bit set"),
    ];
    for (masked, unmasked, rule) in table {
        refused(false, Client, &[text("ok")], raw(masked), protocol(rule));
        refused(false, Backend, &[text("ok")], raw(unmasked), protocol(rule));
    }
}

#[test]
fn a_new_data_frame_stands_only_outside_a_message() {
    for from in Side::BOTH {
        let start = text("a").open();
        refused(
            false,
            from,
            std::slice::from_ref(&start),
            text("b"),
            protocol("new message inside a message"),
        );
        refused(
            false,
            from,
            &[start.clone(), continuation(b"").open()],
            binary(b"").open(),
            protocol("new message inside a message"),
        );
        let ended = [start, continuation(b"z")];
        refused(false, from, &ended, continuation(b"x"), protocol("continuation outside a message"));
    }
}

#[test]
fn rsv1_has_a_meaning_only_where_deflate_was_agreed_and_only_on_the_first_frame() {
    for from in Side::BOTH {
        let squeezed = text("\u{1}").compressed();
        refused(false, from, &[], squeezed.clone(), protocol("reserved bits"));
        let start = binary(b"x").compressed().open();
        let bad = continuation(b"y").compressed();
        refused(true, from, &[squeezed, start], bad, protocol("reserved bits"));
        refused(true, from, &[], ping(b"").compressed(), protocol("reserved bits"));
        refused(true, from, &[], close(1000, "").compressed(), protocol("reserved bits"));
        refused(true, from, &[], frame(0xA1, b""), protocol("reserved bits"));
    }
}

#[test]
fn compressed_frames_pass_unchanged_and_are_not_taken_for_text() {
    for from in Side::BOTH {
        let said = [
            frame(0x81, &[0xC3]).compressed().open(),
            continuation(&[0x28, 0xFF]).open(),
            continuation(&[0xC0]),
            frame(0x82, &[0xFF; 300]).compressed(),
            text("plain é"),
        ];
        let steps: Vec<Step> = said.iter().map(|bytes| Says(from, bytes.clone())).collect();
        check_deflate(true, still(), &steps, gets(from, vec![], said.to_vec()), GOES_ON);
        // Text that is not compressed is text, deflate or not.
        refused(true, from, &said, frame(0x81, &[0xFF]), (1007, "text not UTF-8", "utf8"));
    }
}

#[test]
fn text_that_is_not_utf8_is_1007() {
    for from in Side::BOTH {
        let told = (1007, "text not UTF-8", "utf8");
        for bad in [&[0xC0, 0xAF][..], &[0xED, 0xA0, 0x80], &[0xF4, 0x90, 0x80, 0x80], &[0xFF], &[0xC3]] {
            refused(false, from, &[text("é")], frame(0x81, bad), told);
            refused(false, from, &[text("a").open()], continuation(bad), told);
        }
        // A character may be cut by a frame's end, but not by a message's end.
        let start = frame(0x01, &[0xE2, 0x82]);
        refused(false, from, std::slice::from_ref(&start), continuation(&[0x28]), told);
        refused(false, from, &[start.clone(), continuation(b"").open()], continuation(b""), told);
        let whole = [start, continuation(&[0xAC])];
        let steps: Vec<Step> = whole.iter().map(|bytes| Says(from, bytes.clone())).collect();
        check(still(), &steps, gets(from, vec![], whole.to_vec()), GOES_ON);
    }
}

#[test]
fn text_is_refused_as_soon_as_it_is_certain_and_the_frame_under_way_is_cut() {
    for from in Side::BOTH {
        let bad = frame(0x81, b"ab\xCE\xBA\xF4\x90 and so on");
        let shown = bad.on_the_wire_from(from).len() - 11;
        let steps = [
            Says(from, bad.clone().head(shown)),
            // Of the next byte nothing can be made any more. The rest of the frame never comes.
            Says(from, bad.clone().tail(shown).head(shown + 1)),
        ];
        let told = close(1007, "text not UTF-8").ours();
        // The other leg stands inside a frame: its stream is ended without a Close, and at once.
        check(
            still(),
            &steps,
            gets(from, vec![told], vec![bad.head(shown)]),
            ended(By::Gateway, "utf8", 1007, "text not UTF-8"),
        );
    }
}

#[test]
fn text_is_not_looked_at_where_validation_is_off() {
    for from in Side::BOTH {
        let mut rules = still();
        rules.limits[from].validate_utf8 = false;
        let bad = frame(0x81, &[0xFF, 0xC0]);
        check(rules, &[Says(from, bad.clone())], gets(from, vec![], vec![bad]), GOES_ON);
    }
}

#[test]
fn a_close_reason_that_is_not_utf8_is_1007() {
    for from in Side::BOTH {
        let bad = frame(0x88, &[3, 232, 0xC3, 0x28]);
        refused(false, from, &[text("ok")], bad, (1007, "close reason not UTF-8", "utf8"));
        let cut = frame(0x88, &[3, 232, 0xE2, 0x82]);
        refused(false, from, &[], cut, (1007, "close reason not UTF-8", "utf8"));
    }
}

#[test]
fn a_refused_frame_never_started_even_when_its_payload_is_still_to_come() {
    for from in Side::BOTH {
        let mut rules = still();
        rules.limits[from].max_frame_size = Some(10);
        let header = binary(&[0; 11]).head(if from == Client { 6 } else { 2 });
        check(
            rules,
            &[Says(from, header), Says(!from, to_innocent(!from, "limit.frame"))],
            gets(from, vec![close(1009, "max_frame_size").ours()], vec![to_innocent(!from, "limit.frame")]),
            ended(By::Gateway, "limit.frame", 1009, "max_frame_size"),
        );
    }
}

#[test]
fn an_offender_hears_its_close_only_after_the_innocents_frame_is_whole() {
    for from in Side::BOTH {
        let long = binary(&[9; 40]);
        let told = close(1002, "reserved opcode").ours();
        let innocent = to_innocent(!from, "protocol");
        check(
            still(),
            &[
                Says(!from, long.clone().head(20)),
                Says(from, frame(0x83, b"")),
                Says(!from, long.clone().tail(20)),
                Says(!from, text("more is not delivered")),
                Says(!from, innocent.clone()),
            ],
            gets(from, vec![long, told], vec![innocent]),
            ended(By::Gateway, "protocol", 1002, "reserved opcode"),
        );
    }
}

#[test]
fn an_offender_inside_the_innocents_unfinished_frame_is_cut_at_the_close_timeout() {
    for from in Side::BOTH {
        let long = binary(&[9; 40]);
        let steps = [Says(!from, long.clone().head(20)), Says(from, frame(0x83, b"")), Wait(4_999)];
        let sides = gets(from, vec![long.clone().head(20)], vec![to_innocent(!from, "protocol")]);
        check(still(), &steps, sides.clone(), GOES_ON);
        let end = ended(By::Gateway, "protocol", 1002, "reserved opcode");
        check(still(), &[&steps[..], &[Wait(1)]].concat(), sides, end);
    }
}

#[test]
fn the_first_violation_is_the_one_that_is_reported() {
    let steps = [
        Says(Client, frame(0x83, b"")),
        Says(Backend, frame(0x91, b"")),
        Says(Client, raw(b"\xFF\xFF\xFF\xFF")),
    ];
    // The backend was told 1001 when it was still innocent; nothing may follow a Close.
    check(
        still(),
        &steps,
        Pair {
            client: vec![close(1002, "reserved opcode").ours()],
            backend: vec![to_innocent(Backend, "protocol")],
        },
        ended(By::Gateway, "protocol", 1002, "reserved opcode"),
    );
}

#[test]
fn what_an_offender_says_afterwards_is_read_and_thrown_away() {
    let mut sim = Sim::new(still(), false);
    sim.play(&[Says(Client, frame(0x83, b"")), Says(Client, raw(&[0xFF; 5000])), Says(Client, text("x"))]);
    assert_eq!(sim.leftover(Client), 0);
    assert!(sim.outcome().is_none(), "the backend may still answer");
}
