//! All metrics as text, in the order of the list in `families`.

use super::families as f;
use super::process::Process;
use super::series::lock;
use super::text::{Dialect, Exposition};
use super::{Metrics, Traffic};
use crate::backend::pool::Endpoint;
use crate::frame::Side;
use crate::moment::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is not counted here but read where it is, at the moment somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub standing: StandingFigures,
    /// By route: what passed since the start.
    pub traffic: BTreeMap<Box<str>, Traffic>,
    /// What waits in live sessions.
    pub waiting_bytes: u64,
    /// By listener and file: when a certificate expires, in seconds since 1970.
    pub certificates: BTreeMap<(Arc<str>, Box<str>), u64>,
    /// By backend and server.
    pub servers: BTreeMap<(Arc<str>, Arc<str>), ServerFigures>,
}

/// How the gateway stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingFigures {
    pub is_ready: bool,
    /// Of the configuration that runs.
    pub generation: u64,
    /// When it was read, since 1970.
    pub loaded: Duration,
    pub reloads: u64,
    pub failed_reloads: u64,
    /// The last reload changed nothing.
    pub last_failed: bool,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFigures {
    pub is_up: bool,
    pub live: u64,
    /// By cause.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Scene {
    /// A server that clients are sent to.
    pub fn add_server(&mut self, endpoint: &Endpoint, now: Moment) {
        let figures = self.server(endpoint, now);
        figures.failures = endpoint.failures().collect();
    }

    /// So many sessions are at that server. It may be one of an earlier configuration, or an address that its name has
    /// not got any more.
    pub fn add_sessions(&mut self, endpoint: &Endpoint, live: u64, now: Moment) {
        self.server(endpoint, now).live += live;
    }

    fn server(&mut self, endpoint: &Endpoint, now: Moment) -> &mut ServerFigures {
        let place = (endpoint.backend.clone(), endpoint.label.clone());
        let is_up = || endpoint.health(|health| health.is_up(now));
        self.servers
            .entry(place)
            .or_insert_with(|| ServerFigures { is_up: is_up(), ..ServerFigures::default() })
    }
}

impl Metrics {
    /// The whole answer to whoever asks for metrics; [`Dialect::content_type`] goes with it.
    pub fn write(&self, dialect: Dialect, scene: &Scene) -> String {
        let mut all = Exposition::new(dialect);
        self.write_gateway(&mut all, &scene.standing);
        self.write_routes(&mut all, scene);
        self.write_backends(&mut all, scene);
        self.write_rest(&mut all, scene);
        write_process(&mut all, &Process::read());
        all.finish()
    }

    fn write_gateway(&self, all: &mut Exposition, standing: &StandingFigures) {
        all.family(&f::BUILD_INFO, |it| it.put(&[env!("CARGO_PKG_VERSION")], 1u64));
        all.family(&f::START_TIME, |it| it.put(&[], self.started.as_secs_f64()));
        all.family(&f::READY, |it| it.put(&[], standing.is_ready));
        all.family(&f::GENERATION, |it| it.put(&[], standing.generation));
        all.family(&f::LAST_RELOAD_SUCCESSFUL, |it| it.put(&[], !standing.last_failed));
        all.family(&f::LAST_RELOAD_SUCCESS, |it| it.put(&[], standing.loaded.as_secs_f64()));
        all.family(&f::RELOADS, |it| {
            it.put(&["ok"], standing.reloads);
            it.put(&["failed"], standing.failed_reloads);
        });
        all.family(&f::CONNECTIONS, |it| {
            self.listeners.each(|name, series| it.put(&[name], series.connections.load(Ordering::Relaxed)));
        });
    }

    fn write_routes(&self, all: &mut Exposition, scene: &Scene) {
        all.family(&f::SESSIONS, |it| {
            self.routes.each(|name, series| it.put(&[name], series.live.load(Ordering::Relaxed)));
        });
        all.family(&f::OPENED, |it| {
            self.routes.each(|name, series| it.put(&[name], series.opened.load(Ordering::Relaxed)));
        });
        all.family(&f::REFUSED, |it| {
            self.listeners.each(|name, series| {
                series.refused().iter().for_each(|(cause, count)| it.put(&[name, cause], *count));
            });
        });
        all.family(&f::ENDED, |it| {
            self.routes.each(|name, series| {
                for ([by, cause, code], count) in series.ended() {
                    it.put(&[name, by, cause, code], count);
                }
            });
        });
        all.family(&f::VIOLATIONS, |it| {
            self.routes.each(|name, series| {
                for ([from, rule], count) in series.violations() {
                    it.put(&[name, from, rule], count);
                }
            });
        });
        all.family(&f::DURATION, |it| {
            self.routes.each(|name, series| it.histogram(&[name], &series.lifetimes.read()));
        });
        self.write_traffic(all, scene);
    }

