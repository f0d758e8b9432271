//! The configuration file: read as it is written, checked, and handed on as it is run.
//!
//! The file is walked, not deserialised: each reader takes its keys from a `section::Section`, reports what is wrong
//! with a place and a hint, and carries on, so that `framegate check` shows every problem at once. What comes out is a
//! [`Plan`] made of the settings types of the modules that use them; nothing in it is optional for want of a default,
//! a string that still means something, or unchecked.
//!
//! [`parse`] looks at the text alone. [`load`] reads the file and also looks at the files it names.

mod access;
pub mod address;
mod admin;
mod backend;
mod check;
mod crowd;
mod error;
mod expand;
mod forward_auth;
mod global;
mod headers;
mod listener;
pub mod origin;
mod overlap;
mod pattern;
mod pool;
mod rate;
mod route;
mod rules;
mod section;
mod shared;
mod source;
mod syntax;
mod unique;
mod units;
mod value;
mod written;

pub use error::{Complaint, ConfigError, Position};
pub use units::{duration, show_duration, show_size};
pub use written::{Line, Written};

use crate::backend::Backend;
use crate::drain::ShutdownSettings;
use crate::net::admin::{AdminSettings, DESCRIPTORS as ADMIN_DESCRIPTORS};
use crate::net::descriptors::{Descriptors, MaxConnections};
use crate::net::listen::ListenerSettings;
use crate::observe::log::LogSettings;
use crate::policy::address::TrustedProxies;
use crate::route::Route;
use section::Section;
use source::{Conclusion, Source};
use std::num::NonZeroUsize;
use std::path::Path;
use toml::de::DeTable;

/// A whole configuration, complete and checked. The default has no listener and no route yet.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// `None`: one a CPU.
    pub workers: Option<NonZeroUsize>,
    pub trusted_proxies: TrustedProxies,
    pub max_connections: MaxConnections,
    pub log: LogSettings,
    pub shutdown: ShutdownSettings,
    /// `None`: there is no admin address.
    pub admin: Option<AdminSettings>,
    pub listeners: Vec<ListenerSettings>,
    pub backends: Vec<Backend>,
    pub routes: Vec<Route>,
}

impl Plan {
    /// How many event loops it runs with.
    pub fn loops(&self) -> usize {
        let a_cpu_each = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.workers.map_or_else(a_cpu_each, NonZeroUsize::get)
    }

    /// What there is for its connections.
    pub fn descriptors(&self) -> Descriptors {
        let descriptors = Descriptors::of_this_process(self.loops(), self.listeners.len());
        if self.admin.is_some() { descriptors.reserving(ADMIN_DESCRIPTORS) } else { descriptors }
    }
}

/// A configuration that can be run, with what the operator should know about it all the same.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub plan: Plan,
    pub warnings: Vec<ConfigError>,
    /// Where its keys stand.
    pub written: Written,
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads and checks a file and the files it names.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, Vec<ConfigError>> {
    examine(path, &read(path)?, env, check::check)
}

/// Reads a file and leaves alone what it names: they may be on another machine.
pub fn load_text(path: &Path, env: Env<'_>) -> Result<Loaded, Vec<ConfigError>> {
    parse(path, &read(path)?, env)
}

/// `[admin]` alone, from a file that need not be good otherwise: who is about to have it reloaded has just changed it, and
/// who asks from elsewhere lacks what it expands to. `None`: it has none.
pub fn find_admin(path: &Path, env: Env<'_>) -> Result<Option<AdminSettings>, Vec<ConfigError>> {
    let text = read(path)?;
    let source = Source::new(path, &text, env);
    let (tree, errors) = DeTable::parse_recoverable(&text);
    let admin = tree.get_ref().get("admin").and_then(|admin| admin.get_ref().as_table());
    // What the parser makes of a broken file is guesswork, and so would be what stands for a bind that it lost.
    let is_lost = !errors.is_empty() && !admin.is_some_and(|admin| admin.contains_key("bind"));
    let settings = admin::read(&mut Section::top(&source, tree.get_ref()), &[]);
    if is_lost {
        syntax::report(&source, errors);
    }
    let is_about_it = |problem: &ConfigError| is_lost || problem.key.split('.').next() == Some("admin");
    let mut problems = source.conclude().problems;
    problems.retain(is_about_it);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

fn read(path: &Path) -> Result<String, Vec<ConfigError>> {
    let unreadable = |problem: String, hint: &str| {
        let (file, key) = (path.to_path_buf(), String::new());
        vec![ConfigError { file, position: None, key, problem, hint: Some(hint.into()) }]
    };
    let bytes = std::fs::read(path).map_err(|error| {
        unreadable(format!("cannot be read: {error}"), "check the path, or name another file")
    })?;
    String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("is not a text file: {error}"), "save it as UTF-8"))
}

