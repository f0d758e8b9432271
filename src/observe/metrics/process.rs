//! What the system says of the process, under the names that Prometheus' own libraries use.

use crate::clock;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

/// `None`: it cannot be found out here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    pub cpu: Duration,
    pub resident_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    /// In unix time.
    pub started: Option<f64>,
}

impl Process {
    pub fn read() -> Process {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(
            u64::try_from(used.tv_sec).unwrap_or_default(),
            u32::try_from(used.tv_nsec).unwrap_or_default(),
        );
        Process {
            cpu,
            resident_bytes: resident(),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
            started: started(),
        }
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn open_fds() -> Option<u64> {
    let folder = "/proc/self/fd";
    // Since Linux 6.2 the size says it; to count a hundred thousand entries takes a while.
    match fs::metadata(folder).ok()?.len() {
        0 => fs::read_dir(folder).ok().map(|entries| entries.count() as u64),
        open => Some(open),
    }
}

/// Reckoned once, for the clocks drift against each other. Not with the `btime` of /proc/stat, which a service that sees
/// nothing of /proc but its own processes does not have (`ProcSubset=pid`).
fn started() -> Option<f64> {
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the program's name, which may hold anything. There `starttime` is the 20th (proc(5)).
        let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
        let since_boot = clock_gettime(ClockId::Boottime);
        let since_boot = since_boot.tv_sec as f64 + since_boot.tv_nsec as f64 / 1e9;
        let age = since_boot - ticks as f64 / clock_ticks_per_second() as f64;
        Some(clock::since_1970().as_secs_f64() - age)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let process = Process::read();
        assert!(process.cpu > Duration::ZERO);
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        let fds = (process.open_fds.unwrap(), process.max_fds.unwrap());
        assert!(fds.0 >= 3 && fds.0 <= fds.1, "{process:?}");
        let age = clock::since_1970().as_secs_f64() - process.started.unwrap();
        // The two clocks may be some seconds apart; the tests take minutes at the most.
        assert!((-5.0..3600.0).contains(&age), "{age}");
        assert_eq!(Process::read().started, process.started);
        let opened: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(Process::read().open_fds.unwrap() >= opened.len() as u64 + 3);
    }
}
