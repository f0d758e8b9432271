//! What the clock does to a session: heartbeats on both legs, and one test a deadline of `[route.timeouts]`.

use super::*;

/// Our heartbeats on one leg only, and no other deadline.
fn beating(side: Side) -> Rules {
    let mut rules = still();
    rules.heartbeat.ping_interval[side] = Some(secs(25));
    rules
}

fn with(change: impl Fn(&mut Timeouts)) -> Rules {
    let mut rules = still();
    change(&mut rules.timeouts);
    rules
}

fn our_pings(n: u32) -> Vec<Bytes> {
    (1..=n).map(|n| ping(&beat(n)).ours()).collect()
}

/// What either side gets when it was nobody's fault but silence.
fn told(side: Side, word: &'static str) -> (Bytes, Bytes, End) {
    let (silent, other) = (close(1001, word).ours(), to_bereft(!side, word));
    (silent, other, ended(By::Gateway, word, 1001, word))
}

// ---- heartbeat ---------------------------------------------------------------------------------

#[test]
fn both_legs_are_pinged_when_quiet_and_live_on_while_they_answer() {
    let mut steps = vec![];
    for n in 1..=20 {
        steps.extend([Wait(25_000), Says(Client, pong(&beat(n))), Says(Backend, pong(&beat(n)))]);
    }
    check(Rules::default(), &steps, Pair { client: our_pings(20), backend: our_pings(20) }, GOES_ON);
}

#[test]
fn a_leg_is_pinged_only_once_it_was_quiet_for_the_interval() {
    for side in Side::BOTH {
        check(beating(side), &[Wait(24_999)], gets(side, vec![], vec![]), GOES_ON);
        check(beating(side), &[Wait(25_000)], gets(side, our_pings(1), vec![]), GOES_ON);
        let steps = [Wait(20_000), Says(side, text("x")), Wait(24_999)];
        check(beating(side), &steps, gets(side, vec![], vec![text("x")]), GOES_ON);
        let steps = [&steps[..], &[Wait(1)]].concat();
        check(beating(side), &steps, gets(side, our_pings(1), vec![text("x")]), GOES_ON);
    }
}

#[test]
fn a_silent_leg_ends_the_session_within_interval_and_pong_timeout() {
    for side in Side::BOTH {
        let (silent, other, end) = told(side, "timeout.pong");
        let pinged = gets(side, our_pings(1), vec![]);
        check(beating(side), &[Wait(44_999)], pinged, GOES_ON);
        let sides = gets(side, [our_pings(1), vec![silent]].concat(), vec![other]);
        check(beating(side), &[Wait(45_000)], sides.clone(), GOES_ON);
        let steps = [Wait(45_000), Says(side, text("too late")), Says(!side, close(1000, ""))];
        check(beating(side), &steps, sides.clone(), end);
        check(beating(side), &[Wait(50_000)], sides, end);
    }
}

#[test]
fn a_leg_silent_inside_a_frame_leaves_the_other_cut_at_once() {
    for side in Side::BOTH {
        let part = binary(&[1; 40]).head(20);
        let (silent, _, end) = told(side, "timeout.pong");
        let sides = gets(side, [our_pings(1), vec![silent]].concat(), vec![part.clone()]);
        check(beating(side), &[Says(side, part), Wait(45_000)], sides, end);
    }
}

#[test]
fn by_default_one_dead_leg_is_found_though_the_other_answers() {
    for dead in Side::BOTH {
        let (silent, other, end) = told(dead, "timeout.pong");
        let steps = [Wait(25_000), Says(!dead, pong(&beat(1))), Wait(20_000), Says(!dead, close(1000, ""))];
        let sides = gets(dead, [our_pings(1), vec![silent]].concat(), [our_pings(1), vec![other]].concat());
        check(Rules::default(), &steps, sides, end);
    }
}

