//! A configuration at work, and the next one in its place. A reload is all or nothing: whatever may fail is tried before
//! the first thing changes.

use crate::backend::health::Change;
use crate::backend::pool::Endpoint;
use crate::backend::{Backend, OnServerDown, Server};
use crate::config::Plan;
use crate::console::{Listening, Reloaded};
use crate::gateway::{Gateway, Lasting};
use crate::keyring::Keyrings;
use crate::latest::Latest;
use crate::net::auth::AuthServer;
use crate::net::listen::{Bind, Bound, ListenerSettings};
use crate::net::probe;
use crate::net::served_tls::{self, ServedTls};
use crate::net::sockets::Sockets;
use crate::net::upstream::Upstream;
use crate::observe::log::{self, LogSettings};
use crate::observe::metrics::Names;
use crate::policy::crowd::Crowd;
use crate::registry::{Handle, Parting};
use crate::relay::Order;
use crate::route::{Route, RouteTable};
use crate::serve::Terms;
use crate::workers::{Duty, Workers};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// TLS for listeners whose certificate is not in files, by the listener's name.
pub type MadeTls = HashMap<String, Arc<ServedTls>>;

pub struct Running {
    pub gateways: Arc<Latest<Gateway>>,
    /// The configuration as it runs, with what only another start would change.
    pub plan: Arc<Latest<Plan>>,
    pub accepting: TaskTracker,
    pub connections: TaskTracker,
    /// Ends every listener.
    pub stop: CancellationToken,
    pub sockets: Sockets,
    loops: usize,
    workers: Workers,
    entrances: Vec<Entrance>,
    made_tls: MadeTls,
    /// What takes another start to change.
    fixed: Fixed,
    log: LogSettings,
    probing: Vec<Probing>,
    watching: Option<AbortHandle>,
}

/// A listener that is open.
pub struct Entrance {
    pub terms: Arc<Latest<Terms>>,
    /// Where it really listens.
    pub at: Bind,
    bind: Bind,
    stop: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fixed {
    workers: Option<NonZeroUsize>,
    format: log::LogFormat,
}

struct Probing {
    upstream: Arc<Upstream>,
    task: AbortHandle,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything of the next configuration that could fail, done.
struct Prepared {
    gateway: Gateway,
    listeners: Vec<Prospect>,
}

/// What listeners are made from.
struct Prospects<'a> {
    open: &'a [Entrance],
    made_tls: &'a MadeTls,
    sockets: &'a Sockets,
    loops: usize,
}

/// A listener of the next configuration.
struct Prospect {
    terms: Terms,
    /// The place of the one that is open already.
    stays: Option<usize>,
    /// Of a new one.
    bound: Vec<Bound>,
}

impl Running {
    /// Opens all listeners and, once `may_accept` says so (which may open more), lets clients in; the error says what the operator has to mend.
    pub fn start(
        plan: Plan,
        made_tls: MadeTls,
        lasting: Lasting,
        sockets: Sockets,
        may_accept: impl FnOnce(&Sockets) -> Result<(), String>,
    ) -> Result<Running, String> {
        let (loops, log) = (plan.loops(), plan.log.clone());
        let fixed = Fixed { workers: plan.workers, format: log.format };
        let kept = Arc::new(plan.clone());
        let prospects = Prospects { open: &[], made_tls: &made_tls, sockets: &sockets, loops };
        let Prepared { gateway, listeners } = prepare(plan, None, lasting, prospects)?;
        let gateways = Arc::new(Latest::new(Arc::new(gateway)));
        let (accepting, connections) = (TaskTracker::new(), TaskTracker::new());
        let duty = Duty {
            gateways: gateways.clone(),
            accepting: accepting.clone(),
            connections: connections.clone(),
        };
        let workers = Workers::start(loops, &duty).map_err(|error| format!("cannot start: {error}"))?;
        let mut running = Running {
            gateways,
            plan: Arc::new(Latest::new(kept)),
            accepting,
            connections,
            stop: CancellationToken::new(),
            sockets,
            loops,
            workers,
            entrances: Vec::new(),
            made_tls,
            fixed,
            log,
            probing: Vec::new(),
            watching: None,
        };
        may_accept(&running.sockets)?;
        running.sockets.settle();
        for prospect in listeners {
            running.open(prospect);
        }
        running.name_figures();
        running.probe();
        running.watch();
        Ok(running)
    }

