//! `framegate explain`: what a request would get, and which line decided, without asking anybody.

use super::{config_file, environment, fail, report};
use crate::config;
use crate::explain::target::Target;
use crate::explain::{Question, explain};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use http::header::{HeaderName, HeaderValue, ORIGIN};
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Explain {
    /// The configuration; by default ./framegate.toml, else /etc/framegate/framegate.toml. Of the
    /// files that it names only keys of tokens are looked at
    file: Option<PathBuf>,
    /// What the client asks for: wss:// or ws:// for a socket, https:// or http:// for a plain request
    url: String,
    /// The page's Origin, as a browser sends it
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Option<HeaderValue>,
    /// Another header, instead of what a client would send under that name
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Who connects [default: 127.0.0.1, or nobody's address over a unix socket]. Behind PROXY headers: whom they name
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// The listener, where the URL does not lead to it: behind a balancer, or on a unix socket
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn execute(self) -> ExitCode {
        let Explain { file, url, origin, header, from, listener, json } = self;
        // Not a `value_parser`: what that refuses is repeated, and a URL may hold a password.
        let target = Target::parse(&url).unwrap_or_else(|why| wrong_usage(why));
        let path = match config_file(file) {
            Ok(path) => path,
            Err(why) => return fail(&why),
        };
        let loaded = match config::load_text(&path, &environment) {
            Ok(loaded) => loaded,
            Err(problems) => return report(&problems, &path),
        };
        let named = |name: &str| loaded.plan.listeners.iter().any(|listener| listener.name == name);
        if let Some(name) = listener.as_deref().filter(|name| !named(name)) {
            wrong_usage(format!("{} has no listener {name:?}", path.display()));
        }
        let headers = origin.map(|origin| (ORIGIN, origin)).into_iter().chain(header).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let explanation = explain(&loaded, &Question { target, headers, from, listener, now });
        let said = if json { format!("{:#}\n", explanation.to_json()) } else { explanation.to_string() };
        // Whoever reads it may have read enough.
        let _ = std::io::stdout().write_all(said.as_bytes());
        if explanation.is_admitted() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn wrong_usage(why: String) -> ! {
    let mut cli = super::Cli::command();
    // Else its usage would be that of the whole program.
    cli.build();
    let command = cli.find_subcommand_mut("explain").map(std::mem::take);
    command.unwrap_or(cli).error(ErrorKind::ValueValidation, why).exit()
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| "it cannot stand in a header".into())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} is not the name of a header"))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "the value cannot stand in a header")?;
    Ok((name, value))
}
