//! The status as a page: words first, then tables, none wider than the terminal.

use super::super::figures::{latency, of, rate, size, span};
use super::super::table::{Column, Table, facts};
use super::super::terminal::clean;
use super::super::told::{count, list, number, text, texts};
use serde_json::Value;

/// An earlier reading, for what happens in a second.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    pub told: &'a Value,
    pub seconds: f64,
}

/// `room`: `None` where nothing is cut.
pub fn page(told: &Value, before: Option<Before<'_>>, room: Option<usize>) -> String {
    // Counters of another process began anew.
    let before = before.filter(|before| before.told.get("pid") == told.get("pid") && before.seconds > 0.0);
    let tables = [
        totals(told, before),
        listeners(told),
        routes(told, before),
        servers(told),
        certificates(told),
        causes(told, before, "ENDED FOR", "SESSIONS", "/ended"),
        causes(told, before, "REFUSED FOR", "HANDSHAKES", "/refused"),
    ];
    let mut page = head(told, room);
    for table in tables.iter().filter(|table| !table.is_empty()) {
        page.push('\n');
        page += &table.render(room);
    }
    page
}

fn head(told: &Value, room: Option<usize>) -> String {
    let topics = [
        ("gateway", gateway(told)),
        ("config", config(told)),
        ("last reload", last_reload(told)),
        ("ping time", ping_time(told)),
        ("waiting", number(told, "/buffered_bytes").map(|bytes| format!("{} to be sent", size(bytes)))),
        ("throttled", number(told, "/throttled_ms").map(|millis| format!("{} in all", span(millis)))),
    ];
    facts(topics.into_iter().filter_map(|(topic, words)| Some((topic, words?))), room)
}

fn gateway(told: &Value) -> Option<String> {
    let is_ready = told.get("ready").and_then(Value::as_bool).unwrap_or_default();
    let mut words = vec![
        format!("framegate {}", text(told, "/version")),
        if is_ready { "ready".into() } else { "not ready: it is draining".into() },
    ];
    words.extend(
        number(told, "/uptime_s").map(|seconds| format!("up {}", span(seconds.saturating_mul(1000)))),
    );
    words.extend(number(told, "/pid").map(|pid| format!("pid {pid}")));
    words.extend(number(told, "/workers").map(|workers| of(workers, "worker")));
    words.extend(number(told, "/sessions/live").map(|live| of(live, "session")));
    Some(words.join(", "))
}

fn config(told: &Value) -> Option<String> {
    let mut words = vec![match text(told, "/config/file") {
        none if none.is_empty() => "from the command line".into(),
        file => file,
    }];
    words.extend(number(told, "/config/generation").map(|generation| format!("generation {generation}")));
    words.extend(ago(told, "/config/loaded").map(|ago| format!("read {ago}")));
    Some(words.join(", "))
}

fn last_reload(told: &Value) -> Option<String> {
    let last = told.pointer("/config/last_reload").filter(|last| last.is_object())?;
    let ago = ago(told, "/config/last_reload/at").unwrap_or_default();
    if last.get("ok") == Some(&Value::Bool(true)) {
        return Some(ago);
    }
    // Its hints stand in lines of their own.
    let problem = last.get("problem").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    Some(format!("{ago}, nothing changed: {}", clean(&problem)))
}

/// By the gateway's own clock: this machine's may be another one.
fn now(told: &Value) -> Option<u64> {
    number(told, "/started")?.checked_add(number(told, "/uptime_s")?)
}

fn ago(told: &Value, at: &str) -> Option<String> {
    let seconds = now(told)?.saturating_sub(number(told, at)?);
    Some(if seconds == 0 { "just now".into() } else { format!("{} ago", span(seconds.saturating_mul(1000))) })
}

fn ping_time(told: &Value) -> Option<String> {
    let leg = |leg: &str, name: &str| {
        let at = |percent: &str| told.pointer(&format!("/rtt/{leg}/{percent}_ms")).and_then(Value::as_f64);
        Some(format!("{name} p50 {}, p99 {}", latency(at("p50")?), latency(at("p99")?)))
    };
    let legs: Vec<String> =
        [leg("client", "clients"), leg("backend", "backends")].into_iter().flatten().collect();
    (!legs.is_empty()).then(|| legs.join("; "))
}