    /// Another configuration takes over. On an error nothing has changed.
    pub fn reload(&mut self, plan: Plan) -> Result<Reloaded, String> {
        let before = self.gateways.get();
        let fixed = Fixed { workers: plan.workers, format: plan.log.format };
        let log = plan.log.clone();
        let lasting = before.lasting.clone();
        let mut kept = plan.clone();
        (kept.workers, kept.log.format) = (self.fixed.workers, self.fixed.format);
        let prospects = Prospects {
            open: &self.entrances,
            made_tls: &self.made_tls,
            sockets: &self.sockets,
            loops: self.loops,
        };
        let Prepared { gateway, listeners } = prepare(plan, Some(&before), lasting, prospects)?;
        let mut reloaded = compare(&before, &gateway);
        let gateway = Arc::new(gateway);
        gateway.backends.iter().for_each(|upstream| upstream.pool().begin());
        self.gateways.replace(gateway.clone());
        self.plan.replace(Arc::new(kept));
        self.follow(listeners, &mut reloaded);
        reloaded.sessions = gateway.take_over(&before);
        self.name_figures();
        self.probe();
        self.watch();
        if log.level != self.log.level {
            log::change_level(log.level);
        }
        self.log = log;
        reloaded.warnings.extend(self.unchanged(&fixed));
        Ok(reloaded)
    }

    /// What another start of the program would take over.
    fn unchanged(&self, asked: &Fixed) -> Option<String> {
        let keys = [
            ("workers", asked.workers != self.fixed.workers),
            ("log.format", asked.format != self.fixed.format),
        ];
        let keys: Vec<&str> = keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect();
        (!keys.is_empty())
            .then(|| format!("{} takes another start of the program, or a hand-over", keys.join(", ")))
    }

    /// The listeners become these: some stay, some come, some go.
    fn follow(&mut self, listeners: Vec<Prospect>, reloaded: &mut Reloaded) {
        let mut stay = vec![false; self.entrances.len()];
        let mut added = Vec::new();
        for prospect in listeners {
            match prospect.stays {
                Some(place) => {
                    stay[place] = true;
                    self.entrances[place].terms.replace(Arc::new(prospect.terms));
                }
                None => added.push(prospect),
            }
        }
        let mut stay = stay.into_iter();
        self.entrances.retain(|entrance| {
            let stays = stay.next().unwrap_or_default();
            if !stays {
                let name = entrance.terms.get().settings.name.clone();
                tracing::info!(listener = name.as_str(), bind = %entrance.at, "no longer listening");
                reloaded.listeners_removed.push(name);
                entrance.stop.cancel();
            }
            stays
        });
        for prospect in added {
            reloaded.listeners_added.push(prospect.terms.settings.name.clone());
            self.open(prospect);
        }
    }

    fn open(&mut self, prospect: Prospect) {
        let Prospect { terms, bound, .. } = prospect;
        let (bind, stop) = (terms.settings.bind.clone(), self.stop.child_token());
        let at = bound.first().map_or(&bind, Bound::at).clone();
        let (listener, tls) = (terms.settings.name.as_str(), terms.tls.is_some());
        // Systemd may pass several sockets under one name.
        let mut places: Vec<&Bind> = bound.iter().map(Bound::at).collect();
        places.dedup();
        for at in places {
            tracing::info!(listener, bind = %at, tls, "listening");
        }
        let terms = Arc::new(Latest::new(Arc::new(terms)));
        self.workers.serve(bound, &terms, &stop);
        self.entrances.push(Entrance { terms, at, bind, stop });
    }

    /// As others see it.
    pub fn listening(&self) -> Vec<Listening> {
        let listening = self.entrances.iter().map(|entrance| {
            let terms = entrance.terms.get();
            let (name, tls) = (terms.settings.name.clone(), terms.tls.is_some());
            Listening { name, at: entrance.at.clone(), tls }
        });
        listening.collect()
    }

