//! `framegate status`, `sessions`, `kick`, `drain` and `reload`: the real program asks the real program.

use crate::support::*;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

const TOKEN: &str = "0123456789abcdef-the-token";

/// The program with these words, in an environment that says nothing of tokens or terminals.
fn framegate(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framegate"));
    command.args(words).env_remove("FRAMEGATE_TOKEN").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// What it wrote and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(mut command: Command) -> Said {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// A bench whose gateway has an admin address over TCP.
struct Desk {
    bench: Bench,
    at: String,
}

impl Desk {
    fn new(keys: &str) -> Desk {
        let bench = Bench::new(&format!("{keys}\n{ADMIN}"));
        let at = Admin::of(&bench.gateway).host();
        Desk { bench, at }
    }

    /// With words separated by spaces; it has to be done.
    fn done(&self, words: &str) -> String {
        let said = self.ask(words);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words}: {said:?}");
        said.out
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{words} --json"))).unwrap()
    }

    fn ask(&self, words: &str) -> Said {
        Said::of(self.command(words))
    }

    fn command(&self, words: &str) -> Command {
        let mut command = framegate(&words.split_whitespace().collect::<Vec<_>>());
        command.args(["--admin", &self.at]);
        command
    }

    /// A session under an id of the client's choice.
    fn named(&self, id: &str) -> Ends {
        self.bench.open_with(&format!("X-Request-Id: {id}\r\n"), "")
    }
}

/// The client is told to go, and everything ends in order.
fn sent_away(mut ends: Ends, code: u16, cause: &str) {
    assert_eq!(ends.hears(Peer::Client, code), cause);
    ends.closes(Peer::Client, code, "");
    assert_eq!(ends.hears(Peer::Server, 1001), cause);
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
}

/// The words of each row, without the head's.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn every_way_to_the_admin_address() {
    let with_a_token = || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        dir
    };
    let backend = Backend::start();
    let config = |admin: &str| {
        let url = backend.url();
        format!(
            "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n[[route]]\nname = \"test\"\nbackend = \"{url}\"\n\
             [admin]\n{admin}"
        )
    };
    // A socket, without and with a token, and the same over TCP.
    let open = |admin: &str, dir| {
        let gateway = Gateway::start_in(dir, &config(admin));
        let at = match Admin::of(&gateway).at {
            At::Tcp(address) => address.to_string(),
            At::Unix(path) => format!("unix:{}", path.display()),
        };
        let file = gateway.dir.path().join("framegate.toml").display().to_string();
        let token = gateway.dir.path().join("token").display().to_string();
        (gateway, at, file, token)
    };
    let (with_token, at, file, token) =
        open("bind = \"unix:admin.sock\"\ntoken_file = \"token\"", with_a_token());
    let (over_tcp, tcp, _, _) = open("bind = \"127.0.0.1:0\"\ntoken_file = \"token\"", with_a_token());
    let (without, bare, bare_file, _) = open("bind = \"unix:admin.sock\"", tempfile::tempdir().unwrap());
    let good: &[(&[&str], Option<&str>, &Gateway)] = &[
        (&["--config", &bare_file], None, &without),
        (&["--admin", &bare], None, &without),
        // A token that nobody asks for does no harm.
        (&["--admin", &bare], Some(TOKEN), &without),
        (&["--config", &file], None, &with_token),
        (&["--admin", &at, "--token-file", &token], None, &with_token),
        (&["--admin", &at], Some(TOKEN), &with_token),
        (&["--admin", &tcp], Some(TOKEN), &over_tcp),
        (
            &["--admin", &format!("http://{tcp}/"), "--token-file", &token],
            Some("of-another-gateway"),
            &over_tcp,
        ),
    ];
    for (words, token, gateway) in good {
        for asked in [&["status", "--json"][..], &["sessions", "--json"], &["kick", "--all"], &["reload"]] {
            let mut command = framegate(&[asked, words].concat());
            command.envs(token.map(|token| ("FRAMEGATE_TOKEN", token)));
            let said = Said::of(command);
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{asked:?} {words:?}: {said:?}");
            if asked[0] == "status" {
                assert_eq!(said.json()["pid"], gateway.child.id(), "{words:?}");
            }
        }
    }
    let bad: &[(&[&str], Option<&str>, &str)] = &[
        (&["--admin", &at], None, "there is no token\n  hint: name the file"),
        (
            &["--admin", &tcp],
            Some("0123456789abcdef-another"),
            "the token is another one\n  hint: name the file",
        ),
        (&["--admin", &tcp], Some("short"), "FRAMEGATE_TOKEN holds a token of 5 characters"),
        (
            &["--admin", &tcp, "--token-file", "/there/is/none"],
            Some(TOKEN),
            "the token cannot be read from /there/is/none",
        ),
    ];
    for (words, token, expected) in bad {
        let mut command = framegate(&[&["status"], *words].concat());
        command.envs(token.map(|token| ("FRAMEGATE_TOKEN", token)));
        let said = Said::of(command);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{words:?}: {said:?}");
        assert!(said.err.contains(expected) && !said.err.contains(TOKEN), "{words:?}: {said:?}");
    }
}

