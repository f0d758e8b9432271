//! `forward_auth`: the last policy to be asked, for it is the one that costs a connection.

use super::answer::{denial_cause, log_denied};
use super::head::forwarded_target;
use super::{Answered, Gateway, Permit, Visit};
use crate::net::auth::Reply;
use crate::policy::forward_auth::About;
use crate::refusal::{Refusal, Refused, close_code_for};
use http::header::HeaderValue;
use http::request;
use http_body_util::{Either, Full};
use tokio::time::Instant;

/// What the auth server made of a request.
pub(super) enum Heard<'a> {
    LetIn(Permit<'a>),
    /// Its answer is the client's to read, or what a Close can say of it.
    TurnedAway(Box<Answered>),
}

impl Gateway {
    /// Asks the route's auth server, if it has one. No answer is no: this fails closed.
    pub(super) async fn ask<'a>(
        &self,
        visit: &Visit<'_>,
        head: &request::Parts,
        permit: Permit<'a>,
    ) -> Result<Heard<'a>, Refused> {
        let route = permit.route;
        if route.forward_auth.is_none() {
            return Ok(Heard::LetIn(permit));
        }
        let server = self.auth_servers.get(&route.name).ok_or_else(|| {
            Refusal::AuthUnreachable.because(format!("route {} has no auth server", route.name))
        })?;
        let target = forwarded_target(&visit.asked.path, head.uri.query(), None)
            .map_err(|why| Refusal::Path.because(why))?;
        // A query may hold bytes beyond ASCII. Never a question without the target: it could be taken for a harmless one.
        let target = HeaderValue::from_bytes(target.to_string().as_bytes())
            .map_err(|_| Refusal::Path.because("the request target cannot stand in X-Forwarded-Uri"))?;
        let about = About { method: &head.method, target: &target, hop: visit.hop() };
        // In a room of its own, which the many requests that ask nobody need not have.
        match Box::pin(server.ask(&head.headers, about)).await? {
            Reply::Denied(answer) => {
                let status = answer.status();
                let code = close_code_for(status.as_u16());
                let told = self.farewell(visit, route, code, denial_cause(status));
                visit.connection.open.refused(denial_cause(status));
                log_denied(visit, route, status, server.label(), told.is_some().then_some(code));
                let passed_on = || answer.map(|body| Either::Right(Full::new(body))).into();
                Ok(Heard::TurnedAway(Box::new(told.unwrap_or_else(passed_on))))
            }
            Reply::Admitted(admitted) => {
                let ends = admitted.ttl.map(|ttl| Instant::now() + ttl);
                let expires = permit.expires.into_iter().chain(ends).min();
                let headers = permit.headers.into_iter().chain(admitted.headers).collect();
                Ok(Heard::LetIn(Permit { expires, headers, ..permit }))
            }
        }
    }
}
