//! Another configuration while sessions live: who notices, and what.

use crate::support::*;
use std::net::SocketAddr;

const LISTENER: &str = "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n";

/// A route of this name and path, with more keys.
fn route(name: &str, server: &str, keys: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\npath = \"/{name}/*\"\nbackend = \"{server}\"\n{keys}\n")
}

/// A session that is answered with its own words.
fn open(address: SocketAddr, path: &str) -> Raw {
    let mut client = Raw::connect(address);
    client.send(upgrade_request(path, ""));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

fn status(address: SocketAddr, path: &str) -> String {
    let mut client = Raw::connect(address);
    client.send(upgrade_request(path, ""));
    client.head().split(' ').nth(1).unwrap().to_owned()
}

fn is_alive(client: &mut Raw) {
    client.send(client_frame(0x89, b"there?"));
    client.expect(server_frame(0x8A, b"there?"));
}

fn names(line: &serde_json::Value, key: &str) -> String {
    line[key].as_str().unwrap().to_owned()
}

#[test]
fn routes_come_and_go_and_the_others_never_notice() {
    let servant = Servant::start("servant", Manner::Serve);
    let a = format!("{LISTENER}[shutdown]\nclose_spread = \"0s\"\n{}", route("a", &servant.url(), ""));
    let both = format!("{a}{}", route("b", &servant.url(), ""));
    let gateway = Gateway::start(&a);
    let mut on_a = open(gateway.address(), "/a/");
    for _ in 0..3 {
        assert_eq!(status(gateway.address(), "/b/"), "404");
        let line = gateway.reload(&both);
        assert_eq!((names(&line, "routes_added"), names(&line, "routes_changed")), ("b".into(), "".into()));
        assert_eq!((line["sessions_told"].as_u64(), line["sessions_ended"].as_u64()), (Some(0), Some(0)));
        let mut on_b = open(gateway.address(), "/b/");
        let line = gateway.reload(&a);
        assert_eq!((names(&line, "routes_removed"), line["sessions_ended"].as_u64()), ("b".into(), Some(1)));
        assert_eq!(on_b.expect_close(1012), "reload");
        // Cut: nobody need wait for the end of the closing handshake.
        drop(on_b);
        gateway.expect_ended("gateway", "reload");
        is_alive(&mut on_a);
    }
    drop(on_a);
    assert_eq!(gateway.ended()["route"], "a");
}

#[test]
fn limits_rates_and_timeouts_reach_live_sessions_at_once() {
    let bench = |keys: &str| {
        let backend = Backend::start();
        let config = |keys: &str| format!("{LISTENER}[[route]]\nbackend = \"{}\"\n{keys}", backend.url());
        let gateway = Gateway::start(&config(keys));
        let after = config("[route.timeouts]\nclose = \"1s\"\n");
        (Bench { gateway, backend }, after)
    };
    // A limit.
    let (bench_, after) = bench("");
    let mut ends = bench_.open();
    ends.exchange("hello");
    let line = bench_.gateway.reload(&format!("{after}[route.limits.client]\nmax_message_size = \"4B\"\n"));
    assert_eq!(line["sessions_told"].as_u64(), Some(1), "{line:#}");
    ends.client.send(client_frame(0x81, b"hello"));
    ends.client.expect_close(1009);
    bench_.expect_gateway_ended("client", "limit.message");
    // A deadline.
    let silent = "[route.heartbeat]\nping_interval = \"none\"\nbackend_ping_interval = \"none\"\n";
    let (bench_, after) = bench(silent);
    let mut ends = bench_.open();
    bench_.gateway.reload(&format!("{after}idle = \"200ms\"\n{silent}"));
    ends.client.expect_close(1001);
    bench_.expect_gateway_ended("client", "timeout.idle");
    // A heartbeat.
    let (bench_, after) = bench(silent);
    let mut ends = bench_.open();
    bench_.gateway.reload(&format!("{after}[route.heartbeat]\nping_interval = \"200ms\"\n"));
    assert_eq!(ends.client.frame().0, 0x89);
    // A rate that held a message back for an hour.
    let slow = "[route.rate]\nmessages = { per_second = 1, burst = 3600, action = \"delay\" }\n";
    let (bench_, after) = bench(slow);
    let mut ends = bench_.open();
    for _ in 0..3700 {
        ends.client.send(client_frame(0x81, b"x"));
    }
    for _ in 0..3600 {
        ends.server.expect(client_frame(0x81, b"x"));
    }
    bench_.gateway.reload(&after);
    for _ in 0..100 {
        ends.server.expect(client_frame(0x81, b"x"));
    }
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let servant = Servant::start("servant", Manner::Serve);
    let good = format!("{LISTENER}{}", route("a", &servant.url(), ""));
    let gateway = Gateway::start(&good);
    let mut client = open(gateway.address(), "/a/");
    let unknown = gateway.refuses_to_reload(&format!("{good}colour = \"green\"\n"));
    assert!(unknown.contains("framegate.toml:9:1") && unknown.contains("colour"), "{unknown}");
    let broken = gateway.refuses_to_reload("[[listener]\n");
    assert!(broken.contains("framegate.toml:1:"), "{broken}");
    // What only shows when it is tried: nothing of it is left.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let more = format!("[[listener]]\nname = \"more\"\nbind = \"{}\"\n", taken.local_addr().unwrap());
    let busy = gateway.refuses_to_reload(&format!("{good}{}{more}", route("b", &servant.url(), "")));
    assert!(busy.contains("listener more: cannot listen on"), "{busy}");
    assert_eq!(status(gateway.address(), "/b/"), "404");
    is_alive(&mut client);
    let line = gateway.reload(&good);
    assert_eq!(line["generation"].as_u64(), Some(2), "what failed was none");
}

#[test]
fn listeners_come_and_go() {
    let servant = Servant::start("servant", Manner::Serve);
    let rest = route("a", &servant.url(), "");
    let socket = "[[listener]]\nname = \"local\"\nbind = \"unix:gateway.sock\"\n";
    let more = "[[listener]]\nname = \"more\"\nbind = \"127.0.0.1:0\"\nmax_header_size = \"8KiB\"\n";
    let gateway = Gateway::start(&format!("{LISTENER}{rest}"));
    let mut first = open(gateway.address(), "/a/");
    let line = gateway.reload(&format!("{LISTENER}{more}{socket}{rest}"));
    assert_eq!(names(&line, "listeners_added"), "more local");
    let added = gateway.listens("more");
    let path = gateway.dir.path().join("gateway.sock");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    let mut second = open(added, "/a/");
    let line = gateway.reload(&format!("{LISTENER}{rest}"));
    assert_eq!(names(&line, "listeners_removed"), "more local");
    // Those that came through it stay; nobody else comes.
    is_alive(&mut first);
    is_alive(&mut second);
    within_a_moment("the listeners are closed", || {
        std::net::TcpStream::connect(added).is_err() && !path.exists()
    });
    assert_eq!(status(gateway.address(), "/a/"), "101");
}

#[test]
fn a_listener_takes_up_its_new_terms() {
    let servant = Servant::start("servant", Manner::Serve);
    let rest = route("a", &servant.url(), "");
    let gateway = Gateway::start(&format!("{LISTENER}{rest}"));
    assert_eq!(status(gateway.address(), "/a/"), "101");
    gateway.reload(&format!("{LISTENER}handshakes_per_ip = {{ per_second = 1, burst = 1 }}\n{rest}"));
    let statuses: Vec<String> = (0..3).map(|_| status(gateway.address(), "/a/")).collect();
    assert_eq!((statuses[0].as_str(), statuses[2].as_str()), ("101", "429"));
    gateway.reload(&format!("{LISTENER}redirect_to_https = true\n{rest}"));
    assert_eq!(status(gateway.address(), "/a/"), "308");
}

#[test]
fn sessions_of_a_server_that_is_gone_are_told_to_come_back() {
    let (one, other) = (Servant::start("one", Manner::Serve), Servant::start("other", Manner::Serve));
    let config = |servers: &[&Servant]| {
        let servers: Vec<String> = servers.iter().map(|servant| format!("\"{}\"", servant.url())).collect();
        format!(
            "{LISTENER}[shutdown]\nclose_spread = \"0s\"\n[[backend]]\nname = \"pool\"\nservers = [{}]\n{}",
            servers.join(", "),
            route("a", "pool", "")
        )
    };
    let gateway = Gateway::start(&config(&[&one, &other]));
    let mut sessions: Vec<Raw> = (0..4).map(|_| open(gateway.address(), "/a/")).collect();
    let line = gateway.reload(&config(&[&other]));
    assert_eq!(line["sessions_ended"].as_u64(), Some(2), "{line:#}");
    let is_told = |client: &Raw| {
        client.stream.set_nonblocking(true).unwrap();
        let read = client.stream.peek(&mut [0]);
        client.stream.set_nonblocking(false).unwrap();
        read.is_ok_and(|n| n > 0)
    };
    within_a_moment("two hear of it", || sessions.iter().filter(|client| is_told(client)).count() == 2);
    for client in &mut sessions {
        if is_told(client) {
            assert_eq!(client.expect_close(1012), "reload");
        } else {
            is_alive(client);
        }
    }
    // Back with it: the newcomer gets the next ones, for the other has two already.
    gateway.reload(&config(&[&one, &other]));
    let line = gateway.reload(&config(&[&one, &other]));
    assert_eq!((names(&line, "routes_changed"), line["sessions_ended"].as_u64()), (String::new(), Some(0)));
}

#[test]
fn the_balance_of_a_pool_survives() {
    let (one, other) = (Servant::start("one", Manner::Serve), Servant::start("other", Manner::Serve));
    let config = |slow: &str| {
        format!(
            "{LISTENER}[[backend]]\nname = \"pool\"\nservers = [\"{}\", \"{}\"]\nslow_start = \"none\"\n{slow}{}",
            one.url(),
            other.url(),
            route("a", "pool", "")
        )
    };
    let gateway = Gateway::start(&config(""));
    let _first: Vec<Raw> = (0..8).map(|_| open(gateway.address(), "/a/")).collect();
    one.behave(Manner::Answer(503));
    // All that the pool knows comes along, though the backend is another one now.
    gateway.reload(&config("connect_timeout = \"4s\"\n"));
    one.behave(Manner::Serve);
    let _second: Vec<Raw> = (0..8).map(|_| open(gateway.address(), "/a/")).collect();
    assert_eq!((one.met(), other.met()), (8, 8));
}

#[test]
fn a_route_without_a_name_is_known_by_what_it_takes() {
    let servant = Servant::start("servant", Manner::Serve);
    let any = format!("[[route]]\nbackend = \"{}\"\n", servant.url());
    let gateway = Gateway::start(&format!("{LISTENER}[shutdown]\nclose_spread = \"0s\"\n{any}"));
    let mut client = open(gateway.address(), "/a/");
    // It was route-1, and is route-2 now.
    let first = format!(
        "[[route]]\nmatch_headers = {{ \"x-a\" = \"b\" }}\nbackend = \"{}\"\n",
        Servant::gone().url()
    );
    let line = gateway.reload(&format!("{LISTENER}[shutdown]\nclose_spread = \"0s\"\n{first}{any}"));
    assert_eq!(line["sessions_ended"].as_u64(), Some(0), "{line:#}");
    is_alive(&mut client);
}

/// A request that was let in by the configuration before, and is answered when there is another one.
#[test]
fn a_handshake_that_is_under_way_comes_under_the_new_configuration() {
    let backend = Backend::start();
    let config = |keys: &str| {
        format!("{LISTENER}[shutdown]\nclose_spread = \"0s\"\n{}", route("a", &backend.url(), keys))
    };
    let smaller = "[route.limits.client]\nmax_message_size = \"4B\"\n";
    for (after, stays) in [
        (config(smaller), true),
        (format!("{LISTENER}[shutdown]\nclose_spread = \"0s\"\n{}", route("b", &backend.url(), "")), false),
    ] {
        let gateway = Gateway::start(&config(""));
        let mut client = Raw::connect(gateway.address());
        client.send(upgrade_request("/a/", ""));
        let mut server = backend.accept();
        server.head();
        gateway.reload(&after);
        server.send(upgrade_response(""));
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        if stays {
            client.send(client_frame(0x81, b"hello"));
            client.expect_close(1009);
        } else {
            assert_eq!(client.expect_close(1012), "reload");
        }
    }
}

/// hyper, told to end, would say `connection: close` beside the `upgrade` of its 101, which OkHttp, .NET and Java refuse.
#[test]
fn a_handshake_that_is_under_way_when_its_listener_goes_gets_a_clean_101() {
    let backend = Backend::start();
    let route = route("a", &backend.url(), "");
    let more = "[[listener]]\nname = \"more\"\nbind = \"127.0.0.1:0\"\n";
    let gateway = Gateway::start(&format!("{more}{LISTENER}{route}"));
    let mut client = Raw::connect(gateway.address());
    client.send(upgrade_request("/a/", ""));
    let mut server = backend.accept();
    server.head();
    gateway.reload(&format!("{LISTENER}{route}"));
    within_a_moment("its loops have let go of it", || {
        std::net::TcpStream::connect(gateway.address()).is_err()
    });
    server.send(upgrade_response(""));
    let head = client.head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && !head.contains("close"), "{head}");
    client.send(client_frame(0x89, b"there?"));
    client.expect(server_frame(0x8A, b"there?"));
}

