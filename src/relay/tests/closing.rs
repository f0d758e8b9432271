//! Every way a session ends without a broken rule: a peer's own Close, a peer that is gone, an order from outside.

use super::*;

fn closed(by: Side, code: u16, reason: &'static str) -> End {
    ended(By::from(by), "closed", code, reason)
}

const ORDERS: [(Order, &str, u16); 5] = [
    (Order::Drain, "drain", 1012),
    (Order::Reload, "reload", 1012),
    (Order::BackendDown, "backend_down", 1012),
    (Order::Kick, "kick", 1012),
    (Order::TokenExpired, "auth.expired", 3000),
];

// ---- a peer's own Close ------------------------------------------------------------------------

#[test]
fn a_peers_close_passes_verbatim_and_its_echo_comes_back() {
    let reasons =
        [(1000, "bye"), (1001, ""), (1003, "é"), (1007, "x"), (1008, "x"), (1011, "x"), (1012, "x")];
    for from in Side::BOTH {
        for (code, reason) in reasons.into_iter().chain([(1014, ""), (3000, "lib"), (4999, "app")]) {
            let said = close(code, reason);
            let answer = close(1000, "the echo, in its own words");
            check(
                still(),
                &[Says(from, text("last")), Says(from, said.clone()), Says(!from, answer.clone())],
                gets(from, vec![answer], vec![text("last"), said]),
                closed(from, code, reason),
            );
        }
        let longest: &'static str = "r".repeat(123).leak();
        let said = close(4000, longest);
        check(
            still(),
            &[Says(from, said.clone()), Says(!from, said.clone())],
            gets(from, vec![said.clone()], vec![said]),
            closed(from, 4000, longest),
        );
    }
}

#[test]
fn an_empty_close_stays_empty_both_ways() {
    for from in Side::BOTH {
        check(
            still(),
            &[Says(from, empty_close()), Says(!from, empty_close())],
            gets(from, vec![empty_close()], vec![empty_close()]),
            Some((By::from(from), "closed", None, "")),
        );
    }
}

#[test]
fn an_empty_close_that_nobody_answers_is_echoed_empty() {
    for from in Side::BOTH {
        check(
            still(),
            &[Says(from, empty_close()), Wait(5_000)],
            gets(from, vec![empty_close().ours()], vec![empty_close()]),
            Some((By::from(from), "closed", None, "")),
        );
    }
}

#[test]
fn nothing_is_finished_before_the_echo_came() {
    for from in Side::BOTH {
        let said = close(1000, "");
        check(
            still(),
            &[Says(from, said.clone()), Wait(4_999)],
            gets(from, vec![], vec![said.clone()]),
            GOES_ON,
        );
    }
}

#[test]
fn data_after_a_close_is_not_delivered() {
    for from in Side::BOTH {
        let said = close(1000, "");
        let steps = [
            Says(from, raw(&[said.on_the_wire_from(from), text("glued").on_the_wire_from(from)].concat())),
            Says(from, text("late")),
            Says(from, ping(b"late")),
            Says(from, raw(b"\xFF garbage after the end")),
            Says(!from, said.clone()),
        ];
        check(still(), &steps, gets(from, vec![said.clone()], vec![said]), closed(from, 1000, ""));
    }
}

#[test]
fn data_queued_ahead_of_a_close_is_delivered_both_ways() {
    for from in Side::BOTH {
        let said = close(1000, "done");
        let big = binary(&[3; 70_000]);
        let steps = [
            Blocks(!from),
            Says(from, text("queued")),
            Says(from, big.clone()),
            Says(from, said.clone()),
            Wait(2_000),
            Reads(!from),
            // Who heard a Close may still send what it had begun.
            Says(!from, text("still under way")),
            Says(!from, said.clone()),
        ];
        check(
            still(),
            &steps,
            gets(from, vec![text("still under way"), said.clone()], vec![text("queued"), big, said]),
            closed(from, 1000, "done"),
        );
    }
}

