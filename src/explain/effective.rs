//! The whole configuration as it runs: every key, whether the file has it or not, in the file's own tree. Nothing that is a
//! secret.

use super::settings::{self, Setting};
use crate::config::Plan;
use crate::route::Route;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// Stands for what is not shown.
const REDACTED: &str = "(redacted)";

pub fn effective(plan: &Plan) -> Value {
    let mut tree = Map::new();
    fill(&mut tree, settings::GLOBAL, plan);
    let listeners = plan.listeners.iter().map(|listener| {
        let mut item = Map::new();
        put(&mut item, "name", listener.name.as_str().into());
        put(&mut item, "bind", listener.bind.to_string().into());
        fill(&mut item, settings::LISTENER, listener);
        Value::Object(item)
    });
    put(&mut tree, "listener", listeners.collect());
    let backends = plan.backends.iter().map(|backend| {
        let mut item = Map::new();
        put(&mut item, "name", backend.name.as_str().into());
        let server = |one: &crate::backend::Weighted| {
            serde_json::json!({ "url": one.server.to_string(), "weight": one.weight })
        };
        put(&mut item, "servers", backend.servers.iter().map(server).collect());
        fill(&mut item, settings::BACKEND, backend);
        Value::Object(item)
    });
    put(&mut tree, "backend", backends.collect());
    put(&mut tree, "route", plan.routes.iter().map(|route| show_route(route, plan)).collect());
    Value::Object(tree)
}

fn show_route(route: &Route, plan: &Plan) -> Value {
    let matcher = &route.matcher;
    let mut item = Map::new();
    put(&mut item, "name", route.name.as_str().into());
    put(&mut item, "host", matcher.hosts.iter().map(ToString::to_string).collect());
    put(&mut item, "path", matcher.path.to_string().into());
    put(&mut item, "match_headers", show_headers(&matcher.headers));
    put(&mut item, "match_subprotocol", matcher.subprotocol.clone().into());
    put(&mut item, "backend", plan.backends.get(route.backend).map(|backend| backend.name.as_str()).into());
    fill(&mut item, settings::EVERY_REQUEST, route);
    fill(&mut item, settings::SESSION, route);
    // Here with their values, where those are no secrets.
    put(&mut item, "headers.request.set", show_headers(&route.headers.request.set));
    put(&mut item, "headers.response.set", show_headers(&route.headers.response.set));
    Value::Object(item)
}

/// `None` where a key means nothing is null.
fn fill<T>(tree: &mut Map<String, Value>, settings: &[Setting<T>], of: &T) {
    for (key, show) in settings {
        put(tree, key, show(of).into());
    }
}

/// Puts a value where its dotted key has it in the tree.
fn put(tree: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(tree.insert(key.into(), value)),
        Some((table, rest)) => {
            let inner = tree.entry(table).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn show_headers(headers: &[(HeaderName, HeaderValue)]) -> Value {
    let shown = headers.iter().map(|(name, value)| {
        let value = value.to_str().ok().filter(|value| !is_secret(name.as_str(), value));
        (name.to_string(), Value::from(value.unwrap_or(REDACTED)))
    });
    Value::Object(shown.collect())
}

/// Words in the names of headers that carry secrets. Too much is redacted rather than too little: whoever may see the file
/// can see the value there.
const TELLING: [&str; 11] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "key",
    "pass",
    "credential",
    "session",
    "signature",
    "ticket",
    "jwt",
];

fn is_secret(name: &str, value: &str) -> bool {
    let scheme = value.split(' ').next().unwrap_or_default().to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word)) || matches!(scheme.as_str(), "bearer" | "basic" | "digest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::collections::BTreeSet;
    use std::path::Path;

    const FULL: &str = include_str!("../../config/full.toml");

    /// A certificate in short; it is shown in the list that it is short for.
    const IN_SHORT: [&str; 2] = ["listener.tls.cert", "listener.tls.key"];

    /// Without the names and numbers of items: `route[chat].timeouts.idle` is `route.timeouts.idle`.
    fn schema(key: &str) -> String {
        let parts = key.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        parts.collect()
    }

    /// The keys of a tree, of every item of a list alike.
    fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                for (key, value) in table {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    keys(value, &path, found);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items.iter().for_each(|item| keys(item, path, found));
            }
            _ => drop(found.insert(path.into())),
        }
    }

    #[test]
    fn every_key_of_the_file_is_there() {
        let loaded = parse(Path::new("full.toml"), FULL, &|_| None).unwrap();
        let mut shown = BTreeSet::new();
        keys(&effective(&loaded.plan), "", &mut shown);
        // What has keys of its own in the file may be one text here.
        let is_shown = |key: &str| {
            shown.contains(key)
                || shown.iter().any(|shown| key.starts_with(&format!("{shown}.")))
                || shown.iter().any(|shown| shown.starts_with(&format!("{key}.")))
        };
        let written: BTreeSet<String> = loaded.written.keys().map(schema).collect();
        let own =
            written.iter().filter(|key| !key.starts_with("defaults") && !IN_SHORT.contains(&key.as_str()));
        let absent: Vec<&String> = own.filter(|key| !is_shown(key)).collect();
        assert!(absent.is_empty(), "{absent:#?} are not in /config");
        assert!(shown.len() > 90, "{}", shown.len());
    }

    #[test]
    fn no_secret_is_there() {
        let text = r#"
            [admin]
            token_file = "admin.token"
            [[listener]]
            bind = "127.0.0.1:1"
            [[backend]]
            name = "b"
            servers = ["ws://a:1"]
            health = { path = "/health?token=SECRET" }
            sticky = { cookie = "c", secret = "SECRETSECRETSECRETSECRETSECRETSECRET" }
            [[route]]
            backend = "b"
            match_headers = { "x-api-key" = "SECRET", "x-tenant" = "shown" }
            access.forward_auth = { url = "http://127.0.0.1:1/auth?key=SECRET" }
            [route.headers.request]
            set = { "authorization" = "Bearer SECRET", "x-shown" = "shown", "x-other" = "Basic SECRET", "x-session-id" = "SECRET" }
            [route.headers.response]
            set = { "set-cookie" = "a=SECRET" }
        "#;
        let loaded = parse(Path::new("a.toml"), text, &|_| None);
        let shown = effective(&loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).plan);
        assert!(!shown.to_string().contains("SECRET"), "{shown:#}");
        let set = &shown["route"][0]["headers"]["request"]["set"];
        assert_eq!((&set["x-shown"], &set["authorization"]), (&"shown".into(), &REDACTED.into()));
        assert_eq!(shown["route"][0]["match_headers"]["x-tenant"], "shown");
        assert_eq!(shown["admin"]["token_file"], "admin.token");
    }

    #[test]
    fn what_is_off_is_null() {
        let text = "[[listener]]\nbind = \"127.0.0.1:1\"\n[[route]]\nbackend = \"ws://a:1\"";
        let shown = effective(&parse(Path::new("a.toml"), text, &|_| None).unwrap().plan);
        assert_eq!(shown["admin"]["bind"], Value::Null);
        assert_eq!(shown["route"][0]["timeouts"]["idle"], "5m");
        assert_eq!(shown["shutdown"]["close_code"], "1012");
    }
}