    fn write_traffic(&self, all: &mut Exposition, scene: &Scene) {
        // A route that nothing passed through yet stands at 0.
        let mut traffic: BTreeMap<Box<str>, Traffic> = BTreeMap::new();
        self.routes.each(|name, _| {
            traffic.insert(name.into(), scene.traffic.get(name).copied().unwrap_or_default());
        });
        let mut by_opcode = |family, words: [&str; 2], figures: fn(&Traffic, Side) -> [u64; 2]| {
            all.family(family, |it| {
                for (route, traffic) in &traffic {
                    for side in Side::BOTH {
                        for (opcode, count) in words.iter().zip(figures(traffic, side)) {
                            it.put(&[route, side.word(), opcode], count);
                        }
                    }
                }
            });
        };
        let data = ["text", "binary"];
        by_opcode(&f::MESSAGES, data, |of, side| {
            [of.from[side].text_messages, of.from[side].binary_messages]
        });
        by_opcode(&f::PAYLOAD_BYTES, data, |of, side| [of.from[side].text_bytes, of.from[side].binary_bytes]);
        let control = ["ping", "pong"];
        by_opcode(&f::CONTROL_FRAMES, control, |of, side| [of.from[side].pings, of.from[side].pongs]);
        all.family(&f::THROTTLED, |it| {
            for (route, traffic) in &traffic {
                it.put(&[route], traffic.throttled.as_secs_f64());
            }
        });
    }

    fn write_backends(&self, all: &mut Exposition, scene: &Scene) {
        all.family(&f::RTT, |it| {
            for side in Side::BOTH {
                it.histogram(&[side.word()], &self.round_trips[side].read());
            }
        });
        all.family(&f::HANDSHAKE, |it| {
            self.listeners.each(|name, series| it.histogram(&[name], &series.handshakes.read()));
        });
        all.family(&f::DIAL, |it| {
            self.backends.each(|name, series| it.histogram(&[name], &series.dials.read()));
        });
        all.family(&f::BACKEND_FAILURES, |it| {
            for ((backend, server), figures) in &scene.servers {
                figures.failures.iter().for_each(|(cause, count)| it.put(&[backend, server, cause], *count));
            }
        });
        all.family(&f::SERVER_UP, |it| {
            scene.servers.iter().for_each(|((backend, server), one)| it.put(&[backend, server], one.is_up));
        });
        all.family(&f::SERVER_SESSIONS, |it| {
            scene.servers.iter().for_each(|((backend, server), one)| it.put(&[backend, server], one.live));
        });
    }

    fn write_rest(&self, all: &mut Exposition, scene: &Scene) {
        all.family(&f::CERTIFICATE_EXPIRY, |it| {
            for ((listener, file), end) in &scene.certificates {
                it.put(&[listener, file], *end);
            }
        });
        all.family(&f::BUFFERED, |it| it.put(&[], scene.waiting_bytes));
        all.family(&f::LAG, |it| {
            for (number, lag) in lock(&self.loops).iter().enumerate() {
                it.put(&[&number.to_string()], lag.largest().as_secs_f64());
            }
        });
    }
}

fn write_process(all: &mut Exposition, process: &Process) {
    all.family(&f::CPU, |it| it.put(&[], process.cpu.as_secs_f64()));
    all.family(&f::RESIDENT, |it| process.resident_bytes.into_iter().for_each(|bytes| it.put(&[], bytes)));
    all.family(&f::OPEN_FDS, |it| process.open_fds.into_iter().for_each(|count| it.put(&[], count)));
    all.family(&f::MAX_FDS, |it| process.max_fds.into_iter().for_each(|count| it.put(&[], count)));
    all.family(&f::PROCESS_START, |it| process.started.into_iter().for_each(|at| it.put(&[], at)));
}

#[cfg(test)]
mod tests {
    use super::super::Names;
    use super::*;
    use crate::backend::pool::Place;
    use crate::clock;
    use crate::frame::{Close, Violation};
    use crate::refusal::Refusal;
    use crate::relay::{By, Cause, Outcome};

