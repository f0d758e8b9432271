//! The instruments of the side-by-side run: an echo backend that costs next to nothing, and a load client that drives
//! one proxy and reads what its processes used meanwhile. `benches/side-by-side/run` starts them.
//!
//! Both are single-threaded loops over epoll. Every frame was made before the clock starts, masks included, and what
//! comes back is walked, not looked into: neither side may be the bottleneck, and the run's `direct` row shows whether
//! one is. The client answers on stdout with one JSON object.

#![allow(clippy::unwrap_used)] // an instrument that cannot go on has nothing better to do than to say where

mod backend;
mod client;
mod gauge;
mod scenario;
mod socket;
mod wire;

use clap::{Parser, Subcommand};
use client::{Client, Target};
use gauge::Gauges;
use scenario::{Connects, Heartbeat, Idle, Messages, Paced};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `benches/side-by-side/run` measures with.
#[derive(Debug, Parser)]
#[command(name = "side_by_side_load")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Answers messages: at /echo with one of the same length, at /reply/N with one of N bytes
    Backend {
        /// Prints the port it listens on
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Messages in flight on many connections: CPU a message or a byte, and how many there were
    Messages(#[command(flatten)] Drive<Messages>),
    /// Connect, close, again: CPU a connection
    Connects(#[command(flatten)] Drive<Connects>),
    /// Many idle connections: memory, before and after messages, and once they are gone
    Idle(#[command(flatten)] Drive<Idle>),
    /// Messages at a fixed rate, whatever comes back: latency
    Paced(#[command(flatten)] Drive<Paced>),
    /// Connections that only answer pings: CPU
    Heartbeat(#[command(flatten)] Drive<Heartbeat>),
}

/// A scenario against one proxy.
#[derive(Debug, clap::Args)]
struct Drive<S: clap::Args> {
    /// The proxy, or the backend itself
    #[arg(long)]
    address: SocketAddr,
    /// wss: the certificate to trust
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Where to connect to
    #[arg(long, default_value = "/echo")]
    path: String,
    /// A process of the proxy; all of them are to be named
    #[arg(long = "pid")]
    pids: Vec<u32>,
    #[arg(long)]
    backend_pid: u32,
    #[command(flatten)]
    scenario: S,
}

impl<S: clap::Args> Drive<S> {
    fn run(
        self,
        resume: bool,
        measure: fn(S, Client, Gauges) -> Result<serde_json::Value, String>,
    ) -> ExitCode {
        let gauges = Gauges::new(self.pids, self.backend_pid);
        let target = Target::new(self.address, &self.path, self.certificate.as_deref(), resume);
        match target.and_then(|target| measure(self.scenario, Client::new(target), gauges)) {
            Ok(measured) => {
                println!("{measured}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        }
    }
}

fn main() -> ExitCode {
    match Arguments::parse().part {
        Part::Backend { port } => backend::serve(port),
        Part::Messages(drive) => drive.run(true, scenario::messages),
        Part::Connects(drive) => {
            let resume = drive.scenario.resume;
            drive.run(resume, scenario::connects)
        }
        Part::Idle(drive) => drive.run(true, scenario::idle),
        Part::Paced(drive) => drive.run(true, scenario::paced),
        Part::Heartbeat(drive) => drive.run(true, scenario::heartbeat),
    }
}
