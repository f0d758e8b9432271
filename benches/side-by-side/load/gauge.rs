//! What processes use: CPU to the nanosecond, memory by its proportional share.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::time::Instant;

/// A set of processes, with the threads they had each time they were looked at.
pub struct Gauge {
    pids: Vec<u32>,
}

/// Nanoseconds on a CPU, by thread: one that ends takes its count with it, and must not be subtracted.
type Cpu = HashMap<u32, u64>;

impl Gauge {
    fn cpu(&self) -> Cpu {
        let threads = self.pids.iter().flat_map(|pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            threads.filter_map(|thread| {
                let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
                let ran = schedstat.split_whitespace().next()?.parse().ok()?;
                Some((thread.file_name().to_str()?.parse().ok()?, ran))
            })
        });
        threads.collect()
    }

    /// Proportional set size in bytes: shared pages count once over all processes.
    pub fn pss(&self) -> u64 {
        let of = |pid: &u32| -> Option<u64> {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        self.pids.iter().filter_map(of).sum::<u64>() * 1024
    }
}

fn spent(before: &Cpu, after: &Cpu) -> u64 {
    after.iter().map(|(thread, ran)| ran.saturating_sub(before.get(thread).copied().unwrap_or(0))).sum()
}

/// Everybody who takes part in a measurement.
pub struct Gauges {
    pub proxy: Gauge,
    backend: Gauge,
    client: Gauge,
}

/// The gauges as they stood at one moment.
pub struct Reading {
    at: Instant,
    proxy: Cpu,
    backend: Cpu,
    client: Cpu,
    machine: u64,
}

impl Gauges {
    pub fn new(proxy: Vec<u32>, backend: u32) -> Gauges {
        let gauge = |pids| Gauge { pids };
        Gauges { proxy: gauge(proxy), backend: gauge(vec![backend]), client: gauge(vec![std::process::id()]) }
    }

    pub fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            proxy: self.proxy.cpu(),
            backend: self.backend.cpu(),
            client: self.client.cpu(),
            machine: machine_busy(),
        }
    }

    /// What was used since `before`. `foreign` is the share of the machine that went to others: a figure measured
    /// beside a busy neighbour is worth little.
    pub fn since(&self, before: &Reading) -> Value {
        let now = self.read();
        let seconds = (now.at - before.at).as_secs_f64();
        let proxy = spent(&before.proxy, &now.proxy);
        let backend = spent(&before.backend, &now.backend);
        let client = spent(&before.client, &now.client);
        let machine = now.machine.saturating_sub(before.machine);
        let foreign = machine.saturating_sub(proxy + backend + client) as f64 / 1e9;
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get()) as f64;
        json!({
            "seconds": seconds,
            "cpu_ns": proxy,
            "backend_load": backend as f64 / 1e9 / seconds,
            "client_load": client as f64 / 1e9 / seconds,
            "foreign": foreign / seconds / cpus,
        })
    }
}

/// Nanoseconds that all CPUs together have been busy, time stolen by the host included. In ticks of 10 ms.
fn machine_busy() -> u64 {
    const TICK: u64 = 10_000_000;
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).take(8).collect();
    // user nice system idle iowait irq softirq steal
    ticks.iter().enumerate().filter(|(field, _)| !matches!(field, 3 | 4)).map(|(_, ticks)| ticks * TICK).sum()
}