#[test]
fn both_may_close_at_once_and_the_first_is_reported() {
    for first in Side::BOTH {
        let (one, two) = (close(1000, "one"), close(4001, "two"));
        check(
            still(),
            &[Says(first, one.clone()), Says(!first, two.clone())],
            gets(first, vec![two], vec![one]),
            closed(first, 1000, "one"),
        );
    }
}

#[test]
fn a_close_between_the_fragments_of_the_other_side_waits_for_no_message_but_for_the_frame() {
    for from in Side::BOTH {
        let start = text("begun").open();
        check(
            still(),
            &[Says(!from, start.clone()), Says(from, close(1000, "")), Says(!from, close(1000, ""))],
            gets(from, vec![start, close(1000, "")], vec![close(1000, "")]),
            closed(from, 1000, ""),
        );
    }
}

#[test]
fn who_closed_hears_its_own_words_back_when_nobody_answers_in_time() {
    for from in Side::BOTH {
        let said = close(4000, "mine");
        let steps = [Says(from, said.clone()), Says(!from, text("no Close")), Wait(5_000)];
        check(
            still(),
            &steps,
            gets(from, vec![text("no Close"), said.clone().ours()], vec![said]),
            closed(from, 4000, "mine"),
        );
    }
}

#[test]
fn who_closed_hears_its_own_words_back_when_the_other_is_gone_instead() {
    for from in Side::BOTH {
        for gone in [Ends(!from), Breaks(!from)] {
            let said = close(4000, "mine");
            check(
                still(),
                &[Says(from, said.clone()), gone],
                gets(from, vec![said.clone().ours()], vec![said]),
                closed(from, 4000, "mine"),
            );
        }
    }
}

#[test]
fn who_closed_hears_its_own_words_back_when_the_other_breaks_a_rule_instead() {
    for from in Side::BOTH {
        let said = close(4000, "mine");
        check(
            still(),
            &[Says(from, said.clone()), Says(!from, frame(0x83, b""))],
            gets(from, vec![said.clone().ours()], vec![said]),
            closed(from, 4000, "mine"),
        );
    }
}

#[test]
fn who_closed_is_owed_no_pong_any_more() {
    for from in Side::BOTH {
        let (long, said) = (binary(&[1; 50]), close(1000, ""));
        let steps = [
            Says(!from, long.clone().head(30)),
            Says(from, ping(b"?")),
            Says(from, said.clone()),
            Says(!from, long.clone().tail(30)),
            Says(!from, said.clone()),
        ];
        let sides = gets(from, vec![long, said.clone()], vec![said]);
        check(still(), &steps, sides, closed(from, 1000, ""));
    }
}

#[test]
fn who_closed_is_cut_where_the_other_never_ends_its_frame() {
    for from in Side::BOTH {
        let long = binary(&[1; 50]);
        let said = close(1000, "");
        check(
            still(),
            &[Says(!from, long.clone().head(30)), Says(from, said.clone()), Wait(5_000)],
            gets(from, vec![long.head(30)], vec![said]),
            closed(from, 1000, ""),
        );
    }
}

#[test]
fn a_peer_that_ends_its_stream_behind_its_close_still_gets_the_echo() {
    for from in Side::BOTH {
        let said = close(1000, "");
        check(
            still(),
            &[Says(from, said.clone()), Ends(from), Says(!from, said.clone())],
            gets(from, vec![said.clone()], vec![said]),
            closed(from, 1000, ""),
        );
    }
}

#[test]
fn a_peer_that_breaks_behind_its_close_is_told_nothing_and_the_other_may_answer() {
    for from in Side::BOTH {
        let said = close(1000, "");
        let steps = [Says(from, said.clone()), Breaks(from)];
        let sides = gets(from, vec![], vec![said.clone()]);
        check(still(), &steps, sides.clone(), GOES_ON);
        check(still(), &[&steps[..], &[Says(!from, said)]].concat(), sides.clone(), closed(from, 1000, ""));
        check(still(), &[&steps[..], &[Wait(5_000)]].concat(), sides, closed(from, 1000, ""));
    }
}

// ---- gone without a Close ----------------------------------------------------------------------

