//! Sessions in a table, and one in all its details.

use super::super::figures::{latency, of, size, span};
use super::super::table::{Column, Table, facts};
use super::super::told::{count, number, text};
use serde_json::Value;

/// Rows on their way to a table; no more is kept of a session than what is shown.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<Vec<String>>,
}

impl Rows {
    pub fn add(&mut self, session: &Value) {
        let in_size = |at: &str| number(session, at).map_or(String::new(), size);
        self.rows.push(vec![
            count(session, "/number"),
            text(session, "/route"),
            client(session),
            text(session, "/server"),
            number(session, "/age_ms").map_or(String::new(), span),
            sum(session, "/from_client", BYTES).map_or(String::new(), size),
            sum(session, "/from_backend", BYTES).map_or(String::new(), size),
            round_trip(session, "client").unwrap_or_default(),
            in_size("/waiting_bytes"),
            sum(session, "/from_client", MESSAGES).map_or(String::new(), |count| count.to_string()),
            sum(session, "/from_backend", MESSAGES).map_or(String::new(), |count| count.to_string()),
            text(session, "/id"),
            text(session, "/subprotocol"),
            ending(session).unwrap_or_default(),
        ]);
    }

    pub fn count(&self) -> u64 {
        self.rows.len() as u64
    }

    pub fn table(self) -> Table {
        let mut table = Table::new(vec![
            Column::number("NUMBER"),
            Column::text("ROUTE", 6),
            Column::text("CLIENT", 15),
            Column::text("SERVER", 18).dispensable(4),
            Column::number("AGE").dispensable(1),
            Column::number("IN").dispensable(2),
            Column::number("OUT").dispensable(3),
            Column::number("PING").dispensable(5),
            Column::number("WAITING").dispensable(6),
            Column::number("MSGS IN").dispensable(7),
            Column::number("MSGS OUT").dispensable(8),
            Column::text("ID", 32).dispensable(9),
            Column::text("SUBPROTOCOL", 11).dispensable(10),
            Column::text("ENDING", 8),
        ]);
        self.rows.into_iter().for_each(|row| table.row(row));
        table
    }
}

/// What there is to say of one session.
pub fn detail(session: &Value, room: Option<usize>) -> String {
    let leg = |leg: &str| round_trip(session, leg).map(|time| format!("{leg} {time}"));
    let pings: Vec<String> = ["client", "backend"].into_iter().filter_map(leg).collect();
    let named = |at: &str| Some(text(session, at)).filter(|text| !text.is_empty());
    let topics = [
        ("session", Some(count(session, "/number"))),
        ("id", named("/id")),
        ("route", named("/route")),
        ("listener", named("/listener")),
        ("client", Some(client(session))),
        ("backend", named("/backend")),
        ("server", named("/server")),
        ("subprotocol", named("/subprotocol")),
        ("age", number(session, "/age_ms").map(span)),
        ("from client", passed(session, "/from_client")),
        ("from backend", passed(session, "/from_backend")),
        ("ping time", (!pings.is_empty()).then(|| pings.join(", "))),
        ("waiting", number(session, "/waiting_bytes").map(|bytes| format!("{} to be sent", size(bytes)))),
        ("throttled", number(session, "/throttled_ms").map(span)),
        ("ending", ending(session)),
    ];
    facts(topics.into_iter().filter_map(|(topic, words)| Some((topic, words?))), room)
}

const BYTES: [&str; 2] = ["text_bytes", "binary_bytes"];
const MESSAGES: [&str; 2] = ["text_messages", "binary_messages"];

fn sum(session: &Value, side: &str, names: [&str; 2]) -> Option<u64> {
    let [text, binary] = names.map(|name| number(session, &format!("{side}/{name}")));
    Some(text?.saturating_add(binary?))
}

