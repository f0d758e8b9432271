//! The running program: a configuration at work, the signals and requests that change it, and the way out.

mod handover;
mod leaving;
mod running;
mod service;
mod signals;

use crate::admin::{Desk, Next, Office};
use crate::clock;
use crate::config::{self, ConfigError, Plan};
use crate::console::{NotReloaded, Reloaded, Request, Standing};
use crate::gateway::Lasting;
use crate::net::descriptors;
use crate::net::handover::Inherited;
use crate::net::handover::predecessor::Predecessor;
use crate::net::handover::successor::Program;
use crate::net::listen::Bind;
use crate::net::notify::Notifier;
use crate::observe::log;
use crate::spans::Spans;
use handover::HandOver;
use leaving::{Leaving, send_away, stop_at_once};
use running::Running;
use service::Doing;
use signals::{Signalled, Signals};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;

pub use running::MadeTls;

/// What to run.
pub struct Setup {
    pub plan: Plan,
    /// Where the plan came from, and comes from again at a reload.
    pub file: Option<PathBuf>,
    pub made_tls: MadeTls,
    /// What the process was started with.
    pub inherited: Inherited,
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
    /// It never began: the process that it was to replace goes on, knows why, and says so.
    TurnedBack,
}

/// Runs until a signal says otherwise. The error says what the operator has to mend.
pub fn run(mut setup: Setup) -> Result<End, String> {
    descriptors::take_all();
    // Where it stands has to be known before something else may stand there.
    let program = Program::started();
    // Signals and the way out; connections have threads of their own.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.on_thread_park(log::flush).enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let mut predecessor = setup.inherited.predecessor.take();
    let end = runtime.block_on(run_until_told(setup, program, &mut predecessor));
    // A name look-up that hangs must not keep the process.
    runtime.shutdown_background();
    log::flush();
    match (end, predecessor) {
        (Err(why), Some(predecessor)) => {
            predecessor.refuse(&why);
            Ok(End::TurnedBack)
        }
        (end, _) => end,
    }
}

/// `predecessor`: the process that still serves, until this one takes over.
async fn run_until_told(
    setup: Setup,
    program: io::Result<Program>,
    predecessor: &mut Option<Predecessor>,
) -> Result<End, String> {
    let mut signals = Signals::listen()?;
    let notifier = Arc::new(Notifier::from_environment());
    let Setup { plan, file, made_tls, inherited, on_ready } = setup;
    let (spans, spans_on_their_way) = Spans::start(&|name| std::env::var(name).ok())?;
    let lasting = Lasting { spans, ..Lasting::default() };
    let (admin, mut opened) = (plan.admin.clone(), Next::Off);
    let running = Running::start(plan, made_tls, lasting.clone(), inherited.sockets, |sockets| {
        opened = Next::opening(admin.as_ref(), sockets)?;
        predecessor.as_ref().map_or(Ok(()), Predecessor::take_over)?;
        *predecessor = None;
        Ok(())
    })?;
    let standing = Arc::<Standing>::default();
    standing.started(file.clone(), running.gateways.get().generation, clock::since_1970());
    let (asking, requests) = unbounded_channel();
    let desk = Desk::new(running.gateways.clone(), running.plan.clone(), standing.clone(), asking);
    let mut office = Office::new(Arc::new(desk));
    standing.listens(running.listening());
    office.follow(opened);
    on_ready(&tell_where(&running));
    notifier.ready(&service::status(Doing::Serving, 0));

    let mut main = Main { running, file, program, standing, office, notifier };
    let informing = main.keep_informed(Doing::Serving);
    let leaving = main.serve(&mut signals, requests).await;
    informing.abort();
    if leaving != Leaving::ForGood {
        // The other process is the one to ask now.
        main.office.close();
    }
    let _informing = main.keep_informed(Doing::Draining);
    let end = tokio::select! {
        () = main.drain(leaving) => End::Drained,
        () = stop_at_once(&mut signals, leaving) => {
            // Whoever was not ordered to go yet is cut off by this, and its line has to say so.
            let cut_off = send_away(&main.running.gateways.get(), Duration::ZERO);
            tracing::warn!(sessions = cut_off, "second signal: stopped at once");
            End::Stopped
        }
    };
    if end == End::Drained {
        main.office.end().await;
    }
    main.running.end();
    spans_on_their_way.finish().await;
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
    /// To be started anew by a hand-over.
    program: io::Result<Program>,
    standing: Arc<Standing>,
    /// The admin address.
    office: Office,
    notifier: Arc<Notifier>,
}

impl Main {
    /// Does what is asked for, until that is to leave.
    async fn serve(&mut self, signals: &mut Signals, mut requests: UnboundedReceiver<Request>) -> Leaving {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Signalled::Leave => return Leaving::ForGood,
                    Signalled::Reload => drop(self.reload()),
                    Signalled::HandOver => match self.hand_over(signals).await {
                        HandOver::Done(pid) => return Leaving::HandedOver(pid),
                        HandOver::Leave => return Leaving::ForGood,
                        HandOver::Not => {}
                    },
                },
                Some(request) = requests.recv() => match request {
                    // Who asked may have gone.
                    Request::Reload(answer) => drop(answer.send(self.reload())),
                    Request::Drain(answer) => {
                        let _ = answer.send(());
                        return Leaving::ForGood;
                    }
                },
            }
        }
    }

    fn keep_informed(&self, doing: Doing) -> AbortHandle {
        let sessions = self.running.gateways.get().lasting.sessions.clone();
        tokio::spawn(service::keep_informed(self.notifier.clone(), sessions, doing)).abort_handle()
    }

    /// Reads the configuration again. A bad one changes nothing; the reason reaches the log and whoever asked.
    fn reload(&mut self) -> Result<Reloaded, NotReloaded> {
        let now = clock::since_1970();
        self.notifier.reloading();
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
        let sessions = self.running.gateways.get().lasting.sessions.count();
        self.notifier.ready(&service::status(Doing::Serving, sessions));
        reloaded
    }

    fn read_again(&mut self) -> Result<Reloaded, NotReloaded> {
        let one = |problem: String| NotReloaded { problems: vec![problem] };
        let Some(file) = &self.file else {
            return Err(one("there is no configuration file to read again".into()));
        };
        let loaded = config::load(file, &|name| std::env::var(name).ok());
        let loaded = loaded.map_err(|problems| NotReloaded { problems: in_words(&problems) })?;
        let admin = loaded.plan.admin.clone();
        let opened = self.office.prepare(admin.as_ref(), &self.running.sockets).map_err(one)?;
        let mut reloaded = self.running.reload(loaded.plan).map_err(one)?;
        self.standing.listens(self.running.listening());
        self.office.follow(opened);
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
