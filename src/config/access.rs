//! `access`: which clients a route takes.

use super::address;
use super::error::Complaint;
use super::section::Section;
use super::source::Needed;
use super::value::Value;
use crate::policy::access::Access;
use crate::policy::bearer::Place;
use crate::policy::networks::Networks;
use crate::policy::token::TokenPolicy;
use std::time::Duration;

/// Clocks that differ by more are broken, and a token should not live much longer than it says.
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// All but `forward_auth`.
pub fn read(section: &mut Section<'_>) -> Access {
    let list = |value: &Value<'_>| value.each("\"10.0.0.0/8\"", |entry| entry.parse(address::network));
    let networks = Networks {
        allow: section.read("allow", Vec::new(), list),
        deny: section.read("deny", Vec::new(), list),
    };
    Access { networks, token: section.find_section("jwt").and_then(read_token) }
}

fn read_token(mut section: Section<'_>) -> Option<TokenPolicy> {
    let source = section.source();
    let jwks_file = section.require("jwks_file", "jwks_file = \"jwks.json\", the issuer's keys", |value| {
        let path = value.path()?;
        source.need(Needed::Keys { path: path.clone(), at: value.place().clone() });
        Ok(path)
    });
    let from = section.read("from", vec![Place::Header], places);
    let audience = section.read("audience", Vec::new(), |value| {
        if value.is_empty() {
            return Err(Complaint::new("is an empty list").hint("leave audience out"));
        }
        value.one_or_more("\"chat\"", |entry| entry.parse(name))
    });
    let issuer = section.find("issuer", |value| value.parse(name));
    let leeway = section.read("leeway", TokenPolicy::LEEWAY, |value| {
        let leeway = value.duration_or_zero()?;
        if leeway > MAX_LEEWAY {
            return Err(Complaint::new("is more than clocks differ by").hint("write \"5m\" or less"));
        }
        Ok(leeway)
    });
    Some(TokenPolicy { jwks_file: jwks_file?, from, audience, issuer, leeway })
}

fn places(value: &Value<'_>) -> Result<Vec<Place>, Complaint> {
    if value.is_empty() {
        return Err(
            Complaint::new("is empty: no token would be found").hint("write [\"header\"], or leave it out")
        );
    }
    value.one_or_more("\"header\"", |entry| entry.parse(place))
}

/// `"header"`, `"cookie:NAME"`, `"query:NAME"`, `"subprotocol"`.
fn place(text: &str) -> Result<Place, Complaint> {
    match text.split_once(':') {
        None if text == "header" => Ok(Place::Header),
        None if text == "subprotocol" => Ok(Place::Subprotocol),
        Some(("cookie", name)) if is_token(name) => Ok(Place::Cookie(name.into())),
        Some(("query", name)) if !name.is_empty() => Ok(Place::Query(name.into())),
        _ => {
            let complaint = Complaint::new(format!("{text:?} is not a place for tokens"));
            let (kind, name) = text.split_once(':').unwrap_or((text, ""));
            let otherwise = "write \"header\", \"cookie:NAME\", \"query:NAME\" or \"subprotocol\"";
            Err(match kind {
                "cookie" | "query" if name.is_empty() => {
                    complaint.hint(format!("name it: \"{kind}:access_token\""))
                }
                "cookie" => complaint.hint("a cookie's name has letters, digits and signs, and no spaces"),
                _ => complaint.suggest(kind, &["header", "cookie", "query", "subprotocol"], otherwise),
            })
        }
    }
}

/// RFC 6265 4.1.1: the name of a cookie is a token of HTTP.
fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

fn name(text: &str) -> Result<String, Complaint> {
    if text.is_empty() {
        return Err(Complaint::new("is empty").hint("write the name as it stands in tokens, or leave it out"));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_for_tokens() {
        for (text, expected) in [
            ("header", Place::Header),
            ("subprotocol", Place::Subprotocol),
            ("cookie:__Host-token", Place::Cookie("__Host-token".into())),
            ("query:access_token", Place::Query("access_token".into())),
        ] {
            assert_eq!(place(text), Ok(expected.clone()), "{text}");
            assert_eq!(expected.to_string(), text);
        }
        for (text, hint) in [
            ("headers", "did you mean \"header\"?"),
            ("cookie", "name it: \"cookie:access_token\""),
            ("query:", "name it: \"query:access_token\""),
            ("cookies:a", "did you mean \"cookie\"?"),
            ("cookie:a b", "no spaces"),
            ("Authorization", "write \"header\", \"cookie:NAME\""),
            ("header:x-token", "did you mean"),
            ("", "write \"header\""),
        ] {
            let complaint = place(text).unwrap_err();
            assert!(complaint.hint.as_ref().is_some_and(|it| it.contains(hint)), "{text}: {complaint:?}");
        }
    }
}
