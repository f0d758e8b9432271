//! `headers`: what a route changes in requests and responses on their way.

use super::address::host_and_port;
use super::error::Complaint;
use super::section::Section;
use super::value::Value;
use crate::route::{HeaderEdits, HeaderRules, HostHeader};
use http::header::{HeaderName, HeaderValue};

/// Headers of one hop (RFC 9110 7.6.1) and of the body's framing: the gateway writes them itself, and a stray one would
/// break the connection.
const OURS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub fn read(mut section: Section<'_>, base: &HeaderRules) -> HeaderRules {
    HeaderRules {
        host: section.read("host", base.host.clone(), host),
        request: edits(section.section("request"), &base.request),
        response: edits(section.section("response"), &base.response),
    }
}

fn host(value: &Value<'_>) -> Result<HostHeader, Complaint> {
    let text = value.text()?;
    match text.as_str() {
        "keep" => Ok(HostHeader::Keep),
        "backend" => Ok(HostHeader::Backend),
        _ => {
            let literal = host_and_port(&text).ok().and_then(|_| HeaderValue::from_str(&text).ok());
            literal.map(HostHeader::Literal).ok_or_else(|| {
                Complaint::new(format!("{text:?} is not a Host header")).hint(
                    "write \"keep\", \"backend\", or a host with or without a port: \"chat.internal:8080\"",
                )
            })
        }
    }
}

/// The route's word wins header by header: what it sets it no longer inherits as removed, and the other way round.
fn edits(mut section: Section<'_>, base: &HeaderEdits) -> HeaderEdits {
    let source = section.source();
    let set = section.read("set", Vec::new(), |value| {
        let entries = value.entries()?;
        Ok(entries.iter().filter_map(|(name, value)| value.accept(entry(name, value))).collect())
    });
    let read_name = |value: &Value<'_>| {
        let name = value.parse(editable)?;
        if set.iter().any(|(other, _)| *other == name) {
            let complaint = Complaint::new(format!("{:?} is also in set", name.as_str()));
            source.problem(value.place(), complaint.hint("set alone replaces whatever was there"));
        }
        Ok(name)
    };
    let remove = section.find("remove", |value| value.each("\"x-powered-by\"", read_name));
    let inherited = base.set.iter().filter(|(name, _)| {
        let is_set = set.iter().any(|(own, _)| own == name);
        !is_set && !remove.iter().flatten().any(|own| own == name)
    });
    let set: Vec<_> = inherited.chain(&set).cloned().collect();
    let inherited = || base.remove.iter().filter(|name| set.iter().all(|(own, _)| own != *name)).cloned();
    let remove = remove.unwrap_or_else(|| inherited().collect());
    HeaderEdits { set, remove }
}

fn entry(name: &str, value: &Value<'_>) -> Result<(HeaderName, HeaderValue), Complaint> {
    let name = editable(name)?;
    Ok((name, value.parse(header_value)?))
}

/// The name of a header that an operator may change.
pub fn editable(text: &str) -> Result<HeaderName, Complaint> {
    let name = header_name(text)?;
    let complaint = Complaint::new(format!("{:?} is not the operator's to change", name.as_str()));
    match name.as_str() {
        "host" => Err(complaint.hint("write headers.host = \"keep\", \"backend\" or a host")),
        "sec-websocket-extensions" => {
            Err(complaint.hint("write compression = \"strip\" to remove the offer"))
        }
        own if own.starts_with("sec-websocket-") => {
            Err(complaint.hint("the two ends negotiate with it; a session would not open without"))
        }
        own if OURS.contains(&own) => {
            Err(complaint.hint("it belongs to one connection, and the gateway writes it"))
        }
        _ => Ok(name),
    }
}

pub fn header_name(text: &str) -> Result<HeaderName, Complaint> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Complaint::new(format!("{text:?} is not the name of a header"))
            .hint("letters, digits and dashes, without a colon or a space: \"x-tenant\"")
    })
}

/// The value is never repeated: it may be a secret.
pub fn header_value(text: &str) -> Result<HeaderValue, Complaint> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Complaint::new("is not the value of a header")
            .hint("no line breaks or other control characters, and none at the ends of a variable's value")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_writes_itself_is_not_the_operators() {
        for name in OURS {
            assert!(editable(name).is_err(), "{name}");
        }
        for name in ["Host", "Sec-WebSocket-Key", "sec-websocket-anything", "a b", "a:", "", "é"] {
            assert!(editable(name).is_err(), "{name}");
        }
        assert_eq!(editable("X-Tenant"), Ok(HeaderName::from_static("x-tenant")));
    }

    #[test]
    fn values_are_kept_out_of_debug_output() {
        let value = header_value("Bearer abc").unwrap();
        assert!(!format!("{value:?}").contains("abc"));
        let complaint = header_value("secret\n").unwrap_err();
        assert!(!format!("{complaint:?}").contains("secret"));
    }
}