    pub fn entrances(&self) -> &[Entrance] {
        &self.entrances
    }

    /// What is counted is counted under these names from now on, and what expires is asked of these listeners.
    fn name_figures(&self) {
        let gateway = self.gateways.get();
        let terms: Vec<Arc<Terms>> = self.entrances.iter().map(|entrance| entrance.terms.get()).collect();
        gateway.lasting.sessions.configured(&Names {
            routes: gateway.routes.iter().map(|route| route.name.as_str()).collect(),
            listeners: terms.iter().map(|terms| terms.settings.name.as_str()).collect(),
            backends: gateway.backends.iter().map(|upstream| upstream.backend().name.as_str()).collect(),
        });
        let served =
            terms.iter().filter_map(|terms| Some((terms.settings.name.as_str().into(), terms.tls.clone()?)));
        gateway.lasting.served.replace(Arc::new(served.collect()));
    }

    /// Has every backend's servers probed, where its configuration wants that. Those that stayed are being probed.
    fn probe(&mut self) {
        let gateway = self.gateways.get();
        self.probing
            .retain(|one| gateway.backends.iter().any(|upstream| Arc::ptr_eq(upstream, &one.upstream)));
        for upstream in &gateway.backends {
            if !self.probing.iter().any(|one| Arc::ptr_eq(&one.upstream, upstream)) {
                let task = tokio::spawn(look_after(upstream.clone(), self.gateways.clone())).abort_handle();
                self.probing.push(Probing { upstream: upstream.clone(), task });
            }
        }
    }

    /// Looks at the files that change by themselves: keys of tokens, certificates, keys of tickets. On this thread, which
    /// carries no sessions.
    fn watch(&mut self) {
        let keyrings = self.gateways.get().keyrings.clone();
        let served = self.entrances.iter().filter_map(|entrance| entrance.terms.get().tls.clone()).collect();
        let both = async move { tokio::join!(keyrings.watch(), served_tls::watch(served)) };
        if let Some(before) = self.watching.replace(tokio::spawn(both).abort_handle()) {
            before.abort();
        }
    }

    /// Ends the loops, and with them whatever still runs there.
    pub fn end(self) {
        self.workers.end();
    }
}

fn prepare(
    plan: Plan,
    before: Option<&Gateway>,
    lasting: Lasting,
    prospects: Prospects<'_>,
) -> Result<Prepared, String> {
    let descriptors = plan.descriptors();
    let Plan { trusted_proxies, max_connections, log, shutdown, listeners, backends, routes, .. } = plan;
    let backends = backends.into_iter().map(|backend| upstream(backend, before));
    let backends = backends.collect::<Result<Vec<_>, _>>()?;
    let asking = routes.iter().filter_map(|route| Some((&route.name, route.forward_auth.clone()?)));
    let auth_servers = asking.map(|(name, settings)| Ok((name.clone(), AuthServer::new(settings)?)));
    let auth_servers = auth_servers.collect::<Result<HashMap<_, _>, String>>()?;
    let tokens = routes.iter().filter_map(|route| route.access.token.as_ref());
    let keyrings = Arc::new(Keyrings::open(tokens.map(|policy| policy.jwks_file.as_path()))?);
    let gateway = Gateway {
        generation: before.map_or(1, |before| before.generation + 1),
        routes: RouteTable::new(routes),
        keyrings,
        backends,
        auth_servers,
        trusted: trusted_proxies,
        crowd: Crowd::of_the_process(max_connections.in_numbers(descriptors)),
        shutdown,
        access_log: log.access,
        query: log.query,
        lasting,
    };
    let listeners = listeners.into_iter().map(|settings| prospects.of(settings));
    Ok(Prepared { listeners: listeners.collect::<Result<_, _>>()?, gateway })
}

/// The backend as it was, where nothing about it can have changed; else a new one that knows what the old one knew.
fn upstream(backend: Backend, before: Option<&Gateway>) -> Result<Arc<Upstream>, String> {
    let same_name = |upstream: &&Arc<Upstream>| upstream.backend().name == backend.name;
    let before = before.and_then(|before| before.backends.iter().find(same_name));
    // The certificates that TLS is made of are in files.
    let is_plain = |backend: &Backend| {
        !backend.servers.iter().any(|one| matches!(one.server, Server::Tcp { tls: true, .. }))
    };
    match before {
        Some(before) if *before.backend() == backend && is_plain(&backend) => Ok(before.clone()),
        before => Upstream::new(backend, before.map(|before| &**before)).map(Arc::new),
    }
}

impl Prospects<'_> {
    fn of(&self, settings: ListenerSettings) -> Result<Prospect, String> {
        let Prospects { open, made_tls: made, sockets, loops } = self;
        // Port 0 is another port each time; there a listener is known by its name.
        let is_vague = matches!(settings.bind, Bind::Tcp(address) if address.port() == 0);
        let is_it = |one: &Entrance| {
            one.bind == settings.bind && (!is_vague || one.terms.get().settings.name == settings.name)
        };
        let stays = open.iter().position(is_it);
        let before = stays.and_then(|place| open[place].terms.get().tls.clone());
        let tls = match (&settings.tls, made.get(&settings.name)) {
            (Some(files), _) => Some(Arc::new(ServedTls::open(&settings.name, files, before.as_deref())?)),
            (None, made) => made.cloned(),
        };
        let bound = match stays {
            Some(_) => Vec::new(),
            None => sockets.open(&settings.name, &settings.bind, *loops).map_err(|error| {
                format!("listener {}: cannot listen on {}: {error}", settings.name, settings.bind)
            })?,
        };
        Ok(Prospect { terms: Terms::new(settings, tls), stays, bound })
    }
}

