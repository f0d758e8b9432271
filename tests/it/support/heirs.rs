//! Processes that take over from a gateway.

use super::{Gateway, kill};
use serde_json::Value;
use std::net::SocketAddr;

/// A process that took over.
pub struct Next {
    pub pid: u32,
    /// By listener, in the order of the file.
    pub listeners: Vec<SocketAddr>,
}

pub fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // Who is dead and not yet buried does nothing any more.
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

pub fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// Has `pid` hand over; this many listeners are there afterwards.
pub fn hand_over(gateway: &Gateway, pid: u32, listeners: usize) -> Next {
    kill(pid, "USR2");
    let line = gateway.wait_for("handed over", |line| message(line) == "handed over; closing sessions");
    let mut next = Next { pid: u32::try_from(line["pid"].as_u64().unwrap()).unwrap(), listeners: Vec::new() };
    for _ in 0..listeners {
        let line = gateway.wait_for("listening", |line| message(line) == "listening");
        let bind = line["bind"].as_str().unwrap();
        next.listeners.push(bind.parse().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
    }
    assert_ne!(next.pid, pid);
    next
}