#[test]
fn who_cannot_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let route = "[[listener]]\nbind = \"127.0.0.1:1\"\n[[route]]\nbackend = \"ws://127.0.0.1:2\"\n";
    let none = file("none.toml", route);
    let any = file("any.toml", &format!("{route}{ADMIN}"));
    let gone = file("gone.toml", &format!("{route}[admin]\nbind = \"unix:gone.sock\"\n"));
    let typo = file("typo.toml", &format!("{route}[admin]\nbnid = \"unix:a.sock\"\n"));
    let lost = file("lost.toml", &format!("{route}[admin\nbind = \"unix:a.sock\"\n"));
    let kept = Nobody::at_home();
    let gateway = Gateway::in_front_of_address(kept.address, "");
    let (nobody, proxy) = (kept.address.to_string(), gateway.address().to_string());
    for (words, code, expected) in [
        (
            &["--config", &none][..],
            1,
            "none.toml has no [admin]: its gateway cannot be asked\n  hint: add these lines",
        ),
        (&["--config", &none], 1, "    [admin]\n    bind = \"127.0.0.1:9900\"\n"),
        (&["--config", &any], 1, "takes any port that is free"),
        (&["--config", &gone], 1, "gone.sock: there is no such socket\n  hint: is framegate running"),
        (&["--config", &typo], 1, "typo.toml:6:1: admin.bnid: unknown key"),
        (&["--config", &lost], 1, "lost.toml:5:"),
        (&["--config", "/there/is/none.toml"], 1, "none.toml: cannot be read"),
        (&[], 1, "no configuration"),
        (&["--admin", &nobody], 1, "nothing listens there"),
        (&["--admin", &proxy], 1, "is no admin address"),
        (&["--admin", "localhost"], 2, "add the port"),
        (&["--admin", "https://localhost:1"], 2, "plain HTTP"),
        (&["--admin", &nobody, "--config", &none], 2, "cannot be used with"),
    ] {
        let mut command = framegate(&[&["status"], words].concat());
        command.current_dir(dir.path());
        let said = Said::of(command);
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{words:?}: {said:?}");
        assert!(said.err.contains(expected), "{words:?}: {said:?}");
    }
}

#[test]
fn wrong_usage() {
    let desk = Desk::new("");
    for words in [
        "kick",
        "kick 1 --route a",
        "kick --all --route a",
        "kick a/b",
        "kick 1 --over 10",
        "kick 1 --code 70000",
        "kick --address nowhere",
        "sessions 1 --limit 2",
        "sessions 1 --route a",
        "sessions --limit 0",
        "sessions --limit 5 --all",
        "sessions --min-age 5",
        "sessions --watch 0",
        "drain",
        "drain --all --route a",
        "drain --route a --pace 0/s",
        "drain --all --pace 5/s",
        "status more",
        "tap",
        // What only the gateway knows to be none.
        "kick 1 --code 1006",
    ] {
        let said = desk.ask(words);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{words}: {said:?}");
        assert!(!said.err.is_empty());
    }
}

