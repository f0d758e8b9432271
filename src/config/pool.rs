//! The keys of `[[backend]]` that matter where it has several servers: who is next, who stays where, who is left out.

use super::error::Complaint;
use super::headers::header_name;
use super::section::Section;
use super::units::show_duration;
use super::value::{Value, or_none};
use crate::backend::balance::Balance;
use crate::backend::health::{HealthSettings, ProbeKind};
use crate::backend::key::HashOn;
use crate::backend::sticky::Sticky;
use crate::backend::{Backend, OnServerDown};
use std::time::Duration;

/// Other servers for one client; more only makes a failing pool slower to say so.
const MOST_RETRIES: u64 = 16;

pub fn read(section: &mut Section<'_>, base: Backend) -> Backend {
    let balances = [
        ("least_conn", Balance::LeastConn),
        ("round_robin", Balance::RoundRobin),
        ("p2c", Balance::TwoChoices),
        ("hash", Balance::Hash),
    ];
    let balance = section.read("balance", base.balance, |value| value.choice(&balances, &[]));
    let hash_on = section.read("hash_on", base.hash_on, |value| value.parse(hash_on));
    if let Some(at) = section.place_of("hash_on").filter(|_| balance != Balance::Hash) {
        let complaint = Complaint::new("only balance = \"hash\" goes by it");
        section.source().problem(&at, complaint.hint("add: balance = \"hash\""));
    }
    let actions = [("keep", OnServerDown::Keep), ("close", OnServerDown::Close)];
    let on_server_down =
        section.read("on_server_down", base.on_server_down, |value| value.choice(&actions, &[]));
    let health = section.find_section("health").map(read_health);
    if let Some(at) = section.place_of("on_server_down")
        && on_server_down == OnServerDown::Close
        && health.is_none()
    {
        let complaint =
            Complaint::new("nobody would notice that a server is down: there is no [backend.health]");
        section.source().problem(&at, complaint.hint("add [backend.health] with kind = \"websocket\""));
    }
    let most = or_none(|value: &Value<'_>| value.number(1..=u64::from(u32::MAX)));
    let max_connections = section.find("max_connections", most);
    let max_connections =
        max_connections.map_or(base.max_connections, |number| number.and_then(|n| usize::try_from(n).ok()));
    let retries = section.find("retries", or_none(|value: &Value<'_>| value.number(1..=MOST_RETRIES)));
    let retries = retries.map_or(base.retries, |number| number.map_or(0, |n| u32::try_from(n).unwrap_or(0)));
    Backend {
        balance,
        hash_on,
        sticky: section.find_section("sticky").and_then(read_sticky),
        retries,
        slow_start: section.read("slow_start", base.slow_start, or_none(Value::duration)),
        max_connections,
        on_server_down,
        health,
        ..base
    }
}

fn hash_on(text: &str) -> Result<HashOn, Complaint> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let is_plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b";=&,".contains(&byte));
    match (kind, name) {
        ("client_ip", "") => Ok(HashOn::ClientIp),
        ("path", "") => Ok(HashOn::Path),
        ("header", name) if !name.is_empty() => Ok(HashOn::Header(header_name(name)?)),
        ("query", name) if is_plain => Ok(HashOn::Query(name.into())),
        ("cookie", name) if is_plain => Ok(HashOn::Cookie(name.into())),
        _ => Err(Complaint::new(format!("{text:?} is no part of a request"))
            .hint("write \"client_ip\", \"path\", \"header:NAME\", \"query:NAME\" or \"cookie:NAME\"")),
    }
}

fn read_sticky(mut section: Section<'_>) -> Option<Sticky> {
    let cookie = section.require("cookie", "cookie = \"framegate\"", |value| value.parse(cookie_name));
    let ttl = section.read("ttl", Duration::from_secs(3600), Value::duration);
    let secret = section.read("secret", String::new(), Value::text);
    Some(Sticky { cookie: cookie?, ttl, secret })
}

/// RFC 6265 4.1.1: a token of HTTP.
fn cookie_name(text: &str) -> Result<String, Complaint> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_token) {
        return Ok(text.into());
    }
    Err(Complaint::new(format!("{text:?} is not the name of a cookie"))
        .hint("letters, digits, - and _: \"framegate\""))
}

fn read_health(mut section: Section<'_>) -> HealthSettings {
    let base = HealthSettings::default();
    let kinds = [("websocket", ProbeKind::WebSocket), ("http", ProbeKind::Http), ("tcp", ProbeKind::Tcp)];
    let count = |value: &Value<'_>| Ok(u32::try_from(value.number(1..=1000)?).unwrap_or(1));
    let health = HealthSettings {
        kind: section.read("kind", base.kind, |value| value.choice(&kinds, &[])),
        path: section.read("path", base.path, |value| value.parse(probe_path)),
        interval: section.read("interval", base.interval, Value::duration),
        timeout: section.read("timeout", base.timeout, Value::duration),
        fall: section.read("fall", base.fall, count),
        rise: section.read("rise", base.rise, count),
    };
    if let Some(at) = section.place_of("path").filter(|_| health.kind == ProbeKind::Tcp) {
        let complaint = Complaint::new("kind = \"tcp\" asks for no path");
        section.source().problem(&at, complaint.hint("remove it, or write kind = \"http\""));
    }
    let late = section.place_of("timeout").or_else(|| section.place_of("interval"));
    if let Some(at) = late.filter(|_| health.timeout > health.interval) {
        let (timeout, interval) = (show_duration(health.timeout), show_duration(health.interval));
        let complaint = Complaint::new(format!("timeout ({timeout}) is above interval ({interval})"));
        section.source().problem(&at, complaint.hint("a probe has to be over before the next one begins"));
    }
    health
}

fn probe_path(text: &str) -> Result<String, Complaint> {
    let is_sound = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_sound {
        return Ok(text.into());
    }
    Err(Complaint::new(format!("{text:?} is not a path")).hint("it begins with a slash: \"/health\""))
}