/// What is other in `after`.
fn compare(before: &Gateway, after: &Gateway) -> Reloaded {
    fn find<'a>(gateway: &'a Gateway, name: &str) -> Option<&'a Arc<Route>> {
        gateway.routes.iter().find(|route| route.name == name)
    }
    let missing_in = |there: &Gateway, here: &Gateway| -> Vec<String> {
        let missing = here.routes.iter().filter(|route| find(there, &route.name).is_none());
        missing.map(|route| route.name.clone()).collect()
    };
    let backend = |gateway: &Gateway, route: &Route| {
        gateway.backends.get(route.backend).map(|upstream| upstream.backend().clone())
    };
    let differs = |route: &&Arc<Route>| {
        find(before, &route.name).is_some_and(|old| {
            let same = Route { backend: route.backend, ..Route::clone(old) } == ***route;
            !same || backend(before, old) != backend(after, route)
        })
    };
    Reloaded {
        generation: after.generation,
        routes_added: missing_in(before, after),
        routes_removed: missing_in(after, before),
        routes_changed: after.routes.iter().filter(differs).map(|route| route.name.clone()).collect(),
        ..Reloaded::default()
    }
}

/// Probes the servers of a backend, where its configuration wants that. On this thread, which carries no sessions.
async fn look_after(upstream: Arc<Upstream>, gateways: Arc<Latest<Gateway>>) {
    let Some(settings) = &upstream.backend().health else { return };
    let closes = upstream.backend().on_server_down == OnServerDown::Close;
    let on_change = |endpoint: &Arc<Endpoint>, change: Change| {
        if change == Change::Down && closes {
            send_away_from(endpoint, &gateways.get());
        }
    };
    probe::watch(&upstream, settings, on_change).await;
}

fn send_away_from(endpoint: &Endpoint, gateway: &Gateway) {
    let (spread, code): (Duration, u16) = (gateway.shutdown.close_spread, gateway.shutdown.close_code);
    let is_there = |handle: &Handle| handle.facts().is_some_and(|facts| facts.endpoint.here == endpoint.here);
    let parting = Parting { order: Order::BackendDown, code, spread };
    let told = gateway.lasting.sessions.send_away(parting, is_there, fastrand::f64);
    let (backend, server) = (&*endpoint.backend, &*endpoint.label);
    tracing::warn!(backend, server, sessions = told, ?spread, "its sessions are told to come back");
}
