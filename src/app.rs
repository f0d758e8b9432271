//! The running program: listeners, backends and routes put together, signals, and the way out.

use crate::config::Plan;
use crate::drain::{Sessions, ShutdownSettings};
use crate::gateway::Gateway;
use crate::net::dial::Dialer;
use crate::net::listen::{Bind, Listener, ListenerSettings};
use crate::net::tls;
use crate::route::RouteTable;
use crate::serve::{Door, serve};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What to run.
pub struct Setup {
    pub plan: Plan,
    /// TLS for listeners whose certificate is not in files, by the listener's name.
    pub made_tls: HashMap<String, Arc<ServerConfig>>,
    /// Called once everything listens, with where it does.
    pub on_ready: OnReady,
}

/// Listeners' names and addresses, with the ports that the system chose.
pub type OnReady = Box<dyn FnOnce(&[(String, Bind)])>;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Drained, within the deadline or at it.
    Drained,
    /// A second signal.
    Stopped,
}

/// Runs until a signal says otherwise. The error says what the operator has to mend.
pub fn run(setup: Setup) -> Result<End, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = setup.plan.workers {
        builder.worker_threads(workers.get());
    }
    let runtime = builder.enable_all().build().map_err(|error| format!("cannot start: {error}"))?;
    let end = runtime.block_on(run_until_signal(setup));
    // Whatever is left at the deadline ends here; a name look-up that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    end
}

async fn run_until_signal(setup: Setup) -> Result<End, String> {
    let mut signals = Signals::listen()?;
    let sessions = Arc::new(Sessions::default());
    let sessions_tasks = TaskTracker::new();
    let Plan { trusted_proxies, log, shutdown, listeners, backends, routes, .. } = setup.plan;
    let dialers = backends.into_iter().map(Dialer::new).collect::<Result<Vec<_>, _>>()?;
    let gateway = Arc::new(Gateway {
        routes: RouteTable::new(routes),
        backends: dialers,
        trusted: trusted_proxies,
        sessions: sessions.clone(),
        tasks: sessions_tasks.clone(),
        access_log: log.access,
        query: log.query,
    });
    let doors = listeners
        .into_iter()
        .map(|settings| open_door(settings, &setup.made_tls))
        .collect::<Result<Vec<_>, _>>()?;

    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    let mut bound = Vec::new();
    for door in doors {
        let (name, local, tls) = (door.settings.name.clone(), door.listener.local(), door.tls.is_some());
        tracing::info!(listener = name.as_str(), bind = %local, tls, "listening");
        bound.push((name, local));
        accepting.spawn(serve(door, gateway.clone(), stop.clone(), connections.clone()));
    }
    (setup.on_ready)(&bound);

    signals.terminate().await;
    let drain = async {
        let deadline = leave(&shutdown, &sessions, &stop).await;
        accepting.close();
        connections.close();
        sessions_tasks.close();
        let all_gone = async {
            accepting.wait().await;
            connections.wait().await;
            sessions_tasks.wait().await;
            sessions.gone().await;
        };
        if tokio::time::timeout_at(deadline, all_gone).await.is_err() {
            tracing::warn!(sessions = sessions.count(), "drain_timeout is over; what is left is cut off");
        }
    };
    tokio::select! {
        () = drain => {
            tracing::info!("stopped");
            Ok(End::Drained)
        }
        () = signals.terminate() => {
            // Whoever was not ordered to go yet is cut off by this, and its line has to say so.
            let cut_off = sessions.drain(Duration::ZERO, shutdown.close_code, fastrand::f64);
            tracing::warn!(sessions = cut_off, "second signal: stopped at once");
            Ok(End::Stopped)
        }
    }
}

/// From the signal to the first Close; returns the hard deadline.
async fn leave(shutdown: &ShutdownSettings, sessions: &Sessions, stop: &CancellationToken) -> Instant {
    tracing::info!(sessions = sessions.count(), ready = false, "draining: not ready any more");
    tokio::time::sleep(shutdown.pre_stop_delay).await; // why: the operator asked for this time
    stop.cancel();
    let ordered = sessions.drain(shutdown.close_spread, shutdown.close_code, fastrand::f64);
    tracing::info!(sessions = ordered, spread = ?shutdown.close_spread, "no longer accepting; closing sessions");
    Instant::now() + shutdown.drain_timeout
}

fn open_door(settings: ListenerSettings, made: &HashMap<String, Arc<ServerConfig>>) -> Result<Door, String> {
    let tls = match (&settings.tls, made.get(&settings.name)) {
        (Some(files), _) => Some(tls::server_config(files)?),
        (None, made) => made.cloned(),
    };
    let listener = Listener::bind(&settings.bind).map_err(|error| {
        format!("listener {}: cannot listen on {}: {error}", settings.name, settings.bind)
    })?;
    Ok(Door { listener, settings, tls: tls.map(TlsAcceptor::from) })
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// SIGHUP and SIGUSR2 are spoken for (reload, hand-over) and not built yet: they must not end the process.
    fn listen() -> Result<Signals, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        for (kind, what) in
            [(SignalKind::hangup(), "SIGHUP: reload"), (SignalKind::user_defined2(), "SIGUSR2: hand-over")]
        {
            let mut ignored = on(kind)?;
            tokio::spawn(async move {
                while ignored.recv().await.is_some() {
                    tracing::warn!("{what} is not yet supported; nothing was changed");
                }
            });
        }
        Ok(Signals { term: on(SignalKind::terminate())?, int: on(SignalKind::interrupt())? })
    }

    async fn terminate(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