#[test]
fn a_peer_gone_without_a_close_is_told_of_after_what_it_had_said() {
    for gone in Side::BOTH {
        let word = if gone == Client { "client_lost" } else { "backend_lost" };
        let told = to_bereft(!gone, word);
        let end = match gone {
            Client => ended(By::Client, "client_lost", 1001, "client_lost"),
            Backend => ended(By::Backend, "backend_lost", 1012, "backend_lost"),
        };
        for how in [Ends(gone), Breaks(gone)] {
            let steps = [
                Says(gone, text("whole")),
                Says(gone, binary(b"begun").open()),
                // A header that is not whole was never forwarded: the leg is between frames.
                Says(gone, binary(&[1; 200]).head(3)),
                how.clone(),
            ];
            let sides = gets(gone, vec![], vec![text("whole"), binary(b"begun").open(), told.clone()]);
            check(still(), &steps, sides.clone(), GOES_ON);
            let answered =
                [&steps[..], &[Says(!gone, text("dropped")), Says(!gone, close(1000, ""))]].concat();
            check(still(), &answered, sides.clone(), end);
            let unanswered = [&steps[..], &[Wait(4_999)]].concat();
            check(still(), &unanswered, sides.clone(), GOES_ON);
            check(still(), &[&unanswered[..], &[Wait(1)]].concat(), sides, end);
        }
    }
}

#[test]
fn a_peer_gone_inside_a_frame_leaves_the_other_cut_at_once_and_without_a_close() {
    for gone in Side::BOTH {
        let part = binary(&[4; 300]).head(100);
        let end = match gone {
            Client => ended(By::Client, "client_lost", 1001, "client_lost"),
            Backend => ended(By::Backend, "backend_lost", 1012, "backend_lost"),
        };
        for how in [Ends(gone), Breaks(gone)] {
            let steps = [Says(gone, text("whole")), Says(gone, part.clone()), how];
            check(still(), &steps, gets(gone, vec![], vec![text("whole"), part.clone()]), end);
        }
    }
}

#[test]
fn what_a_peer_had_said_is_read_to_its_end_before_it_is_gone() {
    let (one, two) = (binary(&[1; 5_000]), text("the last word"));
    let steps = [Blocks(Client), Says(Backend, one.clone()), Says(Backend, two.clone()), Ends(Backend)];
    check(still(), &steps, Pair { client: vec![], backend: vec![] }, GOES_ON);
    let lost = to_bereft(Client, "backend_lost");
    let steps = [&steps[..], &[Reads(Client), Says(Client, close(1012, ""))]].concat();
    check(
        still(),
        &steps,
        Pair { client: vec![one, two, lost], backend: vec![] },
        ended(By::Backend, "backend_lost", 1012, "backend_lost"),
    );
}

#[test]
fn both_gone_ends_the_session_at_once() {
    for first in Side::BOTH {
        let code = if first == Client { 1001 } else { 1012 };
        let word = if first == Client { "client_lost" } else { "backend_lost" };
        let told = to_bereft(!first, word);
        let end = ended(By::from(first), word, code, word);
        let steps = [Ends(first), Ends(!first)];
        check(still(), &steps, gets(first, vec![], vec![told]), end);
    }
}

// ---- orders from outside -----------------------------------------------------------------------

#[test]
fn an_order_tells_the_client_first_and_the_backend_once_the_clients_close_came() {
    for (order, word, code) in ORDERS {
        let to_client = close(code, word).ours();
        let to_backend = close(1001, word).ours();
        let end = ended(By::Gateway, word, code, word);
        let steps = [
            Says(Client, text("before")),
            Ordered(order, code),
            Wait(3_000),
            // Under way when the client had not yet heard.
            Says(Client, text("under way")),
            Says(Client, binary(b"in two").open()),
            Says(Backend, text("too late for the client")),
            Says(Client, continuation(b"pieces")),
        ];
        let passed =
            vec![text("before"), text("under way"), binary(b"in two").open(), continuation(b"pieces")];
        check(still(), &steps, Pair { client: vec![to_client.clone()], backend: passed.clone() }, GOES_ON);
        let told = [passed, vec![to_backend]].concat();
        let steps = [&steps[..], &[Says(Client, close(code, word))]].concat();
        let sides = Pair { client: vec![to_client], backend: told };
        check(still(), &steps, sides.clone(), GOES_ON);
        let steps = [&steps[..], &[Says(Backend, close(1001, word))]].concat();
        check(still(), &steps, sides, end);
    }
}

