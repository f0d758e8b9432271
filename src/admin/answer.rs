//! Answers, each with the headers that keep a browser from making more of it than it is.

use super::problem::Problem;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::convert::Infallible;

/// Some answers are written as what they tell of happens.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// For what is no page: nothing is loaded, run or framed.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

const SAFE: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    whole(status, "text/plain; charset=utf-8", text)
}

pub fn json(status: StatusCode, value: &Value) -> Response<Body> {
    whole(status, "application/json", format!("{value}\n"))
}

/// What comes behind a request that was refused is not worth reading.
pub fn problem(problem: &Problem) -> Response<Body> {
    let mut response = json(problem.status, &problem.to_json());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some((name, value)) = problem.header {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// To be called on every answer. A page brings a content policy of its own.
pub fn make_safe(headers: &mut HeaderMap) {
    for (name, value) in SAFE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
}