/// Reads a configuration from its text alone. `file` is for messages and for the paths relative to it.
pub fn parse(file: &Path, text: &str, env: Env<'_>) -> Result<Loaded, Vec<ConfigError>> {
    examine(file, text, env, |_, _| ())
}

fn examine(
    file: &Path,
    text: &str,
    env: Env<'_>,
    look_around: impl FnOnce(&Source<'_>, Option<&Plan>),
) -> Result<Loaded, Vec<ConfigError>> {
    let source = Source::new(file, text, env);
    let (tree, errors) = DeTable::parse_recoverable(text);
    let plan = if errors.is_empty() {
        Some(build(&source, tree.get_ref()))
    } else {
        syntax::report(&source, errors);
        None
    };
    look_around(&source, plan.as_ref());
    let Conclusion { problems, warnings, written } = source.conclude();
    match plan {
        Some(plan) if problems.is_empty() => Ok(Loaded { plan, warnings, written }),
        _ => Err(problems),
    }
}

/// With problems reported, what this returns is incomplete and goes no further.
fn build<'a>(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Plan {
    let mut top = Section::top(source, table);
    top.not_yet(&["cluster"]);
    let workers = global::workers(&mut top);
    let trusted_proxies = global::trusted_proxies(&mut top);
    let max_connections = crowd::of_the_process(&mut top);
    let log = global::log(top.section("log"));
    let shutdown = global::shutdown(top.section("shutdown"));
    let listeners = listener::read_all(&mut top, trusted_proxies != TrustedProxies::default());
    let admin = admin::read(&mut top, &listeners);
    let mut backends = backend::Backends::read_all(&mut top);
    let defaults = shared::read(&mut top.section("defaults"), &Route::new("", 0));
    let routes = route::read_all(&mut top, &defaults, &mut backends);
    let backends = backends.into_list();
    Plan { workers, trusted_proxies, max_connections, log, shutdown, admin, listeners, backends, routes }
}

