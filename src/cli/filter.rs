//! Which sessions are meant: the words that `sessions` and `kick` share, each checked before anybody is asked.

use crate::config::{self, address};
use serde_json::{Map, Value};
use std::fmt::Write;

#[derive(Debug, Default, clap::Args)]
pub struct Filter {
    /// Those of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Those with this server, written as `framegate status` has it
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Those whose client has this address, or one in this network
    #[arg(long, value_name = "IP|NETWORK", value_parser = network)]
    address: Option<String>,
    /// Those that have lived at least this long: 30s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    min_age: Option<String>,
}

impl Filter {
    /// What is asked for, by the admin address's names.
    fn words(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Filter { route, server, address, min_age } = self;
        let words = [("route", route), ("server", server), ("address", address), ("min_age", min_age)];
        words.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// As a request's body has it.
    pub fn body(&self) -> Map<String, Value> {
        self.words().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// As a URL's query has it, with `&` before each.
    pub fn query(&self) -> String {
        self.words().fold(String::new(), |query, (name, value)| query + "&" + name + "=" + &encoded(value))
    }

    /// Behind what it lets through: ` (route chat, address 10.0.0.0/8)`. Empty where all are meant.
    pub fn shown(&self) -> String {
        let words: Vec<String> =
            self.words().map(|(name, value)| format!("{} {value}", name.replace('_', " "))).collect();
        if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
    }
}

/// All but letters, digits and the marks of RFC 3986 2.3 by their numbers.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

fn network(text: &str) -> Result<String, String> {
    address::network(text).map(|_| text.into()).map_err(in_words)
}

/// For clap, here and elsewhere.
pub fn duration(text: &str) -> Result<String, String> {
    config::duration(text).map(|_| text.into()).map_err(in_words)
}

fn in_words(complaint: config::Complaint) -> String {
    let hint = complaint.hint.map_or(String::new(), |hint| format!(": {hint}"));
    format!("{}{hint}", complaint.problem)
}

/// A session, by its number or by the id of its request. The letters are those that such an id may have; they stand in a
/// path as they are.
pub fn session(text: &str) -> Result<String, String> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let is_id =
        !text.is_empty() && text.bytes().all(fit) && text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    if is_id { Ok(text.into()) } else { Err("the number of a session, or the id of its request".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_in_each_place() {
        let filter = Filter {
            route: Some("chat".into()),
            server: Some("unix:/run/a b&c=d.sock".into()),
            address: Some("2001:db8::/32".into()),
            min_age: Some("5m".into()),
        };
        assert_eq!(
            filter.query(),
            "&route=chat&server=unix%3A%2Frun%2Fa%20b%26c%3Dd.sock&address=2001%3Adb8%3A%3A%2F32&min_age=5m"
        );
        assert_eq!(
            Value::Object(filter.body()),
            json!({ "route": "chat", "server": "unix:/run/a b&c=d.sock", "address": "2001:db8::/32", "min_age": "5m" })
        );
        let filter = Filter { route: Some("chat".into()), min_age: Some("5m".into()), ..Filter::default() };
        assert_eq!(filter.shown(), " (route chat, min age 5m)");
        let none = Filter::default();
        assert_eq!((none.query().as_str(), none.shown().as_str(), none.body().len()), ("", "", 0));
    }

    #[test]
    fn words_are_checked() {
        assert!(network("10.0.0.0/8").is_ok() && network("::1").is_ok());
        assert!(network("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(duration("5m").is_ok() && duration("5").unwrap_err().contains("\"5s\""));
        for id in ["17", "0123abcd", "a.b:c-d_e"] {
            assert_eq!(session(id).as_deref(), Ok(id));
        }
        for wrong in ["", "..", ".", "a/b", "a?b", "a b", "a%2f", "\u{e9}"] {
            assert!(session(wrong).is_err(), "{wrong}");
        }
    }
}