#[test]
fn any_byte_is_a_sign_of_life() {
    for side in Side::BOTH {
        let long = binary(&[1; 400]);
        for sign in [pong(b"not ours"), text("data"), ping(b"").head(1), long.head(9)] {
            let mut sim = Sim::new(beating(side), false);
            sim.play(&[Wait(44_000), Says(side, sign), Wait(24_999)]);
            assert!(sim.outcome().is_none() && sim.frames(side).iter().all(|frame| frame.opcode() != 8));
        }
    }
}

#[test]
fn what_an_unblocked_socket_takes_in_is_no_sign_of_life() {
    for dead in Side::BOTH {
        let (silent, other, end) = told(dead, "timeout.pong");
        let chatter = [Says(!dead, text("chatter")), Wait(10_000)];
        let steps = [&vec![chatter; 4].concat()[..], &[Says(!dead, text("chatter")), Wait(5_000)]].concat();
        let steps = [&steps[..], &[Says(!dead, close(1000, ""))]].concat();
        let got = [vec![text("chatter"); 3], our_pings(1), vec![text("chatter"); 2], vec![silent]].concat();
        check(beating(dead), &steps, gets(dead, got, vec![other]), end);
    }
}

#[test]
fn our_ping_waits_for_the_end_of_the_frame_that_is_under_way_and_the_wait_with_it() {
    for side in Side::BOTH {
        let long = binary(&[1; 40]);
        let steps = [Says(!side, long.clone().head(20)), Wait(100_000), Says(!side, long.clone().tail(20))];
        let pinged = [vec![long], our_pings(1)].concat();
        check(beating(side), &steps, gets(side, pinged.clone(), vec![]), GOES_ON);
        let steps = [&steps[..], &[Wait(19_999)]].concat();
        check(beating(side), &steps, gets(side, pinged.clone(), vec![]), GOES_ON);
        let (silent, other, _) = told(side, "timeout.pong");
        let sides = gets(side, [pinged, vec![silent]].concat(), vec![other]);
        check(beating(side), &[&steps[..], &[Wait(1)]].concat(), sides, GOES_ON);
    }
}

#[test]
fn a_leg_that_speaks_before_our_ping_could_go_out_is_not_asked() {
    for side in Side::BOTH {
        let long = binary(&[1; 40]);
        let steps = [
            Says(!side, long.clone().head(20)),
            Wait(30_000),
            Says(side, text("here")),
            Says(!side, long.clone().tail(20)),
        ];
        check(beating(side), &steps, gets(side, vec![long], vec![text("here")]), GOES_ON);
    }
}

#[test]
fn a_blocked_leg_is_waited_for_though_our_ping_cannot_go_out() {
    for side in Side::BOTH {
        let (_, other, end) = told(side, "timeout.pong");
        let stuck = binary(&[1; 500]);
        let steps = [Blocks(side), Says(!side, stuck.clone()), Wait(44_999)];
        check(beating(side), &steps, gets(side, vec![], vec![]), GOES_ON);
        let steps = [&steps[..], &[Wait(1), Says(!side, close(1000, ""))]].concat();
        let mut sim = Sim::new(beating(side), false);
        sim.play(&steps);
        assert_eq!(sim.got(side), b"");
        assert_eq!(sim.got(!side), other.on_the_wire_to(!side));
        // The other leg was not read while this one was stuck: its answer comes now.
        sim.play(&[Reads(side)]);
        assert_eq!(sim.outcome().map(|outcome| outcome.cause.word()), end.map(|end| end.1));
    }
}

#[test]
fn progress_on_a_blocked_write_is_a_sign_of_life() {
    for side in Side::BOTH {
        let stuck = binary(&[1; 500]);
        let steps = [Blocks(side), Says(!side, stuck.clone()), Wait(40_000), Takes(side, 1), Wait(19_999)];
        check(beating(side), &steps, gets(side, vec![stuck.clone().head(1)], vec![]), GOES_ON);
        let (_, other, _) = told(side, "timeout.pong");
        let steps = [&steps[..], &[Wait(1)]].concat();
        check(beating(side), &steps, gets(side, vec![stuck.head(1)], vec![other]), GOES_ON);
    }
}

