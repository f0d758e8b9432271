//! Pings and pongs: who answers them, in which order, and which of them pass.

use super::*;

/// Heartbeats of ours on both legs, and nothing else that a clock could start.
fn beating(mode: HeartbeatMode) -> Rules {
    let mut rules = still();
    rules.heartbeat = Heartbeat { mode, ..Rules::default().heartbeat };
    rules
}

fn glued(side: Side, all: &[Bytes]) -> Step {
    Says(side, raw(&all.iter().flat_map(|bytes| bytes.on_the_wire_from(side)).collect::<Vec<u8>>()))
}

#[test]
fn a_ping_is_answered_here_with_its_exact_payload_and_not_relayed() {
    for from in Side::BOTH {
        for payload in [&b""[..], b"x", &[0xFF; 125]] {
            let pong = pong(payload).ours();
            check(still(), &[Says(from, ping(payload))], gets(from, vec![pong], vec![]), GOES_ON);
        }
    }
}

#[test]
fn a_ping_between_the_fragments_of_a_message_is_answered_at_once_and_the_message_stays_whole() {
    for from in Side::BOTH {
        let (start, end) = (text("a").open(), continuation(b"b"));
        check(
            still(),
            &[Says(from, start.clone()), Says(from, ping(b"?")), Says(from, end.clone())],
            gets(from, vec![pong(b"?").ours()], vec![start.clone(), end]),
            GOES_ON,
        );
        // The pong may stand between the fragments of the other direction too.
        check(
            still(),
            &[Says(!from, start.clone()), Says(from, ping(b"?"))],
            gets(from, vec![start, pong(b"?").ours()], vec![]),
            GOES_ON,
        );
    }
}

#[test]
fn every_ping_is_answered_in_order_while_its_leg_can_be_written() {
    for from in Side::BOTH {
        let pings: Vec<Bytes> = (0..30).map(|n| ping(&[n])).collect();
        let pongs: Vec<Bytes> = (0..30).map(|n| pong(&[n]).ours()).collect();
        check(still(), &[glued(from, &pings)], gets(from, pongs, vec![]), GOES_ON);
    }
}

#[test]
fn only_the_latest_ping_is_answered_when_its_leg_was_blocked() {
    for from in Side::BOTH {
        let stuck = binary(&[1; 500]);
        let steps = [
            Blocks(from),
            Says(!from, stuck.clone()),
            Says(from, ping(b"1")),
            glued(from, &[ping(b"2"), ping(b"3")]),
            Takes(from, 100),
            Says(from, ping(b"4")),
        ];
        let partly = gets(from, vec![stuck.clone().head(100)], vec![]);
        check(still(), &steps, partly, GOES_ON);
        let steps = [&steps[..], &[Reads(from), Says(from, ping(b"5"))]].concat();
        let sides = gets(from, vec![stuck, pong(b"4").ours(), pong(b"5").ours()], vec![]);
        check(still(), &steps, sides, GOES_ON);
    }
}

#[test]
fn a_pong_waits_for_the_end_of_the_frame_that_is_under_way_and_no_longer() {
    for from in Side::BOTH {
        let long = binary(&[1; 90]);
        let steps = [
            Says(!from, long.clone().head(50)),
            Says(from, ping(b"old")),
            Says(from, ping(b"new")),
            glued(!from, &[long.clone().tail(50), text("next"), binary(b"after")]),
        ];
        let sides = gets(from, vec![long, pong(b"new").ours(), text("next"), binary(b"after")], vec![]);
        check(still(), &steps, sides, GOES_ON);
    }
}

#[test]
fn a_pong_waits_for_nobodys_message_while_the_other_leg_is_stuck() {
    let big = binary(&[1; 500]);
    check(
        still(),
        &[Blocks(Backend), Says(Client, big), Says(Backend, text("still served"))],
        Pair { client: vec![text("still served")], backend: vec![] },
        GOES_ON,
    );
}

#[test]
fn an_unsolicited_pong_is_swallowed_where_pings_are_answered_here() {
    for from in Side::BOTH {
        let steps = [Says(from, pong(b"hello")), Says(from, pong(b"")), Says(from, text("x"))];
        check(still(), &steps, gets(from, vec![], vec![text("x")]), GOES_ON);
    }
}

#[test]
fn nobody_who_was_told_a_close_is_answered_any_more() {
    for from in Side::BOTH {
        let bye = close(1000, "");
        let steps = [Says(!from, bye.clone()), Says(from, ping(b"?")), Says(from, bye.clone())];
        let sides = gets(from, vec![bye.clone()], vec![bye]);
        check(still(), &steps, sides, ended(By::from(!from), "closed", 1000, ""));
    }
}

#[test]
fn a_backend_that_is_to_hear_its_close_later_is_answered_until_then() {
    check(
        still(),
        &[Ordered(Order::Drain, 1012), Says(Backend, ping(b"?"))],
        Pair { client: vec![close(1012, "drain").ours()], backend: vec![pong(b"?").ours()] },
        GOES_ON,
    );
}

// ---- forward -----------------------------------------------------------------------------------

