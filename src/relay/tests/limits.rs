//! The limits and rates of a route: rows three to five of the table of frames.

use super::*;

/// `from` says `ok`, which passes, and then `bad`, which a limit refuses.
#[track_caller]
fn limited(
    rules: Rules,
    from: Side,
    ok: &[Bytes],
    bad: Bytes,
    (code, rule, word): (u16, &'static str, &'static str),
) {
    let innocent = to_innocent(!from, word);
    let mut steps: Vec<Step> = ok.iter().map(|bytes| Says(from, bytes.clone())).collect();
    steps.extend([Says(from, bad), Says(from, text("after")), Says(!from, innocent.clone())]);
    let passed = [ok, &[innocent]].concat();
    check(
        rules,
        &steps,
        gets(from, vec![close(code, rule).ours()], passed),
        ended(By::Gateway, word, code, rule),
    );
}

fn with(from: Side, change: impl Fn(&mut LaneRules)) -> Rules {
    let mut rules = still();
    change(&mut rules.limits[from]);
    rules
}

use crate::frame::{LaneRules, Opcodes};
use crate::meter::Rate;

#[test]
fn an_opcode_that_the_route_does_not_carry_is_1003() {
    let told = (1003, "opcode not allowed", "limit.opcode");
    for from in Side::BOTH {
        let text_only = with(from, |rules| rules.opcodes = Opcodes { text: true, binary: false });
        limited(text_only, from, &[text("ok")], binary(b"x"), told);
        let binary_only = with(from, |rules| rules.opcodes = Opcodes { text: false, binary: true });
        limited(binary_only, from, &[binary(b"ok")], text("x").open(), told);
    }
}

#[test]
fn a_frame_over_the_limit_is_1009_and_names_it() {
    for from in Side::BOTH {
        let rules = with(from, |rules| rules.max_frame_size = Some(200));
        let ok = [binary(&[1; 200]), text("a").open(), continuation(&[b'x'; 200])];
        limited(rules, from, &ok, binary(&[1; 201]), (1009, "max_frame_size", "limit.frame"));
    }
}

#[test]
fn a_message_over_the_limit_is_1009_at_the_frame_that_crosses_it() {
    let told = (1009, "max_message_size", "limit.message");
    for from in Side::BOTH {
        let rules = with(from, |rules| rules.max_message_size = Some(10));
        let ok = [binary(&[1; 10]), binary(&[1; 4]).open(), continuation(&[1; 6]), binary(&[1; 4]).open()];
        limited(rules.clone(), from, &ok, continuation(&[1; 7]), told);
        limited(rules.clone(), from, &[], binary(&[1; 11]), told);
        // The largest length there is, added to what was announced before, does not wrap.
        let masked: &[u8] = &[0x80, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4];
        let huge =
            if from == Client { masked } else { &[0x80, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255] };
        limited(rules, from, &[binary(&[1; 4]).open()], raw(huge), told);
    }
}

#[test]
fn more_fragments_than_the_limit_are_1008() {
    for from in Side::BOTH {
        let rules = with(from, |rules| rules.max_fragments = Some(3));
        let more = continuation(b"x").open();
        let ok =
            [text("").open(), more.clone(), continuation(b""), text("").open(), more.clone(), more.clone()];
        limited(rules, from, &ok, more, (1008, "max_fragments", "limit.fragments"));
    }
}

#[test]
fn without_limits_nothing_is_refused() {
    for from in Side::BOTH {
        let rules = with(from, |rules| *rules = LaneRules::UNLIMITED);
        let mut said = vec![text("").open()];
        said.extend(vec![continuation(b"x").open(); 5000]);
        said.push(continuation(&[b'y'; 70_000]));
        let steps: Vec<Step> = said.iter().map(|bytes| Says(from, bytes.clone())).collect();
        check(rules, &steps, gets(from, vec![], said), GOES_ON);
    }
}