#[test]
fn the_code_of_an_order_can_be_set_and_the_backend_still_hears_1001() {
    check(
        still(),
        &[Ordered(Order::Kick, 4007), Says(Client, close(4007, "")), Says(Backend, close(1001, ""))],
        Pair { client: vec![close(4007, "kick").ours()], backend: vec![close(1001, "kick").ours()] },
        ended(By::Gateway, "kick", 4007, "kick"),
    );
}

#[test]
fn an_order_waits_for_the_end_of_the_backends_frame() {
    let long = binary(&[8; 60]);
    let steps = [
        Says(Backend, long.clone().head(10)),
        Ordered(Order::Drain, 1012),
        Wait(1_000),
        Says(
            Backend,
            raw(&[long.clone().tail(10).on_the_wire_from(Backend), text("no").on_the_wire_from(Backend)]
                .concat()),
        ),
    ];
    check(
        still(),
        &steps,
        Pair { client: vec![long, close(1012, "drain").ours()], backend: vec![] },
        GOES_ON,
    );
}

#[test]
fn a_client_that_never_answers_an_order_is_waited_for_until_the_deadline_and_the_backend_told_then() {
    let told = || vec![close(1012, "drain").ours()];
    let end = ended(By::Gateway, "drain", 1012, "drain");
    let steps = [Ordered(Order::Drain, 1012), Wait(4_900), Says(Client, text("just in time")), Wait(99)];
    let open = Pair { client: told(), backend: vec![text("just in time")] };
    check(still(), &steps, open, GOES_ON);

    let steps = [&steps[..], &[Wait(1), Says(Client, text("too late"))]].concat();
    let sides = Pair { client: told(), backend: vec![text("just in time"), close(1001, "drain").ours()] };
    check(still(), &steps, sides.clone(), GOES_ON);
    check(still(), &[&steps[..], &[Says(Backend, close(1001, ""))]].concat(), sides.clone(), end);
    // The backend in turn has the close timeout for its answer, and no more.
    check(still(), &[&steps[..], &[Wait(4_999)]].concat(), sides.clone(), GOES_ON);
    check(still(), &[&steps[..], &[Wait(5_000)]].concat(), sides, end);
}

#[test]
fn a_client_gone_instead_of_answering_an_order_lets_the_backend_hear_the_order() {
    for gone in [Ends(Client), Breaks(Client)] {
        let steps =
            [Ordered(Order::Drain, 1012), Says(Client, text("last")), gone, Says(Backend, close(1001, ""))];
        check(
            still(),
            &steps,
            Pair {
                client: vec![close(1012, "drain").ours()],
                backend: vec![text("last"), close(1001, "drain").ours()],
            },
            ended(By::Gateway, "drain", 1012, "drain"),
        );
    }
}

#[test]
fn a_client_inside_a_frame_at_the_deadline_of_an_order_leaves_the_backend_cut() {
    let part = binary(&[2; 99]).head(50);
    check(
        still(),
        &[Ordered(Order::Drain, 1012), Says(Client, part.clone()), Wait(5_000)],
        Pair { client: vec![close(1012, "drain").ours()], backend: vec![part] },
        ended(By::Gateway, "drain", 1012, "drain"),
    );
}

#[test]
fn a_backend_that_closes_during_an_order_still_gets_what_the_client_has_under_way() {
    let steps = [
        Ordered(Order::Drain, 1012),
        Says(Backend, close(1000, "")),
        Says(Client, text("under way")),
        Says(Client, close(1012, "")),
    ];
    check(
        still(),
        &steps,
        Pair {
            client: vec![close(1012, "drain").ours()],
            backend: vec![text("under way"), close(1001, "drain").ours()],
        },
        ended(By::Gateway, "drain", 1012, "drain"),
    );
}