#[test]
fn a_leg_that_blocks_after_its_ping_fell_due_inside_a_frame_is_waited_for() {
    for side in Side::BOTH {
        let long = binary(&[1; 500]);
        let stuck = [
            Says(!side, long.clone().head(20)),
            Wait(30_000),
            Blocks(side),
            Says(!side, long.clone().tail(20).head(40)),
            Wait(19_999),
        ];
        let part = gets(side, vec![long.clone().head(20)], vec![]);
        check(beating(side), &stuck, part.clone(), GOES_ON);
        let mut sim = Sim::new(beating(side), false);
        sim.play(&[&stuck[..], &[Wait(1)]].concat());
        assert_eq!(sim.got(!side), to_bereft(!side, "timeout.pong").on_the_wire_to(!side));

        // Where it moves on and the frame still does not end, nobody was asked and nobody is late.
        let moved = [&stuck[..], &[Reads(side), Wait(300_000)]].concat();
        check(beating(side), &moved, gets(side, vec![long.head(40)], vec![]), GOES_ON);
    }
}

#[test]
fn the_pong_deadline_is_frozen_while_we_do_not_read_the_leg() {
    for side in Side::BOTH {
        let held = [
            Wait(25_000),
            // Our pong to the other leg is stuck, so this one is not read.
            Blocks(!side),
            Says(!side, ping(b"?")),
            Wait(100_000),
        ];
        let other = vec![pong(b"?").ours()];
        let mut sim = Sim::new(beating(side), false);
        sim.play(&held);
        sim.relay.tick(sim.now);
        sim.turn();
        assert_eq!(sim.frames(side).len(), 1, "a look at the clock is no judgement");
        check(beating(side), &held, gets(side, our_pings(1), vec![]), GOES_ON);
        let late = [&held[..], &[Reads(!side), Wait(19_999)]].concat();
        check(beating(side), &late, gets(side, our_pings(1), other.clone()), GOES_ON);
        let (silent, lost, _) = told(side, "timeout.pong");
        let sides = gets(side, [our_pings(1), vec![silent]].concat(), [other, vec![lost]].concat());
        check(beating(side), &[&late[..], &[Wait(1)]].concat(), sides, GOES_ON);
        // What it had answered meanwhile is found when we read on.
        let answered = [&held[..], &[Says(side, pong(&beat(1))), Reads(!side), Wait(24_999)]].concat();
        check(beating(side), &answered, gets(side, our_pings(1), vec![pong(b"?").ours()]), GOES_ON);
    }
}

#[test]
fn a_leg_that_we_do_not_read_is_not_quiet() {
    for side in Side::BOTH {
        let steps =
            [Wait(10_000), Blocks(!side), Says(!side, ping(b"?")), Wait(100_000), Reads(!side), Wait(14_999)];
        let other = || vec![pong(b"?").ours()];
        check(beating(side), &steps, gets(side, vec![], other()), GOES_ON);
        check(beating(side), &[&steps[..], &[Wait(1)]].concat(), gets(side, our_pings(1), other()), GOES_ON);
    }
}

#[test]
fn without_a_pong_timeout_we_ask_again_and_again_and_nobody_is_late() {
    for side in Side::BOTH {
        let mut rules = beating(side);
        rules.heartbeat.pong_timeout = None;
        check(rules.clone(), &[Wait(250_100)], gets(side, our_pings(10), vec![]), GOES_ON);
        let stuck = [Blocks(side), Says(!side, text("x")), Wait(1_000_000), Reads(side)];
        check(rules, &stuck, gets(side, [vec![text("x")], our_pings(1)].concat(), vec![]), GOES_ON);
    }
}

