//! What is measured: five ways to use a proxy. Each gives back one JSON object.

use super::client::{AT_ONCE, Client, Happened};
use super::gauge::Gauges;
use super::wire::{BINARY, From, Page, TEXT};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Measured = Result<Value, String>;

/// The longest wait for events, so that a deadline is noticed.
const TICK: Duration = Duration::from_millis(20);

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[derive(Debug, clap::Args)]
pub struct Messages {
    #[arg(long)]
    connections: usize,
    /// Messages in flight on each connection
    #[arg(long)]
    window: u64,
    /// So many in flight over all connections instead, each reply followed by a message on the next connection
    #[arg(long)]
    roam: Option<usize>,
    /// Bytes of payload
    #[arg(long)]
    size: usize,
    /// Binary messages; by default they are text
    #[arg(long)]
    binary: bool,
    /// Before the clock starts
    #[arg(long, value_parser = seconds)]
    warm: Duration,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
}

pub fn messages(load: Messages, mut client: Client, gauges: Gauges) -> Measured {
    let page = Page::data(if load.binary { BINARY } else { TEXT }, load.size, From::Client);
    client.open_all(load.connections)?;
    match load.roam {
        None => (0..load.connections).try_for_each(|id| client.send(id, &page, load.window))?,
        Some(in_flight) => (0..in_flight).try_for_each(|id| client.send(id % load.connections, &page, 1))?,
    }
    let mut next = load.roam.unwrap_or(0);
    let mut replies = 0;
    let mut drive = |client: &mut Client, span: Duration| -> Result<u64, String> {
        let (until, before) = (Instant::now() + span, replies);
        let mut happened = Vec::new();
        while Instant::now() < until {
            client.turn(TICK, &mut happened)?;
            for (id, what) in happened.drain(..) {
                let Happened::Replies(count) = what else { continue };
                replies += count;
                if load.roam.is_none() {
                    client.send(id, &page, count)?;
                    continue;
                }
                for _ in 0..count {
                    client.send(next % load.connections, &page, 1)?;
                    next += 1;
                }
            }
        }
        Ok(replies - before)
    };
    drive(&mut client, load.warm)?;
    let (sent, received) = (client.sent, client.received);
    let before = gauges.read();
    let count = drive(&mut client, load.seconds)?;
    let mut measured = gauges.since(&before);
    measured["messages"] = json!(count);
    // Counted as bytes, for few and large messages do not end with the clock.
    measured["bytes"] = json!((client.sent - sent).max(client.received - received));
    Ok(measured)
}

#[derive(Debug, clap::Args)]
pub struct Connects {
    /// Bring a ticket where one was given
    #[arg(long)]
    pub resume: bool,
    /// Connections under way at the same time
    #[arg(long)]
    at_once: usize,
    #[arg(long, value_parser = seconds)]
    warm: Duration,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
}

pub fn connects(load: Connects, mut client: Client, gauges: Gauges) -> Measured {
    let mut drive = |span: Duration| -> Result<(u64, u64), String> {
        let until = Instant::now() + span;
        let (mut done, mut resumptions) = (0, 0);
        let mut happened = Vec::new();
        while Instant::now() < until {
            while client.live() < load.at_once {
                client.open()?;
            }
            client.await_turn(&mut happened)?;
            for (id, what) in happened.drain(..) {
                match what {
                    Happened::Opened { resumed } => {
                        resumptions += u64::from(resumed);
                        client.close(id)?;
                    }
                    Happened::Ended => done += 1,
                    Happened::Replies(_) => {}
                }
            }
        }
        Ok((done, resumptions))
    };
    drive(load.warm)?;
    let before = gauges.read();
    let (done, resumed) = drive(load.seconds)?;
    let mut measured = gauges.since(&before);
    measured["connections"] = json!(done);
    measured["resumed"] = json!(resumed);
    Ok(measured)
}

#[derive(Debug, clap::Args)]
pub struct Idle {
    #[arg(long)]
    connections: usize,
    /// The rest before memory is looked at
    #[arg(long, value_parser = seconds)]
    settle: Duration,
}

/// Connections that come and go before the base is taken: what a proxy sets up at its first ones, and what a burst of
/// handshakes as wide as later ones needs, is not theirs.
const FIRST_VISITORS: usize = AT_ONCE;

pub fn idle(load: Idle, mut client: Client, gauges: Gauges) -> Measured {
    let settled = |client: &mut Client| rest(client, load.settle).map(|()| gauges.proxy.pss());
    let small = Page::data(TEXT, 1024, From::Client);
    let large = Page::data(BINARY, 256 * 1024, From::Client);
    client.open_all(FIRST_VISITORS)?;
    visit(&mut client, FIRST_VISITORS, &small, 1)?;
    client.close_all()?;
    let base = settled(&mut client)?;
    client.open_all(load.connections)?;
    let opened = settled(&mut client)?;
    visit(&mut client, load.connections, &small, 4)?;
    let after_small = settled(&mut client)?;
    visit(&mut client, load.connections, &large, 1)?;
    let after_large = settled(&mut client)?;
    client.close_all()?;
    let left = settled(&mut client)?;
    Ok(json!({
        "connections": load.connections,
        "base": base,
        "opened": opened,
        "after_small": after_small,
        "after_large": after_large,
        "left": left,
    }))
}

