//! Which sessions are meant, by what is known of them. Pure.

use super::problem::Problem;
use super::words::{Words, about};
use crate::config::{self, address, show_duration};
use crate::moment::Moment;
use crate::registry::Facts;
use ipnet::IpNet;
use std::fmt;
use std::time::Duration;

/// Which sessions. Without a word: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub route: Option<String>,
    /// As it is shown.
    pub server: Option<String>,
    pub address: Option<IpNet>,
    pub min_age: Option<Duration>,
}

impl Filter {
    pub fn lets(&self, facts: &Facts, now: Moment) -> bool {
        let Filter { route, server, address, min_age } = self;
        route.as_ref().is_none_or(|route| *route == facts.route.name)
            && server.as_ref().is_none_or(|server| **server == *facts.endpoint.label)
            && address.is_none_or(|network| {
                facts.client.is_some_and(|client| network.contains(&client.to_canonical()))
            })
            && min_age.is_none_or(|age| now.since(facts.opened) >= age)
    }

    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Takes what there is of a filter among the words of a request.
    pub fn take_from(words: &mut Words) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
        for name in ["route", "server", "address", "min_age"] {
            if let Some(text) = words.take_text(name)? {
                filter.take(name, &text)?;
            }
        }
        Ok(filter)
    }

    /// Takes a word that belongs to a filter. `Ok(false)`: it does not.
    pub fn take(&mut self, name: &str, text: &str) -> Result<bool, Problem> {
        match name {
            "route" => self.route = Some(text.into()),
            "server" => self.server = Some(text.into()),
            "address" => self.address = Some(address::network(text).map_err(about("address"))?),
            "min_age" => self.min_age = Some(config::duration(text).map_err(about("min_age"))?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// As an operator would write it.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            ("route", self.route.clone()),
            ("server", self.server.clone()),
            ("address", self.address.map(|network| network.to_string())),
            ("min_age", self.min_age.map(show_duration)),
        ];
        let words = words.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::pool::Place;
    use crate::route::Route;
    use std::sync::Arc;

    /// `name=value&name=value`, as they are.
    fn filter(words: &str) -> Filter {
        let mut filter = Filter::default();
        for (name, value) in words.split('&').filter_map(|word| word.split_once('=')) {
            assert!(filter.take(name, value).unwrap(), "{name}");
        }
        filter
    }

    fn facts(client: Option<&str>) -> Facts {
        Facts {
            id: "id".into(),
            route: Arc::new(Route::new("chat", 0)),
            listener: "listener".into(),
            endpoint: Place::somewhere().endpoint().clone(),
            client: client.map(|client| client.parse().unwrap()),
            subprotocol: None,
            trace: None,
            opened: Moment::from_millis(60_000),
            meters: Arc::default(),
        }
    }

    #[test]
    fn filters() {
        for (query, expected) in [
            ("", true),
            ("route=chat", true),
            ("route=cha", false),
            ("route=Chat", false),
            ("server=unix:backend", true),
            ("server=backend", false),
            ("address=192.0.2.7", true),
            ("address=192.0.2.0/24", true),
            ("address=192.0.3.0/24", false),
            ("address=::ffff:192.0.2.7", true),
            ("address=2001:db8::/32", false),
            ("min_age=30s", true),
            ("min_age=31s", false),
            ("min_age=0s&route=chat", true),
            ("route=chat&min_age=31s", false),
        ] {
            let filter = filter(query);
            let now = Moment::from_millis(90_000);
            assert_eq!(filter.lets(&facts(Some("192.0.2.7")), now), expected, "{query}");
        }
        let network = filter("address=0.0.0.0/0");
        assert!(network.lets(&facts(Some("::ffff:192.0.2.7")), Moment::default()));
        assert!(
            !network.lets(&facts(None), Moment::default()),
            "a client without an address is in no network"
        );
    }

    #[test]
    fn shown_as_written() {
        for words in ["", "route=chat", "server=ws://a:1 address=10.0.0.0/8 min_age=5m"] {
            assert_eq!(filter(&words.replace(' ', "&")).to_string(), words);
        }
    }
}
