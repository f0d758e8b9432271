//! Where a request carries its token. The places differ in who can use them: only programs can set a header on a
//! WebSocket, browsers have cookies, the query and the offer of subprotocols.

use crate::handshake::{elements, tokens};
use crate::refusal::{Refusal, Refused};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderValue};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer TOKEN` (RFC 6750 2.1).
    Header,
    Cookie(String),
    Query(String),
    /// An entry of the offer; see `token_entries` for its spellings.
    Subprotocol,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header => f.write_str("header"),
            Place::Cookie(name) => write!(f, "cookie:{name}"),
            Place::Query(name) => write!(f, "query:{name}"),
            Place::Subprotocol => f.write_str("subprotocol"),
        }
    }
}

/// The token in the first of these places that has one. A place with two is refused: the server behind might read the
/// one that nobody checked.
pub fn find(places: &[Place], headers: &HeaderMap, query: Option<&str>) -> Result<String, Refused> {
    for place in places {
        let mut found = match place {
            Place::Header => in_header(headers),
            Place::Cookie(name) => in_cookies(headers, name),
            Place::Query(name) => in_query(query.unwrap_or_default(), name),
            Place::Subprotocol => in_offer(headers),
        };
        match (found.pop(), found.pop()) {
            (None, _) => {}
            (Some(token), None) => return Ok(token),
            (Some(_), Some(_)) => {
                return Err(Refusal::TokenMalformed.because(format!("more than one token in {place}")));
            }
        }
    }
    let looked: Vec<String> = places.iter().map(Place::to_string).collect();
    Err(Refusal::TokenMissing.because(format!("no token in {}", looked.join(", "))))
}

/// Of two lines a server may read either, whatever their schemes: both count.
fn in_header(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::AUTHORIZATION);
    let mut bearers = lines.iter().filter_map(|line| {
        let (scheme, token) = line.to_str().ok()?.trim_start().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_string())
    });
    let found = bearers.find(|token| !token.is_empty());
    found.map_or_else(Vec::new, |token| vec![token; lines.iter().count()])
}

/// Other cookies may hold anything at all, and must not hide this one.
fn in_cookies(headers: &HeaderMap, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = String::from_utf8_lossy(pair);
            let Some((key, value)) = pair.split_once('=') else { continue };
            // RFC 6265 4.1.1 lets a value stand in quotes.
            let value = value.trim();
            let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            if key.trim() == name && !bare.is_empty() {
                found.push(bare.to_string());
            }
        }
    }
    found
}

/// Names are compared as a server would read them: `access%5Ftoken` is another spelling of the same parameter.
fn in_query(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(key, value)| !value.is_empty() && decoded(key) == name);
    named.map(|(_, value)| decoded(value)).collect()
}

/// `application/x-www-form-urlencoded`, which is what servers take a query for. What is no escape stays as it is.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escape =
            || str::from_utf8(behind.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (byte, behind) = match (first, escape()) {
            (b'%', Some(byte)) => (byte, &behind[2..]),
            (b'+', _) => (b' ', behind),
            _ => (*first, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn in_offer(headers: &HeaderMap) -> Vec<String> {
    let offered: Vec<&str> = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
    token_entries(&offered).into_iter().flatten().collect()
}

/// Takes the entries that are tokens out of an offer of subprotocols: a server might agree to one, and then it stands in
/// an answer. The others keep their order and their lines. Whether there was one.
pub fn withhold(headers: &mut HeaderMap) -> bool {
    let name = header::SEC_WEBSOCKET_PROTOCOL;
    let offered: Vec<&str> = tokens(headers, &name).collect();
    let secret = token_entries(&offered);
    if secret.iter().all(Option::is_none) {
        return false;
    }
    let mut secret = secret.into_iter().map(|token| token.is_some());
    let mut lines = Vec::new();
    for line in headers.get_all(&name) {
        let kept: Vec<&str> = elements(line).filter(|_| secret.next() == Some(false)).collect();
        lines.extend(HeaderValue::from_str(&kept.join(", ")).ok().filter(|line| !line.is_empty()));
    }
    headers.remove(&name);
    for line in lines {
        headers.append(&name, line);
    }
    true
}

/// The first of an offer that is no token: what an answer of our own may agree to.
pub fn first_harmless(offered: &[String]) -> Option<&str> {
    let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
    let secret = token_entries(&offered);
    offered.into_iter().zip(secret).find(|(_, token)| token.is_none()).map(|(name, _)| name)
}

/// What Kubernetes reads, and what its clients therefore send: the token once more in base64.
const OF_KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";

/// For each entry of an offer the token that it carries. Three spellings are common: `bearer.TOKEN`, that of Kubernetes,
/// and an entry of its own behind one that says `bearer` or `access_token`, which is left for the server to agree to: a
/// browser ends the connection when none of what it offered is chosen.
fn token_entries(offered: &[&str]) -> Vec<Option<String>> {
    let mut is_announced = false;
    let token_of = |entry: &&str| {
        if std::mem::take(&mut is_announced) {
            return Some((*entry).to_string());
        }
        if let Some(encoded) = behind_prefix(entry, OF_KUBERNETES) {
            let inner = BASE64_URL_SAFE_NO_PAD.decode(encoded).ok();
            return Some(inner.and_then(|inner| String::from_utf8(inner).ok()).unwrap_or_default());
        }
        is_announced = ["bearer", "access_token"].iter().any(|word| entry.eq_ignore_ascii_case(word));
        behind_prefix(entry, "bearer.").map(str::to_string)
    };
    offered.iter().map(token_of).collect()
}

fn behind_prefix<'a>(entry: &'a str, prefix: &str) -> Option<&'a str> {
    let (front, behind) = entry.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn found(place: Place, lines: &[(&'static str, &'static str)], query: &str) -> Result<String, Refusal> {
        find(&[place], &map(lines), Some(query)).map_err(|refused| refused.refusal)
    }

    const MISSING: Result<&str, Refusal> = Err(Refusal::TokenMissing);
    const TWICE: Result<&str, Refusal> = Err(Refusal::TokenMalformed);

    #[test]
    fn in_the_header() {
        for (lines, expected) in [
            (&[][..], MISSING),
            (&["Bearer a.b.c"][..], Ok("a.b.c")),
            (&["bearer   a.b.c "], Ok("a.b.c")),
            (&["BEARER a.b.c"], Ok("a.b.c")),
            (&["Basic dTpw"], MISSING),
            (&["Bearer"], MISSING),
            (&["Bearer "], MISSING),
            (&["a.b.c"], MISSING),
            (&["Bearer a.b.c", "Bearer d.e.f"], TWICE),
            (&["Bearer a.b.c", "Basic dTpw"], TWICE),
            (&["Bearer\td.e.f", "Bearer a.b.c"], TWICE),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("authorization", *line)).collect();
            assert_eq!(found(Place::Header, &lines, ""), expected.map(String::from), "{lines:?}");
        }
    }

    #[test]
    fn in_a_cookie() {
        for (lines, expected) in [
            (&[][..], MISSING),
            (&["token=a.b.c"][..], Ok("a.b.c")),
            (&["x=1; token=a.b.c; y=2"], Ok("a.b.c")),
            (&["x=1;token=\"a.b.c\""], Ok("a.b.c")),
            (&["x=caf\u{e9}; token=a.b.c"], Ok("a.b.c")),
            (&["x=1", "token=a.b.c"], Ok("a.b.c")),
            (&["token=a=b"], Ok("a=b")),
            (&["token="], MISSING),
            (&["token"], MISSING),
            (&["Token=a.b.c; xtoken=a.b.c; tokenx=a.b.c"], MISSING),
            (&["token=a.b.c; token=d.e.f"], TWICE),
            (&["token=a.b.c", "token=d.e.f"], TWICE),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            let place = Place::Cookie("token".into());
            assert_eq!(found(place, &lines, ""), expected.map(String::from), "{lines:?}");
        }
    }

    #[test]
    fn in_the_query() {
        for (query, expected) in [
            ("", MISSING),
            ("access_token=a.b.c", Ok("a.b.c")),
            ("v=1&access_token=a.b.c&x", Ok("a.b.c")),
            ("access_token=a%2Eb%2ec", Ok("a.b.c")),
            ("access%5Ftoken=a.b.c", Ok("a.b.c")),
            ("access_token=%zz%", Ok("%zz%")),
            ("access_token=a+b", Ok("a b")),
            ("access_token=", MISSING),
            ("access_token", MISSING),
            ("my_access_token=a.b.c", MISSING),
            ("access_token=a.b.c&access_token=d.e.f", TWICE),
            ("access_token=a.b.c&access%5ftoken=d.e.f", TWICE),
        ] {
            let place = Place::Query("access_token".into());
            assert_eq!(found(place, &[], query), expected.map(String::from), "{query}");
        }
    }

    #[test]
    fn in_the_offer_and_taken_out_of_it() {
        let kubernetes = "base64url.bearer.authorization.k8s.io.YS5iLmM";
        for (lines, expected, left) in [
            (&[][..], MISSING, &[][..]),
            (&["chat"], MISSING, &["chat"]),
            (&["bearer, a.b.c"], Ok("a.b.c"), &["bearer"]),
            (&["Bearer,a.b.c , chat"], Ok("a.b.c"), &["Bearer, chat"]),
            (&["access_token, a.b.c"], Ok("a.b.c"), &["access_token"]),
            (&["chat", "bearer", "a.b.c", "mqtt"], Ok("a.b.c"), &["chat", "bearer", "mqtt"]),
            (&["chat, bearer.a.b.c"], Ok("a.b.c"), &["chat"]),
            (&["bearer.a.b.c"], Ok("a.b.c"), &[]),
            (&[kubernetes, "v4.channel.k8s.io"], Ok("a.b.c"), &["v4.channel.k8s.io"]),
            (&["base64url.bearer.authorization.k8s.io.%"], Ok(""), &[]),
            // The word behind the word is the token, whatever it looks like.
            (&["bearer, chat"], Ok("chat"), &["bearer"]),
            (&["chat, bearer"], MISSING, &["chat, bearer"]),
            (&["bearers, a.b.c"], MISSING, &["bearers, a.b.c"]),
            (&["bearer, a.b.c, bearer.d.e.f"], TWICE, &["bearer"]),
            (&["bearer, a.b.c, access_token, d.e.f"], TWICE, &["bearer, access_token"]),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("sec-websocket-protocol", *line)).collect();
            assert_eq!(found(Place::Subprotocol, &lines, ""), expected.map(String::from), "{lines:?}");
            let mut headers = map(&lines);
            assert_eq!(withhold(&mut headers), expected != MISSING, "{lines:?}");
            let kept: Vec<_> = headers.get_all("sec-websocket-protocol").iter().collect();
            assert_eq!(kept, left, "{lines:?}");
        }
    }

    #[test]
    fn the_first_place_that_has_one_counts() {
        let places = [Place::Query("t".into()), Place::Header, Place::Cookie("t".into())];
        let headers = map(&[("authorization", "Bearer header"), ("cookie", "t=cookie")]);
        let found = |query: &str| find(&places, &headers, Some(query)).unwrap();
        assert_eq!(found("t=query"), "query");
        assert_eq!(found(""), "header");
        let nowhere = find(&places, &HeaderMap::new(), None).unwrap_err();
        assert_eq!(nowhere.detail, "no token in query:t, header, cookie:t");
    }

    #[test]
    fn an_answer_of_ours_agrees_to_no_token() {
        for (offered, expected) in [
            (&[][..], None),
            (&["chat", "mqtt"][..], Some("chat")),
            (&["bearer.a.b.c", "chat"], Some("chat")),
            (&["bearer", "a.b.c"], Some("bearer")),
            (&["Bearer.a.b.c", "access_token", "a.b.c"], Some("access_token")),
            (&["bearer.a.b.c"], None),
            (&["base64url.bearer.authorization.k8s.io.YS5iLmM"], None),
        ] {
            let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
            assert_eq!(first_harmless(&offered), expected, "{offered:?}");
        }
    }
}
