//! Event loops: as many as `workers` says, each with connections of its own.

use super::support::{Backend, Gateway, SOON, text};
use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

/// How often each loop went to sleep so far: one that has nothing to do does not wake.
fn sleeps(gateway: &Gateway) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", gateway.child.id())).unwrap();
    let read = |name: &str, task: &fs::DirEntry| fs::read_to_string(task.path().join(name)).unwrap();
    tasks
        .map(Result::unwrap)
        .map(|task| {
            let status = read("status", &task);
            let sleeps =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            (read("comm", &task).trim().to_string(), sleeps.trim().parse().unwrap())
        })
        .filter(|(name, _)| name.starts_with("framegate-"))
        .collect()
}

fn gateway(workers: usize, bind: &str, backend: &Backend) -> Gateway {
    Gateway::start(&format!(
        "workers = {workers}\n[[listener]]\nname = \"plain\"\nbind = \"{bind}\"\n\
         [[route]]\nbackend = \"{}\"\n",
        backend.url()
    ))
}

#[test]
fn as_many_as_the_file_says_and_all_at_work() {
    let backend = Backend::start();
    let gateway = gateway(3, "127.0.0.1:0", &backend);
    let deadline = Instant::now() + SOON;
    // A thread has its name a moment after it began.
    while sleeps(&gateway).len() < 3 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let before = sleeps(&gateway);
    assert_eq!(before.keys().collect::<Vec<_>>(), ["framegate-0", "framegate-1", "framegate-2"]);
    // That none of sixty goes to one of three has a chance of one in ten thousand million.
    let mut sessions: Vec<_> = (0..60).map(|_| gateway.open_session(&backend)).collect();
    for (number, (client, server)) in sessions.iter_mut().enumerate() {
        client.send(text(&number.to_string()));
        server.expect(text(&number.to_string()));
    }
    for (name, slept) in sleeps(&gateway) {
        assert!(slept > before[&name], "{name} took no connection");
    }
}

/// Shells start programs with 1024 descriptors and let them have many more.
#[test]
fn the_limit_of_descriptors_is_raised_to_what_is_allowed() {
    let backend = Backend::start();
    let config = format!(
        "workers = 1\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = {:?}\n",
        backend.url()
    );
    let gateway = Gateway::start_through("ulimit -S -n 100; ulimit -H -n 300; exec \"$0\" \"$@\"", &config);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["300", "300"]);
}