#[test]
fn the_table_and_the_json_agree() {
    let desk = Desk::new("");
    assert_eq!(desk.json("sessions"), json!([]));
    let said = desk.ask("sessions");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", "no session\n"));
    let mut ends = [desk.named("a-1"), desk.named("a-2"), desk.named("a-3")];
    ends[0].exchange("hello");
    ends[2].client.send(client_frame(0x82, &[7; 3000]));
    ends[2].server.expect(client_frame(0x82, &[7; 3000]));
    let list = desk.json("sessions");
    let list = list.as_array().unwrap();
    let (server, table) = (desk.bench.backend.url(), desk.done("sessions --wide"));
    assert_eq!(rows(&table).len(), 3);
    for (session, row) in list.iter().zip(rows(&table)) {
        let number = session["number"].to_string();
        assert_eq!([row[0], row[1], row[2], row[3]], [&number, "test", "127.0.0.1", &server]);
        assert!(row.contains(&session["id"].as_str().unwrap()), "{table}");
        // In detail it is the same session.
        let (one, detail) =
            (desk.json(&format!("sessions {number}")), desk.done(&format!("sessions {number}")));
        assert_eq!((&one["id"], &one["from_client"]), (&session["id"], &session["from_client"]));
        assert!(detail.starts_with(&format!(
            "session       {number}\nid            {}\n",
            one["id"].as_str().unwrap()
        )));
    }
    let passed = |place: usize| (rows(&table)[place][5].to_string(), rows(&table)[place][6].to_string());
    assert_eq!(
        [passed(0), passed(1), passed(2)],
        [("5B", "5B"), ("0B", "0B"), ("2.9KiB", "0B")].map(|(a, b)| (a.into(), b.into()))
    );
    // Filters and limits, each as the other has it.
    for (words, expected) in [
        ("--limit 2", 2),
        ("--all", 3),
        ("--route test", 3),
        ("--min-age 1h", 0),
        ("--address 127.0.0.0/8", 3),
        ("--address 10.0.0.0/8", 0),
    ] {
        let said = desk.ask(&format!("sessions {words}"));
        assert_eq!((said.code, rows(&said.out).len()), (Some(0), expected), "{words}: {said:?}");
        assert_eq!(desk.json(&format!("sessions {words}")).as_array().unwrap().len(), expected, "{words}");
    }
    assert_eq!(desk.ask("sessions --limit 2").err, "2 of 3 sessions; --all shows every one\n");
    let server = desk.done(&format!("sessions --server {server}"));
    assert_eq!(rows(&server).len(), 3);
    let status = desk.json("status");
    assert_eq!((&status["sessions"]["live"], &status["routes"][0]["live"]), (&json!(3), &json!(3)));
    let page = desk.done("status");
    assert!(page.contains(&format!("pid {}", status["pid"])) && page.contains("3 sessions"), "{page}");
    let route = page.lines().find(|line| line.starts_with("test ")).unwrap();
    assert_eq!(route.split_whitespace().nth(4), Some("3"), "{page}");
}

#[test]
fn what_was_counted_and_what_expires() {
    let authority = Authority::new();
    authority.sign_for_days("a.test", 60);
    let route = "[[route]]\nname = \"test\"\nbackend = \"BACKEND\"\n";
    let front = Front::configured(&format!("{}{route}{ADMIN}", authority.listener(&["a.test"], "")));
    let at = Admin::of(&front.gateway).host();
    let mut client = authority.client().connect(front.gateway.address(), "a.test").unwrap();
    client.send(Ask::new().with(&["Host: a.test", "Origin: https://evil.test"]).bytes());
    assert!(client.head().starts_with("HTTP/1.1 403 "));
    let said = Said::of(framegate(&["status", "--admin", &at, "--wide"]));
    let row = |begin: &str| {
        let line = said.out.lines().find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("{begin}: {said:?}")).split_whitespace().collect::<Vec<_>>()
    };
    let certificate = row(authority.path("a.test.pem").to_str().unwrap());
    assert_eq!(certificate[2], "a.test");
    assert!(["59", "60"].contains(&certificate[3]), "{certificate:?}");
    assert_eq!(row("handshakes refused"), ["handshakes", "refused", "1"]);
    assert_eq!(row("origin"), ["origin", "1"]);
    assert_eq!(row("sessions opened"), ["sessions", "opened", "0"]);
}

#[test]
fn no_line_is_wider_than_it_should_be() {
    let desk = Desk::new("");
    let _ends = [desk.named("a-1"), desk.named("a-2")];
    for width in [20, 40, 80, 200] {
        for words in ["status", "sessions", "sessions a-1"] {
            let mut command = desk.command(words);
            command.env("COLUMNS", width.to_string());
            let said = Said::of(command);
            assert_eq!(said.code, Some(0), "{said:?}");
            assert!(said.out.lines().all(|line| line.chars().count() <= width), "{width}: {}", said.out);
        }
    }
    let narrow = desk.done("sessions");
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
}

