//! Answers of our own: refusals and redirects, and the lines that tell the operator of them.

use super::{Connection, ResponseBody, Visit};
use crate::handshake::trace::Trace;
use crate::observe::log::printable;
use crate::refusal::Refused;
use crate::route::Route;
use crate::session::shown_address;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode, request};
use http_body_util::{Either, Full};
use std::net::IpAddr;

/// 308: the method and the body stay what they were.
pub(super) fn redirect_to_https(visit: &Visit<'_>, head: &request::Parts) -> Response<ResponseBody> {
    let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
    let location = format!("https://{}{}{query}", visit.asked.host, visit.asked.path);
    let mut response = text_response(StatusCode::PERMANENT_REDIRECT, "");
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

pub(super) fn refusal_response(refused: &Refused) -> Response<ResponseBody> {
    let refusal = refused.refusal;
    let mut response = text_response(refusal.status(), refusal.public_text());
    let headers = response.headers_mut();
    headers.insert("x-framegate-cause", HeaderValue::from_static(refusal.public_word()));
    for (name, value) in refusal.headers() {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if let Some(seconds) = refused.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if headers.contains_key(header::UPGRADE) {
        // RFC 9110 7.8: who sends Upgrade names it in Connection too.
        headers.append(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

/// The same answer byte for byte, for a client whose request is not waited for.
pub(super) fn raw_refusal(refused: &Refused) -> Vec<u8> {
    let (head, _) = refusal_response(refused).into_parts();
    let text = refused.refusal.public_text();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(format!("content-length: {}\r\n\r\n{text}", text.len()).bytes());
    bytes
}

/// Our own answers end the connection: what comes behind a refused request is not worth reading.
pub(super) fn text_response(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What names a request in its lines.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: &'a str,
    pub(super) client: Option<IpAddr>,
    /// Fit for a log.
    pub(super) path: &'a str,
    pub(super) trace: Option<Trace>,
}

impl Named<'_> {
    fn trace(&self) -> Option<String> {
        self.trace.map(|trace| trace.id_text())
    }
}

/// `close`: the code of the Close by which the client is told, instead of the status.
pub(super) fn log_refusal(connection: &Connection, named: Named<'_>, refused: &Refused, close: Option<u16>) {
    let Refused { refusal, detail, .. } = refused;
    let (listener, client) = (&*connection.listener, shown_address(named.client));
    let (status, cause) = (refusal.status().as_u16(), refusal.cause_word());
    let (client, detail) = (client.as_str(), &*printable(detail));
    let (id, path, trace) = (named.id, named.path, named.trace());
    let trace = trace.as_deref();
    if refusal.is_our_fault() {
        tracing::warn!(id, listener, client, path, trace, status, close, cause, detail, "handshake refused");
    } else {
        tracing::info!(id, listener, client, path, trace, status, close, cause, detail, "handshake refused");
    }
}

/// The same for a connection whose request was not waited for. Under TLS it was told no status.
pub(super) fn log_turned_away(connection: &Connection, refused: &Refused) {
    let Refused { refusal, detail, .. } = refused;
    let (listener, client) = (&*connection.listener, shown_address(connection.peer));
    let status = (!connection.tls).then(|| refusal.status().as_u16());
    let (client, cause, detail) = (client.as_str(), refusal.cause_word(), detail.as_str());
    if refusal.is_our_fault() {
        tracing::warn!(listener, client, status, cause, detail, "handshake refused");
    } else {
        tracing::info!(listener, client, status, cause, detail, "handshake refused");
    }
}

/// The auth server's own answer goes to the client. One of 5xx is no verdict on the client but a fault of that server's.
pub(super) fn denial_cause(status: StatusCode) -> &'static str {
    if status.as_u16() < 500 { "auth_refused" } else { "auth_failed" }
}

/// `close`: as in `log_refusal`.
pub(super) fn log_denied(
    visit: &Visit<'_>,
    route: &Route,
    status: StatusCode,
    server: &str,
    close: Option<u16>,
) {
    let (listener, client) = (&*visit.connection.listener, shown_address(visit.seen.client));
    let (id, route, path, client) = (visit.id, route.name.as_str(), visit.shown_path, client.as_str());
    let (detail, cause) = (format!("{server} answered {}", status.as_u16()), denial_cause(status));
    let (detail, status, trace) = (detail.as_str(), status.as_u16(), visit.named().trace());
    let trace = trace.as_deref();
    if status >= 500 {
        tracing::warn!(
            id,
            listener,
            client,
            route,
            path,
            trace,
            status,
            close,
            cause,
            detail,
            "handshake refused"
        );
    } else {
        tracing::info!(
            id,
            listener,
            client,
            route,
            path,
            trace,
            status,
            close,
            cause,
            detail,
            "handshake refused"
        );
    }
}

/// The backend answered an upgrade with something else.
pub(super) const PASSED_ON: &str = "backend_status";

pub(super) fn log_passed_on(visit: &Visit<'_>, route: &Route, status: StatusCode) {
    tracing::info!(
        id = visit.id,
        listener = &*visit.connection.listener,
        client = shown_address(visit.seen.client).as_str(),
        route = route.name.as_str(),
        path = visit.shown_path,
        trace = visit.named().trace().as_deref(),
        status = status.as_u16(),
        cause = PASSED_ON,
        "handshake answered by the backend"
    );
}
