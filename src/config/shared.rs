//! What a route may set and `[defaults]` too: read once over the built-in defaults, then for each route over that.

use super::section::Section;
use super::{headers, origin, rules};
use crate::policy::crowd::Crowd;
use crate::route::{Compression, PlainHttp, Route};
use std::sync::Arc;

/// Key by key, `section` wins over `base`, of which the rest stays.
pub fn read(section: &mut Section<'_>, base: &Route) -> Route {
    let http = [("proxy", PlainHttp::Proxy), ("reject", PlainHttp::Reject)];
    let compression = [("passthrough", Compression::Passthrough), ("strip", Compression::Strip)];
    let not_yet = ["inspect", "offload"];
    let (rules, limits) = rules::read(section, &base.rules, base.crowd.limits);
    Route {
        http: section.read("http", base.http, |value| value.choice(&http, &[])),
        compression: section
            .read("compression", base.compression, |value| value.choice(&compression, &not_yet)),
        headers: headers::read(section.section("headers"), &base.headers),
        origin: origin::read(section.section("origin"), &base.origin),
        crowd: Crowd { limits, ..base.crowd.clone() },
        rules: Arc::new(rules),
        ..base.clone()
    }
}