#[test]
fn a_kick_closes_the_right_one() {
    let desk = Desk::new("");
    let mut stays = desk.named("stays");
    let (one, two, three, four) =
        (desk.named("one"), desk.named("two"), desk.named("three"), desk.named("four"));
    let number = desk.json("sessions one")["number"].clone();
    assert_eq!(desk.done(&format!("kick {number} --code 4001")), "kicked 1 session\n");
    sent_away(one, 4001, "kick");
    assert_eq!(desk.json("kick two three --code 1008"), json!({ "kicked": 2 }));
    sent_away(two, 1008, "kick");
    sent_away(three, 1008, "kick");
    for _ in 0..3 {
        desk.bench.gateway.expect_ended("gateway", "kick");
    }
    // One of several that is not there keeps nobody else from going.
    let said = desk.ask("kick nobody four");
    assert_eq!((said.code, said.out.as_str()), (Some(1), "kicked 1 session\n"));
    assert!(said.err.starts_with("framegate: nobody: there is no such session\n  hint: "), "{said:?}");
    sent_away(four, 1012, "kick");
    let said = desk.ask("kick nobody");
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    let said = desk.ask("kick --route tset");
    assert!(said.code == Some(1) && said.err.contains("there is no route \"tset\""), "{said:?}");
    assert_eq!(desk.done("kick --route test --min-age 1h"), "kicked 0 sessions\n");
    stays.exchange("still here");
    assert_eq!(desk.done("kick --route test --over 1h"), "kicked 1 session, over 1h\n");
    assert!(rows(&desk.done("sessions"))[0].contains(&"kick"));
    // Nobody is at a keyboard here who could be asked.
    assert_eq!(desk.done("kick --all --code 3000"), "kicked 1 session\n");
    sent_away(stays, 3000, "kick");
}

#[test]
fn several_with_one_id() {
    let desk = Desk::new("");
    let mut ends = [desk.named("same"), desk.named("same")];
    let numbers: Vec<String> =
        desk.json("sessions").as_array().unwrap().iter().map(|one| one["number"].to_string()).collect();
    for words in ["sessions same", "kick same"] {
        let said = desk.ask(words);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        assert!(said.err.contains(&format!(": {}\n", numbers.join(", "))), "{said:?}");
    }
    ends.iter_mut().for_each(|ends| ends.exchange("still here"));
}

#[test]
fn a_part_is_drained_and_then_everything() {
    let mut desk = Desk::new("[shutdown]\nclose_spread = \"0s\"");
    let ends = [desk.bench.open(), desk.bench.open()];
    assert_eq!(desk.done("drain --route test --pace 100/s"), "draining 2 sessions, over 20ms\n");
    ends.into_iter().for_each(|ends| sent_away(ends, 1012, "drain"));
    let said = desk.ask("drain --server ws://nobody:1");
    assert!(said.code == Some(1) && said.err.contains("there is no server"), "{said:?}");
    let server = desk.bench.backend.url();
    let late = desk.bench.open();
    assert_eq!(
        desk.json(&format!("drain --server {server} --pace 0.5")),
        json!({ "draining": 1, "over_ms": 2000 })
    );
    let said = desk.done("drain --all");
    assert!(said.starts_with("draining 1 session, ") && said.ends_with("then the gateway ends\n"), "{said}");
    sent_away(late, 1012, "drain");
    assert_eq!(desk.bench.gateway.exit_code(), Some(0));
}

