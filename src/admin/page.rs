//! The page for people, at `/`, and the files that it is made of. They are part of the program: nothing is built for them,
//! nothing is read from disk, and nothing comes from elsewhere.

use super::answer::{self, Body};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// One file, as a browser asks for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Behind `/dashboard/`.
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const PAGE: &str = include_str!("dashboard/page.html");

/// What the page may do: load its own parts and ask its own address. No markup is ever made of text: the browser itself
/// refuses a script that would try (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! parts {
    ($($content_type:literal: $($name:literal),+;)+) => {
        &[$($(Part {
            name: $name,
            content_type: $content_type,
            content: include_str!(concat!("dashboard/", $name)),
        }),+),+]
    };
}

const PARTS: &[Part] = parts! {
    "text/css; charset=utf-8":
        "charts.css", "controls.css", "dialogs.css", "layout.css", "sessions.css", "style.css", "tables.css";
    "image/svg+xml": "icon.svg";
    "text/javascript; charset=utf-8":
        "api.js", "chart.js", "charts.js", "columns.js", "detail.js", "dom.js", "format.js", "history.js", "kick.js",
        "link.js", "main.js", "sessions.js", "tables.js", "tap.js";
};

pub fn page() -> Response<Body> {
    let mut response = answer::whole(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

impl Part {
    pub fn named(name: &str) -> Option<&'static Part> {
        PARTS.iter().find(|part| part.name == name)
    }

    pub fn show(&self) -> Response<Body> {
        answer::whole(StatusCode::OK, self.content_type, self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A file that is forgotten here is one that the page lacks.
    #[test]
    fn every_file_is_a_part() {
        let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/dashboard")).unwrap();
        let there: BTreeSet<String> =
            there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let parts = PARTS.iter().map(|part| part.name.to_string()).chain(["page.html".into()]);
        assert_eq!(parts.collect::<BTreeSet<_>>(), there);
    }
}
