//! Every cause word, provoked by a real client: the log line, the metrics and the list of live sessions tell one story.
//!
//! The tables are the product's own: each has a row for every variant of `Cause`, `Order`, `Violation` or `Refusal`, or
//! this does not compile. What a row provokes must carry the word of its variant, so no row can stand for another.

mod doors;
mod ends;
mod orders;
mod refusals;
mod stage;
mod violations;
mod watch;

/// A list with a row for each variant. One that is in neither list is an error of the compiler's; those behind `besides`
/// have a table of their own.
macro_rules! table {
    ($vis:vis $name:ident: $kind:ident => $row:ty { $($variant:ident => $how:expr,)* } besides { $($other:ident),* }) => {
        $vis fn $name() -> Vec<($kind, $row)> {
            const _: fn($kind) = |it| match it {
                $($kind::$variant { .. } => {})*
                $($kind::$other { .. } => {})*
            };
            vec![$(($kind::$variant, $how)),*]
        }
    };
}

use table;

use framegate::relay::Cause;
use std::collections::BTreeSet;

/// Dashboards, alerts and scripts know these words: one that is spelled otherwise tomorrow breaks them.
#[test]
fn the_words_are_an_interface() {
    let violations = violations::violations().into_iter().map(|(rule, _)| Cause::Violation(rule));
    let orders = orders::orders().into_iter().map(|(order, _)| Cause::Order(order));
    let causes = ends::ends().into_iter().map(|(cause, _)| cause).chain(violations).chain(orders);
    let ends: BTreeSet<&str> = causes.map(Cause::word).collect();
    let expected = "age auth.expired backend_down backend_lost broken client_lost closed drain kick limit.fragments \
                    limit.frame limit.message limit.opcode protocol rate.bytes rate.control rate.messages reload \
                    timeout.data_idle timeout.first_message timeout.idle timeout.message timeout.pong \
                    timeout.write utf8";
    assert_eq!(Vec::from_iter(ends), expected.split_whitespace().collect::<Vec<_>>());
    let refusals = refusals::refusals().into_iter().map(|(refusal, _)| refusal.cause_word());
    let expected = "address auth.algorithm auth.audience auth.expired auth.issuer auth.key auth.malformed auth.missing \
                    auth.not_yet auth.signature auth_answer auth_timeout auth_unreachable backend_answer \
                    backend_connect backend_connect_timeout backend_dns backend_silent backend_tls draining host \
                    limit.address limit.backend limit.listener limit.process limit.route method misdirected \
                    no_route not_upgrade origin overload path rate.handshakes request version";
    assert_eq!(
        Vec::from_iter(refusals.collect::<BTreeSet<_>>()),
        expected.split_whitespace().collect::<Vec<_>>()
    );
}