/// Sends nothing but pongs.
fn rest(client: &mut Client, span: Duration) -> Result<(), String> {
    let until = Instant::now() + span;
    let mut happened = Vec::new();
    while Instant::now() < until {
        client.turn(TICK, &mut happened)?;
    }
    Ok(())
}

/// Every connection sends `times` messages, one after the other; `AT_ONCE` connections are at it together.
fn visit(client: &mut Client, connections: usize, page: &Rc<Page>, times: u32) -> Result<(), String> {
    let mut to_send = vec![times; connections];
    let mut waiting = 0..connections;
    let mut done = 0;
    let send = |client: &mut Client, to_send: &mut Vec<u32>, id: usize| {
        to_send[id] -= 1;
        client.send(id, page, 1)
    };
    for id in waiting.by_ref().take(AT_ONCE) {
        send(client, &mut to_send, id)?;
    }
    let mut happened = Vec::new();
    while done < connections {
        client.await_turn(&mut happened)?;
        for (id, what) in happened.drain(..) {
            if !matches!(what, Happened::Replies(_)) {
                continue;
            }
            if to_send[id] > 0 {
                send(client, &mut to_send, id)?;
                continue;
            }
            done += 1;
            if let Some(id) = waiting.next() {
                send(client, &mut to_send, id)?;
            }
        }
    }
    Ok(())
}

#[derive(Debug, clap::Args)]
pub struct Paced {
    #[arg(long)]
    connections: usize,
    /// Messages a second, over all connections
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    size: usize,
    #[arg(long, value_parser = seconds)]
    warm: Duration,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
}

pub fn paced(load: Paced, mut client: Client, gauges: Gauges) -> Measured {
    let page = Page::data(TEXT, load.size, From::Client);
    client.open_all(load.connections)?;
    let pace = Pace::start(&client, load.rate)?;
    let mut under_way: Vec<VecDeque<Instant>> = vec![VecDeque::new(); load.connections];
    let mut sent = 0;
    let mut drive = |client: &mut Client, span: Duration| -> Result<Vec<u64>, String> {
        let until = Instant::now() + span;
        let mut latencies = Vec::new();
        let mut happened = Vec::new();
        while Instant::now() < until {
            client.turn(TICK, &mut happened)?;
            let now = Instant::now();
            for (id, what) in happened.drain(..) {
                let Happened::Replies(count) = what else { continue };
                let back = under_way[id].drain(..count as usize);
                latencies.extend(back.map(|sent| (now - sent).as_nanos() as u64));
            }
            let due = pace.due();
            while sent < due {
                let id = sent as usize % load.connections;
                under_way[id].push_back(Instant::now());
                client.send(id, &page, 1)?;
                sent += 1;
            }
        }
        latencies.sort_unstable();
        Ok(latencies)
    };
    drive(&mut client, load.warm)?;
    let before = gauges.read();
    let latencies = drive(&mut client, load.seconds)?;
    let mut measured = gauges.since(&before);
    let quantile = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).copied();
    measured["messages"] = json!(latencies.len());
    measured["p50_ns"] = json!(quantile(0.5));
    measured["p99_ns"] = json!(quantile(0.99));
    Ok(measured)
}

/// Counts up at an even rate and wakes the client each time. epoll's own timeout knows whole milliseconds only.
struct Pace {
    due: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Pace {
    fn start(client: &Client, rate: u32) -> Result<Pace, String> {
        let waker = client.waker().map_err(|error| format!("epoll: {error}"))?;
        let pace = Pace { due: Arc::default(), over: Arc::default() };
        let (due, over) = (pace.due.clone(), pace.over.clone());
        let start = Instant::now();
        thread::spawn(move || {
            let period = Duration::from_secs(1) / rate;
            for tick in 1.. {
                thread::sleep((start + period * tick).saturating_duration_since(Instant::now()));
                due.store(u64::from(tick), Ordering::Relaxed);
                if over.load(Ordering::Relaxed) || waker.wake().is_err() {
                    return;
                }
            }
        });
        Ok(pace)
    }

    fn due(&self) -> u64 {
        self.due.load(Ordering::Relaxed)
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, clap::Args)]
pub struct Heartbeat {
    #[arg(long)]
    connections: usize,
    /// Half an interval, so that no connection's ping falls on an edge of the measurement
    #[arg(long, value_parser = seconds)]
    warm: Duration,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
}

pub fn heartbeat(load: Heartbeat, mut client: Client, gauges: Gauges) -> Measured {
    client.open_all(load.connections)?;
    rest(&mut client, load.warm)?;
    let pings = client.pings;
    let before = gauges.read();
    rest(&mut client, load.seconds)?;
    let mut measured = gauges.since(&before);
    measured["connections"] = json!(load.connections);
    measured["pings"] = json!(client.pings - pings);
    client.close_all()?;
    Ok(measured)
}
