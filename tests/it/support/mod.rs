//! What integration tests stand on: the real program with its log read line by line, raw sockets on both sides of it,
//! and frames written by hand. Nothing sleeps: everything waits for an event, under one deadline.

#![allow(dead_code)] // each test file uses its part

mod admin;
mod ask;
mod bench;
#[cfg(feature = "otlp")]
mod collector;
mod figures;
mod flow;
mod frames;
mod front;
mod gateway;
mod heirs;
mod process;
mod raw;
mod servant;
mod signer;
mod tls;

pub use admin::{ADMIN, Admin, Answer, At};
pub use ask::{Ask, body, chunk, fields, values};
pub use bench::{Bench, Ends, Peer, counted, told};
#[cfg(feature = "otlp")]
pub use collector::{Collector, Mood};
pub use figures::{Figures, Scraper};
pub use flow::Pattern;
pub use frames::{client_frame, close_payload, ping, server_frame, text};
pub use front::{Front, expect_refusal};
pub use gateway::{Gateway, kill, program};
pub use heirs::{Next, hand_over, is_alive, message};
pub use process::Process;
pub use raw::{ACCEPT, Backend, KEY, Raw, upgrade_request, upgrade_response};
pub use servant::{BlackHole, Manner, Nobody, Servant};
pub use signer::{Signer, jwks, now};
pub use tls::{Authority, TlsClient, TlsRaw};

use std::time::{Duration, Instant};

/// How long anything may take that should happen at once. Generous: a busy machine is no failure.
pub const SOON: Duration = Duration::from_secs(20);

/// What the far side hears "at once" comes within this: no timeout of the gateway's was waited for, of which the shortest
/// is `timeouts.close` with its five seconds. On a busy machine.
pub const AT_ONCE: Duration = Duration::from_secs(4);

/// Waits for what comes about by itself.
pub fn within_a_moment(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// A gateway in front of a scripted backend, and one session through it: client and backend, raw.
pub fn session(route: &str) -> (Gateway, Raw, Raw) {
    let backend = Backend::start();
    let gateway = Gateway::in_front_of(&backend, route);
    let (client, server) = gateway.open_session(&backend);
    (gateway, client, server)
}
