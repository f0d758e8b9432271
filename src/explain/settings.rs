//! What the program, a listener, a route and a backend are set to, key by key, as one would write it in the file.
//!
//! A key is one line here. A test holds the tables against `config/full.toml`, which has every key there is.

use crate::backend::balance::Balance;
use crate::backend::health::HealthSettings;
use crate::backend::sticky::Sticky;
use crate::backend::{Backend, BackendTls, OnServerDown, Roots, SendProxy, Server};
use crate::config::{Plan, show_duration, show_size};
use crate::frame::{LaneRules, Opcodes};
use crate::meter::Rate;
use crate::net::descriptors::MaxConnections;
use crate::net::listen::ListenerSettings;
use crate::net::proxy_protocol::ProxyProtocol;
use crate::net::tls::{TlsSettings, TlsVersion};
use crate::observe::log::{LogFormat, QueryValues};
use crate::policy::forward_auth::ForwardAuth;
use crate::policy::origin::OriginMode;
use crate::policy::token::TokenPolicy;
use crate::relay::{HeartbeatMode, Limited, RateAction};
use crate::route::{Compression, HostHeader, PlainHttp, RefuseBy, Route};
use http::header::HeaderName;
use std::fmt::Display;
use std::time::Duration;

/// A key of the file, or below `[[listener]]`, `[[route]]` or `[[backend]]`, and how its value is shown. `None`: it means nothing here.
pub type Setting<T> = (&'static str, fn(&T) -> Option<String>);

/// What holds for the whole program.
pub const GLOBAL: &[Setting<Plan>] = &[
    ("workers", |it| Some(it.workers.map_or_else(|| "auto".into(), |count| count.to_string()))),
    ("trusted_proxies", |it| Some(list(it.trusted_proxies.networks()))),
    ("max_connections", |it| Some(max_connections(it.max_connections))),
    ("log.level", |it| Some(it.log.level.word().into())),
    ("log.format", |it| word(it.log.format == LogFormat::Json, "json", "text")),
    ("log.access", |it| yes(it.log.access)),
    ("log.query", |it| word(it.log.query == QueryValues::Keep, "keep", "redact")),
    ("admin.bind", |it| Some(it.admin.as_ref()?.bind.to_string())),
    ("admin.token_file", |it| {
        Some(it.admin.as_ref()?.token_file.as_ref().map_or_else(none, |path| path.display().to_string()))
    }),
    ("shutdown.pre_stop_delay", |it| span(Some(it.shutdown.pre_stop_delay))),
    ("shutdown.drain_timeout", |it| span(Some(it.shutdown.drain_timeout))),
    ("shutdown.close_spread", |it| span(Some(it.shutdown.close_spread))),
    ("shutdown.handover_timeout", |it| span(Some(it.shutdown.handover_timeout))),
    ("shutdown.close_code", |it| Some(it.shutdown.close_code.to_string())),
];

pub const LISTENER: &[Setting<ListenerSettings>] = &[
    ("proxy_protocol", |it| word(it.proxy_protocol == ProxyProtocol::Require, "require", "off")),
    ("redirect_to_https", |it| yes(it.redirect_to_https)),
    ("handshake_timeout", |it| span(Some(it.handshake_timeout))),
    ("max_header_size", |it| size(Some(it.max_header_size as u64))),
    ("max_connections", |it| count(it.limits.max_connections)),
    ("max_connections_per_ip", |it| count(it.limits.max_connections_per_ip)),
    ("handshakes_per_ip", |it| pace(it.limits.handshakes)),
    ("tls.certificates", |it| tls(it, |tls| Some(list(tls.certificates.iter().map(|it| it.cert.display()))))),
    ("tls.min_version", |it| tls(it, |tls| word(tls.min_version == TlsVersion::Tls13, "1.3", "1.2"))),
    ("tls.ticket_keys", |it| tls(it, |tls| Some(tls.ticket_keys.as_ref()?.display().to_string()))),
    ("tls.client_ca", |it| tls(it, |tls| Some(tls.client_auth.as_ref()?.ca.display().to_string()))),
    ("tls.client_auth", |it| tls(it, |tls| word(tls.client_auth.as_ref()?.required, "require", "optional"))),
];

/// What holds for whatever is asked of a route.
pub const EVERY_REQUEST: &[Setting<Route>] = &[
    ("http", |it| word(it.http == PlainHttp::Reject, "reject", "proxy")),
    ("strip_prefix", |it| Some(it.strip_prefix.clone().unwrap_or_else(none))),
    ("headers.host", |it| Some(host(&it.headers.host))),
    // Of what is set only the names: values may be secrets.
    ("headers.request.set", |it| Some(names(it.headers.request.set.iter().map(|(name, _)| name)))),
    ("headers.request.remove", |it| Some(names(&it.headers.request.remove))),
    ("headers.response.set", |it| Some(names(it.headers.response.set.iter().map(|(name, _)| name)))),
    ("headers.response.remove", |it| Some(names(&it.headers.response.remove))),
    ("access.allow", |it| Some(list(&it.access.networks.allow))),
    ("access.deny", |it| Some(list(&it.access.networks.deny))),
    ("access.jwt.jwks_file", |it| shown(it, |it| Some(it.jwks_file.display().to_string()))),
    ("access.jwt.from", |it| shown(it, |it| Some(list(&it.from)))),
    ("access.jwt.audience", |it| shown(it, |it| Some(list(&it.audience)))),
    ("access.jwt.issuer", |it| shown(it, |it| it.issuer.clone())),
    ("access.jwt.leeway", |it| shown(it, |it| span(Some(it.leeway)))),
    ("access.forward_auth.url", |it| asked(it, |it| Some(it.to_string()))),
    ("access.forward_auth.timeout", |it| asked(it, |it| span(Some(it.timeout)))),
    ("access.forward_auth.copy_headers", |it| asked(it, |it| Some(names(&it.copy_headers)))),
    ("access.forward_auth.tls.ca", |it| asked(it, |it| authorities([&it.server].into_iter(), &it.tls))),
    ("access.forward_auth.tls.cert", |it| {
        asked(it, |it| Some(it.tls.identity.as_ref()?.cert.display().to_string()))
    }),
    ("access.forward_auth.tls.key", |it| {
        asked(it, |it| Some(it.tls.identity.as_ref()?.key.display().to_string()))
    }),
    ("access.forward_auth.tls.server_name", |it| asked(it, |it| it.tls.server_name.clone())),
    ("access.forward_auth.tls.verify", |it| asked(it, |it| verify([&it.server].into_iter(), &it.tls))),
    ("timeouts.idle", |it| span(it.rules.timeouts.idle)),
];

/// What holds for sockets alone.
pub const SESSION: &[Setting<Route>] = &[
    ("origin.allowed", |it| Some(list(&it.origin.allowed))),
    ("origin.allow_missing", |it| yes(it.origin.allow_missing)),
    ("origin.allow_null", |it| yes(it.origin.allow_null)),
    ("origin.mode", |it| word(it.origin.mode == OriginMode::Enforce, "enforce", "report")),
    ("refuse", |it| word(it.refuse == RefuseBy::Close, "close", "http")),
    ("compression", |it| word(it.compression == Compression::Strip, "strip", "passthrough")),
    ("validate_utf8", |it| yes(it.rules.limits.client.validate_utf8)),
    ("limits.max_connections", |it| count(it.crowd.limits.max_connections)),
    ("limits.max_connections_per_ip", |it| count(it.crowd.limits.max_connections_per_ip)),
    ("rate.handshakes", |it| pace(it.crowd.limits.handshakes)),
    ("limits.client.max_frame_size", |it| size(client(it).max_frame_size)),
    ("limits.client.max_message_size", |it| size(client(it).max_message_size)),
    ("limits.client.max_fragments", |it| count(client(it).max_fragments)),
    ("limits.client.opcodes", |it| Some(opcodes(client(it).opcodes))),
    ("limits.backend.max_frame_size", |it| size(backend(it).max_frame_size)),
    ("limits.backend.max_message_size", |it| size(backend(it).max_message_size)),
    ("limits.backend.max_fragments", |it| count(backend(it).max_fragments)),
    ("limits.backend.opcodes", |it| Some(opcodes(backend(it).opcodes))),
    ("rate.messages", |it| rate(it.rules.rates.messages, |amount| amount.to_string())),
    ("rate.bytes", |it| rate(it.rules.rates.bytes, show_size)),
    ("rate.control", |it| rate(it.rules.rates.control, |amount| amount.to_string())),
    ("heartbeat.mode", |it| word(it.rules.heartbeat.mode == HeartbeatMode::Forward, "forward", "answer")),
    ("heartbeat.ping_interval", |it| span(it.rules.heartbeat.ping_interval.client)),
    ("heartbeat.pong_timeout", |it| span(it.rules.heartbeat.pong_timeout)),
    ("heartbeat.backend_ping_interval", |it| span(it.rules.heartbeat.ping_interval.backend)),
    ("timeouts.data_idle", |it| span(it.rules.timeouts.data_idle)),
    ("timeouts.first_message", |it| span(it.rules.timeouts.first_message)),
    ("timeouts.message", |it| span(it.rules.timeouts.message)),
    ("timeouts.write", |it| span(it.rules.timeouts.write)),
    ("timeouts.close", |it| span(Some(it.rules.timeouts.close))),
    ("timeouts.max_connection_age", |it| span(it.rules.timeouts.max_connection_age)),
    ("timeouts.max_connection_age_jitter", |it| {
        Some(it.rules.timeouts.max_connection_age_jitter.to_string())
    }),
];

pub const BACKEND: &[Setting<Backend>] = &[
    ("balance", |it| Some(it.balance.to_string())),
    ("hash_on", |it| Some(it.hash_on.to_string()).filter(|_| it.balance == Balance::Hash)),
    ("sticky.cookie", |it| stuck(it, |sticky| Some(sticky.cookie.clone()))),
    ("sticky.ttl", |it| stuck(it, |sticky| span(Some(sticky.ttl)))),
    // Whether there is one, and no more.
    ("sticky.secret", |it| stuck(it, |sticky| word(sticky.secret.is_empty(), "none", "…"))),
    ("connect_timeout", |it| span(Some(it.connect_timeout))),
    ("upgrade_timeout", |it| span(Some(it.upgrade_timeout))),
    ("retries", |it| Some(if it.retries == 0 { none() } else { it.retries.to_string() })),
    ("slow_start", |it| span(it.slow_start)),
    ("max_connections", |it| Some(it.max_connections.map_or_else(none, |most| most.to_string()))),
    ("send_proxy", |it| word(it.send_proxy == SendProxy::V2, "v2", "off")),
    ("on_server_down", |it| word(it.on_server_down == OnServerDown::Close, "close", "keep")),
    ("health.kind", |it| probed(it, |health| Some(health.kind.to_string()))),
    ("health.path", |it| probed(it, |health| Some(without_values(&health.path)))),
    ("health.interval", |it| probed(it, |health| span(Some(health.interval)))),
    ("health.timeout", |it| probed(it, |health| span(Some(health.timeout)))),
    ("health.fall", |it| probed(it, |health| Some(health.fall.to_string()))),
    ("health.rise", |it| probed(it, |health| Some(health.rise.to_string()))),
    ("tls.ca", |it| authorities(servers(it), &it.tls)),
    ("tls.server_name", |it| it.tls.server_name.clone()),
    ("tls.verify", |it| verify(servers(it), &it.tls)),
    ("tls.cert", |it| Some(it.tls.identity.as_ref()?.cert.display().to_string())),
    ("tls.key", |it| Some(it.tls.identity.as_ref()?.key.display().to_string())),
];

/// How many connections the whole process takes.
pub fn max_connections(of_process: MaxConnections) -> String {
    match of_process {
        MaxConnections::Auto => "auto".into(),
        MaxConnections::AtMost(number) => number.to_string(),
        MaxConnections::Unlimited => none(),
    }
}

fn client(route: &Route) -> &LaneRules {
    &route.rules.limits.client
}

fn backend(route: &Route) -> &LaneRules {
    &route.rules.limits.backend
}

fn none() -> String {
    "none".into()
}

fn word(is_one: bool, one: &str, other: &str) -> Option<String> {
    Some(if is_one { one } else { other }.into())
}

fn yes(is: bool) -> Option<String> {
    Some(is.to_string())
}

fn span(span: Option<Duration>) -> Option<String> {
    Some(span.map_or_else(none, show_duration))
}

fn size(bytes: Option<u64>) -> Option<String> {
    Some(bytes.map_or_else(none, show_size))
}

fn count(count: Option<u32>) -> Option<String> {
    Some(count.map_or_else(none, |count| count.to_string()))
}

fn rate(limited: Option<Limited>, show: fn(u64) -> String) -> Option<String> {
    let Some(Limited { rate, action }) = limited else { return Some(none()) };
    let action = if action == RateAction::Delay { "delay" } else { "close" };
    Some(format!("{} a second, {} at once, {action}", show(rate.per_second()), show(rate.burst())))
}

fn pace(rate: Option<Rate>) -> Option<String> {
    Some(rate.map_or_else(none, |rate| rate.to_string()))
}

fn opcodes(opcodes: Opcodes) -> String {
    list(
        [(opcodes.text, "text"), (opcodes.binary, "binary")]
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| word),
    )
}

fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn names<'a>(names: impl IntoIterator<Item = &'a HeaderName>) -> String {
    list(names.into_iter().map(HeaderName::as_str))
}

fn host(host: &HostHeader) -> String {
    match host {
        HostHeader::Keep => "keep".into(),
        HostHeader::Backend => "backend".into(),
        HostHeader::Literal(value) => value.as_bytes().escape_ascii().to_string(),
    }
}

fn tls(listener: &ListenerSettings, show: impl FnOnce(&TlsSettings) -> Option<String>) -> Option<String> {
    listener.tls.as_ref().and_then(show)
}

fn shown(route: &Route, show: impl FnOnce(&TokenPolicy) -> Option<String>) -> Option<String> {
    route.access.token.as_ref().and_then(show)
}

fn asked(route: &Route, show: impl FnOnce(&ForwardAuth) -> Option<String>) -> Option<String> {
    route.forward_auth.as_ref().and_then(show)
}

fn stuck(backend: &Backend, show: impl FnOnce(&Sticky) -> Option<String>) -> Option<String> {
    backend.sticky.as_ref().and_then(show)
}

/// A probe may carry a token in its query.
fn without_values(path: &str) -> String {
    path.split_once('?').map_or_else(|| path.into(), |(path, _)| format!("{path}?…"))
}