#[test]
fn a_reload_says_what_changed_or_every_problem() {
    let backend = Backend::start();
    let url = backend.url();
    let config = |rest: &str| {
        format!(
            "[admin]\nbind = \"unix:admin.sock\"\n[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
             [[route]]\nname = \"test\"\nbackend = \"{url}\"\n{rest}\n"
        )
    };
    let gateway = Gateway::start(&config(""));
    gateway.wait_for("admin", |line| line["message"] == "admin listening");
    let bench = Bench { gateway, backend };
    let mut ends = bench.open();
    let path = bench.gateway.dir.path().join("framegate.toml");
    let reload = |text: &str, more: &[&str]| {
        std::fs::write(&path, text).unwrap();
        Said::of(framegate(&[&["reload", "--config", path.to_str().unwrap()], more].concat()))
    };
    let said = reload(&config(""), &[]);
    assert_eq!((said.code, said.out.lines().next()), (Some(0), Some("reloaded, generation 2")), "{said:?}");
    let said =
        reload(&config("[[route]]\nname = \"more\"\npath = \"/more\"\nbackend = \"ws://127.0.0.1:1\""), &[]);
    assert!(said.code == Some(0) && said.out.contains("\n  routes added: more\n"), "{said:?}");
    let said = reload(&config(""), &["--json"]);
    assert_eq!((said.code, &said.json()["routes"]["removed"]), (Some(0), &json!(["more"])));
    // Broken in every way, and each place is named. `[admin]` is found all the same.
    for (rest, expected) in [
        (
            "limtis = 3\ncompression = \"yes\"",
            &[
                "framegate.toml:9:1: route[test].limtis: unknown key\n  hint: ",
                "framegate.toml:10:15: route[test].compression: ",
                "2 problems: not reloaded, the running configuration stands\n",
            ][..],
        ),
        ("path = = \"/\"", &["framegate.toml:9:8: ", "1 problem: not reloaded"]),
        ("path = \"${FRAMEGATE_TEST_NOT_SET}\"", &["framegate.toml:9:8: ", "1 problem: not reloaded"]),
    ] {
        let said = reload(&config(rest), &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        for part in expected {
            assert!(said.err.contains(part), "{part}: {said:?}");
        }
        let check = Said::of(framegate(&["check", path.to_str().unwrap()]));
        let first = |said: &Said| said.err.lines().next().map(String::from);
        assert_eq!(first(&said), first(&check), "as check has it");
        let said = reload(&config(rest), &["--json"]);
        assert_eq!((said.code, said.json()["problems"].is_array()), (Some(1), true), "{said:?}");
    }
    let status = Said::of(framegate(&["status", "--config", path.to_str().unwrap()]));
    assert!(status.out.contains("generation 4") && status.out.contains("nothing changed: "), "{status:?}");
    ends.exchange("still here");
}

/// The next line that begins so.
fn next(lines: &mut impl Iterator<Item = String>, begin: &str) -> String {
    lines.find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no line begins with {begin:?}"))
}

fn lines_of(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

fn wait(mut child: Child) -> (Option<i32>, String) {
    let deadline = Instant::now() + SOON;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::yield_now();
    }
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), err)
}

#[test]
fn watched_until_nobody_reads() {
    let mut desk = Desk::new("");
    let start =
        |words: &str| desk.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut status, mut sessions, mut array) =
        (start("status --watch 0.1"), start("sessions --watch=0.1"), start("sessions --json --watch 0.1"));
    let (mut pages, mut tables, mut arrays) =
        (lines_of(&mut status), lines_of(&mut sessions), lines_of(&mut array));
    assert!(next(&mut pages, "gateway ").ends_with(" 0 sessions"));
    assert_eq!(next(&mut tables, "no session"), "no session");
    assert_eq!(arrays.next().as_deref(), Some("[]"));
    let ends = desk.bench.open();
    while !next(&mut pages, "gateway ").ends_with(" 1 session") {}
    assert!(next(&mut tables, "NUMBER").starts_with("NUMBER  ROUTE"));
    while arrays.next().unwrap() == "[]" {}
    next(&mut pages, "ROUTE  HOST  PATH");
    // It goes away: that is shown, and watched on.
    drop(ends);
    desk.bench.gateway.signal("TERM");
    assert_eq!(desk.bench.gateway.exit_code(), Some(0));
    assert!(next(&mut pages, "framegate: cannot reach").ends_with("nothing listens there"));
    drop((pages, tables, arrays));
    for child in [status, sessions, array] {
        assert_eq!(wait(child), (Some(0), String::new()));
    }
}

