//! `[[route]]`: which handshakes go where, and what is asked of them.

use super::backend::Backends;
use super::error::Complaint;
use super::overlap::Taken;
use super::section::Section;
use super::shared::{self, Shared};
use super::unique::Unique;
use super::value::Value;
use super::{headers, pattern};
use crate::route::{Matcher, PathPattern, Route};
use http::header::{HeaderName, HeaderValue};
use std::sync::Arc;

/// A route with the defaults of the file, for commands that take none.
pub fn to(backend: usize, name: String, matcher: Matcher) -> Route {
    built(backend, name, matcher, None, Shared::default())
}

pub fn read_all(top: &mut Section<'_>, defaults: &Shared, backends: &mut Backends) -> Vec<Route> {
    let source = top.source();
    let sections = top.required_tables("route", "[[route]] with backend = \"ws://127.0.0.1:9000\"");
    let (mut names, mut taken) = (Unique::new("name"), Taken::default());
    let mut routes = Vec::new();
    for (index, mut section) in sections.into_iter().enumerate() {
        let name = section.find("name", |value| value.parse(super::name));
        if let (Some(name), Some(at)) = (&name, section.place_of("name")) {
            names.claim(source, name.clone(), &at);
        }
        let route = read(&mut section, defaults, backends);
        let Some((matcher, backend, strip_prefix, shared)) = route else { continue };
        let name = name.unwrap_or_else(|| {
            let name = derive_name(&matcher).filter(|name| !names.has(name));
            let name = name.unwrap_or_else(|| format!("route-{}", index + 1));
            names.claim(source, name.clone(), section.place());
            name
        });
        taken.claim(source, &name, &matcher, section.place());
        routes.push(built(backend, name, matcher, strip_prefix, shared));
    }
    routes
}

type Parts = (Matcher, usize, Option<String>, Shared);

/// All but the name.
fn read(section: &mut Section<'_>, defaults: &Shared, backends: &mut Backends) -> Option<Parts> {
    section.not_yet(&["access"]);
    let source = section.source();
    let matcher = read_matcher(section);
    let backend =
        section.require("backend", "backend = \"ws://127.0.0.1:9000\"", |value| backends.find(value));
    let strip_prefix = section.read("strip_prefix", None, |value| value.parse(pattern::strip_prefix));
    if let (Some(matcher), Some(prefix), Some(at)) =
        (&matcher, &strip_prefix, section.place_of("strip_prefix"))
        && !pattern::begins_with(&matcher.path, prefix)
    {
        let complaint = Complaint::new(format!(
            "{prefix:?} does not begin every path that {:?} matches",
            matcher.path.to_string()
        ));
        source.problem(
            &at,
            complaint.hint(format!("write path = \"{prefix}/*\", or strip what path begins with")),
        );
    }
    // The other way to refuse, with a Close that browsers can read, is not built yet.
    section.read("refuse", (), |value| value.choice(&[("http", ())], &["close"]));
    let mut shared = shared::read(section, defaults);
    let validate_utf8 =
        section.read("validate_utf8", shared.rules.limits.client.validate_utf8, Value::boolean);
    shared.rules.limits.client.validate_utf8 = validate_utf8;
    shared.rules.limits.backend.validate_utf8 = validate_utf8;
    Some((matcher?, backend?, strip_prefix, shared))
}

/// `None` when a key that narrows the route is wrong: what is left would match too much, and seem to clash with others.
fn read_matcher(section: &mut Section<'_>) -> Option<Matcher> {
    let hosts = section.value("host");
    let path = section.value("path");
    let fields = section.value("match_headers");
    let subprotocol = section.value("match_subprotocol");
    let hosts = hosts.map(|value| value.accept(read_hosts(&value)));
    let path = path.map(|value| value.accept(value.parse(pattern::path)));
    let fields = fields.map(|value| value.accept(read_fields(&value)));
    let subprotocol = subprotocol.map(|value| value.accept(value.parse(token)));
    Some(Matcher {
        hosts: present_or(hosts, Vec::new())?,
        path: present_or(path, PathPattern::Any)?,
        headers: present_or(fields, Vec::new())?,
        subprotocol: present_or(subprotocol.map(|read| read.map(Some)), None)?,
    })
}

/// Absent keys leave a matcher open; wrong ones make it unusable.
fn present_or<T>(read: Option<Option<T>>, absent: T) -> Option<T> {
    read.unwrap_or(Some(absent))
}

fn read_hosts(value: &Value<'_>) -> Result<Vec<crate::route::HostPattern>, Complaint> {
    let mut hosts = value.one_or_more("\"chat.example.com\"", |host| host.parse(pattern::host))?;
    if value.is_empty() {
        return Err(Complaint::new("is an empty list").hint("leave host out to match any host"));
    }
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

fn read_fields(value: &Value<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, Complaint> {
    let mut names = Unique::new("header");
    let mut fields = Vec::new();
    for (name, value) in value.entries()? {
        let field = headers::header_name(&name);
        if let Some(field) = value.accept(field) {
            names.claim(value.source(), field.clone(), value.place());
            fields.extend(value.accept(value.parse(headers::header_value)).map(|value| (field, value)));
        }
    }
    fields.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    Ok(fields)
}

/// The name of a subprotocol is a token of HTTP (RFC 6455 4.1, item 10).
fn token(text: &str) -> Result<String, Complaint> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) {
        return Ok(text.into());
    }
    Err(Complaint::new(format!("{text:?} is not the name of a subprotocol"))
        .hint("one name without spaces or commas, as clients offer it: \"mqtt\", \"graphql-transport-ws\""))
}

/// What the route serves is its best name.
fn derive_name(matcher: &Matcher) -> Option<String> {
    let host = matcher.hosts.first().map(ToString::to_string);
    match (host, &matcher.path) {
        (None, PathPattern::Any) => None,
        (Some(host), PathPattern::Any) => Some(host),
        (host, path) => Some(format!("{}{path}", host.unwrap_or_default())),
    }
}

fn built(
    backend: usize,
    name: String,
    matcher: Matcher,
    strip_prefix: Option<String>,
    shared: Shared,
) -> Route {
    let Shared { http, compression, headers, origin, rules } = shared;
    let rules = Arc::new(rules);
    Route { name, matcher, backend, http, strip_prefix, compression, headers, origin, rules }
}
