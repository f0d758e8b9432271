//! What becomes of live sessions when another configuration takes over. A session whose route and server are still there
//! lives on, under the route's new rules; one whose route or server is gone is told to come back.

use super::Gateway;
use crate::registry::{Facts, Handle, Ordered, Parting};
use crate::relay::Order;
use crate::route::Route;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// How many sessions a change of configuration reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// They follow other rules.
    pub told: usize,
    /// Their route or server is gone.
    pub ended: usize,
}

impl Gateway {
    /// Brings the live sessions under this configuration. To be called once it is the running one: whoever opens later
    /// under `before` is [`Gateway::adopt`]ed.
    pub fn take_over(&self, before: &Gateway) -> TakenOver {
        let (here, there) = (Successors::of(self), Successors::of(before));
        let mut told = 0;
        for handle in self.lasting.sessions.iter(0) {
            let Some(facts) = handle.facts() else { continue };
            let Some(route) = here.find(&facts.route).filter(|route| self.has_server(route, facts)) else {
                continue;
            };
            if there.find(&facts.route).is_none_or(|before| before.rules != route.rules) {
                handle.follow(route.rules.clone());
                told += 1;
            }
        }
        let is_left_out = |handle: &Handle| {
            handle.facts().is_some_and(|facts| {
                !here.find(&facts.route).is_some_and(|route| self.has_server(route, facts))
            })
        };
        let parting = Parting {
            order: Order::Reload,
            code: self.shutdown.close_code,
            spread: self.shutdown.close_spread,
        };
        let ended = self.lasting.sessions.send_away(parting, is_left_out, fastrand::f64);
        TakenOver { told, ended }
    }

    /// Brings one session under this configuration that an earlier one let in.
    pub fn adopt(&self, handle: &Handle) {
        let Some(facts) = handle.facts() else { return };
        match self.successor(&facts.route).filter(|route| self.has_server(route, facts)) {
            Some(route) => handle.follow(route.rules.clone()),
            None => {
                let at = Instant::now() + self.shutdown.close_spread.mul_f64(fastrand::f64());
                handle.order(Ordered { order: Order::Reload, code: self.shutdown.close_code, at });
            }
        }
    }

    /// The route that takes the handshakes which `route` took: a route without a name of its own is known by them. Else
    /// the one of its name, which takes others now.
    fn successor(&self, route: &Route) -> Option<&Arc<Route>> {
        let same = self.routes.iter().find(|one| one.matcher == route.matcher);
        same.or_else(|| self.routes.iter().find(|one| one.name == route.name))
    }

    fn has_server(&self, route: &Route, facts: &Facts) -> bool {
        self.backends
            .get(route.backend)
            .is_some_and(|upstream| upstream.pool().has_server_of(&facts.endpoint))
    }
}

/// What routes have become. Sessions are many and routes are few: each is looked up once.
struct Successors<'a> {
    gateway: &'a Gateway,
    known: RefCell<HashMap<*const Route, Known<'a>>>,
}

struct Known<'a> {
    /// Held, so that no other route comes to lie where it is.
    _route: Arc<Route>,
    successor: Option<&'a Arc<Route>>,
}

impl<'a> Successors<'a> {
    fn of(gateway: &'a Gateway) -> Successors<'a> {
        Successors { gateway, known: RefCell::default() }
    }

    fn find(&self, route: &Arc<Route>) -> Option<&'a Arc<Route>> {
        let mut known = self.known.borrow_mut();
        let known = known.entry(Arc::as_ptr(route));
        let look_up = || Known { _route: route.clone(), successor: self.gateway.successor(route) };
        known.or_insert_with(look_up).successor
    }
}
