//! `[[backend]]`: the servers, by name; and the servers that routes name by URL.

use super::error::Complaint;
use super::listener::read_pair;
use super::section::Section;
use super::source::Needed;
use super::unique::Unique;
use super::value::Value;
use super::{address, pool};
use crate::backend::{Backend, BackendTls, Identity, Roots, SendProxy, Server, Weighted};
use rustls::pki_types::ServerName;
use std::cell::RefCell;

/// The backends of the file, and those that its routes add.
pub struct Backends(Vec<Backend>);

impl Backends {
    pub fn read_all(top: &mut Section<'_>) -> Backends {
        let source = top.source();
        let mut names = Unique::new("name");
        let mut list = Vec::new();
        for mut section in top.tables("backend").into_iter().flatten() {
            let backend = read(&mut section);
            if let Some(at) = section.place_of("name") {
                names.claim(source, backend.name.clone(), &at);
            }
            list.push(backend);
        }
        Backends(list)
    }

    /// The index of the backend that a route names, by its name or by its server's URL.
    pub fn find(&mut self, value: &Value<'_>) -> Result<usize, Complaint> {
        let text = value.text()?;
        if is_url(&text) {
            let server = resolved(value, address::server(&text)?);
            return Ok(self.find_or_add(Backend::new(&server.to_string(), [server])));
        }
        if let Some(index) = self.0.iter().position(|backend| backend.name == text) {
            return Ok(index);
        }
        let names = self.0.iter().map(|backend| backend.name.as_str());
        let names: Vec<&str> = names.filter(|name| !name.is_empty() && !is_url(name)).collect();
        let complaint = Complaint::new(format!("there is no backend {text:?}"));
        Err(match names[..] {
            _ if text.contains(':') => complaint.hint(format!("write \"ws://{text}\" if it is an address")),
            [] => complaint.hint("write a URL, \"ws://127.0.0.1:9000\", or add a [[backend]] with this name"),
            [one] => complaint.hint(format!("the only backend is {one:?}")),
            _ => complaint.suggest(&text, &names, format!("the backends are {}", names.join(", "))),
        })
    }

    /// Routes that name the same server share it.
    fn find_or_add(&mut self, backend: Backend) -> usize {
        let known = self.0.iter().position(|one| *one == backend);
        known.unwrap_or_else(|| {
            self.0.push(backend);
            self.0.len() - 1
        })
    }

    pub fn into_list(self) -> Vec<Backend> {
        self.0
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

fn read(section: &mut Section<'_>) -> Backend {
    let name = section.require("name", "name = \"chat\"", |value| value.parse(backend_name));
    let servers = section.require("servers", "servers = [\"ws://127.0.0.1:9000\"]", read_servers);
    let servers = servers.unwrap_or_default();
    let speaks_tls = |one: &Weighted| matches!(one.server, Server::Tcp { tls: true, .. });
    if let Some(at) =
        section.place_of("tls").filter(|_| !servers.is_empty() && !servers.iter().any(speaks_tls))
    {
        let complaint = Complaint::new(match &servers[..] {
            [one] => format!("the server, {}, does not speak TLS", one.server),
            _ => "none of the servers speaks TLS".into(),
        });
        section.source().problem(&at, complaint.hint("write wss:// in servers, or remove tls"));
    }
    let send_proxy = [("off", SendProxy::Off), ("v2", SendProxy::V2)];
    // Without a sound name or servers the rest is read all the same, for what is wrong with it.
    let base = Backend { servers, ..Backend::new(&name.unwrap_or_default(), []) };
    let base = pool::read(section, base);
    Backend {
        connect_timeout: section.read("connect_timeout", base.connect_timeout, Value::duration),
        upgrade_timeout: section.read("upgrade_timeout", base.upgrade_timeout, Value::duration),
        send_proxy: section.read("send_proxy", base.send_proxy, |value| value.choice(&send_proxy, &["v1"])),
        tls: section.find_section("tls").map(read_tls).unwrap_or_default(),
        ..base
    }
}

/// What is wrong with one of them was said where it stands.
fn read_servers(value: &Value<'_>) -> Result<Vec<Weighted>, Complaint> {
    if value.is_empty() {
        return Err(Complaint::new("is empty").hint("write [\"ws://127.0.0.1:9000\"]"));
    }
    let unique = RefCell::new(Unique::new("server"));
    let servers = value.each("\"ws://127.0.0.1:9000\"", |entry| {
        let read = |url: &Value<'_>| Ok(resolved(url, url.parse(address::server)?));
        let found = if entry.is_text() {
            Some(Weighted { server: read(entry)?, weight: 1 })
        } else {
            let mut section = entry.section()?;
            let server = section.require("url", "url = \"ws://127.0.0.1:9000\"", read);
            let weight = section.read("weight", 1, |value| value.number(1..=MOST_WEIGHT));
            server.map(|server| Weighted { server, weight: u32::try_from(weight).unwrap_or(1) })
        };
        if let Some(one) = &found {
            unique.borrow_mut().claim(entry.source(), one.server.clone(), entry.place());
        }
        Ok(found)
    })?;
    Ok(servers.into_iter().flatten().collect())
}

/// Enough to tell a machine from one a thousand times its size.
const MOST_WEIGHT: u64 = 1000;

fn resolved(value: &Value<'_>, server: Server) -> Server {
    match server {
        Server::Unix(path) => Server::Unix(value.source().resolve(&path.to_string_lossy())),
        tcp => tcp,
    }
}

pub fn read_tls(mut section: Section<'_>) -> BackendTls {
    let source = section.source();
    let identity = read_pair(&mut section, false);
    let identity = identity.map(|files| Identity { cert: files.cert, key: files.key });
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
    BackendTls { roots, server_name, identity }
}

fn verify(value: &Value<'_>) -> Result<bool, Complaint> {
    const ACCEPT_ANY: &str = "accept-any-certificate";
    if value.is_text() && value.text()? == ACCEPT_ANY {
        return Ok(false);
    }
    match value.boolean() {
        Ok(true) => Ok(true),
        Ok(false) => Err(Complaint::new("false would let anybody pose as the server, so it is spelled out")
            .hint(format!(
                "write verify = \"{ACCEPT_ANY}\" if that is meant; better, name the server's own ca"
            ))),
        Err(_) => Err(Complaint::new("takes true or one phrase")
            .hint(format!("write verify = true, or verify = \"{ACCEPT_ANY}\""))),
    }
}
