//! Comma-separated header lists (RFC 9110 5.6.1), over repeated lines.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Every element of a list header, in order, trimmed, empty ones left out. A line that is not visible ASCII has none.
pub fn tokens<'a>(headers: &'a HeaderMap<HeaderValue>, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().flat_map(elements)
}

/// The elements of one line.
pub fn elements(line: &HeaderValue) -> impl Iterator<Item = &str> {
    let line = line.to_str().unwrap_or_default();
    line.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}