/// How a figure is written.
type Show = fn(u64) -> String;

const TOTALS: [(&str, &str, Show); 7] = [
    ("sessions opened", "/sessions/opened", plain),
    ("sessions ended", "/sessions/ended", plain),
    ("handshakes refused", "/sessions/refused", plain),
    ("messages from clients", "/messages/from_client", plain),
    ("messages from backends", "/messages/from_backend", plain),
    ("bytes from clients", "/bytes/from_client", size),
    ("bytes from backends", "/bytes/from_backend", size),
];

fn plain(number: u64) -> String {
    number.to_string()
}

fn totals(told: &Value, before: Option<Before<'_>>) -> Table {
    let mut table = counted(vec![Column::text("SINCE IT STARTED", 8)], "ALL", before);
    for (name, at, show) in TOTALS {
        let Some(all) = number(told, at) else { continue };
        let per_second = before.map(|before| match per_second(told, before, at) {
            Some(bytes) if at.starts_with("/bytes") => size(bytes as u64),
            Some(other) => rate(other),
            None => String::new(),
        });
        table.row([name.into(), show(all)].into_iter().chain(per_second).collect());
    }
    table
}

/// Columns before a counter, the counter, and what it comes to in a second.
fn counted(mut columns: Vec<Column>, head: &'static str, before: Option<Before<'_>>) -> Table {
    columns.push(Column::number(head));
    columns.extend(before.map(|_| Column::number("A SECOND")));
    Table::new(columns)
}

fn per_second(told: &Value, before: Before<'_>, at: &str) -> Option<f64> {
    // What is new was not counted before.
    let more = number(told, at)?.checked_sub(number(before.told, at).unwrap_or_default())?;
    Some(more as f64 / before.seconds)
}

fn listeners(told: &Value) -> Table {
    let columns = ["LISTENER", "BIND", "TLS"].map(|head| Column::text(head, 12));
    let mut table =
        Table::new(columns.into_iter().chain([Column::number("CONNECTIONS").dispensable(1)]).collect());
    for one in list(told, "/listeners") {
        let tls = if one.get("tls") == Some(&Value::Bool(true)) { "yes" } else { "no" };
        table.row(vec![text(one, "/name"), text(one, "/bind"), tls.into(), count(one, "/connections")]);
    }
    table
}

fn routes(told: &Value, before: Option<Before<'_>>) -> Table {
    let columns = vec![
        Column::text("ROUTE", 10),
        Column::text("HOST", 12).dispensable(2),
        Column::text("PATH", 8).dispensable(1),
        Column::text("BACKEND", 8).dispensable(3),
        Column::number("LIVE"),
    ];
    let mut table = counted(columns, "OPENED", before);
    for one in list(told, "/routes") {
        let host = Some(texts(one, "/host")).filter(|host| !host.is_empty()).unwrap_or_else(|| "any".into());
        let mut cells = vec![text(one, "/name"), host, text(one, "/path"), text(one, "/backend")];
        cells.extend([count(one, "/live"), count(one, "/opened")]);
        cells.extend(before.map(|before| opened_per_second(one, before).map_or(String::new(), rate)));
        table.row(cells);
    }
    table
}

/// A reload may have moved the route to another place, or brought it.
fn opened_per_second(route: &Value, before: Before<'_>) -> Option<f64> {
    let mut routes = list(before.told, "/routes").iter();
    let told = routes.find(|other| other.get("name") == route.get("name"))?;
    per_second(route, Before { told, ..before }, "/opened")
}

fn servers(told: &Value) -> Table {
    let mut table = Table::new(vec![
        Column::text("BACKEND", 10).dispensable(1),
        Column::text("SERVER", 20),
        Column::text("STATE", 7),
        Column::number("LIVE"),
    ]);
    for backend in list(told, "/backends") {
        for server in list(backend, "/servers") {
            let cells = vec![text(backend, "/name"), text(server, "/server"), text(server, "/state")];
            table.row(cells.into_iter().chain([count(server, "/live")]).collect());
        }
    }
    table
}

fn certificates(told: &Value) -> Table {
    let mut table = Table::new(vec![
        Column::text("CERTIFICATE", 24),
        Column::text("LISTENER", 10).dispensable(1),
        Column::text("NAMES", 12).dispensable(2),
        Column::number("DAYS LEFT"),
    ]);
    for one in list(told, "/certificates") {
        let left = days_left(told, one).unwrap_or_default();
        table.row(vec![text(one, "/file"), text(one, "/listener"), texts(one, "/names"), left]);
    }
    table
}