fn passed(session: &Value, side: &str) -> Option<String> {
    let number = |name: &str| number(session, &format!("{side}/{name}"));
    let kind = |kind: &str| {
        let (messages, bytes) = (number(&format!("{kind}_messages"))?, number(&format!("{kind}_bytes"))?);
        Some(format!("{messages} {kind} ({})", size(bytes)))
    };
    let control = |name: &str| Some(of(number(&format!("{name}s"))?, name));
    let words: Vec<String> =
        [kind("text"), kind("binary"), control("ping"), control("pong")].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Whoever comes over a unix socket has no address.
fn client(session: &Value) -> String {
    Some(text(session, "/client")).filter(|client| !client.is_empty()).unwrap_or_else(|| "-".into())
}

fn round_trip(session: &Value, leg: &str) -> Option<String> {
    number(session, &format!("/rtt_us/{leg}")).map(|micros| latency(micros as f64 / 1000.0))
}

fn ending(session: &Value) -> Option<String> {
    let cause = Some(text(session, "/ending/cause")).filter(|cause| !cause.is_empty())?;
    let code = number(session, "/ending/code").map_or(String::new(), |code| format!(" {code}"));
    let due =
        number(session, "/ending/in_ms").map_or(String::new(), |millis| format!(" in {}", span(millis)));
    Some(format!("{cause}{code}{due}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::table::cut;
    use super::*;
    use serde_json::json;

    fn session(number: u64) -> Value {
        json!({
            "number": number, "id": "0123456789abcdef0123456789abcdef", "route": "chat", "listener": "public",
            "backend": "chat", "server": "ws://10.0.0.1:9000", "client": "203.0.113.9", "subprotocol": null,
            "opened": 1_000_000, "age_ms": 11_520_000,
            "from_client": { "text_messages": 12, "text_bytes": 1500, "binary_messages": 1, "binary_bytes": 36,
                "pings": 1, "pongs": 460 },
            "from_backend": { "text_messages": 3, "text_bytes": 100, "binary_messages": 0, "binary_bytes": 0,
                "pings": 0, "pongs": 0 },
            "rtt_us": { "client": 21_500, "backend": null }, "waiting_bytes": 0, "throttled_ms": 0, "ending": null,
        })
    }

    fn other() -> Value {
        let mut other = session(u64::MAX);
        other["client"] = Value::Null;
        other["route"] = "部屋の部屋の部屋の部屋".into();
        other["server"] = "unix:/run/somewhere/far/down/application.sock".into();
        other["subprotocol"] = "graphql-transport-ws".into();
        other["from_client"]["text_bytes"] = u64::MAX.into();
        other["ending"] = json!({ "cause": "drain", "code": 1012, "in_ms": 2_300 });
        other
    }

    fn rows(sessions: &[Value]) -> Rows {
        let mut rows = Rows::default();
        sessions.iter().for_each(|session| rows.add(session));
        rows
    }

    #[test]
    fn tables_of_three_widths() {
        for (width, sessions, expected) in [
            (
                80,
                &[session(7), session(12)][..],
                "\
NUMBER  ROUTE  CLIENT       SERVER                AGE      IN   OUT    PING
     7  chat   203.0.113.9  ws://10.0.0.1:9000  3h12m  1.5KiB  100B  21.5ms
    12  chat   203.0.113.9  ws://10.0.0.1:9000  3h12m  1.5KiB  100B  21.5ms
",
            ),
            (
                40,
                &[session(7)],
                "\
NUMBER  ROUTE  CLIENT         AGE
     7  chat   203.0.113.9  3h12m
",
            ),
            (
                80,
                &[session(7), other()],
                "\
NUMBER  ROUTE        CLIENT         AGE       IN   OUT  ENDING
                   7  chat         203.0.113.9  3h12m   1.5KiB  100B
18446744073709551615  部屋の部屋…  -            3h12m  16.0EiB  100B  drain 101…
",
            ),
            (
                200,
                &[session(7)],
                "\
NUMBER  ROUTE  CLIENT       SERVER                AGE      IN   OUT    PING  WAITING  MSGS IN  MSGS OUT  ID
     7  chat   203.0.113.9  ws://10.0.0.1:9000  3h12m  1.5KiB  100B  21.5ms       0B       13         3  0123456789abcdef0123456789abcdef
",
            ),
        ] {
            let table = rows(sessions).table().render(Some(width));
            assert_eq!(table.trim_start(), expected, "{width}");
        }
    }

    #[test]
    fn never_wider_than_the_terminal() {
        for width in [1, 10, 40, 80, 200] {
            let all = rows(&[session(7), other(), json!({}), Value::Null]);
            for line in all.table().render(Some(width)).lines() {
                assert_eq!(cut(line, width), line);
            }
            for line in detail(&other(), Some(width)).lines() {
                assert_eq!(cut(line, width), line);
            }
        }
    }

    #[test]
    fn one_in_detail() {
        assert_eq!(
            detail(&session(7), Some(80)),
            "\
session       7
id            0123456789abcdef0123456789abcdef
route         chat
listener      public
client        203.0.113.9
backend       chat
server        ws://10.0.0.1:9000
age           3h12m
from client   12 text (1.5KiB), 1 binary (36B), 1 ping, 460 pongs
from backend  3 text (100B), 0 binary (0B), 0 pings, 0 pongs
ping time     client 21.5ms
waiting       0B to be sent
throttled     0ms
"
        );
        let other = detail(&other(), None);
        assert!(
            other.contains("client        -\n") && other.ends_with("ending        drain 1012 in 2s\n"),
            "{other}"
        );
    }
}
