//! Names of servers, asked of the system again and again: a pool follows what DNS says, and live sessions never notice.
//!
//! The system's resolver tells no lifetime, so an answer is asked for anew after a bound, when somebody needs a server
//! then: on the side, and one question a name at a time, however many clients come. Nobody waits for it but the first ones,
//! and those of a pool that has nobody else. While DNS fails, the last good answer stands.

use super::dial::{from_now, resolve};
use crate::backend::pool::{Address, Moved, Pool};
use crate::backend::{Server, bare};
use crate::moment::Moment;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How old an answer may become while servers are needed.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How old one may become where there was none yet, or it led to a server that cannot be reached. Many clients may find that out at once.
const ASK_AGAIN_SOON: Duration = Duration::from_secs(1);

type Answer = Result<Vec<Address>, String>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Resolver = fn(String, u16) -> Answering;

/// The name of a server of a pool.
#[derive(Debug)]
pub struct Name {
    /// Its place among the pool's servers.
    server: usize,
    host: String,
    port: u16,
    resolver: Resolver,
    asking: AtomicBool,
    answered: Notify,
    heard: Mutex<Heard>,
}

/// What came of asking.
#[derive(Debug, Default)]
struct Heard {
    /// Of the last answer. `None`: there was none yet.
    at: Option<Instant>,
    /// A server that it led to cannot be reached.
    doubted: bool,
    /// Why there is nothing better than what was known before.
    failure: Option<String>,
}

impl Name {
    /// Those of a pool's servers that have one.
    pub fn all(pool: &Pool) -> Vec<Arc<Name>> {
        Name::asked_of(pool, |host, port| Box::pin(async move { resolve(&host, port).await }))
    }

    fn asked_of(pool: &Pool, resolver: Resolver) -> Vec<Arc<Name>> {
        let servers = pool.backend().servers.iter().enumerate();
        let names = servers.filter_map(|(server, one)| match &one.server {
            Server::Tcp { host, port, .. } if one.server.literal().is_none() => Some(Arc::new(Name {
                server,
                host: bare(host).into(),
                port: *port,
                resolver,
                asking: AtomicBool::new(false),
                answered: Notify::new(),
                heard: Mutex::default(),
            })),
            _ => None,
        });
        names.collect()
    }

    /// Sees to it that the pool has every name's addresses, as far as that is worth waiting for. The error is why a name
    /// has none.
    pub async fn refresh(names: &[Arc<Name>], pool: &Arc<Pool>, now: Moment) -> Result<(), String> {
        if names.is_empty() {
            return Ok(());
        }
        let mut unresolved = Ok(());
        // All are asked before any is waited for.
        names.iter().for_each(|name| name.ask_on_the_side(pool, now));
        let late = from_now(pool.backend().connect_timeout);
        for name in names.iter().filter(|name| !pool.knows(name.server)) {
            if let Err(why) = name.wait(pool, late).await {
                unresolved = Err(why);
            }
        }
        unresolved
    }

    /// A server that cannot be reached may have moved.
    pub fn doubt(&self, server: usize) {
        if self.server == server {
            self.heard().doubted = true;
        }
    }

