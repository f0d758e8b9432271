//! The way out: whoever is left is told to come back, over some time, and the rest waits for them under a deadline.

use super::Main;
use super::service::{self, Doing};
use super::signals::{Signalled, Signals};
use crate::gateway::Gateway;
use crate::registry::Parting;
use crate::relay::Order;
use std::time::Duration;
use tokio::time::Instant;

/// Why the main loop is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    ForGood,
    /// The process of this id has the listeners.
    HandedOver(u32),
}

impl Main {
    /// Until nobody is left, or time is up.
    pub(super) async fn drain(&self, leaving: Leaving) {
        let Main { running, .. } = self;
        let sessions = &running.gateways.get().lasting.sessions;
        let deadline = match leaving {
            Leaving::ForGood => self.leave().await,
            Leaving::HandedOver(pid) => self.leave_to(pid),
        };
        running.accepting.close();
        running.connections.close();
        let all_gone = async {
            running.accepting.wait().await;
            running.connections.wait().await;
            sessions.gone().await;
        };
        if tokio::time::timeout_at(deadline, all_gone).await.is_err() {
            tracing::warn!(sessions = sessions.count(), "drain_timeout is over; what is left is cut off");
        }
    }

    /// From the signal to the first Close; returns the hard deadline.
    async fn leave(&self) -> Instant {
        let gateway = self.running.gateways.get();
        let (shutdown, sessions) = (&gateway.shutdown, gateway.lasting.sessions.count());
        self.standing.leaves();
        self.notifier.stopping(&service::status(Doing::Draining, sessions));
        tracing::info!(sessions, ready = false, "draining: not ready any more");
        tokio::time::sleep(shutdown.pre_stop_delay).await; // why: the operator asked for this time
        let spread = shutdown.close_spread;
        let ordered = send_away(&gateway, spread);
        self.running.stop.cancel();
        tracing::info!(sessions = ordered, ?spread, "no longer accepting; closing sessions");
        Instant::now() + shutdown.drain_timeout
    }

    /// The same where another process has the listeners: there is nothing to wait for.
    fn leave_to(&self, pid: u32) -> Instant {
        let gateway = self.running.gateways.get();
        let shutdown = &gateway.shutdown;
        self.standing.leaves();
        let (code, spread) = (shutdown.close_code, shutdown.close_spread);
        let parting = Parting { order: Order::Drain, code, spread };
        let ordered = gateway.lasting.sessions.send_all_away(parting, fastrand::f64);
        self.running.stop.cancel();
        tracing::info!(pid, sessions = ordered, ?spread, "handed over; closing sessions");
        Instant::now() + shutdown.drain_timeout
    }
}

/// Until this process is not even to finish in order. One that another replaces drains without having been told, and a
/// service manager that stops the service tells every process of it: the first signal is no second one.
pub async fn stop_at_once(signals: &mut Signals, leaving: Leaving) {
    let mut may_ask_again = leaving != Leaving::ForGood;
    loop {
        match signals.next().await {
            Signalled::Leave if may_ask_again => {
                may_ask_again = false;
                tracing::info!("this process is draining already; another signal stops it at once");
            }
            Signalled::Leave => return,
            Signalled::Reload | Signalled::HandOver => {
                tracing::warn!("this process is on its way out: nothing is reloaded or handed over");
            }
        }
    }
}

/// Lets nobody in any more and sends everybody away.
pub fn send_away(gateway: &Gateway, spread: Duration) -> usize {
    let sessions = &gateway.lasting.sessions;
    sessions.shut();
    let parting = Parting { order: Order::Drain, code: gateway.shutdown.close_code, spread };
    sessions.send_away(parting, |_| true, fastrand::f64)
}
