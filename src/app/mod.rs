//! The running program: a configuration at work, the signals and requests that change it, and the way out.

mod running;

use crate::clock;
use crate::config::{self, ConfigError, Plan};
use crate::console::{NotReloaded, Reloaded, Request, Standing};
use crate::gateway::{Gateway, Lasting};
use crate::net::descriptors;
use crate::net::listen::Bind;
use crate::observe::log;
use crate::registry::Parting;
use crate::relay::Order;
use running::Running;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

pub use running::MadeTls;

/// What to run.
pub struct Setup {
    pub plan: Plan,
    /// Where the plan came from, and comes from again at a reload.
    pub file: Option<PathBuf>,
    pub made_tls: MadeTls,
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
    let end = runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(run_until_told(setup));
    log::flush();
    end
}

async fn run_until_told(setup: Setup) -> Result<End, String> {
    let mut signals = Signals::listen()?;
    let Setup { plan, file, made_tls, on_ready } = setup;
    let lasting = Lasting::default();
    let running = Running::start(plan, made_tls, lasting.clone())?;
    let standing = Arc::<Standing>::default();
    standing.started(file.clone(), running.gateways.get().generation, clock::since_1970());
    on_ready(&tell_where(&running));

    // The sender is the admin address's; without one nobody asks.
    let (_asking, requests) = unbounded_channel();
    let mut main = Main { running, file, standing };
    main.serve(&mut signals, requests).await;
    let Main { running, standing, .. } = main;

    let gateway = running.gateways.get();
    let drain = async {
        let deadline = leave(&gateway, &running, &standing).await;
        running.accepting.close();
        running.connections.close();
        let all_gone = async {
            running.accepting.wait().await;
            running.connections.wait().await;
            lasting.sessions.gone().await;
        };
        if tokio::time::timeout_at(deadline, all_gone).await.is_err() {
            let sessions = lasting.sessions.count();
            tracing::warn!(sessions, "drain_timeout is over; what is left is cut off");
        }
    };
    let end = tokio::select! {
        () = drain => End::Drained,
        () = signals.terminate() => {
            // Whoever was not ordered to go yet is cut off by this, and its line has to say so.
            let cut_off = send_away(&gateway, Duration::ZERO);
            tracing::warn!(sessions = cut_off, "second signal: stopped at once");
            End::Stopped
        }
    };
    running.end();
    lasting.usher.tell_what_was_left_out();
    if end == End::Drained {
        // With no connection left every seat is free again.
        tracing::info!(seats = lasting.usher.seats(), "stopped");
    }
    Ok(end)
}

/// What listens where.
fn tell_where(running: &Running) -> Vec<(String, Bind)> {
    let mut bound = Vec::new();
    for entrance in running.entrances() {
        bound.push((entrance.terms.get().settings.name.clone(), entrance.at.clone()));
    }
    if let Some(max_connections) = running.gateways.get().crowd.limits.max_connections {
        tracing::info!(max_connections, "connections at a time");
    }
    bound
}

/// The main loop, which carries no sessions.
struct Main {
    running: Running,
    file: Option<PathBuf>,
    standing: Arc<Standing>,
}

impl Main {
    /// Does what is asked for, until that is to leave.
    async fn serve(&mut self, signals: &mut Signals, mut requests: UnboundedReceiver<Request>) {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Signalled::Leave => return,
                    Signalled::Reload => drop(self.reload()),
                },
                Some(request) = requests.recv() => match request {
                    // Who asked may have gone.
                    Request::Reload(answer) => drop(answer.send(self.reload())),
                    Request::Drain(answer) => {
                        let _ = answer.send(());
                        return;
                    }
                },
            }
        }
    }

    /// Reads the configuration again. A bad one changes nothing; the reason reaches the log and whoever asked.
    fn reload(&mut self) -> Result<Reloaded, NotReloaded> {
        let now = clock::since_1970();
        let reloaded = self.read_again();
        match &reloaded {
            Ok(reloaded) => {
                self.standing.reloaded(reloaded.generation, now);
                tell_reloaded(reloaded);
            }
            Err(NotReloaded { problems }) => {
                for problem in problems {
                    tracing::error!(
                        problem = problem.as_str(),
                        "not reloaded; the running configuration stands"
                    );
                }
                let first = problems.first().cloned().unwrap_or_default();
                self.standing.failed_to_reload(first, now);
            }
        }
        reloaded
    }

    fn read_again(&mut self) -> Result<Reloaded, NotReloaded> {
        let one = |problem: String| NotReloaded { problems: vec![problem] };
        let Some(file) = &self.file else {
            return Err(one("there is no configuration file to read again".into()));
        };
        let loaded = config::load(file, &|name| std::env::var(name).ok());
        let loaded = loaded.map_err(|problems| NotReloaded { problems: in_words(&problems) })?;
        let mut reloaded = self.running.reload(loaded.plan).map_err(one)?;
        reloaded.warnings.extend(in_words(&loaded.warnings));
        Ok(reloaded)
    }
}

fn in_words(problems: &[ConfigError]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn tell_reloaded(reloaded: &Reloaded) {
    for warning in &reloaded.warnings {
        tracing::warn!(warning = warning.as_str(), "reloaded, but");
    }
    let names = |names: &[String]| names.join(" ");
    tracing::info!(
        generation = reloaded.generation,
        listeners_added = names(&reloaded.listeners_added),
        listeners_removed = names(&reloaded.listeners_removed),
        routes_added = names(&reloaded.routes_added),
        routes_removed = names(&reloaded.routes_removed),
        routes_changed = names(&reloaded.routes_changed),
        sessions_told = reloaded.sessions.told,
        sessions_ended = reloaded.sessions.ended,
        "reloaded"
    );
}

/// From the signal to the first Close; returns the hard deadline.
async fn leave(gateway: &Gateway, running: &Running, standing: &Standing) -> Instant {
    let shutdown = &gateway.shutdown;
    standing.leaves();
    tracing::info!(
        sessions = gateway.lasting.sessions.count(),
        ready = false,
        "draining: not ready any more"
    );
    tokio::time::sleep(shutdown.pre_stop_delay).await; // why: the operator asked for this time
    running.stop.cancel();
    let ordered = send_away(gateway, shutdown.close_spread);
    tracing::info!(sessions = ordered, spread = ?shutdown.close_spread, "no longer accepting; closing sessions");
    Instant::now() + shutdown.drain_timeout
}

/// Lets nobody in any more and sends everybody away.
fn send_away(gateway: &Gateway, spread: Duration) -> usize {
    let sessions = &gateway.lasting.sessions;
    sessions.shut();
    let parting = Parting { order: Order::Drain, code: gateway.shutdown.close_code, spread };
    sessions.send_away(parting, |_| true, fastrand::f64)
}

/// What a signal asks for.
enum Signalled {
    Leave,
    Reload,
}

struct Signals {
    term: Signal,
    int: Signal,
    hangup: Signal,
}

impl Signals {
    /// SIGUSR2 is spoken for (hand-over) and not built yet: it must not end the process.
    fn listen() -> Result<Signals, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        let mut ignored = on(SignalKind::user_defined2())?;
        tokio::spawn(async move {
            while ignored.recv().await.is_some() {
                tracing::warn!("SIGUSR2: hand-over is not yet supported; nothing was changed");
            }
        });
        Ok(Signals {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signalled {
        let Signals { term, int, hangup } = self;
        tokio::select! {
            _ = term.recv() => Signalled::Leave,
            _ = int.recv() => Signalled::Leave,
            _ = hangup.recv() => Signalled::Reload,
        }
    }

    async fn terminate(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
