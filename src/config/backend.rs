//! `[[backend]]`: the servers, by name; and the servers that routes name by URL.

use super::address;
use super::error::Complaint;
use super::section::Section;
use super::source::Needed;
use super::unique::Unique;
use super::value::Value;
use crate::backend::{Backend, BackendTls, Roots, SendProxy, Server};
use rustls::pki_types::ServerName;

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
            return Ok(self.find_or_add(Backend::new(&server.to_string(), server)));
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
    section.not_yet(&[
        "balance",
        "hash_on",
        "sticky",
        "retries",
        "slow_start",
        "max_connections",
        "on_server_down",
        "health",
    ]);
    let name = section.require("name", "name = \"chat\"", |value| value.parse(backend_name));
    let server = section.require("servers", "servers = [\"ws://127.0.0.1:9000\"]", read_servers).flatten();
    if let (Some(server), Some(at)) = (&server, section.place_of("tls"))
        && !matches!(server, Server::Tcp { tls: true, .. })
    {
        let complaint = Complaint::new(format!("the server, {server}, does not speak TLS"));
        section.source().problem(&at, complaint.hint("write wss:// in servers, or remove tls"));
    }
    let send_proxy = [("off", SendProxy::Off), ("v2", SendProxy::V2)];
    // Without a sound name or server the rest is read all the same, for what is wrong with it.
    let base = Backend::new(&name.unwrap_or_default(), server.unwrap_or(Server::Unix("".into())));
    Backend {
        connect_timeout: section.read("connect_timeout", base.connect_timeout, Value::duration),
        upgrade_timeout: section.read("upgrade_timeout", base.upgrade_timeout, Value::duration),
        send_proxy: section.read("send_proxy", base.send_proxy, |value| value.choice(&send_proxy, &["v1"])),
        tls: section.find_section("tls").map(read_tls).unwrap_or_default(),
        ..base
    }
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

pub fn read_tls(mut section: Section<'_>) -> BackendTls {
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
        Ok(false) => Err(Complaint::new("false would let anybody pose as the server, so it is spelled out")
            .hint(format!(
                "write verify = \"{ACCEPT_ANY}\" if that is meant; better, name the server's own ca"
            ))),
        Err(_) => Err(Complaint::new("takes true or one phrase")
            .hint(format!("write verify = true, or verify = \"{ACCEPT_ANY}\""))),
    }
}
