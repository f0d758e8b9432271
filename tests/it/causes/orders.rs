//! Ends that come from outside the session: each order, given by the operator or by what happens elsewhere.

use super::table;
use super::watch::{Counts, Watch, text};
use crate::support::*;
use framegate::relay::{Cause, Order};
use serde_json::Value;

const TOP: &str = "shutdown = { close_spread = \"0s\", drain_timeout = \"15s\" }\ndefaults.timeouts.close = \"15s\"\n\
                   [[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n";

fn route(name: &str, keys: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\npath = \"/{name}/*\"\nbackend = \"BACKEND\"\n{keys}\n")
}

/// Two sessions of one route. The first hears this and leaves, and everybody agrees on it. The second heard it as well,
/// says nothing, and stands in the list as one that is about to end.
struct Pair {
    leaves: (Ends, Value),
    stays: (Ends, Value),
}

impl Pair {
    fn open(watch: &Watch, route: &str) -> Pair {
        Pair { leaves: watch.open("leaves", route), stays: watch.open("stays", route) }
    }

    fn expect_ended(self, watch: &Watch, before: &Counts, order: Order, code: u16) {
        let word = Cause::Order(order).word();
        let (mut stays, listed) = self.stays;
        assert_eq!(stays.hears(Peer::Client, code), word);
        let ending = &watch.admin.told(&format!("/sessions/{}", listed["number"]))["ending"];
        assert_eq!((text(ending, "cause"), ending["code"].as_u64()), (word, Some(code.into())), "{ending:#}");
        drop(stays);
        let (mut leaves, other) = self.leaves;
        assert_eq!(leaves.hears(Peer::Client, code), word);
        leaves.closes(Peer::Client, code, "");
        assert_eq!(leaves.hears(Peer::Server, 1001), word);
        leaves.closes(Peer::Server, 1001, "");
        leaves.both_end();
        let cause = Cause::Order(order);
        for line in watch.expect_agreement(before, &[(cause, &listed), (cause, &other)]) {
            assert_eq!(
                (text(&line, "by"), text(&line, "about"), text(&line, "reason")),
                ("gateway", "", word)
            );
            assert_eq!(line["code"].as_u64(), Some(code.into()));
        }
    }
}

table!(pub orders: Order => fn(Order) {
    Drain => |order| {
        a_signal(order);
        a_request_for_a_route(order);
    },
    Reload => a_route_that_is_gone,
    BackendDown => a_server_that_is_down,
    Kick => somebody_is_kicked,
    TokenExpired => the_time_is_over,
} besides {});

#[test]
fn every_order() {
    orders().into_iter().for_each(|(order, give)| give(order));
}

/// The whole process goes; what it says is to be had until it is gone.
fn a_signal(order: Order) {
    let mut watch = Watch::start(&format!("{TOP}{}", route("a", "")));
    // Its Close stays unanswered: the process waits for it.
    let patient = watch.open_silent("waits", "a", "");
    let before = watch.counts();
    let pair = Pair::open(&watch, "a");
    watch.gateway.signal("TERM");
    pair.expect_ended(&watch, &before, order, 1012);
    drop(patient);
    assert_eq!(watch.gateway.exit_code(), Some(0));
}

fn a_request_for_a_route(order: Order) {
    let watch = Watch::start(&format!("{TOP}{}{}", route("a", ""), route("b", "")));
    let pair = Pair::open(&watch, "a");
    let told = watch.admin.done("/drain", "{ \"route\": \"a\" }");
    assert_eq!(told["draining"], 2, "{told:#}");
    pair.expect_ended(&watch, &Counts::new(), order, 1012);
    watch.expect_nothing_more(2, 0);
}

fn a_route_that_is_gone(order: Order) {
    let watch = Watch::start(&format!("{TOP}{}{}", route("a", ""), route("b", "")));
    let pair = Pair::open(&watch, "a");
    watch.reload(&format!("{TOP}{}", route("b", "")));
    pair.expect_ended(&watch, &Counts::new(), order, 1012);
    watch.expect_nothing_more(2, 0);
}

fn somebody_is_kicked(order: Order) {
    let watch = Watch::start(&format!("{TOP}{}", route("a", "")));
    let pair = Pair::open(&watch, "a");
    for one in [&pair.leaves.1, &pair.stays.1] {
        let told = watch.admin.done("/kick", &format!("{{ \"id\": {}, \"code\": 4000 }}", one["number"]));
        assert_eq!(told["kicked"], 1, "{told:#}");
    }
    pair.expect_ended(&watch, &Counts::new(), order, 4000);
    watch.expect_nothing_more(2, 0);
}

/// Its probes find out; the sessions themselves would live. Four of them in a row, for one may be late on a busy machine.
fn a_server_that_is_down(order: Order) {
    let servant = Servant::start("servant", Manner::Serve);
    let watch = Watch::start(&format!(
        "{TOP}[[route]]\nname = \"a\"\npath = \"/a/*\"\nbackend = \"pool\"\n[[backend]]\nname = \"pool\"\n\
         servers = [{:?}]\non_server_down = \"close\"\n\
         health = {{ kind = \"websocket\", interval = \"1s\", timeout = \"1s\", fall = 4 }}\n",
        servant.url()
    ));
    let mut client = watch.gateway.connect();
    client.send(upgrade_request("/a/", "X-Request-Id: leaves\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send([crate::support::text("hello"), ping(b"?")].concat());
    assert_eq!(client.expect_frame(0x8A), b"?");
    let listed = watch.listed_with("leaves", [[1, 5, 0, 0, 1, 0], [0; 6]]);
    servant.behave(Manner::Answer(503));
    assert_eq!(client.expect_close(1012), "backend_down");
    drop(client);
    watch.expect_agreement(&Counts::new(), &[(Cause::Order(order), &listed)]);
    watch.expect_nothing_more(1, 0);
}

fn the_time_is_over(order: Order) {
    let auth = Backend::start();
    let keys = format!("access.forward_auth = {{ url = \"http://{}/\" }}", auth.address);
    let watch = Watch::start(&format!("{TOP}{}", route("a", &keys)));
    std::thread::spawn(move || {
        for _ in 0..2 {
            let mut question = auth.accept();
            question.head();
            // Long enough for somebody to look at the session first.
            question.send("HTTP/1.1 200 OK\r\nFramegate-Session-TTL: 3\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let pair = Pair::open(&watch, "a");
    let ending = &pair.stays.1["ending"];
    assert_eq!((text(ending, "cause"), ending["code"].as_u64()), ("auth.expired", Some(3000)), "{ending:#}");
    pair.expect_ended(&watch, &Counts::new(), order, 3000);
    watch.expect_nothing_more(2, 0);
}
