//! A request's own words, made fit for where they go: the target for the backend, the id and the path for the log.

use crate::handshake::{forward, path};
use crate::observe::log::{QueryValues, printable};
use http::Uri;
use http::header::HeaderMap;
use http::uri::PathAndQuery;

/// The target as the backend gets it: the normal path, the query byte for byte.
pub(crate) fn forwarded_target(
    normal: &str,
    query: Option<&str>,
    strip_prefix: Option<&str>,
) -> Result<Uri, String> {
    let stripped = strip_prefix.and_then(|prefix| normal.strip_prefix(prefix)).unwrap_or(normal);
    let mut target = String::with_capacity(normal.len() + query.map_or(1, |query| query.len() + 2));
    if !stripped.starts_with('/') {
        target.push('/');
    }
    target.push_str(stripped);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::try_from(target)
        .map(Uri::from)
        .map_err(|error| format!("the path cannot be forwarded: {error}"))
}

/// The client's own id where it is fit for a log, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let fit = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
    };
    let given = headers.get(forward::X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(fit);
    given.map_or_else(random_id, String::from)
}

fn random_id() -> String {
    let mut id = [0; 32];
    for (half, random) in id.chunks_exact_mut(16).zip([fastrand::u64(..), fastrand::u64(..)]) {
        for (place, digit) in half.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(random >> (4 * place)) as usize & 0xF];
        }
    }
    str::from_utf8(&id).unwrap_or_default().into()
}

/// A path for a log line: names of query parameters, and their values only where the operator debugs. Tokens travel in
/// queries.
pub(crate) fn shown_path(uri: &Uri, query: QueryValues) -> String {
    let path = path::normalise(uri.path()).unwrap_or_else(|_| uri.path().to_string());
    let shown = match (uri.query(), query) {
        (None, _) => path,
        (Some(values), QueryValues::Keep) => format!("{path}?{values}"),
        (Some(values), QueryValues::Redact) => {
            let names: Vec<String> = values
                .split('&')
                .map(|pair| match pair.split_once('=') {
                    Some((name, _)) => format!("{name}=…"),
                    // Without a `=` it may be a token as it stands.
                    None => "…".to_string(),
                })
                .collect();
            format!("{path}?{}", names.join("&"))
        }
    };
    printable(&shown).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn targets_keep_their_query_byte_for_byte() {
        let check = |path, query, strip, expected: &str| {
            assert_eq!(forwarded_target(path, query, strip).unwrap().to_string(), expected);
        };
        check("/a", None, None, "/a");
        check("/a", Some(""), None, "/a?");
        check("/a", Some("x=%zz&y=/../"), None, "/a?x=%zz&y=/../");
        check("/app/ws", Some("q"), Some("/app"), "/ws?q");
        check("/app", None, Some("/app"), "/");
    }

    #[test]
    fn logs_hold_no_query_values() {
        let shown = |uri: &str| shown_path(&uri.parse().unwrap(), QueryValues::Redact);
        assert_eq!(shown("/ws?token=secret&v=1"), "/ws?token=…&v=…");
        assert_eq!(shown("/ws?secret"), "/ws?…");
        assert_eq!(shown("/ws"), "/ws");
        assert_eq!(shown_path(&"/ws?t=1".parse().unwrap(), QueryValues::Keep), "/ws?t=1");
    }

    #[test]
    fn an_unfit_request_id_is_replaced() {
        let id = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_static(value));
            request_id(&headers)
        };
        assert_eq!(id("abc-123"), "abc-123");
        assert_ne!(id("a b"), "a b");
        assert_ne!(id(""), "");
        assert_eq!(request_id(&HeaderMap::new()).len(), 32);
    }
}
