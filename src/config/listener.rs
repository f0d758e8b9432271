//! `[[listener]]`: where clients connect.

use super::error::Complaint;
use super::section::Section;
use super::source::{Needed, Place, Source};
use super::unique::Unique;
use super::units::show_size;
use super::value::Value;
use super::{address, crowd};
use crate::net::listen::{Bind, ListenerSettings};
use crate::net::proxy_protocol::ProxyProtocol;
use crate::net::tls::{CertificateFiles, ClientAuth, TlsSettings, TlsVersion};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What hyper needs, and what nobody needs more of.
const HEADER_SIZES: std::ops::RangeInclusive<u64> = (8 << 10)..=(1 << 20);

/// Stands in for an address that could not be read.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// `trusts_a_proxy`: something in front of us is known, and may be what terminates TLS.
pub fn read_all(top: &mut Section<'_>, trusts_a_proxy: bool) -> Vec<ListenerSettings> {
    let source = top.source();
    let example = "[[listener]] with bind = \"0.0.0.0:443\" and tls = { cert = …, key = … }";
    let sections = top.required_tables("listener", example);
    let (mut names, mut binds) = (Unique::new("name"), Unique::new("bind"));
    let mut listeners = Vec::new();
    for mut section in sections {
        let listener = read(&mut section);
        if let Some(at) = section.place_of("name") {
            names.claim(source, listener.name.clone(), &at);
        }
        let at = section.place_of("bind").unwrap_or_else(|| section.place().clone());
        if let Some(at) = section.place_of("proxy_protocol").filter(|_| !trusts_a_proxy) {
            nobody_may_speak_first(source, &listener, &at);
        }
        // Each listener on port 0 gets a port of its own.
        if !matches!(listener.bind, Bind::Tcp(address) if address.port() == 0) {
            binds.claim(source, listener.bind.clone(), &at);
        }
        warn_of_plain_text(source, &listener, trusts_a_proxy, &at);
        listeners.push(listener);
    }
    listeners
}

fn read(section: &mut Section<'_>) -> ListenerSettings {
    section.not_yet(&["http2"]);
    let source = section.source();
    let name = section.find("name", |value| value.parse(super::name));
    let bind = section.require("bind", "bind = \"0.0.0.0:443\"", |value| {
        let text = value.text()?;
        Ok((address::bind(&text)?, text))
    });
    // Without a sound address the rest is read all the same, for what is wrong with it.
    let (bind, text) = bind.unwrap_or((Bind::Tcp(NOWHERE), String::new()));
    let bind = match bind {
        Bind::Unix(path) => Bind::Unix(source.resolve(&path.to_string_lossy())),
        tcp => tcp,
    };
    let base = ListenerSettings::new(&name.unwrap_or(text), bind);
    let listener = ListenerSettings {
        tls: section.find_section("tls").map(read_tls),
        proxy_protocol: section.read("proxy_protocol", base.proxy_protocol, proxy_protocol),
        redirect_to_https: section.read("redirect_to_https", base.redirect_to_https, Value::boolean),
        handshake_timeout: section.read("handshake_timeout", base.handshake_timeout, Value::duration),
        max_header_size: section.read("max_header_size", base.max_header_size, header_size),
        limits: crowd::of_a_listener(section, base.limits),
        ..base
    };
    let redirects = section.place_of("redirect_to_https").filter(|_| listener.redirect_to_https);
    if let Some(at) = redirects.filter(|_| listener.tls.is_some()) {
        let complaint = Complaint::new("this listener is the https one: it would redirect to itself");
        source.problem(&at, complaint.hint("put it on a second [[listener]] without tls, on port 80"));
    }
    listener
}

fn proxy_protocol(value: &Value<'_>) -> Result<ProxyProtocol, Complaint> {
    let read = value.choice(&[("off", ProxyProtocol::Off), ("require", ProxyProtocol::Require)], &[]);
    // Other proxies name versions here, or take connections with and without.
    let guess = matches!(value.text().as_deref(), Ok("on" | "v1" | "v2" | "optional"));
    read.map_err(|complaint| {
        if guess {
            complaint.hint("write \"require\": versions 1 and 2 are told apart, and neither may be missing")
        } else {
            complaint
        }
    })
}