    fn ask_on_the_side(self: &Arc<Name>, pool: &Arc<Pool>, now: Moment) {
        if !self.is_old(pool) || self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (name, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            let answer = (name.resolver)(name.host.clone(), name.port).await;
            name.hear(answer, &pool, now);
            name.asking.store(false, Ordering::Release);
            name.answered.notify_waiters();
        });
    }

    fn is_old(&self, pool: &Pool) -> bool {
        let is_known = pool.knows(self.server);
        let heard = self.heard();
        let bound = if heard.doubted || !is_known { ASK_AGAIN_SOON } else { ASK_AGAIN };
        heard.at.is_none_or(|at| at.elapsed() >= bound)
    }

    fn hear(&self, answer: Answer, pool: &Pool, now: Moment) {
        let backend = pool.backend().name.as_str();
        let host = self.host.as_str();
        let failure = match answer {
            Ok(addresses) => {
                let Moved { added, removed } = pool.resolved(self.server, &addresses, now);
                if !removed.is_empty() {
                    let (added, removed) = (added.join(" "), removed.join(" "));
                    tracing::info!(
                        backend,
                        host,
                        added = added.as_str(),
                        removed = removed.as_str(),
                        "the name leads elsewhere; new sessions follow, live ones stay"
                    );
                }
                None
            }
            Err(why) => {
                let why_shown = why.as_str();
                if pool.knows(self.server) {
                    let message = "cannot resolve; the last good answer stands";
                    tracing::warn!(backend, host, why = why_shown, "{message}");
                } else {
                    tracing::warn!(backend, host, why = why_shown, "cannot resolve; it has no address yet");
                }
                Some(why)
            }
        };
        *self.heard() = Heard { at: Some(Instant::now()), doubted: false, failure };
    }

    /// For the answer that is under way, where somebody has to have it.
    async fn wait(&self, pool: &Pool, late: Instant) -> Result<(), String> {
        let mut answered = pin!(self.answered.notified());
        // From here on no answer is missed.
        answered.as_mut().enable();
        let is_first = self.heard().failure.is_none();
        if self.asking.load(Ordering::Acquire) && (is_first || pool.is_empty()) {
            let in_time = timeout_at(late, answered).await;
            if in_time.is_err() {
                // Those who come now have waited long enough.
                self.heard()
                    .failure
                    .get_or_insert_with(|| format!("cannot resolve {}: no answer", self.host));
            }
        }
        if pool.knows(self.server) {
            return Ok(());
        }
        Err(self.heard().failure.clone().unwrap_or_else(|| format!("cannot resolve {}", self.host)))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use std::sync::atomic::AtomicUsize;
    use tokio::time::{advance, sleep};

    fn pool(hosts: &[&str]) -> Arc<Pool> {
        let server = |host: &&str| Server::Tcp { host: (*host).into(), port: 1, tls: false };
        Arc::new(Pool::new(Backend::new("chat", hosts.iter().map(server))))
    }

    /// How it went, and after how long.
    async fn refresh(names: &[Arc<Name>], pool: &Arc<Pool>) -> (Result<(), String>, Duration) {
        let start = Instant::now();
        (Name::refresh(names, pool, Moment::default()).await, start.elapsed())
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// However many clients wait for a name, it is asked for once; and a failure is the answer of all of them.
    #[tokio::test(start_paused = true)]
    async fn clients_by_the_thousand_are_one_question() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let pool = pool(&["a.test"]);
        let names = Name::asked_of(&pool, |host, _| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                sleep(SECOND).await;
                Err(format!("no {host}"))
            })
        });
        let clients: Vec<_> = (0..1000)
            .map(|_| {
                let (names, pool) = (names.clone(), pool.clone());
                tokio::spawn(async move { refresh(&names, &pool).await })
            })
            .collect();
        for client in clients {
            assert_eq!(client.await.unwrap(), (Err("no a.test".into()), SECOND));
        }
        assert_eq!(refresh(&names, &pool).await, (Err("no a.test".into()), Duration::ZERO));
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        advance(ASK_AGAIN_SOON).await;
        assert_eq!(refresh(&names, &pool).await, (Err("no a.test".into()), SECOND), "it has nobody else");
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    }

    /// A name that does not resolve costs the clients of the other servers nothing.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_name_among_others_but_the_first() {
        let pool = pool(&["10.0.0.1", "a.test", "b.test"]);
        let names = Name::asked_of(&pool, |host, _| {
            Box::pin(async move {
                sleep(100 * SECOND).await;
                Err(format!("no {host}"))
            })
        });
        let (result, took) = refresh(&names, &pool).await;
        assert!(result.is_err());
        assert_eq!(took, pool.backend().connect_timeout, "not longer, and not once for each of them");
        for _ in 0..1000 {
            assert_eq!(refresh(&names, &pool).await.1, Duration::ZERO);
            advance(SECOND).await;
        }
    }

    /// What many clients find out together is a reason to ask again, once and not at once.
    #[tokio::test(start_paused = true)]
    async fn doubts_are_one_question_a_second() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let pool = pool(&["a.test"]);
        let names = Name::asked_of(&pool, |_, port| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { Ok(vec![Address::Tcp(([10, 0, 0, 1], port).into())]) })
        });
        for _ in 0..100 {
            assert_eq!(refresh(&names, &pool).await, (Ok(()), Duration::ZERO));
            names[0].doubt(0);
            sleep(Duration::from_millis(100)).await;
        }
        let asked = ASKED.load(Ordering::SeqCst);
        assert!((9..=11).contains(&asked), "{asked}");
    }
}
