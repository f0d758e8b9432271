//! `access.forward_auth`: the server that is asked whether a request may pass.

use super::error::Complaint;
use super::section::Section;
use super::unique::Unique;
use super::value::Value;
use super::{address, backend, headers};
use crate::backend::Server;
use crate::policy::forward_auth::ForwardAuth;
use http::header::HeaderName;

/// `None`: what is wrong was said, and nobody is let in for want of somebody to ask, because nothing runs.
pub fn read(mut section: Section<'_>) -> Option<ForwardAuth> {
    let example = "url = \"http://127.0.0.1:9001/auth\"";
    let url = section.require("url", example, |value| value.parse(address::http_url));
    let timeout = section.read("timeout", ForwardAuth::TIMEOUT, Value::duration);
    let copy_headers = section.read("copy_headers", Vec::new(), names);
    if let (Some((server, _)), Some(at)) = (&url, section.place_of("tls"))
        && !matches!(server, Server::Tcp { tls: true, .. })
    {
        let complaint = Complaint::new("the url is http://, which does not speak TLS");
        section.source().problem(&at, complaint.hint("write https:// in url, or remove tls"));
    }
    let tls = section.find_section("tls").map(backend::read_tls).unwrap_or_default();
    let (server, target) = url?;
    Some(ForwardAuth { server, tls, target, timeout, copy_headers })
}

fn names(value: &Value<'_>) -> Result<Vec<HeaderName>, Complaint> {
    let names =
        value.each("\"x-user\"", |name| Ok((name.parse(headers::editable)?, name.place().clone())))?;
    let mut seen = Unique::new("header");
    let claimed = names.into_iter().map(|(name, at)| {
        seen.claim(value.source(), name.clone(), &at);
        name
    });
    Ok(claimed.collect())
}
