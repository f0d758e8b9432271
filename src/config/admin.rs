//! `[admin]`: the address at which the running program is asked and told.

use super::address;
use super::error::Complaint;
use super::section::Section;
use super::source::{Needed, Source};
use super::value::{Value, or_none};
use crate::net::admin::{AdminSettings, is_exposed};
use crate::net::listen::{Bind, ListenerSettings};
use std::path::PathBuf;

/// `None`: it is off. `listeners`: whose addresses are taken.
pub fn read(top: &mut Section<'_>, listeners: &[ListenerSettings]) -> Option<AdminSettings> {
    let place = top.place_of("admin");
    let mut section = top.section("admin");
    let source = section.source();
    let base = AdminSettings::default();
    let bind = section.read("bind", base.bind, |value| read_bind(source, value));
    let token_file = section.read("token_file", base.token_file, or_none(token_file));
    let settings = AdminSettings { bind, token_file };
    let at = section.place_of("bind").or(place)?;
    if is_exposed(&settings.bind) && settings.token_file.is_none() {
        let complaint =
            Complaint::new("other machines may connect here, and nobody would be asked who they are");
        let hint = "add token_file = \"admin.token\", or bind \"127.0.0.1:9900\" or \"unix:/run/framegate/admin.sock\"";
        source.problem(&at, complaint.hint(hint));
    }
    let has_port = !matches!(settings.bind, Bind::Tcp(address) if address.port() == 0);
    if let Some(listener) = listeners.iter().find(|one| has_port && one.bind == settings.bind) {
        let complaint = Complaint::new(format!("listener {} has the same bind", listener.name));
        source.problem(&at, complaint.hint("give the admin address a port, or a socket, of its own"));
    }
    Some(settings)
}

fn read_bind(source: &Source<'_>, value: &Value<'_>) -> Result<Bind, Complaint> {
    Ok(match value.parse(address::bind)? {
        Bind::Unix(path) => Bind::Unix(source.resolve(&path.to_string_lossy())),
        other => other,
    })
}

fn token_file(value: &Value<'_>) -> Result<PathBuf, Complaint> {
    let path = value.path()?;
    value.source().need(Needed::AdminToken { path: path.clone(), at: value.place().clone() });
    Ok(path)
}
