//! What is asked for, read strictly: a filter, a page, an order. Pure. A word that is not known is an error, for what it was
//! meant to leave out would be taken.

use super::filter::Filter;
use super::problem::Problem;
use super::words::{Words, about, bad, digits, unknown};
use crate::config;
use crate::policy::bearer::decoded;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// A part of the list of sessions, which is sorted by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub filter: Filter,
    pub limit: usize,
    /// Begins behind this number.
    pub after: u64,
}

/// Sessions a page, where nothing else is asked for, and at the most.
const USUAL_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

impl Page {
    pub fn read(query: &str) -> Result<Page, Problem> {
        let mut page = Page { filter: Filter::default(), limit: USUAL_LIMIT, after: 0 };
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, text) = (decoded(name), decoded(text));
            match name.as_str() {
                _ if seen.contains(&name) => {
                    return Err(bad(format!("{name} is there twice"), "say it once"));
                }
                "limit" => {
                    let limit = digits(&text).and_then(|limit| usize::try_from(limit).ok());
                    page.limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                        bad("limit is not a number of sessions", format!("from 1 to {MAX_LIMIT}"))
                    })?;
                }
                "after" => {
                    page.after = digits(&text).ok_or_else(|| {
                        bad("after is not the number of a session", "take it from next of the page before")
                    })?;
                }
                other => {
                    if !page.filter.take(other, &text)? {
                        let known = "route, server, address, min_age, limit and after";
                        return Err(unknown(other, known));
                    }
                }
            }
            seen.push(name);
        }
        Ok(page)
    }
}

/// One session, by what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    Number(u64),
    /// Of the request. A client may have chosen it.
    Request(String),
}

impl Id {
    /// What is a number is never taken for the id of a request: a client may choose one that is another session's number.
    pub fn read(text: &str) -> Id {
        digits(text).map_or_else(|| Id::Request(text.into()), Id::Number)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => number.fmt(f),
            Id::Request(id) => f.write_str(id),
        }
    }
}

/// Who has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    One(Id),
    Some(Filter),
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kick {
    pub whom: Whom,
    pub code: u16,
    pub over: Duration,
}

/// What a session that has to go is told, if nothing else is asked for: "service restart" brings clients back.
const USUAL_CODE: u16 = 1012;

/// The longest time over which anything is spread.
pub const DAY: Duration = Duration::from_secs(86_400);

impl Kick {
    pub fn read(body: &[u8]) -> Result<Kick, Problem> {
        let mut words = Words::read(body)?;
        let code = words.take("code").map_or(Ok(USUAL_CODE), |code| close_code(&code))?;
        let over = match words.take_text("over")? {
            None => Duration::ZERO,
            Some(over) => config::duration(&over).map_err(about("over"))?,
        };
        if over > DAY {
            return Err(bad("over is longer than a day", "a day, \"24h\", is the longest"));
        }
        let id = words.take("id").map(|id| read_id(&id)).transpose()?;
        let all = words.take_flag("all")?;
        let filter = Filter::take_from(&mut words)?;
        words.end("id, route, server, address, min_age, all, code and over")?;
        let whom = match (id, all, filter.is_empty()) {
            (Some(id), false, true) => Whom::One(id),
            (None, true, true) => Whom::All,
            (None, false, false) => Whom::Some(filter),
            (None, false, true) => return Err(bad("nobody is named", NAMES)),
            _ => return Err(bad("id, all and a filter exclude each other", NAMES)),
        };
        Ok(Kick { whom, code, over })
    }
}

const NAMES: &str = "id names one session; route, server, address and min_age those that fit all of them; \"all\": true everybody";

#[derive(Clone, Debug, PartialEq)]
pub enum Drain {
    /// The whole process, as by SIGTERM.
    All,
    Part {
        filter: Filter,
        /// Sessions a second. `None`: as `[shutdown]` has it.
        pace: Option<f64>,
    },
}

impl Drain {
    pub fn read(body: &[u8]) -> Result<Drain, Problem> {
        let mut words = Words::read(body)?;
        let all = words.take_flag("all")?;
        let pace = words.take("pace").map(|pace| read_pace(&pace)).transpose()?;
        let filter = Filter {
            route: words.take_text("route")?,
            server: words.take_text("server")?,
            ..Filter::default()
        };
        words.end("route, server, pace and all")?;
        match (all, filter.is_empty(), pace) {
            (true, true, None) => Ok(Drain::All),
            (true, true, Some(_)) => {
                Err(bad("a whole drain has the pace of [shutdown] close_spread", "leave pace out"))
            }
            (false, false, pace) => Ok(Drain::Part { filter, pace }),
            (false, true, _) => Err(bad("it is not said what to drain", PARTS)),
            (true, false, _) => Err(bad("all and a part exclude each other", PARTS)),
        }
    }
}

