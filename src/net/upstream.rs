//! A backend at work: its pool, with what reaching its servers takes.

use super::dial::{Dialer, Introduction, share};
use super::resolve::Name;
use super::stream::Stream;
use crate::backend::Backend;
use crate::backend::health::{Change, Health};
use crate::backend::pool::{Asked, Endpoint, NoServer, Place, Pool};
use crate::clock;
use crate::moment::Moment;
use crate::observe::servers::log_change;
use crate::refusal::{Refusal, Refused};
use std::sync::Arc;
use std::time::Duration;

pub struct Upstream {
    pool: Arc<Pool>,
    /// By the place of the server.
    dialers: Vec<Dialer>,
    names: Vec<Arc<Name>>,
}

impl Upstream {
    /// `before`: the backend of that name in the configuration before, where there was one.
    pub fn new(backend: Backend, before: Option<&Upstream>) -> Result<Upstream, String> {
        let dialers = Dialer::all(&backend)?;
        let pool = Arc::new(match before {
            None => Pool::new(backend),
            Some(before) => Pool::after(&before.pool, backend, clock::now()),
        });
        let names = Name::all(&pool);
        Ok(Upstream { pool, dialers, names })
    }

    pub fn backend(&self) -> &Backend {
        self.pool.backend()
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// An endpoint of this pool has a server of this backend.
    pub fn dialer(&self, endpoint: &Endpoint) -> &Dialer {
        &self.dialers[endpoint.server]
    }

    /// Sees to it that every name has its addresses. What is wrong with one that has none.
    pub async fn resolve(&self, now: Moment) -> Option<String> {
        Name::refresh(&self.names, &self.pool, now).await.err()
    }

    /// The next server for a client, with a place at it.
    pub async fn pick(&self, asked: &mut Asked<'_>) -> Result<Place, NoPlace> {
        let unresolved = self.resolve(asked.now).await;
        self.pool.pick(asked).map_err(|none| NoPlace { none, unresolved })
    }

    /// A connection to the server of `place`.
    pub async fn dial(
        &self,
        place: &Place,
        quiet: Duration,
        introduction: &Introduction,
    ) -> Result<Stream, Refused> {
        let endpoint = place.endpoint();
        let limit = share_of_one(self.backend().connect_timeout, self.pool.addresses(endpoint.server));
        self.dialer(endpoint).dial_at(&endpoint.address, limit, quiet, introduction).await
    }

    /// The server of `place` answered a client, with something.
    pub fn answered(&self, place: &Place) {
        place.endpoint().health(Health::answered);
    }

    /// The server of `place` gave a client its 101.
    pub fn opened(&self, place: &Place, now: Moment) {
        let endpoint = place.endpoint();
        log_change(endpoint, endpoint.health(|health| health.opened(now)), "");
    }

    /// The server of `place` failed a client.
    pub fn failed(&self, place: &Place, refused: &Refused, now: Moment) {
        if refused.refusal.is_the_servers_fault() {
            let endpoint = place.endpoint();
            endpoint.count_failure(refused.refusal);
            self.names.iter().for_each(|name| name.doubt(endpoint.server));
            self.changed(endpoint, endpoint.health(|health| health.failed(now)), &refused.detail, now);
        }
    }

    /// Tells the operator what changed; and, when nobody is left, that.
    pub fn changed(&self, endpoint: &Endpoint, change: Option<Change>, why: &str, now: Moment) {
        log_change(endpoint, change, why);
        if matches!(change, Some(Change::Down | Change::Ejected(_))) && self.pool.standing(now).0 == 0 {
            let backend = self.backend().name.as_str();
            tracing::error!(backend, "no server is up; all are tried all the same");
        }
    }
}

/// Of many addresses one must not use up the time of the others; but each may be far away, or busy.
fn share_of_one(limit: Duration, addresses: usize) -> Duration {
    share(limit, addresses).max(LEAST_SHARE.min(limit))
}

const LEAST_SHARE: Duration = Duration::from_secs(1);

/// Why a client gets no server.
#[derive(Debug)]
pub struct NoPlace {
    pub none: NoServer,
    unresolved: Option<String>,
}

impl NoPlace {
    pub fn refused(self, backend: &Backend) -> Refused {
        let name = &backend.name;
        match (self.none, self.unresolved) {
            (NoServer::NoAddress, Some(why)) => Refusal::BackendDns.because(why),
            (NoServer::Full, _) => {
                let most = backend.max_connections.unwrap_or(usize::MAX);
                let detail = format!("every server of backend {name} has its max_connections of {most}");
                Refusal::BackendFull.because(detail)
            }
            (NoServer::AllTried | NoServer::NoAddress, _) => {
                Refusal::BackendConnect.because(format!("backend {name} has no server"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_addresses_has_time_enough() {
        let share = |millis, addresses| share_of_one(Duration::from_millis(millis), addresses).as_millis();
        assert_eq!([share(5000, 1), share(5000, 2), share(5000, 64)], [5000, 2500, 1000]);
        assert_eq!([share(300, 1), share(300, 64)], [300, 300]);
    }
}
