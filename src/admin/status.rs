//! The state of the gateway in one object: `/status`, and what the page is told every second.

use super::desk::Desk;
use super::sessions::millis;
use crate::backend::health::Health;
use crate::backend::pool::Endpoint;
use crate::clock;
use crate::console::{Configured, Listening};
use crate::frame::Pair;
use crate::gateway::Gateway;
use crate::moment::Moment;
use crate::net::certificates::Certificate;
use crate::observe::metrics::histogram::Distribution;
use crate::observe::metrics::{Metrics, Traffic};
use crate::route::Route;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What sessions count is added up while this is asked for: a few hundred at a time, so that none waits for it.
pub fn tell(desk: &Desk) -> Value {
    let (gateway, configured, now) = (desk.gateways.get(), desk.standing.configured(), clock::now());
    let metrics = gateway.metrics();
    let totals = metrics.totals();
    let survey = gateway.lasting.sessions.survey();
    let mut traffic = survey.departed;
    survey.traffic.values().for_each(|one| traffic += *one);
    let routes = gateway.routes.iter().map(|route| show_route(route, &gateway));
    let mut all = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started": metrics.started().as_secs(),
        "uptime_s": now.since(Moment::default()).as_secs(),
        "ready": desk.standing.is_ready(),
        "workers": desk.plan.get().loops(),
        "config": show_configured(&configured),
        "sessions": {
            "live": totals.live,
            "opened": totals.opened,
            "ended": totals.ended.values().sum::<u64>(),
            "refused": totals.refused.values().sum::<u64>(),
        },
        "listeners": show_listeners(&desk.standing.listening(), metrics),
        "routes": routes.collect::<Value>(),
        "backends": show_backends(&gateway, now),
        "certificates": show_certificates(&gateway),
        "ended": totals.ended,
        "refused": totals.refused,
        "buffered_bytes": survey.waiting_bytes,
        "rtt": show_round_trips(&metrics.round_trips()),
    });
    show_traffic(&traffic, &mut all);
    all
}

fn show_traffic(traffic: &Traffic, all: &mut Value) {
    let Pair { client, backend } = &traffic.from;
    all["messages"] = json!({ "from_client": client.messages(), "from_backend": backend.messages() });
    all["bytes"] = json!({ "from_client": client.bytes(), "from_backend": backend.bytes() });
    all["throttled_ms"] = millis(traffic.throttled).into();
}

/// In milliseconds, of all pings since the start; null where there were none. Who wants those of some minutes takes the
/// difference between the buckets of two looks.
fn show_round_trips(round_trips: &Pair<Distribution>) -> Value {
    let millis = |span: Duration| span.as_secs_f64() * 1000.0;
    let show = |of: &Distribution| {
        let at = |part| of.quantile(part).map(millis);
        let buckets = of.buckets().map(|(bound, count)| json!([bound.map(millis), count]));
        json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "buckets": buckets.collect::<Value>() })
    };
    json!({ "client": show(&round_trips.client), "backend": show(&round_trips.backend) })
}

fn show_certificates(gateway: &Gateway) -> Value {
    let certificates = gateway.certificates();
    let show = |(listener, Certificate { file, names, not_after }): &(Arc<str>, Certificate)| {
        let file = file.display().to_string();
        json!({ "listener": &**listener, "file": file, "names": names, "not_after": not_after })
    };
    certificates.iter().map(show).collect()
}

fn show_configured(configured: &Configured) -> Value {
    let last_reload = configured.last_reload.as_ref().map(
        |last| json!({ "at": last.at.as_secs(), "ok": last.problem.is_none(), "problem": last.problem }),
    );
    json!({
        "file": configured.file.as_ref().map(|file| file.display().to_string()),
        "generation": configured.generation,
        "loaded": configured.loaded.as_secs(),
        "last_reload": last_reload,
    })
}

fn show_listeners(listening: &[Listening], metrics: &Metrics) -> Value {
    let show = |Listening { name, at, tls }: &Listening| json!({ "name": name, "bind": at.to_string(), "tls": tls, "connections": metrics.connections(name) });
    listening.iter().map(show).collect()
}

fn show_route(route: &Route, gateway: &Gateway) -> Value {
    let hosts: Vec<String> = route.matcher.hosts.iter().map(ToString::to_string).collect();
    let (live, opened) = gateway.metrics().of_route(&route.name);
    json!({
        "name": route.name,
        "host": hosts,
        "path": route.matcher.path.to_string(),
        "backend": gateway.backends.get(route.backend).map(|upstream| upstream.backend().name.as_str()),
        "live": live,
        "opened": opened,
    })
}

fn show_backends(gateway: &Gateway, now: Moment) -> Value {
    let backends = gateway.backends.iter().map(|upstream| {
        let servers = upstream.pool().endpoints();
        let servers: Vec<Value> = servers.iter().map(|endpoint| show_server(endpoint, now)).collect();
        json!({ "name": upstream.backend().name, "servers": servers })
    });
    backends.collect()
}

fn show_server(endpoint: &Endpoint, now: Moment) -> Value {
    json!({
        "server": &*endpoint.label,
        "state": endpoint.health(|health| state_word(health, now)),
        "live": endpoint.live(),
    })
}

/// `down` is what probes say, `ejected` what clients met: it is left alone for a while.
fn state_word(health: &Health, now: Moment) -> &'static str {
    if health.is_down() {
        "down"
    } else if health.is_up(now) {
        "up"
    } else {
        "ejected"
    }
}