/// Connections over a unix socket are trusted as they are.
fn nobody_may_speak_first(source: &Source<'_>, listener: &ListenerSettings, at: &Place) {
    if listener.proxy_protocol == ProxyProtocol::Require && matches!(listener.bind, Bind::Tcp(_)) {
        let complaint =
            Complaint::new("nobody could connect: PROXY headers are taken from trusted_proxies alone");
        let hint = "name the proxy in front: trusted_proxies = [\"10.0.0.0/8\"], at the top of the file";
        source.problem(at, complaint.hint(hint));
    }
}

fn header_size(value: &Value<'_>) -> Result<usize, Complaint> {
    let size = value.size()?;
    match usize::try_from(size) {
        Ok(bytes) if HEADER_SIZES.contains(&size) => Ok(bytes),
        _ => {
            Err(Complaint::new(format!("{} is not a size for request heads", show_size(size))).hint(format!(
                "write \"{}\" to \"{}\"; the default, \"64KiB\", holds large cookies and tokens",
                show_size(*HEADER_SIZES.start()),
                show_size(*HEADER_SIZES.end())
            )))
        }
    }
}

fn read_tls(mut section: Section<'_>) -> TlsSettings {
    let list = section.tables("certificates");
    let has_list = list.is_some();
    let listed = list.into_iter().flatten().filter_map(|mut pair| read_pair(&mut pair, true));
    let mut certificates: Vec<_> = listed.collect();
    certificates.extend(read_pair(&mut section, false));
    let has_short = section.place_of("cert").or_else(|| section.place_of("key")).is_some();
    if has_list && has_short {
        let complaint = Complaint::new("cert and key stand beside certificates");
        let hint = "cert and key are short for a list of one: move them into certificates";
        section.source().problem(section.place(), complaint.hint(hint));
    }
    if !has_short && section.is_empty("certificates") {
        section.missing("cert", "cert = \"certs/site.pem\", and key = \"certs/site.key\"");
    }
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let min_version = section.read("min_version", TlsVersion::Tls12, |value| value.choice(&versions, &[]));
    let client_auth = read_client_auth(&mut section);
    TlsSettings { certificates, min_version, client_auth, ticket_keys: read_ticket_keys(&mut section) }
}

fn read_ticket_keys(section: &mut Section<'_>) -> Option<PathBuf> {
    let file = section.value("ticket_keys")?;
    let path = file.accept(file.path())?;
    section.source().need(Needed::TicketKeys { path: path.clone(), at: file.place().clone() });
    Some(path)
}

/// `cert` and `key`, which go together.
pub fn read_pair(section: &mut Section<'_>, is_required: bool) -> Option<CertificateFiles> {
    let (cert, key) = (section.value("cert"), section.value("key"));
    if cert.is_none() && (key.is_some() || is_required) {
        section.missing("cert", "cert = \"certs/site.pem\", the certificate and its chain");
    }
    if key.is_none() && (cert.is_some() || is_required) {
        section.missing("key", "key = \"certs/site.key\", the private key of cert");
    }
    let (cert, key) = (cert?, key?);
    let (cert_at, key_at) = (cert.place().clone(), key.place().clone());
    let (cert, key) = (cert.accept(cert.path()), key.accept(key.path()));
    let files = CertificateFiles { cert: cert?, key: key? };
    section.source().need(Needed::Pair { files: files.clone(), cert_at, key_at });
    Some(files)
}

fn read_client_auth(section: &mut Section<'_>) -> Option<ClientAuth> {
    let ca = section.value("client_ca");
    let words = [("require", true), ("optional", false)];
    let required = section.read("client_auth", true, |value| value.choice(&words, &[]));
    if let Some(at) = section.place_of("client_auth").filter(|_| ca.is_none()) {
        let complaint = Complaint::new("there is no client_ca to check client certificates against");
        section.source().problem(&at, complaint.hint("add: client_ca = \"certs/clients.pem\""));
    }
    let ca = ca?;
    let path = ca.accept(ca.path())?;
    section.source().need(Needed::Authorities { path: path.clone(), at: ca.place().clone() });
    Some(ClientAuth { ca: path, required })
}

fn warn_of_plain_text(source: &Source<'_>, listener: &ListenerSettings, trusts_a_proxy: bool, at: &Place) {
    let Bind::Tcp(address) = listener.bind else { return };
    let is_exposed = listener.tls.is_none() && !listener.redirect_to_https && !address.ip().is_loopback();
    if is_exposed && !trusts_a_proxy {
        let complaint = Complaint::new("cookies, tokens and messages cross the network in the clear");
        source.warning(
            at,
            complaint.hint(
                "add tls, or redirect_to_https = true; if a proxy in front terminates TLS, name it in trusted_proxies",
            ),
        );
    }
}