#[test]
fn heartbeats_vary_by_at_most_a_tenth_and_not_in_step() {
    let mut seeds = fastrand::Rng::with_seed(1);
    let mut all = Pair::<Vec<Duration>>::default();
    for _ in 0..500 {
        let seed = seeds.u64(..);
        for side in Side::BOTH {
            let sim = Sim::with_seed(beating(side), false, seed);
            let due = sim.relay.deadline().expect("a heartbeat");
            all[side].push(due.since(sim.now));
        }
    }
    assert_eq!(all.client, all.backend, "the legs of a session are asked together");
    let sorted = all.client.iter().collect::<std::collections::BTreeSet<_>>();
    assert!(sorted.len() > 490, "sessions are not");
    for side in Side::BOTH {
        let (least, most) = (all[side].iter().min().expect("500"), all[side].iter().max().expect("500"));
        assert!(*least >= Duration::from_millis(22_500) && *most <= Duration::from_millis(27_500));
        assert!(*least < Duration::from_millis(22_600) && *most > Duration::from_millis(27_400));
    }
}

// ---- write, idle, data_idle, first_message -----------------------------------------------------

#[test]
fn a_write_that_is_blocked_for_too_long_ends_the_leg_without_a_close() {
    for side in Side::BOTH {
        let rules = with(|timeouts| timeouts.write = Some(secs(30)));
        let stuck = [Blocks(side), Says(!side, text("stuck")), Wait(20_000), Takes(side, 1), Wait(29_999)];
        let head = vec![text("stuck").head(1)];
        check(rules.clone(), &stuck, gets(side, head.clone(), vec![]), GOES_ON);
        let mut sim = Sim::new(rules, false);
        sim.play(&[&stuck[..], &[Wait(1)]].concat());
        assert_eq!(sim.got(!side), to_bereft(!side, "timeout.write").on_the_wire_to(!side));
        sim.play(&[Reads(side), Says(!side, close(1000, ""))]);
        assert_eq!(sim.got(side), text("stuck").on_the_wire_to(side), "no Close behind what was stuck");
        let outcome = sim.outcome().expect("the other leg answered");
        assert_eq!((outcome.cause, outcome.about), (Cause::WriteTimeout, Some(side)));
        assert_eq!(outcome.abandoned(), Some(side));
        assert_eq!((outcome.by, outcome.close.code), (By::Gateway, Some(1001)));
    }
}

#[test]
fn a_session_without_a_byte_either_way_is_idle() {
    let rules = with(|timeouts| timeouts.idle = Some(secs(300)));
    let word = "timeout.idle";
    let both = || Pair { client: vec![close(1001, word).ours()], backend: vec![close(1001, word).ours()] };
    check(rules.clone(), &[Wait(299_999)], Pair::default(), GOES_ON);
    check(rules.clone(), &[Wait(300_000)], both(), GOES_ON);
    let closed = [Wait(300_000), Says(Client, close(1001, "")), Says(Backend, close(1001, ""))];
    check(rules.clone(), &closed, both(), ended(By::Gateway, word, 1001, word));
    check(rules.clone(), &[Wait(305_000)], both(), ended(By::Gateway, word, 1001, word));
    for side in Side::BOTH {
        let steps = [Wait(299_999), Says(side, pong(b"").head(1)), Wait(299_999)];
        check(rules.clone(), &steps, Pair::default(), GOES_ON);
        check(rules.clone(), &[&steps[..], &[Wait(1)]].concat(), both(), GOES_ON);
    }
}

#[test]
fn a_blocked_write_that_moves_on_is_not_idle() {
    for side in Side::BOTH {
        let rules = with(|timeouts| timeouts.idle = Some(secs(300)));
        let steps = [Blocks(side), Says(!side, text("slow")), Wait(299_999), Takes(side, 1), Wait(299_999)];
        check(rules.clone(), &steps, gets(side, vec![text("slow").head(1)], vec![]), GOES_ON);
        let mut sim = Sim::new(rules, false);
        sim.play(&[&steps[..], &[Wait(1), Reads(side)]].concat());
        assert_eq!(sim.frames(side).last().map(|frame| frame.opcode()), Some(8));
    }
}

