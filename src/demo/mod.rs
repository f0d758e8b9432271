//! The demo: a backend of its own and a page, behind a gateway that is configured like a real one.

pub mod backend;

use crate::backend::{Backend, Server};
use crate::config::Plan;
use crate::drain::ShutdownSettings;
use crate::net::listen::{Bind, ListenerSettings};
use crate::relay::Rules;
use crate::route::{Matcher, PathPattern, PlainHttp, Route};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The listeners' names.
pub const HTTPS: &str = "https";
pub const HTTP: &str = "http";

/// Small enough that a person can run into it with a button.
const MAX_MESSAGE: u64 = 1 << 20;

/// The demo's configuration: what a file with two listeners and three routes would say.
pub fn plan(https: SocketAddr, http: SocketAddr, backend: SocketAddr) -> Plan {
    let server = Server::Tcp { host: backend.ip().to_string(), port: backend.port(), tls: false };
    let mut rules = Rules::default();
    rules.limits.client.max_message_size = Some(MAX_MESSAGE);
    let rules = Arc::new(rules);
    let socket = |name: &str| Route {
        matcher: Matcher { path: PathPattern::Exact(format!("/{name}")), ..Matcher::default() },
        http: PlainHttp::Reject,
        rules: rules.clone(),
        ..Route::new(name, 0)
    };
    let shutdown = ShutdownSettings {
        drain_timeout: Duration::from_secs(5),
        close_spread: Duration::from_secs(1),
        ..ShutdownSettings::default()
    };
    Plan {
        shutdown,
        listeners: vec![
            ListenerSettings::new(HTTPS, Bind::Tcp(https)),
            ListenerSettings::new(HTTP, Bind::Tcp(http)),
        ],
        backends: vec![Backend::new("demo", [server])],
        routes: vec![socket("echo"), socket("chat"), Route::new("page", 0)],
        ..Plan::default()
    }
}