/// A name for logs, metrics and messages.
fn name(text: &str) -> Result<String, Complaint> {
    let is_plain = !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain {
        return Ok(text.into());
    }
    Err(Complaint::new(format!("{text:?} is not a name for logs and metrics"))
        .hint("1 to 64 letters, digits and signs, without spaces: \"chat\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Rate;
    use crate::net::listen::Bind;
    use crate::policy::access::Access;
    use crate::policy::bearer::Place;
    use crate::policy::crowd::CrowdLimits;
    use crate::policy::origin::{Allowed, OriginPolicy};
    use crate::policy::token::TokenPolicy;
    use crate::relay::Rules;
    use crate::route::{HeaderEdits, HeaderRules};
    use std::time::Duration;

    const FULL: &str = include_str!("../../config/full.toml");
    const MINIMAL: &str = include_str!("../../config/minimal.toml");

    fn plan(text: &str) -> Plan {
        let loaded = parse(Path::new("conf/a.toml"), text, &|_| None);
        loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).plan
    }

    fn with_route(rest: &str) -> Plan {
        plan(&format!("[[listener]]\nbind = \"127.0.0.1:1\"\n[[route]]\nbackend = \"ws://a:1\"\n{rest}"))
    }

    #[test]
    fn full_toml_has_every_key() {
        let env = |_: &str| None;
        let source = Source::new(Path::new("full.toml"), FULL, &env);
        let tree = DeTable::parse(FULL).unwrap();
        build(&source, tree.get_ref());
        let keys = source.keys();
        let absent: Vec<&String> = keys
            .iter()
            .filter(|(path, present)| !**present && !path.starts_with("defaults."))
            .map(|(path, _)| path)
            .collect();
        assert!(absent.is_empty(), "full.toml does not mention {absent:#?}");
        assert!(keys.len() > 100, "{}", keys.len());
    }

    #[test]
    fn full_toml_has_the_defaults() {
        let (full, bare) = (plan(FULL), plan(MINIMAL));
        assert_eq!(full.workers, bare.workers);
        assert_eq!(full.trusted_proxies, bare.trusted_proxies);
        assert_eq!(full.max_connections, bare.max_connections);
        assert_eq!(full.log, bare.log);
        assert_eq!(full.shutdown, bare.shutdown);
        // It is off unless the file has the table, and then its keys have defaults.
        assert_eq!((full.admin, bare.admin), (Some(AdminSettings::default()), None));
        let named = ListenerSettings { name: "public".into(), ..bare.listeners[0].clone() };
        assert_eq!(full.listeners[0], named);
        let named = Backend { name: "chat".into(), ..bare.backends[0].clone() };
        assert_eq!(full.backends[0], named);
        assert_eq!(full.backends[1].tls.roots, bare.backends[0].tls.roots);
        let (full, bare) = (&full.routes[0], &bare.routes[0]);
        assert_eq!(full.rules, bare.rules);
        assert_eq!(full.origin, bare.origin);
        assert_eq!(full.access, bare.access);
        assert_eq!(full.crowd.limits, bare.crowd.limits);
        assert_eq!(full.headers, bare.headers);
        assert_eq!(full.matcher, bare.matcher);
        assert_eq!(full.refuse, bare.refuse);
        assert_eq!(
            (full.http, full.compression, &full.strip_prefix),
            (bare.http, bare.compression, &bare.strip_prefix)
        );
    }

    #[test]
    fn the_admin_address_is_found_in_a_file_that_is_no_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let found = |text: &str| {
            std::fs::write(&path, text).unwrap();
            find_admin(&path, &|_| None)
                .map_err(|problems| problems[0].position.map(|position| position.line))
        };
        let at = |bind: Bind| Ok(Some(AdminSettings { bind, ..AdminSettings::default() }));
        let socket = || Bind::Unix(dir.path().join("a.sock"));
        let usual = || AdminSettings::default().bind;
        for (text, expected) in [
            ("[admin]\nbind = \"unix:a.sock\"", at(socket())),
            ("[admin]", at(usual())),
            ("[[route]]\nname = \"a\"", Ok(None)),
            // What is wrong elsewhere is no matter.
            ("works = 3\n[admin]\n[[route]]\nbackend = \"${NOT_SET}\"", at(usual())),
            ("workers = \n[admin]\nbind = \"unix:a.sock\"", at(socket())),
            ("[admin]\nbind = \"unix:a.sock\"\n[[route]\nname = 7", at(socket())),
            // But not here, and nothing is guessed.
            ("[admin]\nbind = \"a.sock\"", Err(Some(2))),
            ("[admin]\nbnid = \"unix:a.sock\"", Err(Some(2))),
            ("[admin]\nbind = \"0.0.0.0:1\"", Err(Some(2))),
            ("[admin\nbind = \"unix:a.sock\"", Err(Some(1))),
            ("[admin]\nbind = unix:a.sock", at(socket())),
            ("[admin]\n[[route]\n", Err(Some(2))),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_file_does_not_say_is_what_the_types_say() {
        let bare = plan(MINIMAL);
        assert_eq!(bare.log, LogSettings::default());
        assert_eq!(bare.shutdown, ShutdownSettings::default());
        assert_eq!(*bare.routes[0].rules, Rules::default());
        assert_eq!(bare.routes[0].origin, OriginPolicy::default());
        assert_eq!(bare.routes[0].access, Access::default());
        assert_eq!(bare.routes[0].headers, HeaderRules::default());
        assert_eq!(bare.workers, None);
        assert_eq!(bare.max_connections, MaxConnections::Auto);
        assert_eq!(bare.listeners[0].limits, CrowdLimits::default());
        assert_eq!(bare.routes[0].crowd.limits, CrowdLimits::default());
    }

    #[test]
    fn relative_paths_count_from_the_file() {
        let tls = plan(MINIMAL).listeners.remove(0).tls.unwrap();
        assert_eq!(tls.certificates[0].cert, Path::new("conf/../certs/site.pem"));
        let plan = plan("[[listener]]\nbind = \"unix:a.sock\"\n[[route]]\nbackend = \"unix:/run/b.sock\"");
        assert_eq!(plan.listeners[0].bind, Bind::Unix("conf/a.sock".into()));
        assert_eq!(plan.backends[0].servers[0].server, crate::backend::Server::Unix("/run/b.sock".into()));
    }

    #[test]
    fn a_routes_word_wins_key_by_key() {
        let plan = with_route(
            r#"
            [route.timeouts]
            idle = "none"
            [route.headers.request]
            set = { "x-b" = "route" }
            remove = ["x-c"]
            [route.rate]
            messages = "none"
            [defaults]
            http = "reject"
            [defaults.timeouts]
            idle = "1m"
            write = "7s"
            [route.limits]
            max_connections_per_ip = 4
            [defaults.limits]
            max_connections = 5
            max_connections_per_ip = 6
            [defaults.limits.client]
            max_message_size = "1KiB"
            [defaults.headers.request]
            set = { "x-a" = "default", "x-b" = "default", "x-c" = "default" }
            remove = ["x-d"]
            [defaults.rate]
            messages = { per_second = 1, burst = 1 }
            handshakes = { per_second = 2, burst = 3 }
            "#,
        );
        let route = &plan.routes[0];
        assert_eq!(route.refuse, crate::route::RefuseBy::Http);
        assert_eq!(route.http, crate::route::PlainHttp::Reject);
        assert_eq!(route.rules.timeouts.idle, None);
        assert_eq!(route.rules.timeouts.write, Some(Duration::from_secs(7)));
        assert_eq!(route.rules.timeouts.message, Rules::default().timeouts.message);
        assert_eq!(route.rules.limits.client.max_message_size, Some(1024));
        assert_eq!(route.rules.limits.client.max_fragments, Some(4096));
        assert_eq!(route.rules.rates.messages, None);
        let crowd = CrowdLimits {
            max_connections: Some(5),
            max_connections_per_ip: Some(4),
            handshakes: Some(Rate::new(2, 3)),
        };
        assert_eq!(route.crowd.limits, crowd);
        let set: Vec<_> =
            route.headers.request.set.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(set, [("x-a", &b"default"[..]), ("x-b", &b"route"[..])]);
        assert_eq!(route.headers.request.remove, ["x-c"]);
        assert_eq!(route.headers.response, HeaderEdits::default());
    }

    #[test]
    fn whom_a_route_admits() {
        let mut plan = with_route("access.allow = [\"10.0.0.0/8\", \"::1\"]\naccess.deny = [\"10.6.6.6\"]");
        let networks = plan.routes.remove(0).access.networks;
        assert_eq!(networks.allow, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert_eq!(networks.deny, ["10.6.6.6/32".parse().unwrap()]);
        let token = |keys: &str| {
            let route =
                with_route(&format!("access.jwt = {{ jwks_file = \"k.json\"{keys} }}")).routes.remove(0);
            route.access.token.unwrap()
        };
        let bare = TokenPolicy {
            jwks_file: "conf/k.json".into(),
            from: vec![Place::Header],
            audience: Vec::new(),
            issuer: None,
            leeway: Duration::from_secs(30),
        };
        assert_eq!(token(""), bare);
        let from = vec![Place::Cookie("c".into()), Place::Query("q".into()), Place::Subprotocol];
        let keys = ", from = [\"cookie:c\", \"query:q\", \"subprotocol\"], audience = [\"a\", \"b\"], \
                    issuer = \"i\", leeway = \"0s\"";
        let audience = vec!["a".into(), "b".into()];
        let leeway = Duration::ZERO;
        assert_eq!(
            token(keys),
            TokenPolicy { from, audience, issuer: Some("i".into()), leeway, ..bare.clone() }
        );
        assert_eq!(token(", from = \"header\", audience = \"a\"").audience, ["a"]);
    }

    #[test]
    fn every_key_is_known_by_its_line() {
        let text = "\
workers = 2
[[listener]]
bind = \"127.0.0.1:1\"
[[route]]
name = \"chat\"
path = \"/chat\"
backend = \"ws://a:1\"
timeouts.idle = \"1m\"
origin = { allow_null = true,
  mode = \"report\" }
[[route]]
backend = \"ws://a:1\"
[route.limits.client]
max_fragments = \"none\"
[defaults.timeouts]
write = \"7s\"
";
        let written = parse(Path::new("a.toml"), text, &|_| None).unwrap().written;
        let number = |line: Option<Line>| line.map(|line| line.number);
        assert_eq!(written.line("workers").unwrap().to_string(), "a.toml:1");
        assert_eq!(number(written.line_in("listener", 0, "bind")), Some(3));
        for (route, key, expected) in [
            (0, "backend", Some(7)),
            (0, "timeouts.idle", Some(8)),
            (0, "origin.allow_null", Some(9)),
            (0, "origin.mode", Some(10)),
            (0, "timeouts.write", None),
            (0, "limits.client.max_fragments", None),
            (1, "limits.client.max_fragments", Some(14)),
            (1, "path", None),
            (2, "backend", None),
        ] {
            assert_eq!(number(written.line_in("route", route, key)), expected, "{route} {key}");
        }
        assert_eq!(number(written.line("defaults.timeouts.write")), Some(16));
        assert_eq!((number(written.item("route", 0)), number(written.item("route", 1))), (Some(4), Some(11)));
    }

    #[test]
    fn variables_stand_for_anything() {
        let env = |name: &str| match name {
            "PORT" => Some("9000".to_owned()),
            "ACCESS" => Some("false".to_owned()),
            "WORKERS" => Some("3".to_owned()),
            "IDLE" => Some("none".to_owned()),
            _ => None,
        };
        let text = r#"
            workers = "${WORKERS}"
            [log]
            access = "${ACCESS}"
            [[listener]]
            bind = "127.0.0.1:${PORT}"
            [[route]]
            backend = "ws://${HOST:-a.test}:${PORT}"
            origin.allowed = ["https://${HOST:-a.test}"]
            timeouts.idle = "${IDLE}"
        "#;
        let plan = parse(Path::new("a.toml"), text, &env).unwrap().plan;
        assert_eq!(plan.workers, NonZeroUsize::new(3));
        assert!(!plan.log.access);
        assert_eq!(plan.listeners[0].name, "127.0.0.1:9000");
        assert_eq!(plan.backends[0].name, "ws://a.test:9000");
        assert_eq!(plan.routes[0].origin.allowed, [Allowed::parse("https://a.test").unwrap()]);
        assert_eq!(plan.routes[0].rules.timeouts.idle, None);
    }

    #[test]
    fn routes_share_a_server_named_by_url_and_get_names() {
        let plan = with_route(
            r#"
            [[route]]
            host = "A.test"
            path = "/x/*"
            backend = "ws://A"
            [[route]]
            host = "a.test"
            path = "/x/*"
            match_subprotocol = "mqtt"
            backend = "ws://a:80"
            [[route]]
            path = "/y"
            backend = "ws://a:1"
            "#,
        );
        let names: Vec<&str> = plan.routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(names, ["route-1", "a.test/x/*", "route-3", "/y"]);
        let backends: Vec<usize> = plan.routes.iter().map(|route| route.backend).collect();
        assert_eq!((backends, plan.backends.len()), (vec![0, 1, 1, 0], 2));
    }

    #[test]
    fn warnings_do_not_keep_a_file_from_loading() {
        let warned = |text: &str| -> Vec<String> {
            let loaded = parse(Path::new("a.toml"), text, &|_| None).unwrap();
            loaded.warnings.iter().map(ToString::to_string).collect()
        };
        let route = "[[route]]\nbackend = \"ws://a:1\"\n";
        let plain = format!("[[listener]]\nbind = \"0.0.0.0:80\"\n{route}");
        let found = warned(&plain);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.toml:2:8: listener[1].bind: cookies, tokens"), "{}", found[0]);
        assert!(warned(&plain.replace("0.0.0.0", "127.0.0.1")).is_empty());
        assert!(warned(&format!("trusted_proxies = [\"10.0.0.0/8\"]\n{plain}")).is_empty());
        assert_eq!(warned(&format!("trusted_proxies = [\"0.0.0.0/0\"]\n{plain}")).len(), 1);
        let overlapping = "[[listener]]\nbind = \"127.0.0.1:80\"\n\
            [[route]]\nhost = [\"a.test\", \"b.test\"]\nbackend = \"ws://a:1\"\n\
            [[route]]\nhost = [\"b.test\", \"c.test\"]\nbackend = \"ws://a:1\"\n";
        let found = warned(overlapping);
        assert!(
            found[0].contains("for host b.test route \"a.test\" (line 3) is chosen instead"),
            "{found:?}"
        );
    }

    #[test]
    fn no_damage_to_a_file_makes_the_reader_panic() {
        let file = Path::new("a.toml");
        let lines: Vec<&str> = FULL.lines().collect();
        for number in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(number);
            let _ = parse(file, &without.join("\n"), &|_| None);
        }
        for cut in (0..FULL.len()).step_by(61).filter(|cut| FULL.is_char_boundary(*cut)) {
            let _ = parse(file, &FULL[..cut], &|_| None);
            let _ = parse(file, &format!("{}é\u{0}{}", &FULL[..cut], &FULL[cut..]), &|_| None);
        }
    }
}