#[test]
fn pings_and_pongs_are_no_data() {
    let rules = with(|timeouts| timeouts.data_idle = Some(secs(100)));
    let word = "timeout.data_idle";
    let bye = close(1001, word).ours();
    for side in Side::BOTH {
        let steps =
            [Wait(60_000), Says(side, text("data")), Wait(60_000), Says(side, ping(b"")), Wait(39_999)];
        let sides = gets(side, vec![pong(b"").ours()], vec![text("data")]);
        check(rules.clone(), &steps, sides, GOES_ON);
        let steps = [&steps[..], &[Wait(1), Says(side, pong(b""))]].concat();
        let sides = gets(side, vec![pong(b"").ours(), bye.clone()], vec![text("data"), bye.clone()]);
        check(rules.clone(), &steps, sides.clone(), GOES_ON);
        let steps = [&steps[..], &[Wait(5_000)]].concat();
        check(rules.clone(), &steps, sides, ended(By::Gateway, word, 1001, word));
    }
}

#[test]
fn the_client_has_to_speak_in_time() {
    let rules = with(|timeouts| timeouts.first_message = Some(secs(10)));
    let word = "timeout.first_message";
    let silent = [Says(Backend, text("hello")), Says(Client, ping(b"")), Wait(9_999)];
    let sides = |told: &[Bytes]| Pair {
        client: [&[text("hello"), pong(b"").ours()][..], told].concat(),
        backend: told.to_vec(),
    };
    check(rules.clone(), &silent, sides(&[]), GOES_ON);
    let bye = [close(1001, word).ours()];
    check(rules.clone(), &[&silent[..], &[Wait(1)]].concat(), sides(&bye), GOES_ON);
    let end = ended(By::Gateway, word, 1001, word);
    check(rules.clone(), &[&silent[..], &[Wait(5_001)]].concat(), sides(&bye), end);
    let spoke = [Wait(9_999), Says(Client, text("a").open()), Wait(1_000_000)];
    check(rules, &spoke, gets(Client, vec![], vec![text("a").open()]), GOES_ON);
}

// ---- message, age ------------------------------------------------------------------------------

#[test]
fn a_message_that_the_client_does_not_end_in_time_is_1008() {
    let rules = with(|timeouts| timeouts.message = Some(secs(60)));
    let end = ended(By::Gateway, "timeout.message", 1008, "message timeout");
    let told = || vec![close(1008, "message timeout").ours()];
    let slow = [
        Wait(500_000),
        Says(Client, text("a").open()),
        Wait(30_000),
        Says(Client, continuation(b"b").open()),
        Says(Client, ping(b"").head(0)),
        Wait(29_999),
    ];
    let said = vec![text("a").open(), continuation(b"b").open()];
    check(rules.clone(), &slow, gets(Client, vec![], said.clone()), GOES_ON);
    let late = [&slow[..], &[Wait(1), Says(Backend, close(1001, ""))]].concat();
    let innocent = vec![to_innocent(Backend, "timeout.message")];
    check(rules.clone(), &late, gets(Client, told(), [said.clone(), innocent].concat()), end);

    // Its end in time ends the matter; the next message has its own.
    let ended = [&slow[..], &[Says(Client, continuation(b"")), Says(Client, text("c").open()), Wait(59_999)]]
        .concat();
    let all = [&said[..], &[continuation(b""), text("c").open()]].concat();
    check(rules.clone(), &ended, gets(Client, vec![], all), GOES_ON);
    let done = [&slow[..], &[Says(Client, continuation(b"")), Wait(1_000_000)]].concat();
    let all = [&said[..], &[continuation(b"")]].concat();
    check(rules.clone(), &done, gets(Client, vec![], all), GOES_ON);
    let whole = [Says(Client, text("x")), Wait(1_000_000)];
    check(rules.clone(), &whole, gets(Client, vec![], vec![text("x")]), GOES_ON);

    // Inside a frame there is nothing left to say to the backend.
    let part = binary(&[0; 300]).head(100);
    let stuck = [Says(Client, part.clone()), Wait(60_000)];
    check(rules.clone(), &stuck, gets(Client, told(), vec![part]), end);
    // A backend may take its time.
    let steps = [Says(Backend, text("a").open()), Wait(1_000_000)];
    check(rules, &steps, gets(Backend, vec![], vec![text("a").open()]), GOES_ON);
}