fn control_flood(n: usize) -> Vec<Step> {
    (0..n).map(|i| Says(Client, if i % 2 == 0 { ping(&[i as u8]) } else { pong(b"") })).collect()
}

#[test]
fn control_frames_over_10_a_second_and_50_at_once_are_1008_by_default() {
    let pongs = |n: usize| (0..n).step_by(2).map(|i| pong(&[i as u8]).ours()).collect::<Vec<_>>();
    let fifty = gets(Client, pongs(50), vec![]);
    check(still(), &control_flood(50), fifty, GOES_ON);

    let innocent = to_innocent(Backend, "rate.control");
    let told = close(1008, "control frame rate").ours();
    let steps = [&control_flood(51)[..], &[Says(Backend, innocent.clone())]].concat();
    check(
        still(),
        &steps,
        gets(Client, [&pongs(50)[..], &[told]].concat(), vec![innocent]),
        ended(By::Gateway, "rate.control", 1008, "control frame rate"),
    );

    let mut steps = control_flood(50);
    for n in 0..20 {
        steps.extend([Wait(100), Says(Client, ping(&[100 + n]))]);
    }
    let later = (100..120).map(|n| pong(&[n]).ours());
    check(still(), &steps, gets(Client, pongs(50).into_iter().chain(later).collect(), vec![]), GOES_ON);
}

#[test]
fn the_control_rate_is_the_clients_and_spares_data_and_close() {
    let flood: Vec<Step> = (0..200u8).map(|i| Says(Backend, ping(&[i]))).collect();
    let pongs: Vec<Bytes> = (0..200u8).map(|i| pong(&[i]).ours()).collect();
    check(still(), &flood, gets(Backend, pongs, vec![]), GOES_ON);

    let mut steps = control_flood(50);
    steps.extend((0..100).map(|_| Says(Client, text("x"))));
    steps.push(Says(Client, close(1000, "")));
    let mut sim = Sim::new(still(), false);
    sim.play(&steps);
    assert_eq!(sim.frames(Backend).len(), 101);

    let mut unlimited = still();
    unlimited.rates.control = None;
    let mut sim = Sim::new(unlimited, false);
    sim.play(&control_flood(500));
    assert_eq!(sim.frames(Client).len(), 250);
}

fn rated(change: impl Fn(&mut Rates)) -> Rules {
    let mut rules = still();
    change(&mut rules.rates);
    rules
}

fn limit(rate: Rate, action: RateAction) -> Option<Limited> {
    Some(Limited { rate, action })
}

#[test]
fn messages_over_the_rate_are_1008_where_it_closes() {
    let rules = rated(|rates| rates.messages = limit(Rate::new(10, 3), RateAction::Close));
    // Fragments are not messages, and pings are not either.
    let ok = [text("1"), text("2").open(), continuation(b"").open(), continuation(b""), binary(b"3")];
    let told = (1008, "message rate", "rate.messages");
    limited(rules.clone(), Client, &ok, text("4"), told);
    limited(rules.clone(), Client, &ok, text("4").open(), told);

    let backend: Vec<Step> = (0..9).map(|_| Says(Backend, text("b"))).collect();
    check(rules.clone(), &backend, gets(Backend, vec![], vec![text("b"); 9]), GOES_ON);

    let mut steps = vec![];
    for _ in 0..20 {
        steps.extend([Says(Client, text("m")), Wait(100)]);
    }
    check(rules, &steps, gets(Client, vec![], vec![text("m"); 20]), GOES_ON);
}

#[test]
fn a_message_inside_a_message_is_a_protocol_violation_whatever_the_rate() {
    let rules = rated(|rates| rates.messages = limit(Rate::new(1, 1), RateAction::Close));
    let told = (1002, "new message inside a message", "protocol");
    limited(rules, Client, &[text("1").open()], text("2"), told);
}