#[test]
fn what_takes_another_start_is_said_and_the_level_of_the_log_does_not() {
    let servant = Servant::start("servant", Manner::Serve);
    let config = |workers: u32, level: &str| {
        format!(
            "workers = {workers}\n{LISTENER}[log]\nformat = \"json\"\nlevel = \"{level}\"\n{}",
            route("a", &servant.url(), "")
        )
    };
    let gateway = Gateway::start(&config(2, "info"));
    gateway.reload(&config(3, "info"));
    let line = gateway.wait_for("a warning", |line| line["message"] == "reloaded, but");
    assert!(line["warning"].as_str().unwrap().starts_with("workers takes another start"), "{line:#}");
    // Its own line would be told at another level: the warning says that it was read.
    gateway.reload_unheard(&config(4, "warn"));
    gateway.wait_for("a warning", |line| line["message"] == "reloaded, but");
    let mut quiet = open(gateway.address(), "/a/quiet");
    // It has opened, and would have said so.
    is_alive(&mut quiet);
    drop(quiet);
    gateway.reload(&config(2, "info"));
    drop(open(gateway.address(), "/a/loud"));
    let opened = |path: &'static str| move |line: &serde_json::Value| line["path"] == path;
    gateway.wait_for("the session", opened("/a/loud"));
    assert!(!gateway.rest_of_log().iter().any(opened("/a/quiet")));
}

/// A hundred reloads leave nothing behind.
#[test]
fn reloads_cost_nothing() {
    let servant = Servant::start("servant", Manner::Serve);
    let a = format!("{LISTENER}{}", route("a", &servant.url(), ""));
    let both = format!("{a}{}", route("b", "ws://localhost:9", "[route.timeouts]\nidle = \"1h\"\n"));
    let gateway = Gateway::start(&a);
    let mut client = open(gateway.address(), "/a/");
    for _ in 0..10 {
        gateway.reload(&both);
        gateway.reload(&a);
    }
    let (memory, descriptors) = (gateway.resident(), gateway.descriptors());
    for _ in 0..40 {
        gateway.reload(&both);
        gateway.reload(&a);
    }
    let grown = gateway.resident().saturating_sub(memory);
    assert!(grown < 1024 * 1024, "{grown} bytes");
    // Whoever resolves a name meanwhile has files open.
    within_a_moment("no descriptor is left", || gateway.descriptors() <= descriptors);
    is_alive(&mut client);
}