    /// With something in every family.
    fn busy() -> (Arc<Metrics>, Scene) {
        let metrics = Arc::<Metrics>::default();
        let names = Names { routes: vec!["chat", "idle"], listeners: vec!["public"], backends: vec!["pool"] };
        metrics.configured(&names);
        metrics.new_loop();
        metrics.refused("public", "origin");
        metrics.dialed("pool", Duration::from_millis(3));
        metrics.opened("chat");
        metrics.opened("chat");
        metrics.answered(Side::Client, Duration::from_micros(700));
        let (cause, about) = (Cause::Violation(Violation::FrameSize), Some(Side::Client));
        let close = Close::new(1009, "max_frame_size");
        let outcome = Outcome { by: By::Gateway, cause, about, close, lived: Duration::from_secs(2) };
        metrics.ended("chat", &outcome, Duration::from_secs(2));
        let connection = metrics.connected(&"public".into());
        connection.admitted(connection.asked());
        connection.hand_on();
        let standing = StandingFigures {
            is_ready: true,
            generation: 3,
            loaded: Duration::from_millis(1250),
            reloads: 2,
            failed_reloads: 1,
            last_failed: true,
        };
        let mut scene = Scene { standing, waiting_bytes: 77, ..Scene::default() };
        let mut traffic = Traffic { throttled: Duration::from_millis(1500), ..Traffic::default() };
        traffic.from.backend.text_messages = 5;
        traffic.from.client.binary_bytes = 1 << 40;
        traffic.from.client.pongs = 3;
        scene.traffic.insert("chat".into(), traffic);
        scene.certificates.insert(("public".into(), "site.pem".into()), 2_000_000_000);
        let place = Place::somewhere();
        place.endpoint().count_failure(Refusal::BackendTls);
        place.endpoint().count_failure(Refusal::Origin);
        scene.add_server(place.endpoint(), clock::now());
        scene.add_sessions(place.endpoint(), 4, clock::now());
        (metrics, scene)
    }

    #[test]
    fn each_family_of_the_list_is_told_once_in_its_order() {
        let (metrics, scene) = busy();
        for dialect in [Dialect::Text, Dialect::OpenMetrics] {
            let text = metrics.write(dialect, &scene);
            let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
            assert_eq!(types.len(), f::ALL.len());
            let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            let mut rest = samples.as_slice();
            for family in f::ALL {
                let names = family.samples();
                let is_of_it = |line: &&str| {
                    let name = line.split(['{', ' ']).next().unwrap();
                    names.iter().any(|of_it| of_it == name)
                };
                let here = rest.iter().take_while(|line| is_of_it(line)).count();
                assert!(here > 0, "{} has no sample", family.name);
                rest = &rest[here..];
            }
            assert_eq!(rest, &[""; 0]);
        }
    }

    #[test]
    fn what_it_says() {
        let (metrics, scene) = busy();
        let text = metrics.write(Dialect::Text, &scene);
        for line in [
            "framegate_ready 1",
            "framegate_config_generation 3",
            "framegate_config_last_reload_successful 0",
            "framegate_config_last_reload_success_timestamp_seconds 1.25",
            "framegate_config_reloads_total{result=\"ok\"} 2",
            "framegate_config_reloads_total{result=\"failed\"} 1",
            "framegate_connections{listener=\"public\"} 1",
            "framegate_sessions{route=\"chat\"} 1",
            "framegate_sessions{route=\"idle\"} 0",
            "framegate_sessions_opened_total{route=\"chat\"} 2",
            "framegate_handshakes_refused_total{listener=\"public\",cause=\"origin\"} 1",
            "framegate_sessions_ended_total{route=\"chat\",by=\"gateway\",cause=\"limit.frame\",code=\"1009\"} 1",
            "framegate_violations_total{route=\"chat\",from=\"client\",rule=\"max_frame_size\"} 1",
            "framegate_session_duration_seconds_bucket{route=\"chat\",le=\"5.0\"} 1",
            "framegate_messages_total{route=\"chat\",from=\"backend\",opcode=\"text\"} 5",
            "framegate_messages_total{route=\"idle\",from=\"client\",opcode=\"binary\"} 0",
            "framegate_payload_bytes_total{route=\"chat\",from=\"client\",opcode=\"binary\"} 1099511627776",
            "framegate_control_frames_total{route=\"chat\",from=\"client\",opcode=\"pong\"} 3",
            "framegate_throttled_seconds_total{route=\"chat\"} 1.5",
            "framegate_ping_rtt_seconds_bucket{leg=\"client\",le=\"0.0005\"} 0",
            "framegate_ping_rtt_seconds_bucket{leg=\"client\",le=\"0.001\"} 1",
            "framegate_ping_rtt_seconds_count{leg=\"backend\"} 0",
            "framegate_handshake_duration_seconds_count{listener=\"public\"} 1",
            "framegate_backend_dial_duration_seconds_sum{backend=\"pool\"} 0.003",
            "framegate_backend_failures_total{backend=\"backend\",server=\"unix:backend\",cause=\"backend_tls\"} 1",
            "framegate_backend_failures_total{backend=\"backend\",server=\"unix:backend\",cause=\"backend_silent\"} 0",
            "framegate_server_up{backend=\"backend\",server=\"unix:backend\"} 1",
            "framegate_server_sessions{backend=\"backend\",server=\"unix:backend\"} 4",
            "framegate_certificate_expiry_timestamp_seconds{listener=\"public\",certificate=\"site.pem\"} 2000000000",
            "framegate_buffered_bytes 77",
            "framegate_event_loop_lag_seconds{worker=\"0\"} 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