const PARTS: &str = "route or server names a part; \"all\": true ends the process, as SIGTERM does";

/// So many sessions at this pace take so long; all that may be asked for ends within a day.
pub fn span_at(pace: f64, sessions: usize) -> Result<Duration, Problem> {
    let span = Duration::try_from_secs_f64(sessions as f64 / pace).ok().filter(|span| *span <= DAY);
    span.ok_or_else(|| {
        let least = (sessions as f64 / DAY.as_secs_f64() * 100.0).ceil() / 100.0;
        bad(
            format!("{sessions} sessions at {pace} a second take longer than a day"),
            format!("a pace of {least} or more"),
        )
    })
}

/// `{}`, for what has no words.
pub fn read_nothing(body: &[u8]) -> Result<(), Problem> {
    Words::read(body)?.end("none")
}

fn read_id(value: &Value) -> Result<Id, Problem> {
    match value {
        Value::Number(number) if number.is_u64() => Ok(Id::Number(number.as_u64().unwrap_or_default())),
        Value::String(id) if !id.is_empty() => Ok(Id::read(id)),
        _ => Err(bad("id is not one", "the number of a session, or the id of its request")),
    }
}

/// The codes that a server may end a session with. Of the others some are never sent (RFC 6455 7.4.1), and some would
/// accuse the client of what it did not do.
fn close_code(value: &Value) -> Result<u16, Problem> {
    let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
    code.filter(|code| matches!(code, 1000 | 1001 | 1008 | 1011..=1013 | 3000..=4999)).ok_or_else(|| {
        bad("code is not one to end a session with", "1000, 1001, 1008, 1011, 1012, 1013, or 3000 to 4999")
    })
}

