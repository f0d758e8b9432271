//! How the bytes arrive changes nothing: every sequence is shown in one piece, in two pieces at every cut, and byte by
//! byte.

use super::*;

struct Case {
    rules: Rules,
    deflate: bool,
    frames: Vec<Bytes>,
    /// What was let through before it was refused depends on where it was cut: text is refused as soon as it is
    /// certain, and what is on the wire cannot be taken back.
    fails_fast: bool,
}

impl Case {
    fn wire(&self, from: Side) -> Vec<u8> {
        self.frames.iter().flat_map(|bytes| bytes.on_the_wire_from(from)).collect()
    }

    /// Shows the pieces one after the other, then lets the other side close.
    fn play<'a>(&self, from: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Sim {
        self.play_on(Sim::new(self.rules.clone(), self.deflate), from, pieces)
    }

    /// The same, with what need not be shown passed unseen.
    fn play_unseen<'a>(&self, from: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Sim {
        let mut sim = Sim::new(self.rules.clone(), self.deflate);
        sim.passes_unseen = true;
        self.play_on(sim, from, pieces)
    }

    fn play_on<'a>(&self, mut sim: Sim, from: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Sim {
        for piece in pieces {
            sim.play(&[Says(from, raw(piece))]);
        }
        sim.play(&[Wait(1_000), Says(!from, close(1000, "enough")), Wait(20_000)]);
        sim
    }

    #[track_caller]
    fn compare(&self, from: Side, whole: &Sim, cut: &Sim, how: &str) {
        let innocent = if self.fails_fast && cut.got(!from) != whole.got(!from) {
            assert!(self.wire(from).starts_with(cut.got(!from)), "{how}: more than what was said");
            whole.got(!from)
        } else {
            cut.got(!from)
        };
        assert_eq!(cut.got(from), whole.got(from), "{how}: what the {} got", from.word());
        assert_eq!(innocent, whole.got(!from), "{how}: what the {} got", (!from).word());
        assert_eq!(cut.outcome(), whole.outcome(), "{how}");
        let messages = |sim: &Sim| sim.meters.tallies()[from].messages();
        assert_eq!(messages(cut), messages(whole), "{how}");
    }
}

fn case(frames: &[Bytes]) -> Case {
    Case { rules: still(), deflate: false, frames: frames.to_vec(), fails_fast: false }
}

/// Legal traffic, and every kind of end to it.
fn corpus() -> Vec<Case> {
    let legal = [
        text(""),
        text("é😀"),
        ping(b"1"),
        binary(&[1; 126]).open(),
        ping(b""),
        continuation(b"").open(),
        pong(b"unsolicited"),
        continuation(&[2; 130]),
        frame(0x01, b"\xF0\x9F"),
        continuation(b"\x98").open(),
        continuation(b"\x80"),
    ];
    let bad = [
        frame(0x91, b"x"),
        frame(0xC1, b"x"),
        frame(0x83, b"x"),
        frame(0x09, b"x"),
        frame(0x89, &[0; 126]),
        continuation(b"x"),
        text("a").open(),
        raw(&[0x82, 0xFE, 0, 125, 1, 2, 3, 4]),
        raw(&[0x82, 126, 0, 125]),
        raw(&[0x82, 0xFF, 0x80, 0]),
        raw(&[0x82, 127, 0x80, 0]),
        frame(0x88, &[3]),
        frame(0x88, &[3, 232, 0xFF]),
        close(1005, ""),
        close(1000, "bye"),
        empty_close(),
        binary(&[0; 600]),
    ];
    let mut cases = vec![case(&legal)];
    for bad in bad {
        let mut with = case(&[&legal[..5], &[continuation(b"z"), bad, text("after")]].concat());
        with.rules.limits.client.max_frame_size = Some(500);
        with.rules.limits.backend = with.rules.limits.client;
        cases.push(with);
    }
    cases.push(case(&[text("a").open(), ping(b"1"), text("b")]));
    for bad in [&b"ab\xFFcd"[..], b"\xC3", b"\xED\xA0\x80", b"\xF4\x90\x80\x80 and on"] {
        let fails = |frames: &[Bytes]| Case { fails_fast: true, ..case(frames) };
        cases.push(fails(&[text("ok"), frame(0x81, bad), text("after")]));
        cases.push(fails(&[text("ok"), text("é").open(), continuation(bad), text("after")]));
    }
    let mut forward = case(&[&legal[..], &[ping(b"2"), close(4000, "x"), ping(b"3")]].concat());
    forward.rules = forwarding();
    cases.push(forward);
    let squeezed =
        [text("\u{7}\u{1}").compressed().open(), ping(b"1"), continuation(&[0xFF; 9]), binary(b"x")];
    cases.push(Case { deflate: true, ..case(&squeezed) });
    let mut limited = case(&[binary(&[1; 9]).open(), continuation(&[1; 9]), binary(&[1; 19]), text("after")]);
    limited.rules.limits.client.max_message_size = Some(18);
    limited.rules.limits.backend.max_fragments = Some(1);
    cases.push(limited);
    let rate = |action| Some(Limited { rate: crate::meter::Rate::new(10, 2), action });
    for action in [RateAction::Close, RateAction::Delay] {
        let mut rated =
            case(&[text("1"), ping(b"1"), text("2").open(), continuation(b""), text("3"), text("4")]);
        rated.rules.rates.messages = rate(action);
        cases.push(rated);
    }
    let mut flood = case(&[ping(b"1"), ping(b"2"), text("ok"), pong(b"3"), text("after")]);
    flood.rules.rates.control = rate(RateAction::Close);
    cases.push(flood);
    cases
}

