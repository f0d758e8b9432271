//! Which listener a client reaches.

use super::target::Target;
use crate::net::listen::{Bind, ListenerSettings};
use std::net::IpAddr;

/// The listener, by its place in the file, and those that would have taken the connection as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    pub index: usize,
    pub others: Vec<usize>,
}

/// By the port, by TLS, and by the address where the URL has one; or by its name, wherever it is.
pub fn find(listeners: &[ListenerSettings], target: &Target, named: Option<&str>) -> Result<Door, String> {
    if let Some(name) = named {
        let index = listeners.iter().position(|listener| listener.name == name);
        let index = index.ok_or_else(|| format!("there is no listener {name:?}; {}", known(listeners)))?;
        return Ok(Door { index, others: Vec::new() });
    }
    let mut fitting: Vec<(bool, usize)> = listeners
        .iter()
        .enumerate()
        .filter(|(_, listener)| listener.tls.is_some() == target.tls)
        .filter_map(|(index, listener)| Some((is_at_any_address(listener, target)?, index)))
        .collect();
    // As the kernel does: the listener of one address comes before that of every address.
    fitting.sort();
    match fitting[..] {
        [] => {
            let with = if target.tls { "with" } else { "without" };
            let port = target.port;
            Err(format!("no listener is on port {port} of {}, {with} TLS; {}", target.host, known(listeners)))
        }
        [(_, index), ref others @ ..] => {
            Ok(Door { index, others: others.iter().map(|(_, index)| *index).collect() })
        }
    }
}

/// Whether it is on every address of the machine. `None`: it is not where the URL leads.
fn is_at_any_address(listener: &ListenerSettings, target: &Target) -> Option<bool> {
    let Bind::Tcp(at) = listener.bind else { return None };
    let any = at.ip().is_unspecified();
    let named: Option<IpAddr> = target.host.trim_matches(['[', ']']).parse().ok();
    let fits = named.is_none_or(|named| named == at.ip() || (any && named.is_ipv4() == at.is_ipv4()));
    (fits && at.port() == target.port).then_some(any)
}

fn known(listeners: &[ListenerSettings]) -> String {
    let shown: Vec<String> = listeners.iter().map(show).collect();
    format!("there is {}; --listener NAME asks about one wherever it is", shown.join(", "))
}

pub fn show(listener: &ListenerSettings) -> String {
    let ListenerSettings { name, bind, tls, .. } = listener;
    let tls = if tls.is_some() { "with" } else { "without" };
    let bind = bind.to_string();
    let place = if *name == bind { bind } else { format!("{name}, {bind}") };
    format!("{place} {tls} TLS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{TlsSettings, TlsVersion};

    fn listener(name: &str, bind: &str, tls: bool) -> ListenerSettings {
        let bind = match bind.strip_prefix("unix:") {
            Some(path) => Bind::Unix(path.into()),
            None => Bind::Tcp(bind.parse().unwrap()),
        };
        let none = TlsSettings {
            certificates: Vec::new(),
            min_version: TlsVersion::Tls12,
            client_auth: None,
            ticket_keys: None,
        };
        ListenerSettings { tls: tls.then_some(none), ..ListenerSettings::new(name, bind) }
    }

    #[test]
    fn port_tls_and_address_lead_to_a_listener() {
        let listeners = [
            listener("any", "0.0.0.0:443", true),
            listener("any6", "[::]:443", true),
            listener("inner", "10.0.0.1:443", true),
            listener("plain", "0.0.0.0:80", false),
            listener("socket", "unix:/run/a.sock", false),
        ];
        let check = |url: &str, named: Option<&str>, expected: &[usize]| {
            let target = Target::parse(url).unwrap();
            let found = match find(&listeners, &target, named) {
                Ok(Door { index, others }) => [vec![index], others].concat(),
                Err(why) => {
                    assert!(why.contains("any, 0.0.0.0:443 with TLS"), "{why}");
                    Vec::new()
                }
            };
            assert_eq!(found, expected, "{url} {named:?}");
        };
        check("wss://a.test/", None, &[2, 0, 1]);
        check("wss://10.0.0.1/", None, &[2, 0]);
        check("wss://10.0.0.2/", None, &[0]);
        check("wss://[::1]/", None, &[1]);
        check("ws://a.test/", None, &[3]);
        check("ws://[::1]/", None, &[]);
        check("ws://a.test:443/", None, &[]);
        check("wss://a.test:80/", None, &[]);
        check("wss://a.test:8443/", None, &[]);
        check("wss://a.test:8443/", Some("socket"), &[4]);
        check("wss://a.test/", Some("nobody"), &[]);
    }
}
