//! `[[backend]]`: the servers, by name; and the servers that routes name by URL.

use super::address;
use super::error::{Complaint, any_of};
use super::section::Section;
use super::source::Needed;
use super::unique::Unique;
use super::value::Value;
use crate::backend::{Backend, BackendTls, Roots, Server};
use rustls::pki_types::ServerName;
use std::time::Duration;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// A backend of one server with the defaults of the file. Its name is its URL.
pub fn of_one(server: Server) -> Backend {
    Backend {
        name: server.to_string(),
        server,
        connect_timeout: CONNECT_TIMEOUT,
        upgrade_timeout: UPGRADE_TIMEOUT,
        tls: BackendTls::default(),
    }
}

/// The backends of the file, and those that its routes add.
pub struct Backends {
    list: Vec<Backend>,
    /// Of all `[[backend]]` sections, also of those that could not be read: a route that names one is not wrong too.
    names: Vec<String>,
}

impl Backends {
    pub fn read_all(top: &mut Section<'_>) -> Backends {
        let source = top.source();
        let mut unique = Unique::new("name");
        let mut backends = Backends { list: Vec::new(), names: Vec::new() };
        for mut section in top.tables("backend").into_iter().flatten() {
            let name = section.require("name", "name = \"chat\"", |value| value.parse(backend_name));
            let at = section.place_of("name").unwrap_or_else(|| section.place().clone());
            if let Some(name) = &name {
                unique.claim(source, name.clone(), &at);
                backends.names.push(name.clone());
            }
            let backend = read(&mut section, name);
            backends.list.extend(backend);
        }
        backends
    }

    /// The index of the backend that a route names, by its name or by its server's URL.
    pub fn find(&mut self, value: &Value<'_>) -> Result<usize, Complaint> {
        let text = value.text()?;
        if is_url(&text) {
            let server = resolved(value, address::server(&text)?);
            let backend = of_one(server);
            let known = self.list.iter().position(|one| *one == backend);
            return Ok(known.unwrap_or_else(|| {
                self.list.push(backend);
                self.list.len() - 1
            }));
        }
        if let Some(index) = self.list.iter().position(|backend| backend.name == text) {
            return Ok(index);
        }
        if self.names.contains(&text) {
            // Its section has a problem of its own, so this index is never used.
            return Ok(0);
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let complaint = Complaint::new(format!("there is no backend {text:?}"));
        Err(if text.contains(':') {
            complaint.hint(format!("write \"ws://{text}\" if it is an address"))
        } else if names.is_empty() {
            complaint.hint("write a URL, \"ws://127.0.0.1:9000\", or add a [[backend]] with this name")
        } else {
            let known = format!("the backends are {}", any_of(&names).replace(" or ", " and "));
            complaint.suggest(&text, &names, known)
        })
    }

    pub fn into_list(self) -> Vec<Backend> {
        self.list
    }
}

fn is_url(text: &str) -> bool {
    text.contains("://") || text.starts_with("unix:")
}

fn backend_name(text: &str) -> Result<String, Complaint> {
    if is_url(text) {
        return Err(Complaint::new(format!("{text:?} is a URL, not a name"))
            .hint("name it by what it does; the URL goes into servers"));
    }
    super::name(text)
}

fn read(section: &mut Section<'_>, name: Option<String>) -> Option<Backend> {
    section.not_yet(&[
        "balance",
        "hash_on",
        "sticky",
        "retries",
        "slow_start",
        "max_connections",
        "send_proxy",
        "on_server_down",
        "health",
    ]);
    let server = section.require("servers", "servers = [\"ws://127.0.0.1:9000\"]", read_servers);
    let connect_timeout = section.read("connect_timeout", CONNECT_TIMEOUT, Value::duration);
    let upgrade_timeout = section.read("upgrade_timeout", UPGRADE_TIMEOUT, Value::duration);
    let tls = section.find_section("tls").map(read_tls);
    let server = server.flatten()?;
    let is_tls = matches!(server, Server::Tcp { tls: true, .. });
    if let Some(at) = section.place_of("tls").filter(|_| !is_tls) {
        let complaint = Complaint::new(format!("the server, {server}, does not speak TLS"));
        section.source().problem(&at, complaint.hint("write wss:// in servers, or remove tls"));
    }
    let tls = tls.unwrap_or_default();
    Some(Backend { name: name?, server, connect_timeout, upgrade_timeout, tls })
}

/// `None` in the result: what is wrong was said where it stands.
fn read_servers(value: &Value<'_>) -> Result<Option<Server>, Complaint> {
    let servers = value.each("\"ws://127.0.0.1:9000\"", |entry| {
        if entry.is_text() {
            let server = address::server(&entry.text()?)?;
            return Ok(Some(resolved(entry, server)));
        }
        let mut section = entry.section()?;
        section.not_yet(&["weight"]);
        let read = |url: &Value<'_>| Ok(resolved(url, url.parse(address::server)?));
        Ok(section.require("url", "url = \"ws://127.0.0.1:9000\"", read))
    })?;
    match value.len() {
        0 => Err(Complaint::new("is empty").hint("write [\"ws://127.0.0.1:9000\"]")),
        1 => Ok(servers.into_iter().next().flatten()),
        _ => Err(Complaint::new("more than one server is not yet supported").hint("keep one of them")),
    }
}

fn resolved(value: &Value<'_>, server: Server) -> Server {
    match server {
        Server::Unix(path) => Server::Unix(value.source().resolve(&path.to_string_lossy())),
        tcp => tcp,
    }
}

fn read_tls(mut section: Section<'_>) -> BackendTls {
    section.not_yet(&["cert", "key"]);
    let source = section.source();
    let ca = section.find("ca", |value| {
        if value.text()? == "system" {
            return Ok(Roots::System);
        }
        let path = value.path()?;
        source.need(Needed::Authorities { path: path.clone(), at: value.place().clone() });
        Ok(Roots::File(path))
    });
    let server_name = section.find("server_name", |value| {
        let name = value.text()?;
        ServerName::try_from(name.as_str()).map_err(|_| {
            Complaint::new(format!("{name:?} is not a name a certificate can have"))
                .hint("a host name or an address without a port: \"chat.internal\"")
        })?;
        Ok(name)
    });
    let verify = section.read("verify", true, verify);
    if let Some(at) = section.place_of("ca").filter(|_| !verify) {
        let complaint = Complaint::new("nothing is checked against it: verify accepts any certificate");
        source.problem(&at, complaint.hint("remove verify, so that the server has to be the one you mean"));
    }
    let roots = if verify { ca.unwrap_or_default() } else { Roots::AcceptAny };
    BackendTls { roots, server_name }
}

fn verify(value: &Value<'_>) -> Result<bool, Complaint> {
    const ACCEPT_ANY: &str = "accept-any-certificate";
    if value.is_text() && value.text()? == ACCEPT_ANY {
        return Ok(false);
    }
    match value.boolean() {
        Ok(true) => Ok(true),
        Ok(false) => Err(Complaint::new("would let anybody pose as the server, so it is written out").hint(
            format!("write verify = \"{ACCEPT_ANY}\" if that is meant; better, name the server's own ca"),
        )),
        Err(_) => Err(Complaint::new("takes true or one phrase")
            .hint(format!("write verify = true, or verify = \"{ACCEPT_ANY}\""))),
    }
}