#[test]
fn bytes_over_the_rate_are_1008_where_it_closes_but_only_between_frames() {
    let rules = rated(|rates| rates.bytes = limit(Rate::new(1000, 500), RateAction::Close));
    let told = (1008, "byte rate", "rate.bytes");
    // The frame that makes the debt still passes whole, in however many pieces.
    let big = binary(&[5; 700]);
    limited(rules.clone(), Client, std::slice::from_ref(&big), text("x"), told);
    let pieces = [big.clone().head(600), big.clone().tail(600)];
    limited(rules.clone(), Client, &pieces, text("x"), told);
    let patient = [Says(Client, big.clone()), Wait(300), Says(Client, big.clone())];
    check(rules, &patient, gets(Client, vec![], vec![big; 2]), GOES_ON);
}

#[test]
fn messages_over_the_rate_are_delayed_and_none_is_lost() {
    let rules = rated(|rates| rates.messages = limit(Rate::new(10, 3), RateAction::Delay));
    let said: Vec<Bytes> = (0..8).map(|n| text(&format!("message {n}"))).collect();
    let all: Vec<Step> = said.iter().map(|bytes| Says(Client, bytes.clone())).collect();
    let passed = |n: usize| gets(Client, vec![], said[..n].to_vec());
    check(rules.clone(), &all, passed(3), GOES_ON);
    check(rules.clone(), &[&all[..], &[Wait(99)]].concat(), passed(3), GOES_ON);
    check(rules.clone(), &[&all[..], &[Wait(100)]].concat(), passed(4), GOES_ON);
    check(rules.clone(), &[&all[..], &[Wait(499)]].concat(), passed(7), GOES_ON);
    check(rules.clone(), &[&all[..], &[Wait(500)]].concat(), passed(8), GOES_ON);

    // The backend is served meanwhile, and pings reach it.
    let steps = [&all[..], &[Says(Backend, text("b")), Says(Backend, ping(b"p"))]].concat();
    let backend = [&said[..3], &[pong(b"p").ours()]].concat();
    check(rules, &steps, Pair { client: vec![text("b")], backend }, GOES_ON);
}

#[test]
fn bytes_over_the_rate_are_delayed_anywhere_and_none_is_lost() {
    let rules = rated(|rates| rates.bytes = limit(Rate::new(1000, 500), RateAction::Delay));
    let big = binary(&[5; 1500]);
    let mut sim = Sim::new(rules, false);
    sim.chunk = 250;
    sim.play(&[Says(Client, big.clone())]);
    assert_eq!(sim.got(Backend).len(), 750, "the burst, and the read that ran into debt");
    sim.play(&[Wait(249)]);
    assert_eq!(sim.got(Backend).len(), 750);
    sim.play(&[Wait(1)]);
    assert_eq!(sim.got(Backend).len(), 1000);
    sim.play(&[Wait(750)]);
    assert_eq!(sim.got(Backend), big.on_the_wire_to(Backend));
}

#[test]
fn a_delayed_client_is_still_told_of_a_drain_and_ends_in_time() {
    let rules = rated(|rates| rates.messages = limit(Rate::new(1, 1), RateAction::Delay));
    let drain = Ordered(Order::Drain, 1012);
    let steps = [Says(Client, text("1")), Says(Client, text("2")), drain, Says(Client, close(1012, "drain"))];
    let told = vec![close(1012, "drain").ours()];
    // What was accepted is delivered once its time has come, and only then the backend's Close.
    let delayed = gets(Client, told.clone(), vec![text("1")]);
    check(rules.clone(), &[&steps[..], &[Wait(999)]].concat(), delayed, GOES_ON);
    let done = vec![text("1"), text("2"), close(1001, "drain").ours()];
    let steps = [&steps[..], &[Wait(1000), Says(Backend, close(1001, "drain"))]].concat();
    check(rules, &steps, gets(Client, told, done), ended(By::Gateway, "drain", 1012, "drain"));
}
