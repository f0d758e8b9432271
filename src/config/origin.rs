//! `origin`: which web pages may connect.

use super::error::Complaint;
use super::section::Section;
use super::value::Value;
use crate::policy::origin::{Allowed, NotAnOrigin, OriginMode, OriginPolicy};

pub fn read(mut section: Section<'_>, base: &OriginPolicy) -> OriginPolicy {
    let modes = [("enforce", OriginMode::Enforce), ("report", OriginMode::Report)];
    let read = |value: &Value<'_>| value.each("\"same-origin\"", |entry| entry.parse(allowed));
    OriginPolicy {
        allowed: section.read("allowed", base.allowed.clone(), read),
        allow_missing: section.read("allow_missing", base.allow_missing, Value::boolean),
        allow_null: section.read("allow_null", base.allow_null, Value::boolean),
        mode: section.read("mode", base.mode, |value| value.choice(&modes, &[])),
    }
}

/// One entry of `allowed`, with what was probably meant when it is wrong.
pub fn allowed(text: &str) -> Result<Allowed, Complaint> {
    let complaint = |why: &str| Complaint::new(format!("{text:?} is not an origin: {why}"));
    if let Some(("ws" | "wss", rest)) = text.split_once("://") {
        let scheme = if text.starts_with("wss") { "https" } else { "http" };
        return Err(complaint("it names the page, and pages have http or https")
            .hint(format!("write \"{scheme}://{rest}\"")));
    }
    Allowed::parse(text).map_err(|why| {
        let complaint = complaint(why.problem());
        match (text, why) {
            ("*" | "https://*" | "http://*", _) => complaint
                .hint("write \"any-site-may-connect\" if that is meant; it is written out on purpose"),
            ("null", _) => complaint.hint("write allow_null = true"),
            (_, NotAnOrigin::Path) => complaint.hint(format!("write \"{}\"", without_path(text))),
            (_, NotAnOrigin::Scheme) => complaint.suggest(
                text,
                &["same-origin", "any-site-may-connect"],
                format!("write \"https://{}\"", text.trim_end_matches('/')),
            ),
            _ => complaint.hint("an origin is \"https://chat.example.com\" or \"https://*.example.com\""),
        }
    })
}

fn without_path(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
            format!("{scheme}://{authority}")
        }
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_origin_gets_the_right_one_as_a_hint() {
        for (text, expected) in [
            ("*", "any-site-may-connect"),
            ("https://*", "any-site-may-connect"),
            ("null", "allow_null = true"),
            ("https://a.test/", "write \"https://a.test\""),
            ("https://a.test/chat?x", "write \"https://a.test\""),
            ("a.test", "write \"https://a.test\""),
            ("a.test/", "write \"https://a.test\""),
            ("wss://a.test", "write \"https://a.test\""),
            ("same_origin", "did you mean \"same-origin\"?"),
            ("https://a b", "https://chat.example.com"),
        ] {
            let hint = allowed(text).unwrap_err().hint.unwrap();
            assert!(hint.contains(expected), "{text}: {hint}");
        }
        for good in
            ["same-origin", "any-site-may-connect", "https://a.test:8443", "https://*.a.test", "app://x"]
        {
            assert!(allowed(good).is_ok(), "{good}");
        }
    }
}
