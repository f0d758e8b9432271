//! What the service manager hears while the gateway runs: that every event loop still turns, and how many sessions there
//! are. A watchdog that a hung loop does not trip would watch nothing.

use crate::net::notify::{Notifier, watchdog_interval};
use crate::registry::Sessions;
use std::sync::Arc;
use std::time::Duration;

/// How often the status is looked at, where nothing has to be said more often.
const STATUS: Duration = Duration::from_secs(10);

/// What the sessions are being, for a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Serving,
    Draining,
}

/// Tells it, until it is aborted.
pub async fn keep_informed(notifier: Arc<Notifier>, sessions: Arc<Sessions>, doing: Doing) {
    let watchdog = watchdog_interval();
    let mut interval = tokio::time::interval(watchdog.unwrap_or(STATUS).min(STATUS));
    let mut told = String::new();
    let mut is_stuck = false;
    loop {
        interval.tick().await;
        if let Some(half) = watchdog {
            let late = sessions.metrics().longest_overdue();
            let was_stuck = std::mem::replace(&mut is_stuck, late > patience(half));
            match is_stuck {
                false => notifier.alive(),
                true if !was_stuck => {
                    tracing::error!(
                        ?late,
                        "an event loop does not turn: the watchdog is not told that all is well"
                    );
                }
                true => {}
            }
        }
        let status = status(doing, sessions.count());
        if status != told {
            notifier.status(&status);
            told = status;
        }
    }
}

pub fn status(doing: Doing, sessions: usize) -> String {
    let doing = if doing == Doing::Serving { "serving" } else { "draining" };
    format!("{doing} {sessions} session{}", if sessions == 1 { "" } else { "s" })
}

/// A loop that is well looks up every second, and on a busy machine a little later.
fn patience(half: Duration) -> Duration {
    half.max(Duration::from_secs(3))
}
