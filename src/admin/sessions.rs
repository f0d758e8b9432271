//! Live sessions, looked up and shown.
//!
//! Looking at all of them takes a while where there are a hundred thousand. The registry hands out a few hundred at a time
//! and is not locked in between, so no session waits; and this thread turns to its other work just as often.

use super::problem::Problem;
use super::wanted::{Id, Page};
use crate::clock;
use crate::frame::Pair;
use crate::moment::Moment;
use crate::registry::{Facts, Handle, Ordered, Sessions};
use crate::relay::{Cause, Tally};
use http::StatusCode;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So many are looked at before others get their turn. As many as the registry hands out at a time.
const TURN: usize = 256;

/// Shows every session whose handshake is over to `look`, oldest first, until that has seen enough.
pub async fn each(sessions: &Sessions, mut look: impl FnMut(&Arc<Handle>, &Facts) -> bool) {
    for (count, handle) in sessions.iter(0).enumerate() {
        if count % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        if let Some(facts) = handle.facts()
            && !look(&handle, facts)
        {
            return;
        }
    }
}

/// Those that are wanted.
pub async fn collect(sessions: &Sessions, wanted: impl Fn(&Facts) -> bool) -> Vec<Arc<Handle>> {
    let mut found = Vec::new();
    each(sessions, |handle, facts| {
        if wanted(facts) {
            found.push(handle.clone());
        }
        true
    })
    .await;
    found
}

pub async fn page(sessions: &Sessions, page: &Page) -> Value {
    let (mut total, mut shown, mut last, mut more) = (0_u64, Vec::new(), 0, false);
    let now = clock::now();
    each(sessions, |handle, facts| {
        if page.filter.lets(facts, now) {
            total += 1;
            if handle.number() > page.after {
                more = shown.len() == page.limit;
                if !more {
                    last = handle.number();
                    shown.push(show(handle, facts, now));
                }
            }
        }
        true
    })
    .await;
    json!({ "total": total, "next": more.then_some(last), "sessions": shown })
}

/// The one session that is meant.
pub async fn find(sessions: &Sessions, id: &Id) -> Result<Arc<Handle>, Problem> {
    let id = match id {
        Id::Number(number) => {
            let open = sessions.get(*number).filter(|handle| handle.facts().is_some());
            return open.ok_or_else(unknown);
        }
        Id::Request(id) => id,
    };
    let mut found = collect(sessions, |facts| *facts.id == **id).await;
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(unknown()),
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            found.push(last);
            let numbers: Vec<u64> = found.iter().take(AMBIGUOUS).map(|handle| handle.number()).collect();
            let error = format!("{} sessions have this id", found.len());
            let hint = "clients may choose ids; name one of these numbers";
            Err(Problem::new(StatusCode::CONFLICT, error, hint).with("numbers", numbers))
        }
    }
}

/// Numbers that are shown of sessions with one id.
const AMBIGUOUS: usize = 100;

pub fn unknown() -> Problem {
    let hint = "it may have ended: /sessions lists those that live, by number and by the id of their request";
    Problem::new(StatusCode::NOT_FOUND, "there is no such session", hint)
}

/// Everything about one session. Nothing of what it carries.
pub fn show(handle: &Handle, facts: &Facts, now: Moment) -> Value {
    let Facts { id, route, listener, endpoint, client, subprotocol, meters, .. } = facts;
    let age = now.since(facts.opened);
    let (Pair { client: from_client, backend: from_backend }, rtt) = (meters.tallies(), meters.rtt());
    json!({
        "number": handle.number(),
        "id": &**id,
        "route": route.name,
        "listener": &**listener,
        "backend": &*endpoint.backend,
        "server": &*endpoint.label,
        "client": client.as_ref().map(IpAddr::to_string),
        "subprotocol": subprotocol.as_deref(),
        "trace": facts.trace_id(),
        "opened": clock::since_1970().saturating_sub(age).as_secs(),
        "age_ms": millis(age),
        "from_client": show_tally(&from_client),
        "from_backend": show_tally(&from_backend),
        "rtt_us": { "client": rtt.client.map(micros), "backend": rtt.backend.map(micros) },
        "waiting_bytes": meters.waiting(),
        "throttled_ms": millis(meters.throttled()),
        "ending": handle.ordered().map(show_ending),
    })
}