#[test]
fn every_frame_cut_in_two_at_every_byte_gives_the_same_wire_and_the_same_outcome() {
    for (number, case) in corpus().iter().enumerate() {
        for from in Side::BOTH {
            let wire = case.wire(from);
            let whole = case.play(from, [&wire[..]]);
            for cut in 0..=wire.len() {
                let how = format!("case {number} of the {} cut at {cut}", from.word());
                let pieces = [&wire[..cut], &wire[cut..]];
                case.compare(from, &whole, &case.play(from, pieces), &how);
                case.compare(from, &whole, &case.play_unseen(from, pieces), &format!("{how}, unseen"));
            }
        }
    }
}

#[test]
fn every_frame_shown_byte_by_byte_gives_the_same_wire_and_the_same_outcome() {
    for (number, case) in corpus().iter().enumerate() {
        for from in Side::BOTH {
            let wire = case.wire(from);
            let whole = case.play(from, [&wire[..]]);
            let how = format!("case {number} of the {}", from.word());
            case.compare(from, &whole, &case.play(from, wire.chunks(1)), &how);
            case.compare(from, &whole, &case.play_unseen(from, wire.chunks(1)), &format!("{how}, unseen"));
        }
    }
}

#[test]
fn the_other_side_may_speak_at_every_cut_and_neither_disturbs_the_other() {
    let said = [text("a").open(), ping(b"mine"), continuation(&[1; 130]), pong(b"unsolicited"), text("é")];
    let other = [ping(b"theirs"), text("b").open(), continuation(&[2; 3])];
    for from in Side::BOTH {
        let wire: Vec<u8> = said.iter().flat_map(|bytes| bytes.on_the_wire_from(from)).collect();
        let theirs: Vec<u8> = other.iter().flat_map(|bytes| bytes.on_the_wire_from(!from)).collect();
        for cut in 0..=wire.len() {
            for other_cut in 0..=theirs.len() {
                let mut sim = Sim::new(still(), false);
                sim.play(&[
                    Says(from, raw(&wire[..cut])),
                    Says(!from, raw(&theirs[..other_cut])),
                    Says(from, raw(&wire[cut..])),
                    Says(!from, raw(&theirs[other_cut..])),
                ]);
                for (to, all, pinged) in
                    [(from, &other[..], b"mine".to_vec()), (!from, &said, b"theirs".to_vec())]
                {
                    let data = all.iter().filter(|bytes| bytes.is_data());
                    let data: Vec<u8> = data.flat_map(|bytes| bytes.on_the_wire_to(to)).collect();
                    assert_eq!(sim.legs[to].got.data(0), data, "cut at {cut} and {other_cut}");
                    assert_eq!(sim.legs[to].got.payloads(10), [pinged], "cut at {cut} and {other_cut}");
                }
            }
        }
    }
}

/// Only what nobody reads, counts by the byte or throws away may pass unseen.
#[test]
fn what_has_to_be_looked_at_is_never_unseen() {
    let unseen = |rules: &Rules, first: Bytes, then: &[super::Step]| {
        let mut sim = Sim::new(rules.clone(), true);
        sim.play(&[Says(Client, first.head(10))]);
        sim.play(then);
        sim.relay.unseen(Client)
    };
    let mut unchecked = still();
    unchecked.limits.client.validate_utf8 = false;
    let mut counted = still();
    let rate = crate::meter::Rate::new(1_000_000, 1_000_000);
    counted.rates.bytes = Some(Limited { rate, action: RateAction::Close });
    let (text, binary) = (text(&"a".repeat(100)), binary(&[7; 100]));
    assert_eq!(unseen(&still(), binary.clone(), &[]), 96);
    assert_eq!(unseen(&still(), binary.clone().head(106), &[]), 96);
    assert_eq!(unseen(&still(), text.clone(), &[]), 0);
    assert_eq!(unseen(&still(), text.clone().compressed(), &[]), 96);
    assert_eq!(unseen(&unchecked, text, &[]), 96);
    assert_eq!(unseen(&counted, binary.clone(), &[]), 0);
    assert_eq!(unseen(&still(), binary.clone(), &[Breaks(Backend)]), 0, "there is nowhere to go");
    assert_eq!(unseen(&still(), binary.clone(), &[Ends(Client)]), 0, "nothing more comes");
    assert_eq!(unseen(&still(), binary, &[Says(Client, raw(&[0; 96]))]), 0, "between frames");
}
