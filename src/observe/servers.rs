//! Lines about backends' servers: when one is not to be relied on any more, and when it is again.

use super::log::printable;
use crate::backend::health::Change;
use crate::backend::pool::Endpoint;

/// A line for what changed, if something did. `why` in the operator's words.
pub fn log_change(endpoint: &Endpoint, change: Option<Change>, why: &str) {
    let Some(change) = change else { return };
    let (backend, server, why) = (&*endpoint.backend, &*endpoint.label, &*printable(why));
    match change {
        Change::Ejected(span) => {
            let left_alone_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                backend,
                server,
                why,
                left_alone_ms,
                "server failed; others are preferred for a while"
            );
        }
        Change::Readmitted => tracing::info!(backend, server, "server takes sessions again"),
        Change::Down => tracing::warn!(backend, server, why, "server is down, its probes say"),
        Change::Up => tracing::info!(backend, server, "server is up again, its probes say"),
    }
}