#[test]
fn a_backend_gone_during_an_order_is_not_told_and_the_client_keeps_the_order() {
    let steps = [
        Ordered(Order::Drain, 1012),
        Breaks(Backend),
        Says(Client, text("x")),
        Says(Client, close(1012, "")),
    ];
    check(
        still(),
        &steps,
        Pair { client: vec![close(1012, "drain").ours()], backend: vec![] },
        ended(By::Gateway, "drain", 1012, "drain"),
    );
}

#[test]
fn a_client_that_was_told_is_waited_for_though_the_backend_is_gone_inside_a_frame() {
    let steps =
        [Ordered(Order::Drain, 1012), Says(Backend, binary(&[0; 50]).head(20)), Breaks(Backend), Wait(4_999)];
    let told = Pair { client: vec![close(1012, "drain").ours()], backend: vec![] };
    check(still(), &steps, told.clone(), GOES_ON);
    let end = ended(By::Gateway, "drain", 1012, "drain");
    check(still(), &[&steps[..], &[Says(Client, close(1012, ""))]].concat(), told.clone(), end);
    check(still(), &[&steps[..], &[Wait(1)]].concat(), told, end);
}

#[test]
fn a_rule_broken_during_an_order_is_answered_and_the_order_stays_the_reason() {
    let end = ended(By::Gateway, "drain", 1012, "drain");
    let told = vec![close(1012, "drain").ours()];
    check(
        still(),
        &[Ordered(Order::Drain, 1012), Says(Backend, frame(0x83, b"")), Says(Client, close(1012, ""))],
        Pair { client: told.clone(), backend: vec![close(1002, "reserved opcode").ours()] },
        end,
    );
    check(
        still(),
        &[Ordered(Order::Drain, 1012), Says(Client, frame(0x83, b"")), Says(Backend, close(1001, ""))],
        Pair { client: told, backend: vec![close(1001, "drain").ours()] },
        end,
    );
}

#[test]
fn an_order_after_the_end_began_changes_nothing() {
    check(
        still(),
        &[Says(Client, close(1000, "")), Ordered(Order::Drain, 1012), Says(Backend, close(1000, ""))],
        Pair { client: vec![close(1000, "")], backend: vec![close(1000, "")] },
        closed(Client, 1000, ""),
    );
    check(
        still(),
        &[Ordered(Order::Kick, 1008), Ordered(Order::Drain, 1012)],
        Pair { client: vec![close(1008, "kick").ours()], backend: vec![] },
        GOES_ON,
    );
}

#[test]
fn the_close_timeout_is_the_routes() {
    let mut rules = still();
    rules.timeouts.close = secs(60);
    let said = close(1000, "");
    let steps = [Says(Client, said.clone()), Wait(59_999)];
    check(rules.clone(), &steps, gets(Client, vec![], vec![said.clone()]), GOES_ON);
    let sides = gets(Client, vec![said.clone().ours()], vec![said]);
    check(rules, &[&steps[..], &[Wait(1)]].concat(), sides, closed(Client, 1000, ""));
}

#[test]
fn what_a_broken_stream_had_not_been_told_is_thrown_away() {
    let steps =
        [Blocks(Client), Says(Backend, text("never read")), Breaks(Client), Says(Backend, close(1001, ""))];
    check(
        still(),
        &steps,
        Pair { client: vec![], backend: vec![to_bereft(Backend, "client_lost")] },
        ended(By::Client, "client_lost", 1001, "client_lost"),
    );
}

#[test]
fn after_the_end_the_streams_have_what_is_left_of_the_close_timeout_but_a_second_at_least() {
    for (waited, left) in [(0, 5_000), (3_000, 2_000), (4_500, 1_000), (5_000, 1_000)] {
        let mut sim = Sim::new(still(), false);
        sim.play(&[Says(Client, close(1000, "")), Wait(waited), Says(Backend, close(1000, ""))]);
        assert!(sim.outcome().is_some());
        let ends_by = sim.relay.ends_by(sim.now);
        assert_eq!(ends_by.since(sim.now), Duration::from_millis(left));
        assert_eq!(sim.outcome().and_then(Outcome::abandoned), None);
    }
}
