//! `[[route]]`: which handshakes go where, and what is asked of them.

use super::backend::Backends;
use super::error::Complaint;
use super::overlap::Taken;
use super::section::Section;
use super::unique::Unique;
use super::value::Value;
use super::{access, forward_auth, headers, pattern, shared};
use crate::route::{HostPattern, Matcher, PathPattern, RefuseBy, Route};
use http::header::{HeaderName, HeaderValue};
use std::sync::Arc;

pub fn read_all(top: &mut Section<'_>, defaults: &Route, backends: &mut Backends) -> Vec<Route> {
    let source = top.source();
    let sections = top.required_tables("route", "[[route]] with backend = \"ws://127.0.0.1:9000\"");
    let (mut names, mut taken) = (Unique::new("name"), Taken::default());
    let mut routes = Vec::new();
    for (index, mut section) in sections.into_iter().enumerate() {
        let name = section.find("name", |value| value.parse(super::name));
        if let (Some(name), Some(at)) = (&name, section.place_of("name")) {
            names.claim(source, name.clone(), &at);
        }
        let Some(mut route) = read(&mut section, defaults, backends) else { continue };
        route.name = name.unwrap_or_else(|| {
            let derived = derive_name(&route.matcher).filter(|name| !names.has(name));
            let name = derived.unwrap_or_else(|| format!("route-{}", index + 1));
            names.claim(source, name.clone(), section.place());
            name
        });
        taken.claim(source, &route.name, &route.matcher, section.place());
        routes.push(route);
    }
    routes
}

/// All but the name. `None` when it is not known which handshakes it is for, or where they go.
fn read(section: &mut Section<'_>, defaults: &Route, backends: &mut Backends) -> Option<Route> {
    let matcher = read_matcher(section);
    let example = "backend = \"ws://127.0.0.1:9000\"";
    let backend = section.require("backend", example, |value| backends.find(value));
    let strip_prefix = section.read("strip_prefix", None, |value| value.parse(pattern::strip_prefix));
    if let (Some(matcher), Some(prefix)) = (&matcher, &strip_prefix) {
        check_prefix(section, &matcher.path, prefix);
    }
    let ways = [("http", RefuseBy::Http), ("close", RefuseBy::Close)];
    let refuse = section.read("refuse", defaults.refuse, |value| value.choice(&ways, &[]));
    let mut asked = section.section("access");
    let access = access::read(&mut asked);
    let forward_auth = asked.find_section("forward_auth").and_then(forward_auth::read);
    drop(asked);
    let mut route = shared::read(section, defaults);
    if let Some(validate_utf8) = section.find("validate_utf8", Value::boolean) {
        let limits = &mut Arc::make_mut(&mut route.rules).limits;
        limits.client.validate_utf8 = validate_utf8;
        limits.backend.validate_utf8 = validate_utf8;
    }
    Some(Route { matcher: matcher?, backend: backend?, strip_prefix, refuse, access, forward_auth, ..route })
}

fn check_prefix(section: &Section<'_>, path: &PathPattern, prefix: &str) {
    let Some(at) = section.place_of("strip_prefix").filter(|_| !pattern::begins_with(path, prefix)) else {
        return;
    };
    let path = path.to_string();
    let complaint = Complaint::new(format!("{prefix:?} does not begin every path that {path:?} matches"));
    let hint = format!("write path = \"{prefix}/*\", or strip what path begins with");
    section.source().problem(&at, complaint.hint(hint));
}

/// `None` when a key that narrows the route is wrong: what is left would match more than is meant, and seem to clash
/// with other routes.
fn read_matcher(section: &mut Section<'_>) -> Option<Matcher> {
    let (host, path) = (section.value("host"), section.value("path"));
    let (fields, subprotocol) = (section.value("match_headers"), section.value("match_subprotocol"));
    let hosts = host.map(|value| value.accept(read_hosts(&value)).filter(|hosts| hosts.len() == value.len()));
    let path = path.map(|value| value.accept(value.parse(pattern::path)));
    let fields =
        fields.map(|value| value.accept(read_fields(&value)).filter(|read| read.len() == value.len()));
    let subprotocol = subprotocol.map(|value| value.accept(value.parse(token)));
    let mut hosts = present_or_default(hosts)?;
    hosts.sort();
    hosts.dedup();
    Some(Matcher {
        hosts,
        path: present_or_default(path)?,
        headers: present_or_default(fields)?,
        subprotocol: present_or_default(subprotocol.map(|read| read.map(Some)))?,
    })
}

/// An absent key narrows nothing; a wrong one makes the whole unusable.
fn present_or_default<T: Default>(read: Option<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|| Some(T::default()))
}

fn read_hosts(value: &Value<'_>) -> Result<Vec<HostPattern>, Complaint> {
    if value.is_empty() {
        return Err(Complaint::new("is an empty list").hint("leave host out to match any host"));
    }
    value.one_or_more("\"chat.example.com\"", |host| host.parse(pattern::host))
}

fn read_fields(value: &Value<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, Complaint> {
    let mut names = Unique::new("header");
    let mut fields = Vec::new();
    for (name, value) in value.entries()? {
        if let Some(name) = value.accept(headers::header_name(&name)) {
            names.claim(value.source(), name.clone(), value.place());
            fields.extend(value.accept(value.parse(headers::header_value)).map(|value| (name, value)));
        }
    }
    // Two routes that ask for the same in another order are the same.
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

/// What a route serves is its best name.
fn derive_name(matcher: &Matcher) -> Option<String> {
    let host = matcher.hosts.first().map(ToString::to_string);
    match (host, &matcher.path) {
        (None, PathPattern::Any) => None,
        (Some(host), PathPattern::Any) => Some(host),
        (host, path) => Some(format!("{}{path}", host.unwrap_or_default())),
    }
}
