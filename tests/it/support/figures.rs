//! The gateway's metrics as somebody gets them who asks.

use super::{Gateway, Raw, body, values, within_a_moment};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Asks a gateway for its metrics.
#[derive(Clone, Copy)]
pub struct Scraper(SocketAddr);

impl Scraper {
    /// The gateway has an admin address on TCP.
    pub fn of(gateway: &Gateway) -> Scraper {
        let line = gateway.wait_for("admin listening", |line| line["message"] == "admin listening");
        Scraper(line["bind"].as_str().unwrap().parse().unwrap())
    }

    /// The type of the answer, and the answer.
    pub fn ask(&self, accept: &str) -> (String, String) {
        let mut raw = Raw::connect(self.0);
        raw.send(format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        ));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let body = String::from_utf8(body(&mut raw, &head)).unwrap();
        (values(&head, "content-type")[0].to_string(), body)
    }

    pub fn text(&self) -> String {
        self.ask("*/*").1
    }

    pub fn figures(&self) -> Figures {
        Figures::read(&self.text())
    }

    /// Waits until this series has this value.
    pub fn comes_to(&self, series: &str, value: f64) {
        within_a_moment(&format!("{series} {value}: {:#?}", self.figures().like(series)), || {
            self.figures().find(series) == Some(value)
        });
    }
}

/// Values by series, spelled as they are: `name{label="value"}`.
#[derive(Clone, Debug)]
pub struct Figures(pub BTreeMap<String, f64>);

impl Figures {
    pub fn read(text: &str) -> Figures {
        let mut all = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let again = all.insert(series.to_string(), value.parse().unwrap());
            assert_eq!(again, None, "{series} is there twice");
        }
        Figures(all)
    }

    pub fn find(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    pub fn get(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("no {series}, but {:#?}", self.like(series)))
    }

    /// Those of the same name.
    pub fn like(&self, series: &str) -> Vec<(&String, &f64)> {
        let name = series.split('{').next().unwrap();
        self.0.iter().filter(|(other, _)| other.split('{').next() == Some(name)).collect()
    }

    /// What all series of a name have together.
    pub fn sum(&self, name: &str) -> f64 {
        self.like(name).into_iter().map(|(_, value)| value).sum()
    }
}
