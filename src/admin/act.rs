//! What changes something: kick, drain, reload. Each is a line in the log that says who asked and what for.

use super::desk::Desk;
use super::filter::Filter;
use super::problem::Problem;
use super::server::Caller;
use super::sessions::{self, millis};
use super::wanted::{Drain, Kick, Whom, read_nothing, span_at};
use crate::clock;
use crate::config::{Complaint, show_duration};
use crate::console::{NotReloaded, Reloaded, Request};
use crate::gateway::Gateway;
use crate::observe::log::printable;
use crate::registry::{Handle, Parting};
use crate::relay::Order;
use http::StatusCode;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Desk {
    pub(super) async fn kick(&self, caller: &Caller, body: &[u8]) -> Result<Value, Problem> {
        let Kick { whom, code, over } = Kick::read(body)?;
        let gateway = self.gateways.get();
        let handles = match &whom {
            Whom::One(id) => vec![sessions::find(&gateway.lasting.sessions, id).await?],
            Whom::All => wanted(&gateway, &Filter::default()).await?,
            Whom::Some(filter) => wanted(&gateway, filter).await?,
        };
        Parting { order: Order::Kick, code, spread: over }.tell(&handles, fastrand::f64);
        let (peer, whom) = (&*caller.peer, whom.to_string());
        let (sessions, over) = (handles.len(), show_duration(over));
        tracing::info!(peer, whom = &*printable(&whom), sessions, code, over, "admin: sessions are kicked");
        Ok(json!({ "kicked": handles.len() }))
    }

    pub(super) async fn drain(&self, caller: &Caller, body: &[u8]) -> Result<Value, Problem> {
        let gateway = self.gateways.get();
        match Drain::read(body)? {
            Drain::All => self.leave(caller, &gateway).await,
            Drain::Part { filter, pace } => {
                let handles = wanted(&gateway, &filter).await?;
                let usual = gateway.shutdown.close_spread;
                let spread = pace.map_or(Ok(usual), |pace| span_at(pace, handles.len()))?;
                let code = gateway.shutdown.close_code;
                Parting { order: Order::Drain, code, spread }.tell(&handles, fastrand::f64);
                let (peer, whom, sessions) = (&*caller.peer, filter.to_string(), handles.len());
                let whom = &*printable(&whom);
                tracing::info!(peer, whom, sessions, over = ?spread, "admin: a part is drained");
                Ok(json!({ "draining": handles.len(), "over_ms": millis(spread) }))
            }
        }
    }

    /// The whole process goes away, as at SIGTERM. Asked again, it goes on as it does.
    async fn leave(&self, caller: &Caller, gateway: &Gateway) -> Result<Value, Problem> {
        let (answer, heard) = oneshot::channel();
        let peer = &*caller.peer;
        tracing::info!(peer, "admin: the process is drained");
        let asked = self.asking.send(Request::Drain(answer)).is_ok() && heard.await.is_ok();
        if !asked && self.standing.is_ready() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nobody hears it", ""));
        }
        let over = gateway.shutdown.pre_stop_delay + gateway.shutdown.close_spread;
        Ok(json!({ "draining": gateway.lasting.sessions.count(), "over_ms": millis(over) }))
    }

    pub(super) async fn reload(&self, caller: &Caller, body: &[u8]) -> Result<Value, Problem> {
        read_nothing(body)?;
        let (answer, heard) = oneshot::channel();
        let peer = &*caller.peer;
        tracing::info!(peer, "admin: a reload is asked for");
        let gone = || {
            let hint = "a process that goes away keeps the configuration it has";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is draining", hint)
        };
        self.asking.send(Request::Reload(answer)).map_err(|_| gone())?;
        match heard.await.map_err(|_| gone())? {
            Ok(reloaded) => Ok(show_reloaded(&reloaded)),
            Err(NotReloaded { problems }) => {
                let error = "the new configuration is no good; the running one stands";
                let hint = "framegate check shows the same, without a reload";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error, hint).with("problems", problems))
            }
        }
    }
}

/// The sessions that a filter lets through. What no session and no part of the configuration has is a typing error, and
/// an operator should hear of it.
async fn wanted(gateway: &Gateway, filter: &Filter) -> Result<Vec<Arc<Handle>>, Problem> {
    let now = clock::now();
    let found = sessions::collect(&gateway.lasting.sessions, |facts| filter.lets(facts, now)).await;
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(name) = &filter.route {
        check_known("route", name, gateway.routes.iter().map(|route| route.name.as_str().into()))?;
    }
    if let Some(name) = &filter.server {
        let endpoints = gateway.backends.iter().flat_map(|upstream| upstream.pool().endpoints());
        check_known("server", name, endpoints.map(|endpoint| endpoint.label.clone()))?;
    }
    Ok(found)
}

fn check_known(what: &str, name: &str, known: impl Iterator<Item = Arc<str>>) -> Result<(), Problem> {
    let known: Vec<Arc<str>> = known.collect();
    if known.iter().any(|one| **one == *name) {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().map(|one| &**one).collect();
    let complaint = Complaint::new(format!("there is no {what} {name:?}"));
    let complaint = complaint.suggest(name, &known, "/status lists those that there are");
    Err(Problem::new(StatusCode::NOT_FOUND, complaint.problem, complaint.hint.unwrap_or_default()))
}

fn show_reloaded(reloaded: &Reloaded) -> Value {
    json!({
        "generation": reloaded.generation,
        "listeners": { "added": reloaded.listeners_added, "removed": reloaded.listeners_removed },
        "routes": {
            "added": reloaded.routes_added,
            "removed": reloaded.routes_removed,
            "changed": reloaded.routes_changed,
        },
        "sessions": { "told": reloaded.sessions.told, "ended": reloaded.sessions.ended },
        "warnings": reloaded.warnings,
    })
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::One(id) => write!(f, "id={id}"),
            Whom::Some(filter) => filter.fmt(f),
            Whom::All => f.write_str("all"),
        }
    }
}