fn read_pace(value: &Value) -> Result<f64, Problem> {
    let pace = value.as_f64().filter(|pace| pace.is_finite() && *pace > 0.0);
    pace.ok_or_else(|| bad("pace is not a number above zero", "sessions a second: 50, or 0.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let page = |limit, after| Ok(Page { filter: Filter::default(), limit, after });
        for (query, expected) in [
            ("", page(100, 0)),
            ("limit=1&after=17", page(1, 17)),
            ("&limit=1000&", page(1000, 0)),
            ("%6Cimit=%31%30", page(10, 0)),
            ("limit=0", Err("limit is not")),
            ("limit=1001", Err("limit is not")),
            ("limit=+1", Err("limit is not")),
            ("limit", Err("limit is not")),
            ("after=-1", Err("after is not")),
            ("after=99999999999999999999", Err("after is not")),
            ("limit=1&limit=2", Err("limit is there twice")),
            ("routes=chat", Err("\"routes\" is not known")),
            ("address=10.0.0.1/8", Err("address: ")),
            ("address=nobody", Err("address: ")),
            ("min_age=30", Err("min_age: \"30\" is not")),
        ] {
            match (Page::read(query), expected) {
                (Err(problem), Err(part)) => {
                    assert!(problem.error.contains(part) && !problem.hint.is_empty(), "{query}: {problem:?}");
                }
                (read, expected) => assert_eq!(read.ok(), expected.ok(), "{query}"),
            }
        }
    }

    /// What is read, or a part of the complaint.
    fn check<T: PartialEq + std::fmt::Debug>(
        read: impl Fn(&[u8]) -> Result<T, Problem>,
        cases: Vec<(&str, Result<T, &str>)>,
    ) {
        for (body, expected) in cases {
            match (read(body.as_bytes()), expected) {
                (Err(problem), Err(part)) => {
                    assert!(problem.error.contains(part) && !problem.hint.is_empty(), "{body}: {problem:?}");
                }
                (read, expected) => assert_eq!(read.ok(), expected.ok(), "{body}"),
            }
        }
    }

    #[test]
    fn whom_to_kick() {
        let kick = |whom| Ok(Kick { whom, code: 1012, over: Duration::ZERO });
        let one = |id| kick(Whom::One(id));
        let route = || Whom::Some(Filter { route: Some("chat".into()), ..Filter::default() });
        check(
            Kick::read,
            vec![
                (r#"{"id": 17}"#, one(Id::Number(17))),
                (r#"{"id": "17"}"#, one(Id::Number(17))),
                (r#"{"id": "a1"}"#, one(Id::Request("a1".into()))),
                (r#"{"id": "+17"}"#, one(Id::Request("+17".into()))),
                (r#"{"all": true}"#, kick(Whom::All)),
                (r#"{"route": "chat"}"#, kick(route())),
                (
                    r#"{"route": "chat", "code": 4000, "over": "10s"}"#,
                    Ok(Kick { whom: route(), code: 4000, over: Duration::from_secs(10) }),
                ),
                // Nothing that could mean everybody does, unless it says so.
                ("{}", Err("nobody is named")),
                (r#"{"code": 1000}"#, Err("nobody is named")),
                (r#"{"rout": "chat"}"#, Err("\"rout\" is not known")),
                (r#"{"route": "chat", "adress": "10.0.0.1"}"#, Err("\"adress\" is not known")),
                (r#"{"route": null}"#, Err("route is not a string")),
                (r#"{"all": false}"#, Err("all is not true")),
                (r#"{"all": "true"}"#, Err("all is not true")),
                (r#"{"all": true, "route": "chat"}"#, Err("exclude each other")),
                (r#"{"id": 1, "route": "chat"}"#, Err("exclude each other")),
                (r#"{"id": 1, "all": true}"#, Err("exclude each other")),
                (r#"{"id": -1}"#, Err("id is not one")),
                (r#"{"id": 1.5}"#, Err("id is not one")),
                (r#"{"id": ""}"#, Err("id is not one")),
                (r#"{"id": [1]}"#, Err("id is not one")),
                (r#"{"id": 1, "over": "25h"}"#, Err("longer than a day")),
                (r#"{"id": 1, "over": 10}"#, Err("over is not a string")),
                (r#"{"id": 1, "over": "10"}"#, Err("over: \"10\" is not")),
                ("", Err("not a JSON object")),
                ("[]", Err("not a JSON object")),
                ("id=1", Err("not a JSON object")),
                (r#"{"id": 1} {"all": true}"#, Err("not a JSON object")),
            ],
        );
    }

    #[test]
    fn codes_that_end_a_session() {
        for code in 0..=u16::MAX {
            let may = matches!(code, 1000 | 1001 | 1008 | 1011 | 1012 | 1013) || (3000..5000).contains(&code);
            assert_eq!(close_code(&code.into()).ok(), may.then_some(code), "{code}");
        }
        for wrong in [Value::from(66_536), Value::from(-1), Value::from("1000"), Value::Null] {
            assert!(close_code(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_to_drain() {
        let part = |pace| {
            let filter = Filter { route: Some("chat".into()), ..Filter::default() };
            Ok(Drain::Part { filter, pace })
        };
        let server = Filter { server: Some("ws://a:1".into()), ..Filter::default() };
        check(
            Drain::read,
            vec![
                (r#"{"all": true}"#, Ok(Drain::All)),
                (r#"{"route": "chat"}"#, part(None)),
                (r#"{"route": "chat", "pace": 50}"#, part(Some(50.0))),
                (r#"{"route": "chat", "pace": 0.5}"#, part(Some(0.5))),
                (r#"{"server": "ws://a:1"}"#, Ok(Drain::Part { filter: server, pace: None })),
                ("{}", Err("not said what")),
                (r#"{"pace": 50}"#, Err("not said what")),
                (r#"{"all": true, "pace": 50}"#, Err("the pace of [shutdown]")),
                (r#"{"all": true, "route": "chat"}"#, Err("exclude each other")),
                (r#"{"route": "chat", "pace": 0}"#, Err("pace is not a number")),
                (r#"{"route": "chat", "pace": -1}"#, Err("pace is not a number")),
                (r#"{"route": "chat", "pace": "50"}"#, Err("pace is not a number")),
                (r#"{"route": "chat", "min_age": "1s"}"#, Err("\"min_age\" is not known")),
            ],
        );
    }

    #[test]
    fn paces() {
        for (pace, sessions, expected) in [
            (50.0, 100, Some(2000)),
            (0.5, 1, Some(2000)),
            (1000.0, 0, Some(0)),
            (1.0, 86_400, Some(86_400_000)),
            (1.0, 86_401, None),
            (f64::MIN_POSITIVE, 1, None),
        ] {
            let span = span_at(pace, sessions).ok().map(|span| span.as_millis());
            assert_eq!(span, expected, "{pace} {sessions}");
        }
        let problem = span_at(1.0, 100_000).unwrap_err();
        assert_eq!(problem.hint, "a pace of 1.16 or more");
    }
}