#[test]
fn pings_and_pongs_pass_verbatim_and_in_order_where_they_are_forwarded() {
    for from in Side::BOTH {
        let said = [
            ping(b"1"),
            text("a").open(),
            ping(b""),
            pong(b"unsolicited"),
            continuation(b"b"),
            pong(&[9; 125]),
            binary(b"c"),
        ];
        check(forwarding(), &[glued(from, &said)], gets(from, vec![], said.to_vec()), GOES_ON);
        let answered = [Says(from, ping(b"?")), Says(!from, pong(b"?"))];
        check(forwarding(), &answered, gets(from, vec![pong(b"?")], vec![ping(b"?")]), GOES_ON);
    }
}

#[test]
fn forwarded_pings_stop_at_a_close() {
    for from in Side::BOTH {
        let bye = close(1000, "");
        let steps = [Says(!from, bye.clone()), Says(from, ping(b"1")), Says(from, pong(b"2"))];
        check(forwarding(), &steps, gets(from, vec![bye.clone()], vec![ping(b"1"), pong(b"2")]), GOES_ON);
        let steps = [Says(from, bye.clone()), Says(!from, bye.clone()), Says(!from, ping(b"late"))];
        let sides = gets(from, vec![bye.clone()], vec![bye]);
        check(forwarding(), &steps, sides, ended(By::from(from), "closed", 1000, ""));
        let steps = [Says(from, frame(0x83, b"")), Says(!from, ping(b"late")), Says(!from, pong(b"late"))];
        let told =
            gets(from, vec![close(1002, "reserved opcode").ours()], vec![to_innocent(!from, "protocol")]);
        check(forwarding(), &steps, told, GOES_ON);
    }
}

#[test]
fn the_pong_to_our_own_ping_never_passes() {
    for mode in [HeartbeatMode::Answer, HeartbeatMode::Forward] {
        let ours = || vec![ping(&beat(1)).ours()];
        let steps = [Wait(25_000), Says(Client, pong(&beat(1))), Says(Backend, pong(&beat(1)))];
        check(beating(mode), &steps, Pair { client: ours(), backend: ours() }, GOES_ON);
    }
}

#[test]
fn a_pong_is_ours_only_by_its_whole_payload() {
    let longer = [&beat(1)[..], b"!"].concat();
    let shorter = &beat(1)[..11];
    let steps =
        [Wait(25_000), Says(Client, pong(&longer)), Says(Client, pong(shorter)), Says(Client, pong(b""))];
    check(
        beating(HeartbeatMode::Forward),
        &steps,
        Pair {
            client: vec![ping(&beat(1)).ours()],
            backend: vec![ping(&beat(1)).ours(), pong(&longer), pong(shorter), pong(b"")],
        },
        GOES_ON,
    );
}

#[test]
fn who_answers_only_our_ping_thereby_settles_the_far_ends_earlier_one() {
    for from in Side::BOTH {
        let mut rules = beating(HeartbeatMode::Forward);
        rules.heartbeat.ping_interval[from] = None;
        let steps = [
            Wait(20_000),
            Says(from, ping(b"one")),
            Says(from, ping(b"two")),
            Wait(5_000),
            // RFC 6455 5.5.3: only the latest of several is answered, and that is ours.
            Says(!from, pong(&beat(1))),
        ];
        let settled =
            gets(from, vec![pong(b"two").ours()], vec![ping(b"one"), ping(b"two"), ping(&beat(1)).ours()]);
        check(rules, &steps, settled, GOES_ON);
    }
}

#[test]
fn who_answers_both_settles_nothing_twice() {
    for from in Side::BOTH {
        let mut rules = beating(HeartbeatMode::Forward);
        rules.heartbeat.ping_interval[from] = None;
        let steps = [
            Wait(20_000),
            Says(from, ping(b"one")),
            Wait(5_000),
            Says(!from, pong(b"one")),
            Says(!from, pong(&beat(1))),
        ];
        let sides = gets(from, vec![pong(b"one")], vec![ping(b"one"), ping(&beat(1)).ours()]);
        check(rules, &steps, sides, GOES_ON);
    }
}

#[test]
fn an_answer_to_our_ping_settles_no_later_one_of_the_far_end() {
    for from in Side::BOTH {
        let mut rules = beating(HeartbeatMode::Forward);
        rules.heartbeat.ping_interval[from] = None;
        let steps = [Wait(25_000), Says(from, ping(b"later")), Says(!from, pong(&beat(1)))];
        let sides = gets(from, vec![], vec![ping(&beat(1)).ours(), ping(b"later")]);
        check(rules.clone(), &steps, sides, GOES_ON);
        let steps = [&steps[..], &[Says(!from, pong(b"later"))]].concat();
        let sides = gets(from, vec![pong(b"later")], vec![ping(&beat(1)).ours(), ping(b"later")]);
        check(rules, &steps, sides, GOES_ON);
    }
}

#[test]
fn who_was_told_a_close_has_no_ping_settled_any_more() {
    let mut rules = beating(HeartbeatMode::Forward);
    rules.heartbeat.ping_interval.client = None;
    let steps = [
        Wait(20_000),
        Says(Client, ping(b"one")),
        Wait(5_000),
        Ordered(Order::Drain, 1012),
        Says(Backend, pong(&beat(1))),
    ];
    let backend = vec![ping(b"one"), ping(&beat(1)).ours()];
    check(rules, &steps, Pair { client: vec![close(1012, "drain").ours()], backend }, GOES_ON);
}
