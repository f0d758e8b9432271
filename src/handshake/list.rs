//! Comma-separated header lists (RFC 9110 5.6.1), over repeated lines.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Every element of a list header, in order, trimmed, empty ones left out. A line that is not visible ASCII has none.
pub fn tokens<'a>(headers: &'a HeaderMap<HeaderValue>, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().flat_map(elements)
}

/// The same of a list to which every hop appends: an element that is not visible ASCII stands as `unknown`. What the first
/// wrote must not hide what those behind it added to the same line.
pub fn hops<'a>(
    headers: &'a HeaderMap<HeaderValue>,
    name: &HeaderName,
    unknown: &'static str,
) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let read = move |element: &'a [u8]| {
        str::from_utf8(element).ok().filter(|text| text.is_ascii()).unwrap_or(unknown)
    };
    elements.map(read).map(|hop| hop.trim_matches([' ', '\t'])).filter(|hop| !hop.is_empty())
}

/// The elements of one line.
pub fn elements(line: &HeaderValue) -> impl Iterator<Item = &str> {
    let line = line.to_str().unwrap_or_default();
    line.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}
