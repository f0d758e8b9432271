//! What each policy of a route says to a request: the gateway's own functions, asked for a request that nobody sent.
//!
//! A policy is one line of [`POLICIES`], in the order in which the gateway asks them.

use crate::config::show_duration;
use crate::handshake::request::{Asked, Wants};
use crate::keyring;
use crate::policy::bearer;
use crate::policy::origin::{OriginFacts, OriginMode, Rule};
use crate::policy::seen::Seen;
use crate::refusal::{Refusal, Refused};
use crate::route::{PlainHttp, Route};
use http::request;
use std::time::Duration;

/// A request on its route.
pub struct Case<'a> {
    pub route: &'a Route,
    pub head: &'a request::Parts,
    pub asked: &'a Asked,
    pub seen: &'a Seen,
    /// Since the start of 1970.
    pub now: Duration,
}

/// What a policy says, and which key of the route had the last word.
pub struct Ruling {
    pub policy: &'static str,
    pub key: &'static str,
    pub verdict: Result<String, Refused>,
    /// What only a running gateway can find out, and has to, before anybody is let in.
    pub provided: Option<String>,
}

/// `None`: it is not asked about such a request.
type Policy = fn(&Case<'_>) -> Option<Ruling>;

pub const POLICIES: &[Policy] = &[plain_http, origin, addresses, token, forward_auth];

fn plain_http(case: &Case<'_>) -> Option<Ruling> {
    if case.asked.wants != Wants::Plain {
        return None;
    }
    let verdict = match case.route.http {
        PlainHttp::Proxy => Ok("takes plain requests".into()),
        PlainHttp::Reject => {
            Err(Refusal::NotUpgrade.because(format!("a plain request on route {}", case.route.name)))
        }
    };
    Some(Ruling { policy: "http", key: "http", verdict, provided: None })
}

fn origin(case: &Case<'_>) -> Option<Ruling> {
    // A page may fetch what CORS lets it: only a socket is asked where it comes from.
    if case.asked.wants == Wants::Plain {
        return None;
    }
    let policy = &case.route.origin;
    let origins = OriginFacts::lines(&case.head.headers);
    let authority = case.seen.authority(&case.head.headers, &case.asked.authority);
    let facts = OriginFacts { origins: &origins, scheme: case.seen.scheme, authority };
    let key = match policy.ruling(&origins) {
        Rule::Allowed => "origin.allowed",
        Rule::AllowMissing => "origin.allow_missing",
        Rule::AllowNull => "origin.allow_null",
    };
    let (key, verdict) = match (policy.judge(facts), policy.mode) {
        (Ok(()), _) if origins.is_empty() => (key, Ok("admits clients that name none".into())),
        (Ok(()), _) => (key, Ok(format!("admits {}", origins[0].escape_ascii()))),
        (Err(denial), OriginMode::Enforce) => (key, Err(Refusal::Origin.because(denial.0))),
        (Err(denial), OriginMode::Report) => ("origin.mode", Ok(format!("only logs: {}", denial.0))),
    };
    Some(Ruling { policy: "origin", key, verdict, provided: None })
}

fn addresses(case: &Case<'_>) -> Option<Ruling> {
    let networks = &case.route.access.networks;
    let client = case.seen.client;
    let is_denied =
        client.is_some_and(|client| networks.deny.iter().any(|network| network.contains(&client)));
    let only_denies = networks.allow.is_empty() && !networks.deny.is_empty();
    let key = if is_denied || only_denies { "access.deny" } else { "access.allow" };
    let verdict = networks.judge(client).map(|()| "admits the client's address".into());
    Some(Ruling { policy: "address", key, verdict, provided: None })
}

fn token(case: &Case<'_>) -> Option<Ruling> {
    let policy = case.route.access.token.as_ref()?;
    let mut provided = None;
    let found = bearer::find(&policy.from, &case.head.headers, case.head.uri.query());
    let verdict = found.and_then(|token| match keyring::read(&policy.jwks_file) {
        Ok(keys) => {
            let left = policy.judge(&token, &keys, case.now)?;
            Ok(format!("admits the token, for {}", show_duration(Duration::from_secs(left.as_secs()))))
        }
        Err(why) => {
            provided = Some("its token is good".into());
            Ok(format!("takes tokens, and cannot judge this one: {why}"))
        }
    });
    Some(Ruling { policy: "token", key: "access.jwt.jwks_file", verdict, provided })
}

fn forward_auth(case: &Case<'_>) -> Option<Ruling> {
    let server = case.route.forward_auth.as_ref()?;
    let verdict = Ok(format!("asks {server}"));
    let provided = Some(format!("{server} admits it"));
    Some(Ruling { policy: "forward_auth", key: "access.forward_auth.url", verdict, provided })
}