fn days_left(told: &Value, certificate: &Value) -> Option<String> {
    let (now, end) = (now(told)?, certificate.get("not_after")?.as_i64()?);
    let seconds = end.checked_sub(i64::try_from(now).ok()?)?;
    Some(if seconds <= 0 { "expired".into() } else { (seconds / 86_400).to_string() })
}

/// The most frequent first.
fn causes(
    told: &Value,
    before: Option<Before<'_>>,
    head: &'static str,
    counts: &'static str,
    at: &str,
) -> Table {
    let mut table = counted(vec![Column::text(head, 12)], counts, before);
    let Some(causes) = told.pointer(at).and_then(Value::as_object) else { return table };
    let mut causes: Vec<(&String, u64)> =
        causes.iter().filter_map(|(cause, count)| Some((cause, count.as_u64()?))).collect();
    causes.sort_by_key(|(cause, count)| (std::cmp::Reverse(*count), *cause));
    for (cause, count) in causes {
        let per_second = before.map(|before| {
            // No cause has a sign in it that a pointer would take for its own.
            per_second(told, before, &format!("{at}/{cause}")).map_or(String::new(), rate)
        });
        let cells = [clean(cause).into(), count.to_string()];
        table.row(cells.into_iter().chain(per_second).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told() -> Value {
        json!({
            "version": "0.1.0", "pid": 4711, "started": 1_000_000, "uptime_s": 11_520, "ready": true, "workers": 2,
            "config": {
                "file": "/etc/framegate/framegate.toml", "generation": 4, "loaded": 1_010_800,
                "last_reload": { "at": 1_011_400, "ok": false,
                    "problem": "framegate.toml:3:7: log.level: \"loud\" is not known\n  hint: did you mean \"warn\"?" },
            },
            "sessions": { "live": 1234, "opened": 56_789, "ended": 55_555, "refused": 12 },
            "listeners": [
                { "name": "public", "bind": "0.0.0.0:443", "tls": true, "connections": 1240 },
                { "name": "local", "bind": "unix:/run/framegate/local.sock", "tls": false, "connections": 0 },
            ],
            "routes": [
                { "name": "chat", "host": ["chat.example.com", "chat.example.org"], "path": "/socket/*", "backend": "chat",
                  "live": 1200, "opened": 56_000 },
                { "name": "部屋", "host": [], "path": "/*", "backend": "rooms", "live": 34, "opened": 789 },
            ],
            "backends": [{ "name": "chat", "servers": [
                { "server": "ws://10.0.0.1:9000", "state": "up", "live": 700 },
                { "server": "ws://10.0.0.2:9000", "state": "ejected", "live": 500 },
            ] }],
            "certificates": [
                { "listener": "public", "file": "site.pem", "names": ["example.com", "*.example.com"], "not_after": 6_195_520 },
                { "listener": "public", "file": "old.pem", "names": ["old.example"], "not_after": 1_011_519 },
            ],
            "ended": { "closed": 50_000, "timeout.pong": 5_555 },
            "refused": { "origin": 12 },
            "messages": { "from_client": 18_446_744_073_709_551_615_u64, "from_backend": 20 },
            "bytes": { "from_client": 1536, "from_backend": 18_446_744_073_709_551_615_u64 },
            "throttled_ms": 12_000, "buffered_bytes": 2048,
            "rtt": { "client": { "p50_ms": 21.5, "p99_ms": 340 }, "backend": { "p50_ms": 0.25, "p99_ms": 1.5 } },
        })
    }

    #[test]
    fn a_whole_page() {
        let expected = "\
gateway       framegate 0.1.0, ready, up 3h12m, pid 4711, 2 workers, 1234
              sessions
config        /etc/framegate/framegate.toml, generation 4, read 12m ago
last reload   2m ago, nothing changed: framegate.toml:3:7: log.level: \"loud\" is
              not known hint: did you mean \"warn\"?
ping time     clients p50 21.5ms, p99 340ms; backends p50 0.25ms, p99 1.50ms
waiting       2.0KiB to be sent
throttled     12s in all

SINCE IT STARTED                         ALL
sessions opened                        56789
sessions ended                         55555
handshakes refused                        12
messages from clients   18446744073709551615
messages from backends                    20
bytes from clients                    1.5KiB
bytes from backends                  16.0EiB

LISTENER  BIND                            TLS  CONNECTIONS
public    0.0.0.0:443                     yes         1240
local     unix:/run/framegate/local.sock  no             0

ROUTE  HOST                                PATH       BACKEND  LIVE  OPENED
chat   chat.example.com, chat.example.org  /socket/*  chat     1200   56000
部屋   any                                 /*         rooms      34     789

BACKEND  SERVER              STATE    LIVE
chat     ws://10.0.0.1:9000  up        700
chat     ws://10.0.0.2:9000  ejected   500

CERTIFICATE  LISTENER  NAMES                       DAYS LEFT
site.pem     public    example.com, *.example.com         60
old.pem      public    old.example                   expired

ENDED FOR     SESSIONS
closed           50000
timeout.pong      5555

REFUSED FOR  HANDSHAKES
origin               12
";
        assert_eq!(page(&told(), None, Some(80)), expected);
    }

    #[test]
    fn never_wider_than_the_terminal() {
        for width in [10, 20, 40, 80, 200] {
            for line in page(&told(), Some(Before { told: &told(), seconds: 1.0 }), Some(width)).lines() {
                assert!(super::super::super::table::cut(line, width) == line, "{width}: {line}");
            }
        }
        let whole = page(&told(), None, None);
        assert!(whole.contains("2 workers, 1234 sessions\n") && !whole.contains('…'), "{whole}");
    }

    #[test]
    fn what_happens_in_a_second() {
        let before = told();
        let mut told = told();
        told["sessions"]["opened"] = 56_889.into();
        told["bytes"]["from_client"] = 4096.into();
        told["messages"]["from_client"] = 0.into();
        told["routes"][0]["opened"] = 56_050.into();
        told["ended"]["age"] = 5.into();
        let text = page(&told, Some(Before { told: &before, seconds: 2.0 }), Some(80));
        let row = |begin: &str| {
            let line = text.lines().find(|line| line.starts_with(begin)).unwrap();
            line.split_whitespace().last().unwrap().to_string()
        };
        assert_eq!(row("sessions opened"), "50.0");
        assert_eq!(row("sessions ended"), "0");
        assert_eq!(row("bytes from clients"), "1.2KiB");
        assert_eq!(row("messages from clients"), "0", "counters that go back have no rate");
        assert_eq!(row("chat  "), "25.0");
        assert_eq!(row("age"), "2.5", "a cause that is new");
        told["pid"] = 4712.into();
        let text = page(&told, Some(Before { told: &before, seconds: 2.0 }), Some(80));
        assert!(!text.contains("A SECOND"), "another process counts anew: {text}");
    }

    /// As by another version, or by somebody else.
    #[test]
    fn what_is_not_said_is_left_out() {
        assert_eq!(
            page(&json!({}), None, Some(80)),
            "gateway       framegate , not ready: it is draining\nconfig        from the command line\n"
        );
        let odd = json!({ "version": 7, "routes": [{}, null, 3], "listeners": {}, "ended": [], "backends": [{ "servers": 1 }],
            "rtt": { "client": { "p50_ms": null } }, "uptime_s": u64::MAX, "started": u64::MAX,
            "certificates": [{ "not_after": i64::MIN }], "config": { "last_reload": {} } });
        assert!(page(&odd, None, Some(40)).contains("HOST\nany\n"));
    }

    #[test]
    fn nothing_that_a_terminal_obeys() {
        fn spoil(value: &mut Value) {
            match value {
                Value::String(text) => text.push_str("\x1b[2J\u{9b}\n\u{202e}"),
                Value::Array(list) => list.iter_mut().for_each(spoil),
                Value::Object(map) => {
                    map.values_mut().for_each(spoil);
                    if map.contains_key("closed") {
                        map.insert("\x1b]0;\u{9b}".into(), 1.into());
                    }
                }
                _ => {}
            }
        }
        let mut spoiled = told();
        spoil(&mut spoiled);
        let text = page(&spoiled, None, None);
        assert!(!text.contains(['\x1b', '\u{9b}', '\u{202e}']), "{text}");
    }
}