fn show_tally(tally: &Tally) -> Value {
    let Tally { text_messages, text_bytes, binary_messages, binary_bytes, pings, pongs } = tally;
    json!({
        "text_messages": text_messages,
        "text_bytes": text_bytes,
        "binary_messages": binary_messages,
        "binary_bytes": binary_bytes,
        "pings": pings,
        "pongs": pongs,
    })
}

fn show_ending(ordered: Ordered) -> Value {
    let Ordered { order, code, at } = ordered;
    let due = at.saturating_duration_since(Instant::now());
    json!({ "cause": Cause::Order(order).word(), "code": code, "in_ms": millis(due) })
}

pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::filter::Filter;
    use super::*;
    use crate::backend::pool::Place;
    use crate::registry::{Facts, Seat};
    use crate::route::Route;

    fn open(sessions: &Arc<Sessions>, id: &str, route: &str) -> Seat {
        let seat = sessions.enter().unwrap();
        seat.handle().open(Facts {
            id: id.into(),
            route: Arc::new(Route::new(route, 0)),
            listener: "listener".into(),
            endpoint: Place::somewhere().endpoint().clone(),
            client: None,
            subprotocol: None,
            trace: None,
            opened: clock::now(),
            meters: Arc::default(),
        });
        seat
    }

    fn asked(limit: usize, after: u64, route: Option<&str>) -> Page {
        let filter = Filter { route: route.map(String::from), ..Filter::default() };
        Page { filter, limit, after }
    }

    fn numbers(page: &Value) -> Vec<u64> {
        page["sessions"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn pages_have_every_session_once() {
        let sessions = Arc::<Sessions>::default();
        let seats: Vec<Seat> =
            (0..1000).map(|n| open(&sessions, "id", if n % 4 == 0 { "a" } else { "b" })).collect();
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = page(&sessions, &asked(64, after, Some("a"))).await;
            assert_eq!(page["total"], 250);
            seen.extend(numbers(&page));
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, (0..250).map(|n| 4 * n + 1).collect::<Vec<_>>());
        // A page that is just full has no next one.
        let page = page(&sessions, &asked(250, 0, Some("a"))).await;
        assert_eq!((numbers(&page).len(), &page["next"]), (250, &Value::Null));
        drop(seats);
    }

    /// Sessions come and go between two pages and while one is made: those that stay are there, once.
    #[tokio::test]
    async fn pages_under_churn() {
        let sessions = Arc::<Sessions>::default();
        let stay: Vec<Seat> = (0..500).map(|_| open(&sessions, "stays", "a")).collect();
        let churn = tokio::spawn({
            let sessions = sessions.clone();
            async move {
                loop {
                    let passing: Vec<Seat> = (0..300).map(|_| open(&sessions, "passes", "a")).collect();
                    tokio::task::yield_now().await;
                    drop(passing);
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..20 {
            let (mut seen, mut after) = (Vec::new(), 0);
            while let Some(next) = {
                let page = page(&sessions, &asked(100, after, None)).await;
                let shown = page["sessions"].as_array().unwrap();
                let staying = shown.iter().filter(|one| one["id"] == "stays");
                seen.extend(staying.map(|one| one["number"].as_u64().unwrap()));
                tokio::task::yield_now().await;
                page["next"].as_u64()
            } {
                assert!(next > after, "it goes on");
                after = next;
            }
            assert_eq!(seen, stay.iter().map(|seat| seat.handle().number()).collect::<Vec<_>>());
        }
        churn.abort();
    }

    #[tokio::test]
    async fn who_is_meant() {
        let sessions = Arc::<Sessions>::default();
        let seats = [
            open(&sessions, "one", "a"),
            open(&sessions, "two", "a"),
            open(&sessions, "two", "a"),
            open(&sessions, "1", "a"),
        ];
        // Its handshake is under way.
        let early = sessions.enter().unwrap();
        let found = async |text: &str| {
            let found = find(&sessions, &Id::read(text)).await;
            found.map(|handle| handle.number()).map_err(|problem| (problem.status.as_u16(), problem.more))
        };
        assert_eq!(found("one").await, Ok(1));
        assert_eq!(found("1").await, Ok(1), "a number is never an id that a client chose");
        assert_eq!(found("4").await, Ok(4));
        for unknown in ["17", "5", "three", ""] {
            assert_eq!(found(unknown).await.unwrap_err().0, 404, "{unknown}");
        }
        let (status, more) = found("two").await.unwrap_err();
        assert_eq!((status, &more["numbers"]), (409, &json!([2, 3])));
        drop((seats, early));
    }
}
