//! Names of servers, asked of the system again and again: a pool follows what DNS says, and live sessions never notice.
//!
//! The system's resolver tells no lifetime, so an answer is asked for anew after a bound, by whoever needs a server then;
//! nobody waits for it but the very first. While DNS fails, the last good answer stands.

use super::dial::resolve;
use crate::backend::pool::{Moved, Pool};
use crate::backend::{Server, bare};
use crate::moment::Moment;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How old an answer may become while servers are needed.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The name of a server of a pool.
#[derive(Debug)]
pub struct Name {
    /// Its place among the pool's servers.
    server: usize,
    host: String,
    port: u16,
    asking: AtomicBool,
    /// When to ask again. `None`: at once.
    good_until: Mutex<Option<Instant>>,
    /// Held while the first answer is waited for.
    first: tokio::sync::Mutex<()>,
}

impl Name {
    /// Those of a pool's servers that have one.
    pub fn all(pool: &Pool) -> Vec<Arc<Name>> {
        let servers = pool.backend().servers.iter().enumerate();
        let names = servers.filter_map(|(server, one)| match &one.server {
            Server::Tcp { host, port, .. } if one.server.literal().is_none() => Some(Arc::new(Name {
                server,
                host: bare(host).into(),
                port: *port,
                asking: AtomicBool::new(false),
                good_until: Mutex::new(None),
                first: tokio::sync::Mutex::new(()),
            })),
            _ => None,
        });
        names.collect()
    }

    /// Sees to it that the pool has the name's addresses: waits for the first, and has old ones asked for on the side.
    /// The error is why there are none.
    pub async fn refresh(self: &Arc<Name>, pool: &Arc<Pool>, now: Moment) -> Result<(), String> {
        if pool.knows(self.server) {
            if self.is_old() && !self.asking.swap(true, Ordering::AcqRel) {
                let (name, pool) = (self.clone(), pool.clone());
                tokio::spawn(async move {
                    let asked = name.ask(&pool, now).await;
                    name.asking.store(false, Ordering::Release);
                    if let Err(why) = asked {
                        tracing::warn!(
                            backend = pool.backend().name.as_str(),
                            host = name.host.as_str(),
                            why = why.as_str(),
                            "cannot resolve; the last good answer stands"
                        );
                    }
                });
            }
            return Ok(());
        }
        let _first = self.first.lock().await;
        if pool.knows(self.server) { Ok(()) } else { self.ask(pool, now).await }
    }

    /// A server that cannot be reached may have moved.
    pub fn doubt(&self, server: usize) {
        if self.server == server {
            *self.good_until() = None;
        }
    }

    fn is_old(&self) -> bool {
        self.good_until().is_none_or(|until| until <= Instant::now())
    }

    fn good_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.good_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, pool: &Pool, now: Moment) -> Result<(), String> {
        let answer = resolve(&self.host, self.port).await;
        // A failure too is not worth asking about again at once.
        *self.good_until() = Some(Instant::now() + ASK_AGAIN);
        let addresses = answer?;
        let Moved { added, removed } = pool.resolved(self.server, &addresses, now);
        if !removed.is_empty() {
            tracing::info!(
                backend = pool.backend().name.as_str(),
                host = self.host.as_str(),
                added = added.join(" ").as_str(),
                removed = removed.join(" ").as_str(),
                "the name leads elsewhere; new sessions follow, live ones stay"
            );
        }
        Ok(())
    }
}
