//! A client's connection: open until it ends, or until the session does that it became.

use super::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A client's connection, counted for as long as this is there, or the session that it became.
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Arc<Metrics>,
    listener: Arc<str>,
    accepted: Instant,
    /// It had a request.
    asked: AtomicBool,
    handed_on: bool,
}

impl Metrics {
    /// A client's connection was accepted.
    pub fn connected(self: &Arc<Metrics>, listener: &Arc<str>) -> OpenConnection {
        self.listeners.with(listener, |series| series.connections.fetch_add(1, Ordering::Relaxed));
        let (metrics, listener, accepted) = (self.clone(), listener.clone(), Instant::now());
        OpenConnection { metrics, listener, accepted, asked: AtomicBool::new(false), handed_on: false }
    }
}

impl OpenConnection {
    /// A request is there. Since when its client waits: since the connection was accepted, if it is the first one.
    pub fn asked(&self) -> Instant {
        if self.asked.swap(true, Ordering::Relaxed) { Instant::now() } else { self.accepted }
    }

    /// It, or a request on it, came to no session. `cause`: a word of our own.
    pub fn refused(&self, cause: &'static str) {
        self.metrics.refused(&self.listener, cause);
    }

    /// Its client gets a 101, and has waited for it since then.
    pub fn admitted(&self, since: Instant) {
        self.metrics.admitted(&self.listener, since.elapsed());
    }

    /// It goes on as a session, which says [`Metrics::disconnected`] at its end.
    pub fn hand_on(mut self) {
        self.handed_on = true;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if !self.handed_on {
            self.metrics.disconnected(&self.listener);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Names;
    use super::*;

    #[test]
    fn a_connection_is_open_until_it_or_its_session_ends() {
        let metrics = Arc::<Metrics>::default();
        let listener: Arc<str> = "public".into();
        let (first, second) = (metrics.connected(&listener), metrics.connected(&listener));
        assert_eq!(metrics.connections("public"), 2);
        drop(first);
        second.hand_on();
        assert_eq!(metrics.connections("public"), 1);
        metrics.configured(&Names::default());
        assert_eq!(metrics.connections("public"), 1, "it is open, so its listener is known");
        metrics.disconnected("public");
        assert_eq!(metrics.connections("public"), 0);
    }

    #[test]
    fn the_first_request_of_a_connection_waited_for_the_connection() {
        let metrics = Arc::<Metrics>::default();
        let connection = metrics.connected(&"public".into());
        let first = connection.asked();
        assert_eq!(first, connection.accepted);
        assert!(connection.asked() > first);
    }
}