fn probed(backend: &Backend, show: impl FnOnce(&HealthSettings) -> Option<String>) -> Option<String> {
    backend.health.as_ref().and_then(show)
}

fn servers(backend: &Backend) -> impl Iterator<Item = &Server> {
    backend.servers.iter().map(|one| &one.server)
}

fn one_speaks_tls<'a>(mut servers: impl Iterator<Item = &'a Server>) -> bool {
    servers.any(|server| matches!(server, Server::Tcp { tls: true, .. }))
}

fn authorities<'a>(servers: impl Iterator<Item = &'a Server>, tls: &BackendTls) -> Option<String> {
    match &tls.roots {
        _ if !one_speaks_tls(servers) => None,
        Roots::System => Some("system".into()),
        Roots::File(path) => Some(path.display().to_string()),
        Roots::AcceptAny => None,
    }
}

fn verify<'a>(servers: impl Iterator<Item = &'a Server>, tls: &BackendTls) -> Option<String> {
    let shown = word(tls.roots == Roots::AcceptAny, "accept-any-certificate", "true");
    shown.filter(|_| one_speaks_tls(servers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    const FULL: &str = include_str!("../../config/full.toml");

    /// Keys that say what a listener, a route or a backend is: they have rows of their own.
    const WHAT_IT_IS: &[&str] = &[
        "listener.name",
        "listener.bind",
        "route.name",
        "route.host",
        "route.path",
        "route.match_headers",
        "route.match_subprotocol",
        "route.backend",
        "backend.name",
        "backend.servers",
        "backend.servers.url",
        "backend.servers.weight",
        // In the list of certificates.
        "listener.tls.cert",
        "listener.tls.key",
        "listener.tls.certificates.cert",
        "listener.tls.certificates.key",
    ];

    /// Without the names and numbers of items: `route[chat].timeouts.idle` is `route.timeouts.idle`.
    fn schema(key: &str) -> String {
        let parts = key.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        parts.collect()
    }

    #[test]
    fn every_key_of_the_file_is_explained() {
        let written = crate::config::parse(Path::new("full.toml"), FULL, &|_| None).unwrap().written;
        let all: BTreeSet<String> = written.keys().map(schema).collect();
        let is_leaf = |key: &String| !all.iter().any(|other| other.starts_with(&format!("{key}.")));
        let of_items = |key: &&String| {
            ["listener.", "route.", "backend."].iter().any(|list| key.starts_with(list)) && is_leaf(key)
        };
        let explained: BTreeSet<String> = LISTENER
            .iter()
            .map(|(key, _)| format!("listener.{key}"))
            .chain(EVERY_REQUEST.iter().chain(SESSION).map(|(key, _)| format!("route.{key}")))
            .chain(BACKEND.iter().map(|(key, _)| format!("backend.{key}")))
            .chain(WHAT_IT_IS.iter().map(|key| (*key).to_string()))
            .collect();
        let parts_of = |key: &str| explained.iter().any(|known| key.starts_with(&format!("{known}.")));
        let absent: Vec<&String> =
            all.iter().filter(of_items).filter(|key| !explained.contains(*key) && !parts_of(key)).collect();
        assert!(absent.is_empty(), "{absent:#?} have no line in src/explain/settings.rs");
        assert!(explained.len() > 60, "{}", explained.len());
        let unknown: Vec<&String> = explained.iter().filter(|key| !all.contains(*key)).collect();
        assert!(unknown.is_empty(), "{unknown:#?} are keys of no file");
    }
}