#[test]
fn the_message_deadline_is_frozen_while_we_do_not_read_the_client() {
    let rules = with(|timeouts| timeouts.message = Some(secs(60)));
    let steps = [
        Says(Client, text("a").open()),
        Wait(10_000),
        Blocks(Backend),
        Says(Backend, ping(b"?")),
        Wait(500_000),
        Reads(Backend),
        Wait(49_999),
    ];
    let said = vec![text("a").open(), pong(b"?").ours()];
    check(rules.clone(), &steps, gets(Client, vec![], said.clone()), GOES_ON);
    let told = vec![close(1008, "message timeout").ours()];
    let said = [said, vec![to_innocent(Backend, "timeout.message")]].concat();
    check(rules, &[&steps[..], &[Wait(1)]].concat(), gets(Client, told, said), GOES_ON);
}

#[test]
fn a_message_that_a_rate_delays_is_not_late() {
    let mut rules = with(|timeouts| timeouts.message = Some(secs(60)));
    let rate = crate::meter::Rate::new(1, 1);
    rules.rates.bytes = Some(Limited { rate, action: RateAction::Delay });
    rules.heartbeat.ping_interval.client = Some(secs(25));
    let (start, end) = (binary(&[1; 200]).open(), continuation(b"end"));
    let steps = [Says(Client, start.clone()), Says(Client, end.clone()), Wait(207_000)];
    check(rules, &steps, gets(Client, vec![], vec![start, end]), GOES_ON);
}

#[test]
fn a_session_of_full_age_is_ended_like_a_drain() {
    let rules = with(|timeouts| timeouts.max_connection_age = Some(secs(3600)));
    let said = [Wait(3_599_990), Says(Client, text("busy"))];
    let busy = || gets(Client, vec![], vec![text("busy")]);
    check(rules.clone(), &said, busy(), GOES_ON);
    let old = [&said[..], &[Wait(10), Says(Client, text("under way"))]].concat();
    let told = vec![close(1012, "age").ours()];
    let passed = vec![text("busy"), text("under way")];
    check(rules.clone(), &old, gets(Client, told.clone(), passed.clone()), GOES_ON);
    let steps = [&old[..], &[Says(Client, close(1012, "")), Says(Backend, close(1001, ""))]].concat();
    let sides = gets(Client, told, [passed, vec![close(1001, "age").ours()]].concat());
    check(rules, &steps, sides, ended(By::Gateway, "age", 1012, "age"));
}

#[test]
fn ages_vary_by_the_jitter_and_not_at_all_without_one() {
    let mut seeds = fastrand::Rng::with_seed(2);
    for (jitter, least, most) in [(0.1, 3_240, 3_960), (0.5, 1_800, 5_400), (0.0, 3_600, 3_600)] {
        let rules = with(|timeouts| {
            timeouts.max_connection_age = Some(secs(3600));
            timeouts.max_connection_age_jitter = jitter;
        });
        let ages = (0..500).map(|_| {
            let sim = Sim::with_seed(rules.clone(), false, seeds.u64(..));
            sim.relay.deadline().expect("an age").since(sim.now)
        });
        let ages: Vec<Duration> = ages.collect();
        assert!(ages.iter().all(|age| *age >= secs(least) && *age <= secs(most)));
        let spread = ages.iter().max().expect("500").as_secs() - ages.iter().min().expect("500").as_secs();
        assert!(spread * 10 >= (most - least) * 9);
    }
}

#[test]
fn where_every_deadline_is_none_nothing_ever_happens() {
    let mut sim = Sim::new(still(), false);
    assert_eq!(sim.relay.deadline(), None);
    sim.play(&[
        Says(Client, text("a").open()),
        Blocks(Client),
        Says(Backend, text("b")),
        Wait(1_000_000_000),
    ]);
    assert_eq!((sim.relay.deadline(), sim.outcome()), (None, None));
}
