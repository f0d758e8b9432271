//! `[[listener]]`: where clients connect.

use super::address;
use super::error::Complaint;
use super::section::Section;
use super::source::{Needed, Place, Source};
use super::unique::Unique;
use super::units::show_size;
use super::value::Value;
use crate::net::listen::{Bind, ListenerSettings};
use crate::net::tls::{CertificateFiles, ClientAuth, TlsSettings, TlsVersion};
use std::time::Duration;

/// What hyper needs, and what nobody needs more of.
const HEADER_SIZES: std::ops::RangeInclusive<u64> = (8 << 10)..=(1 << 20);

pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
pub const MAX_HEADER_SIZE: usize = 64 << 10;

/// A plain listener with the defaults of the file, for commands that take none.
pub fn on(name: String, bind: Bind) -> ListenerSettings {
    ListenerSettings {
        name,
        bind,
        tls: None,
        redirect_to_https: false,
        handshake_timeout: HANDSHAKE_TIMEOUT,
        max_header_size: MAX_HEADER_SIZE,
    }
}

/// `trusts_a_proxy`: something in front of us is known, and may be what terminates TLS.
pub fn read_all(top: &mut Section<'_>, trusts_a_proxy: bool) -> Vec<ListenerSettings> {
    let source = top.source();
    let example = "[[listener]] with bind = \"0.0.0.0:443\" and tls = { cert = …, key = … }";
    let sections = top.required_tables("listener", example);
    let (mut names, mut binds) = (Unique::new("name"), Unique::new("bind"));
    let mut listeners = Vec::new();
    for mut section in sections {
        let Some(listener) = read(&mut section) else { continue };
        if let Some(at) = section.place_of("name") {
            names.claim(source, listener.name.clone(), &at);
        }
        let at = section.place_of("bind").unwrap_or_else(|| section.place().clone());
        // Each listener on port 0 gets a port of its own.
        if !matches!(listener.bind, Bind::Tcp(address) if address.port() == 0) {
            binds.claim(source, listener.bind.clone(), &at);
        }
        warn_of_plain_text(source, &listener, trusts_a_proxy, &at);
        listeners.push(listener);
    }
    listeners
}

fn read(section: &mut Section<'_>) -> Option<ListenerSettings> {
    section.not_yet(&[
        "proxy_protocol",
        "http2",
        "max_connections",
        "max_connections_per_ip",
        "handshakes_per_ip",
    ]);
    let source = section.source();
    let name = section.find("name", |value| value.parse(super::name));
    let bind = section.require("bind", "bind = \"0.0.0.0:443\"", |value| {
        let text = value.text()?;
        Ok((address::bind(&text)?, text))
    });
    let tls = section.find_section("tls").map(read_tls);
    let redirect_to_https = section.read("redirect_to_https", false, Value::boolean);
    if let Some(at) = section.place_of("redirect_to_https").filter(|_| redirect_to_https && tls.is_some()) {
        let complaint = Complaint::new("this listener is the https one: it would redirect to itself");
        source.problem(&at, complaint.hint("put it on a second [[listener]] without tls, on port 80"));
    }
    let handshake_timeout = section.read("handshake_timeout", HANDSHAKE_TIMEOUT, Value::duration);
    let max_header_size = section.read("max_header_size", MAX_HEADER_SIZE, header_size);
    let (bind, text) = bind?;
    let bind = match bind {
        Bind::Unix(path) => Bind::Unix(source.resolve(&path.to_string_lossy())),
        tcp => tcp,
    };
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => None,
    };
    let name = name.unwrap_or(text);
    Some(ListenerSettings { name, bind, tls, redirect_to_https, handshake_timeout, max_header_size })
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

fn read_tls(mut section: Section<'_>) -> Option<TlsSettings> {
    let short = read_pair(&mut section, false);
    let list = section.tables("certificates");
    let both = list.is_some() && (section.place_of("cert").or_else(|| section.place_of("key"))).is_some();
    if both {
        let complaint = Complaint::new("cert and key stand beside certificates");
        let hint = "cert and key are short for a list of one: move them into certificates";
        section.source().problem(section.place(), complaint.hint(hint));
    }
    let is_absent = list.is_none() && matches!(short, Pair::Absent);
    let is_empty = list.as_ref().is_some_and(Vec::is_empty);
    if is_absent || is_empty {
        section.missing("cert", "cert = \"certs/site.pem\", and key = \"certs/site.key\"");
    }
    let listed = list.into_iter().flatten().map(|mut pair| read_pair(&mut pair, true));
    let pairs: Vec<Pair> = listed.chain([short]).filter(|pair| !matches!(pair, Pair::Absent)).collect();
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let min_version = section.read("min_version", TlsVersion::Tls12, |value| value.choice(&versions, &[]));
    let client_auth = read_client_auth(&mut section);
    let certificates: Option<Vec<_>> = pairs
        .into_iter()
        .map(|pair| match pair {
            Pair::Files(files) => Some(files),
            Pair::Absent | Pair::Broken => None,
        })
        .collect();
    Some(TlsSettings {
        certificates: certificates.filter(|list| !list.is_empty())?,
        min_version,
        client_auth,
    })
}

enum Pair {
    Absent,
    Broken,
    Files(CertificateFiles),
}

/// `cert` and `key`, which go together.
fn read_pair(section: &mut Section<'_>, is_required: bool) -> Pair {
    let cert = section.value("cert");
    let key = section.value("key");
    match (&cert, &key) {
        (None, None) if !is_required => return Pair::Absent,
        (_, None) => section.missing("key", "key = \"certs/site.key\", the private key of cert"),
        (None, _) => section.missing("cert", "cert = \"certs/site.pem\", the certificate and its chain"),
        _ => {}
    }
    let (Some(cert), Some(key)) = (cert, key) else {
        return Pair::Broken;
    };
    let (cert_at, key_at): (Place, Place) = (cert.place().clone(), key.place().clone());
    let (Some(cert), Some(key)) = (cert.accept(cert.path()), key.accept(key.path())) else {
        return Pair::Broken;
    };
    let files = CertificateFiles { cert, key };
    section.source().need(Needed::Pair { files: files.clone(), cert_at, key_at });
    Pair::Files(files)
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
