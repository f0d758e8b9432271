//! `framegate proxy`: one backend, no file.

use super::{fail, run_plan};
use crate::app::Setup;
use crate::backend::{Backend, Server};
use crate::config::{Plan, address, origin};
use crate::net::handover::Inherited;
use crate::net::listen::{Bind, ListenerSettings};
use crate::net::self_signed;
use crate::net::tls::{CertificateFiles, TlsSettings, TlsVersion, check_pair};
use crate::policy::origin::{Allowed, OriginPolicy};
use crate::route::Route;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Proxy {
    /// The server behind: ws://host:port, wss://host:port or unix:/path
    #[arg(long, value_name = "URL")]
    to: String,
    /// Where to listen: an address with a port, or unix:/path
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The certificate for wss, a PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// wss with a certificate made on the fly, for trying things out
    #[arg(long, conflicts_with = "cert")]
    self_signed: bool,
    /// A web origin that may connect, besides the page's own host: https://example.com, https://*.example.com,
    /// or any-site-may-connect
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
}

const LISTENER: &str = "proxy";

impl Proxy {
    pub fn execute(self) -> ExitCode {
        let inherited = Inherited::from_systemd();
        let (plan, self_signed) = match self.plan() {
            Ok(plan) => plan,
            Err(why) => return fail(&why),
        };
        let mut made_tls = HashMap::new();
        if let Some(names) = self_signed {
            match self_signed::serve(names) {
                Ok(config) => made_tls.insert(LISTENER.to_string(), config),
                Err(why) => return fail(&why),
            };
        }
        run_plan(plan, |plan| Setup { plan, file: None, made_tls, inherited, on_ready: Box::new(|_| {}) })
    }

    /// The plan, and the names for a certificate that is to be made.
    fn plan(self) -> Result<(Plan, Option<Vec<String>>), String> {
        let say = |option: &str, problem: String, hint: Option<String>| {
            let hint = hint.map_or(String::new(), |hint| format!("\n  hint: {hint}"));
            format!("{option}: {problem}{hint}")
        };
        let server = address::server(&self.to).map_err(|bad| say("--to", bad.problem, bad.hint))?;
        let bind = address::bind(&self.listen).map_err(|bad| say("--listen", bad.problem, bad.hint))?;
        let mut allowed = vec![Allowed::SameOrigin];
        for text in &self.origin {
            let entry = origin::allowed(text).map_err(|bad| say("--origin", bad.problem, bad.hint))?;
            allowed.push(entry);
        }
        let tls = match (self.cert, self.key) {
            (Some(cert), Some(key)) => {
                let files = CertificateFiles { cert, key };
                check_pair(&files)?;
                Some(TlsSettings {
                    certificates: vec![files],
                    min_version: TlsVersion::Tls12,
                    client_auth: None,
                    ticket_keys: None,
                })
            }
            _ => None,
        };
        let names = self.self_signed.then(|| certificate_names(&bind));
        let policy = OriginPolicy { allowed, ..OriginPolicy::default() };
        Ok((one_route_plan(bind, tls, server, policy), names))
    }
}

fn one_route_plan(bind: Bind, tls: Option<TlsSettings>, server: Server, origin: OriginPolicy) -> Plan {
    Plan {
        listeners: vec![ListenerSettings { tls, ..ListenerSettings::new(LISTENER, bind) }],
        backends: vec![Backend::new("proxy", [server])],
        routes: vec![Route { origin, ..Route::new("proxy", 0) }],
        ..Plan::default()
    }
}

fn certificate_names(bind: &Bind) -> Vec<String> {
    let mut names = vec!["localhost".to_string(), "127.0.0.1".to_string(), "::1".to_string()];
    if let Bind::Tcp(address) = bind
        && !address.ip().is_unspecified()
        && !address.ip().is_loopback()
    {
        names.push(address.ip().to_string());
    }
    names
}
