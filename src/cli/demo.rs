//! `framegate demo`: everything it takes to see the gateway work, in one process.

use super::{fail, run_plan};
use crate::app::Setup;
use crate::demo;
use crate::net::handover::Inherited;
use crate::net::listen::Bind;
use crate::net::self_signed;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Where to serve https and wss
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    https: SocketAddr,
    /// Where to serve http and ws
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
}

impl Demo {
    pub fn execute(self) -> ExitCode {
        let backend = match demo::backend::start() {
            Ok(backend) => backend,
            Err(error) => return fail(&format!("the demo's backend cannot start: {error}")),
        };
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        let made_tls = match self_signed::serve(names) {
            Ok(config) => HashMap::from([(demo::HTTPS.to_string(), config)]),
            Err(why) => return fail(&why),
        };
        let plan = demo::plan(self.https, self.http, backend);
        run_plan(plan, |plan| Setup {
            plan,
            file: None,
            made_tls,
            inherited: Inherited::default(),
            on_ready: Box::new(greet),
        })
    }
}

fn greet(bound: &[(String, Bind)]) {
    let port = |name: &str| {
        bound.iter().find_map(|(listener, bind)| match bind {
            Bind::Tcp(address) if listener == name => Some(address.port()),
            _ => None,
        })
    };
    let (https, http) = (port(demo::HTTPS).unwrap_or_default(), port(demo::HTTP).unwrap_or_default());
    println!(
        "\
framegate demo

  open   https://localhost:{https}/      (the certificate was made just now and is signed by nobody:
                                     let the browser go on)
  or     http://localhost:{http}/       the same without TLS

  wss://localhost:{https}/echo           answers every message with itself
  wss://localhost:{https}/chat           passes every message to everybody

  try    two tabs chatting; a message over 1 MiB; a page of another origin;
         `kill -TERM {pid}` with a tab open: it is told 1012, and the log says who ended it and why

Ctrl-C ends it.
",
        pid = std::process::id()
    );
}
