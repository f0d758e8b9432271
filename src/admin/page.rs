//! The page for people, at `/`.

use super::answer::{self, Body};
use http::{Response, StatusCode};

pub fn page() -> Response<Body> {
    answer::text(StatusCode::OK, "framegate: see /status, /sessions, /metrics and /config\n")
}
