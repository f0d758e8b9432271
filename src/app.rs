//! The running program: listeners, backends and routes put together, signals, and the way out.

use crate::backend::OnServerDown;
use crate::backend::health::Change;
use crate::backend::pool::Endpoint;
use crate::config::Plan;
use crate::drain::ShutdownSettings;
use crate::gateway::{Gateway, Usher};
use crate::keyring::Keyrings;
use crate::net::auth::AuthServer;
use crate::net::descriptors;
use crate::net::farewell::Farewells;
use crate::net::listen::{Bind, Bound, ListenerSettings};
use crate::net::probe;
use crate::net::tls;
use crate::net::upstream::Upstream;
use crate::observe::log;
use crate::registry::{Handle, Parting, Sessions};
use crate::relay::Order;
use crate::route::RouteTable;
use crate::workers::{Duty, Entrance, Workers};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
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
    descriptors::take_all();
    // Signals and the way out; connections have threads of their own.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.on_thread_park(log::flush).enable_all().build();
    let end = runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(run_until_signal(setup));
    log::flush();
    end
}

async fn run_until_signal(setup: Setup) -> Result<End, String> {
    let mut signals = Signals::listen()?;
    let sessions = Arc::new(Sessions::default());
    let (count, descriptors) = (setup.plan.loops(), setup.plan.descriptors());
    let Plan { trusted_proxies, max_connections, log, shutdown, listeners, backends, routes, .. } =
        setup.plan;
    let backends = backends.into_iter().map(Upstream::new).collect::<Result<Vec<_>, _>>()?;
    let asking = routes.iter().filter_map(|route| Some((&route.name, route.forward_auth.clone()?)));
    let auth_servers = asking.map(|(name, settings)| Ok((name.clone(), AuthServer::new(settings)?)));
    let auth_servers = auth_servers.collect::<Result<HashMap<_, _>, String>>()?;
    let tokens = routes.iter().filter_map(|route| route.access.token.as_ref());
    let keyrings = Arc::new(Keyrings::open(tokens.map(|policy| policy.jwks_file.as_path()))?);
    // On this thread, which carries no sessions.
    tokio::spawn({
        let keyrings = keyrings.clone();
        async move { keyrings.watch().await }
    });
    let max_connections = max_connections.in_numbers(descriptors);
    let gateway = Arc::new(Gateway {
        routes: RouteTable::new(routes),
        keyrings,
        backends,
        auth_servers,
        trusted: trusted_proxies,
        sessions: sessions.clone(),
        usher: Usher::new(max_connections),
        farewells: Farewells::default(),
        access_log: log.access,
        query: log.query,
    });
    for backend in 0..gateway.backends.len() {
        tokio::spawn(look_after(gateway.clone(), backend, shutdown.clone()));
    }
    let entrances = listeners
        .into_iter()
        .map(|settings| open_entrance(settings, &setup.made_tls, count))
        .collect::<Result<Vec<_>, _>>()?;
    let named = |entrance: &Entrance| {
        let Entrance { settings, tls, bound } = entrance;
        (settings.name.clone(), bound.first().map_or(&settings.bind, Bound::at).clone(), tls.is_some())
    };
    let listening: Vec<_> = entrances.iter().map(named).collect();
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    let duty = Duty {
        gateway: gateway.clone(),
        stop: stop.clone(),
        accepting: accepting.clone(),
        connections: connections.clone(),
    };
    let workers =
        Workers::start(count, entrances, &duty).map_err(|error| format!("cannot start: {error}"))?;
    for (name, at, tls) in &listening {
        tracing::info!(listener = name.as_str(), bind = %at, tls, "listening");
    }
    if let Some(max_connections) = max_connections {
        tracing::info!(max_connections, "connections at a time");
    }
    let bound: Vec<_> = listening.into_iter().map(|(name, at, _)| (name, at)).collect();
    (setup.on_ready)(&bound);

    signals.terminate().await;
    let drain = async {
        let deadline = leave(&shutdown, &sessions, &stop).await;
        accepting.close();
        connections.close();
        let all_gone = async {
            accepting.wait().await;
            connections.wait().await;
            sessions.gone().await;
        };
        if tokio::time::timeout_at(deadline, all_gone).await.is_err() {
            tracing::warn!(sessions = sessions.count(), "drain_timeout is over; what is left is cut off");
        }
    };
    let end = tokio::select! {
        () = drain => End::Drained,
        () = signals.terminate() => {
            // Whoever was not ordered to go yet is cut off by this, and its line has to say so.
            let now = Parting { order: Order::Drain, code: shutdown.close_code, spread: Duration::ZERO };
            sessions.shut();
            let cut_off = sessions.send_away(now, |_| true, fastrand::f64);
            tracing::warn!(sessions = cut_off, "second signal: stopped at once");
            End::Stopped
        }
    };
    workers.end();
    gateway.usher.tell_what_was_left_out();
    if end == End::Drained {
        // With no connection left every seat is free again.
        tracing::info!(seats = gateway.usher.seats(), "stopped");
    }
    Ok(end)
}

/// Probes the servers of a backend, where its configuration wants that. On this thread, which carries no sessions.
async fn look_after(gateway: Arc<Gateway>, backend: usize, shutdown: ShutdownSettings) {
    let upstream = &gateway.backends[backend];
    let Some(settings) = &upstream.backend().health else { return };
    let closes = upstream.backend().on_server_down == OnServerDown::Close;
    let on_change = |endpoint: &Arc<Endpoint>, change: Change| {
        if change == Change::Down && closes {
            let (spread, code) = (shutdown.close_spread, shutdown.close_code);
            let parting = Parting { order: Order::BackendDown, code, spread };
            let is_there =
                |handle: &Handle| handle.facts().is_some_and(|facts| facts.endpoint.here == endpoint.here);
            let told = gateway.sessions.send_away(parting, is_there, fastrand::f64);
            let (backend, server) = (&*endpoint.backend, &*endpoint.label);
            tracing::warn!(backend, server, sessions = told, ?spread, "its sessions are told to come back");
        }
    };
    probe::watch(upstream, settings, on_change).await;
}

/// From the signal to the first Close; returns the hard deadline.
async fn leave(shutdown: &ShutdownSettings, sessions: &Sessions, stop: &CancellationToken) -> Instant {
    tracing::info!(sessions = sessions.count(), ready = false, "draining: not ready any more");
    tokio::time::sleep(shutdown.pre_stop_delay).await; // why: the operator asked for this time
    stop.cancel();
    let (spread, code) = (shutdown.close_spread, shutdown.close_code);
    sessions.shut();
    let ordered = sessions.send_away(Parting { order: Order::Drain, code, spread }, |_| true, fastrand::f64);
    tracing::info!(sessions = ordered, spread = ?shutdown.close_spread, "no longer accepting; closing sessions");
    Instant::now() + shutdown.drain_timeout
}

fn open_entrance(
    settings: ListenerSettings,
    made: &HashMap<String, Arc<ServerConfig>>,
    loops: usize,
) -> Result<Entrance, String> {
    let tls = match (&settings.tls, made.get(&settings.name)) {
        (Some(files), _) => Some(tls::server_config(files)?),
        (None, made) => made.cloned(),
    };
    let bound = Bound::open(&settings.bind, loops).map_err(|error| {
        format!("listener {}: cannot listen on {}: {error}", settings.name, settings.bind)
    })?;
    Ok(Entrance { settings: Arc::new(settings), tls, bound })
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