#[test]
fn frames_as_they_pass() {
    let desk = Desk::new("");
    let mut ends = desk.named("tapped");
    let start = |words: &str| {
        let mut child = desk.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines_of(&mut child);
        desk.bench.gateway.wait_for("tapped", |line| line["message"] == "admin: a session is tapped");
        (child, lines)
    };
    let (table, mut lines) = start("tap tapped --payload 5");
    let (array, mut values) = start("tap tapped --json");
    ends.exchange("hello, you");
    let line = next(&mut lines, "");
    assert!(line.ends_with("  client          text              10B  \"hello\" …"), "{line}");
    let line = next(&mut lines, "");
    assert!(line.ends_with("  backend         text              10B  \"hello\" …"), "{line}");
    let value: Value = serde_json::from_str(&values.next().unwrap()).unwrap();
    assert_eq!((&value["from"], &value["size"], value.get("payload")), (&json!("client"), &json!(10), None));
    // Ctrl-C is enough to be rid of it, and the session is none the wiser.
    kill(array.id(), "INT");
    drop(values);
    assert_eq!(wait(array), (None, String::new()));
    ends.exchange("on");
    assert_eq!(desk.done("kick tapped"), "kicked 1 session\n");
    sent_away(ends, 1012, "kick");
    assert_eq!(next(&mut lines, "the session ended"), "the session ended: kick by gateway 1012");
    assert_eq!(wait(table), (Some(0), String::new()));
    let said = desk.ask("tap tapped");
    assert!(said.code == Some(1) && said.err.contains("there is no such session"), "{said:?}");
    let said = desk.ask("tap 1 --payload 100000");
    assert_eq!(said.code, Some(2), "{said:?}");
}

/// Somebody who answers every request with this.
fn impostor(told: Value) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut chunk = [0; 4096];
            // A small request comes at once.
            let _ = stream.read(&mut chunk);
            let body = format!("{told}\n");
            let status = told["status"].as_str().unwrap();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    at
}

#[test]
fn nothing_that_a_terminal_obeys_is_written() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n\u{2028}\u{7f}";
    let session = json!({ "number": 1, "id": evil, "route": evil, "client": evil, "server": evil, "subprotocol": evil,
        "ending": { "cause": evil, "code": 1, "in_ms": 1 } });
    for status in ["200 OK", "404 Not Found", "409 Conflict", "422 Unprocessable Content"] {
        let told = json!({
            "status": status, "error": evil, "hint": evil, "problems": [evil], "warnings": [evil], "numbers": [evil],
            "version": evil, "config": { "file": evil, "last_reload": { "problem": evil, "ok": false } },
            "routes": { "added": [evil] }, "listeners": [{ "name": evil, "bind": evil }], "refused": { evil: 1 },
            "sessions": [session], "id": evil, "ending": { "cause": evil },
        });
        let at = impostor(told);
        for words in [
            "status",
            "sessions",
            "sessions 1",
            "kick 1",
            "kick 1 2",
            "kick --all",
            "drain --all",
            "reload",
            "tap 1",
        ] {
            for more in [&[][..], &["--json"]] {
                let words: Vec<&str> = words.split(' ').chain(more.iter().copied()).collect();
                let said = Said::of(framegate(&[&words[..], &["--admin", &at]].concat()));
                assert!(!said.out.is_empty() || !said.err.is_empty());
                for text in [&said.out, &said.err] {
                    let obeyed = |letter: char| {
                        letter.is_control() && letter != '\n' || matches!(letter, '\u{202e}' | '\u{2028}')
                    };
                    assert!(!text.contains(obeyed), "{status} {words:?}: {text:?}");
                }
            }
        }
    }
}

#[test]
fn scripts_and_pages_for_the_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let said = Said::of(framegate(&["completions", shell]));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        assert!(said.out.contains("sessions") && said.out.contains("token-file"), "{shell}");
    }
    assert_eq!(Said::of(framegate(&["completions", "tcsh"])).code, Some(2));
    let page = Said::of(framegate(&["man", "kick"]));
    assert!(page.code == Some(0) && page.out.contains("framegate\\-kick"), "{page:?}");
    assert_eq!(Said::of(framegate(&["man", "nothing"])).code, Some(1));
    let dir = tempfile::tempdir().unwrap();
    let said = Said::of(framegate(&["man", "--dir", dir.path().to_str().unwrap()]));
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", ""));
    for page in ["framegate.1", "framegate-run.1", "framegate-sessions.1"] {
        assert!(std::fs::read_to_string(dir.path().join(page)).unwrap().contains(".TH framegate"), "{page}");
    }
    // Whoever reads may have read enough.
    let mut child = framegate(&["man"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(wait(child), (Some(0), String::new()));
}
