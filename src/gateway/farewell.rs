//! `refuse = "close"`: what a policy refuses is told by a Close behind a 101 of our own, which pages in a browser can read.

use super::answer::log_refusal;
use super::{Answered, Behind, Gateway, ResponseBody, Visit};
use crate::frame::Close;
use crate::handshake::accept_for;
use crate::handshake::request::{Upgrade, Wants};
use crate::policy::bearer;
use crate::refusal::Refused;
use crate::route::{RefuseBy, Route};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};

impl Gateway {
    /// `None`: the status tells it, because the route says so, or no Close can, or there are too many of them.
    pub(super) fn refuse_by_close(
        &self,
        visit: &Visit<'_>,
        route: &Route,
        refused: &Refused,
    ) -> Option<Answered> {
        let code = refused.refusal.close_code()?;
        let answered = self.farewell(visit, route, code, refused.refusal.public_word())?;
        visit.connection.open.refused(refused.refusal.cause_word());
        if self.lasting.usher.may_log(refused) {
            log_refusal(visit.connection, visit.named(), refused, Some(code));
        }
        Some(answered)
    }

    /// The same for what is no refusal of ours.
    pub(super) fn farewell(
        &self,
        visit: &Visit<'_>,
        route: &Route,
        code: u16,
        reason: &str,
    ) -> Option<Answered> {
        let (RefuseBy::Close, Wants::Upgrade(upgrade)) = (route.refuse, &visit.asked.wants) else {
            return None;
        };
        let farewell = self.lasting.farewells.begin(Close::new(code, reason), route.rules.timeouts.close)?;
        Some(Answered { response: switching(upgrade), behind: Some(Behind::Refusal(farewell)) })
    }
}

/// The 101 in front. It agrees to no extension, and to the first subprotocol that is one and no token in disguise: RFC
/// 6455 4.1 has a client take an answer without, but browsers fail a socket that offered some and got none, and the page
/// would read 1006.
fn switching(upgrade: &Upgrade) -> Response<ResponseBody> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let accept = HeaderValue::try_from(accept_for(upgrade.key.as_bytes())).ok();
    headers.extend(accept.map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
    let subprotocol =
        bearer::first_harmless(&upgrade.subprotocols).and_then(|name| HeaderValue::try_from(name).ok());
    headers.extend(subprotocol.map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name)));
    response
}
