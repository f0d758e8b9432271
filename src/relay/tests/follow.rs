//! Rules that change while a session lives.

use super::*;

fn follow(change: impl Fn(&mut Rules)) -> Step {
    let mut rules = still();
    change(&mut rules);
    Follows(Box::new(rules))
}

#[test]
fn a_new_limit_holds_from_the_next_frame_on() {
    let smaller = || follow(|rules| rules.limits.client.max_message_size = Some(4));
    let steps = [Says(Client, text("long enough")), smaller(), Says(Client, text("four"))];
    let backend = vec![text("long enough"), text("four")];
    check(still(), &steps, Pair { client: vec![], backend: backend.clone() }, GOES_ON);

    let steps = [&steps[..], &[Says(Client, text("fives")), Wait(5_000)]].concat();
    let rule = crate::frame::Violation::MessageSize.rule();
    let client = vec![close(1009, rule).ours()];
    let backend = [backend, vec![to_innocent(Backend, "limit.message")]].concat();
    let end = ended(By::Gateway, "limit.message", 1009, rule);
    check(still(), &steps, Pair { client, backend }, end);
}

#[test]
fn the_frame_that_is_under_way_was_decided_by_the_old_rules() {
    let whole = binary(&[7; 40]);
    let smaller = follow(|rules| rules.limits.client.max_frame_size = Some(4));
    let steps = [Says(Client, whole.clone().head(20)), smaller, Says(Client, whole.clone().tail(20))];
    check(still(), &steps, Pair { client: vec![], backend: vec![whole] }, GOES_ON);
}

#[test]
fn text_that_began_unchecked_goes_on_unchecked() {
    let unchecked = || {
        let mut rules = still();
        rules.limits.client.validate_utf8 = false;
        rules
    };
    // The change comes inside a character.
    let (first, rest) = (frame(0x01, &[0xC3]), frame(0x80, &[0xA9]));
    let bad = frame(0x81, &[0xFF]);
    let steps = [Says(Client, first.clone()), follow(|_| ()), Says(Client, rest.clone())];
    check(unchecked(), &steps, Pair { client: vec![], backend: vec![first, rest] }, GOES_ON);
    let steps = [Says(Client, bad.clone()), follow(|_| ()), Says(Client, bad.clone()), Wait(5_000)];
    let rule = crate::frame::Violation::Utf8.rule();
    let gets =
        Pair { client: vec![close(1007, rule).ours()], backend: vec![bad, to_innocent(Backend, "utf8")] };
    check(unchecked(), &steps, gets, ended(By::Gateway, "utf8", 1007, rule));
}

#[test]
fn a_rate_that_goes_frees_who_was_held_back() {
    let mut slow = still();
    slow.rates.messages = Some(Limited { rate: crate::meter::Rate::new(1, 1), action: RateAction::Delay });
    let said: Vec<Bytes> = (0..3).map(|_| text("x")).collect();
    let says = || said.iter().map(|text| Says(Client, text.clone()));
    let held: Vec<Step> = says().collect();
    check(slow.clone(), &held, Pair { client: vec![], backend: said[..1].to_vec() }, GOES_ON);
    let freed: Vec<Step> = says().chain([follow(|_| ())]).collect();
    check(slow, &freed, Pair { client: vec![], backend: said.clone() }, GOES_ON);
}

#[test]
fn a_faster_rate_ends_nobody_for_what_was_spent_at_the_slower_one() {
    for action in [RateAction::Close, RateAction::Delay] {
        let rates =
            |per_second: u64| Some(Limited { rate: crate::meter::Rate::new(per_second, 100), action });
        let mut slow = still();
        slow.rates.messages = rates(1);
        let said: Vec<Bytes> = (0..60).map(|_| text("x")).collect();
        let says = said.iter().map(|text| Says(Client, text.clone()));
        let faster = follow(|rules| rules.rates.messages = rates(10));
        let steps: Vec<Step> = says.chain([faster, Says(Client, text("x"))]).collect();
        let backend = (0..61).map(|_| text("x")).collect();
        check(slow, &steps, Pair { client: vec![], backend }, GOES_ON);
    }
}

#[test]
fn heartbeats_begin_and_end() {
    let beating = |rules: &mut Rules| rules.heartbeat.ping_interval.client = Some(secs(25));
    let mut from_the_start = still();
    beating(&mut from_the_start);
    let pinged = || Pair { client: vec![ping(&beat(1)).ours()], backend: vec![] };
    check(still(), &[Wait(20_000), follow(beating), Wait(5_000)], pinged(), GOES_ON);
    let none = Pair { client: vec![], backend: vec![] };
    check(from_the_start.clone(), &[Wait(20_000), follow(|_| ()), Wait(100_000)], none, GOES_ON);
    // A shorter patience counts from the ping that went out.
    let hasty = |rules: &mut Rules| {
        beating(rules);
        rules.heartbeat.pong_timeout = Some(secs(1));
    };
    let steps = [Wait(25_000), follow(hasty), Wait(1_000), Wait(10_000)];
    let client = vec![ping(&beat(1)).ours(), close(1001, "timeout.pong").ours()];
    let backend = vec![to_bereft(Backend, "timeout.pong")];
    let end = ended(By::Gateway, "timeout.pong", 1001, "timeout.pong");
    check(from_the_start, &steps, Pair { client, backend }, end);
}

#[test]
fn an_age_counts_from_the_opening() {
    let aged = |rules: &mut Rules| {
        rules.timeouts.max_connection_age = Some(secs(60));
        rules.timeouts.max_connection_age_jitter = 0.0;
    };
    let steps = [Wait(59_000), follow(aged)];
    check(still(), &steps, Pair { client: vec![], backend: vec![] }, GOES_ON);
    let steps = [Wait(59_000), follow(aged), Wait(1_000), Says(Client, close(1012, "age")), Wait(10_000)];
    let client = vec![close(1012, "age").ours()];
    let backend = vec![close(1001, "age").ours()];
    check(still(), &steps, Pair { client, backend }, ended(By::Gateway, "age", 1012, "age"));
}

/// An age that is new, and that hundreds of thousands of sessions may be past: they must not all go in one moment.
#[test]
fn who_is_too_old_already_goes_within_the_jitter() {
    let mut ended = Vec::new();
    for seed in [0, u64::MAX / 3, u64::MAX] {
        let mut sim = Sim::with_seed(still(), false, seed);
        let mut aged = still();
        aged.timeouts.max_connection_age = Some(secs(100));
        aged.timeouts.max_connection_age_jitter = 0.5;
        sim.play(&[Wait(1_000_000), Follows(Box::new(aged))]);
        let mut waited = 0;
        while sim.frames(Client).is_empty() {
            sim.play(&[Wait(1_000)]);
            waited += 1;
            assert!(waited <= 51, "seed {seed}");
        }
        ended.push(waited);
    }
    ended.dedup();
    assert_eq!(ended.len(), 3, "{ended:?}");
}
