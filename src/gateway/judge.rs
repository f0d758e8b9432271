//! What the policies are told, and what becomes of their verdicts.

use super::{Gateway, Visit};
use crate::clock;
use crate::handshake::tokens;
use crate::policy::bearer::{self, Place};
use crate::policy::origin::{OriginFacts, OriginMode};
use crate::refusal::{Refusal, Refused};
use crate::route::Route;
use http::header::{self, HeaderMap};
use http::request;
use std::borrow::Cow;
use tokio::time::Instant;

pub(super) fn judge_origin(visit: &Visit<'_>, route: &Route, headers: &HeaderMap) -> Result<(), Refused> {
    let origins = OriginFacts::lines(headers);
    let authority = visit.seen.authority(headers, &visit.asked.authority);
    let facts = OriginFacts { origins: &origins, scheme: visit.seen.scheme, authority };
    match (route.origin.judge(facts), route.origin.mode) {
        (Ok(()), _) => {}
        (Err(denial), OriginMode::Enforce) => return Err(Refusal::Origin.because(denial.0)),
        (Err(denial), OriginMode::Report) => tracing::warn!(
            id = visit.id,
            route = route.name.as_str(),
            cause = Refusal::Origin.cause_word(),
            detail = denial.0.as_str(),
            "would be refused; origin.mode is \"report\""
        ),
    }
    Ok(())
}

impl Gateway {
    /// When the token runs out, where the route asks for one.
    pub(super) fn judge_token(
        &self,
        route: &Route,
        head: &request::Parts,
    ) -> Result<Option<Instant>, Refused> {
        let Some(policy) = &route.access.token else {
            return Ok(None);
        };
        let token = bearer::find(&policy.from, &head.headers, head.uri.query())?;
        // The token's times are those of a calendar; from here on a clock counts that nobody sets.
        let keys = self.keyrings.keys(&policy.jwks_file);
        let left = policy.judge(&token, &keys, clock::since_1970())?;
        Ok(Instant::now().checked_add(left))
    }
}

/// What is offered to the backend: without the token, where the route takes it from there.
pub(super) fn forwarded_offer<'a>(
    route: &Route,
    offered: &'a [String],
    headers: &mut HeaderMap,
) -> Cow<'a, [String]> {
    let may_hold_token =
        route.access.token.as_ref().is_some_and(|policy| policy.from.contains(&Place::Subprotocol));
    if may_hold_token && bearer::withhold(headers) {
        let left = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).map(String::from);
        return Cow::Owned(left.collect());
    }
    Cow::Borrowed(offered)
}
