//! What an operator may ask of a running gateway besides looking at it, and how it stands. Whoever asks, by a signal or
//! over the admin address, the program's main loop answers.

use crate::gateway::TakenOver;
use crate::latest::Latest;
use crate::net::listen::Bind;
use crate::observe::metrics::StandingFigures;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Something that only the main loop can do.
#[derive(Debug)]
pub enum Request {
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<Reloaded, NotReloaded>>),
    /// Go away in good order, as at SIGTERM.
    Drain(oneshot::Sender<()>),
}

/// What another configuration changed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    pub generation: u64,
    pub listeners_added: Vec<String>,
    pub listeners_removed: Vec<String>,
    pub routes_added: Vec<String>,
    pub routes_removed: Vec<String>,
    /// Their settings, or where they lead.
    pub routes_changed: Vec<String>,
    pub sessions: TakenOver,
    /// What takes another start of the program, and what the operator should know all the same.
    pub warnings: Vec<String>,
}

/// Nothing was changed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReloaded {
    /// Each with its place in the file, where it has one.
    pub problems: Vec<String>,
}

/// How the gateway stands.
#[derive(Debug, Default)]
pub struct Standing {
    not_ready: AtomicBool,
    configured: Mutex<Configured>,
    listening: Latest<Vec<Listening>>,
}

/// A listener that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub name: String,
    /// Where it really listens.
    pub at: Bind,
    pub tls: bool,
}

/// How the running configuration came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    pub file: Option<PathBuf>,
    pub generation: u64,
    /// When it was read, since 1970.
    pub loaded: Duration,
    pub reloads: u64,
    pub failed_reloads: u64,
    pub last_reload: Option<LastReload>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReload {
    /// Since 1970.
    pub at: Duration,
    /// Why it changed nothing.
    pub problem: Option<String>,
}

impl Standing {
    pub fn is_ready(&self) -> bool {
        !self.not_ready.load(Ordering::Acquire)
    }

    /// It goes away: no more clients, please.
    pub fn leaves(&self) {
        self.not_ready.store(true, Ordering::Release);
    }

    pub fn configured(&self) -> Configured {
        self.lock().clone()
    }

    /// The same in figures.
    pub fn figures(&self) -> StandingFigures {
        let configured = self.lock();
        StandingFigures {
            is_ready: self.is_ready(),
            generation: configured.generation,
            loaded: configured.loaded,
            reloads: configured.reloads,
            failed_reloads: configured.failed_reloads,
            last_failed: configured.last_reload.as_ref().is_some_and(|last| last.problem.is_some()),
        }
    }

    /// The first configuration.
    pub fn started(&self, file: Option<PathBuf>, generation: u64, now: Duration) {
        *self.lock() = Configured { file, generation, loaded: now, ..Configured::default() };
    }

    pub fn listening(&self) -> Arc<Vec<Listening>> {
        self.listening.get()
    }

    pub fn listens(&self, listening: Vec<Listening>) {
        self.listening.replace(Arc::new(listening));
    }

    pub fn reloaded(&self, generation: u64, now: Duration) {
        let mut configured = self.lock();
        configured.generation = generation;
        configured.loaded = now;
        configured.reloads += 1;
        configured.last_reload = Some(LastReload { at: now, problem: None });
    }

    pub fn failed_to_reload(&self, problem: String, now: Duration) {
        let mut configured = self.lock();
        configured.failed_reloads += 1;
        configured.last_reload = Some(LastReload { at: now, problem: Some(problem) });
    }

    fn lock(&self) -> MutexGuard<'_, Configured> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
