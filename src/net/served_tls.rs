//! TLS as a listener serves it: one configuration for as long as its settings stay, around certificates and ticket keys
//! that change with their files. The authorities of mutual TLS are read once, when it is opened: who may come in changes
//! by a reload, not by a file that somebody is writing.

use super::certificates::{Certificate, Certificates};
use super::tickets::{FileTickets, Purpose};
use super::tls::{Clients, TlsSettings, TlsVersion, server_config};
use crate::clock;
use crate::watched::LOOK;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

#[derive(Debug)]
pub struct ServedTls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    tickets: Option<Arc<FileTickets>>,
    purpose: Purpose,
}

impl ServedTls {
    /// Everything in the files has to be good. `previous` is what the listener served so far, and goes on serving if
    /// this fails; sessions that began with it can be resumed with the new one, unless other clients are let in now.
    pub fn open(
        listener: &str,
        settings: &TlsSettings,
        previous: Option<&ServedTls>,
    ) -> Result<ServedTls, String> {
        let clients = settings.client_auth.as_ref().map(Clients::read).transpose()?;
        let purpose = purpose(clients.as_ref());
        let certificates = Arc::new(Certificates::open(listener, &settings.certificates)?);
        let tickets = match &settings.ticket_keys {
            None => None,
            Some(path) => Some(Arc::new(FileTickets::open(listener, path, purpose)?)),
        };
        let mut config = server_config(certificates.clone(), settings.min_version, clients)?;
        if let Some(previous) = previous.filter(|previous| previous.purpose == purpose) {
            config.session_storage = previous.config.session_storage.clone();
            // Keys of a file were shared with others: without the file they are no longer ours.
            if previous.tickets.is_none() {
                config.ticketer = previous.config.ticketer.clone();
            }
        }
        if let Some(tickets) = &tickets {
            config.ticketer = tickets.clone();
        }
        Ok(ServedTls { config: Arc::new(config), certificates, tickets, purpose })
    }

    /// A certificate that was made on the fly, and is in no file.
    pub fn made(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServedTls, String> {
        let certificates = Arc::new(Certificates::made(chain, key)?);
        let config = server_config(certificates.clone(), TlsVersion::Tls12, None)?;
        Ok(ServedTls { config: Arc::new(config), certificates, tickets: None, purpose: purpose(None) })
    }

    /// For new connections. It is the same for as long as this is served.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Those in use, in the order of the configuration.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.certificates.shown()
    }

    /// Takes over what the files have become, and says what runs out. It waits for the disk.
    pub fn look(&self) {
        self.certificates.look(clock::since_1970());
        if let Some(tickets) = &self.tickets {
            tickets.look();
        }
    }
}

/// Looks at the files of all that is served, again and again. For a thread that carries no sessions.
pub async fn watch(served: Vec<Arc<ServedTls>>) {
    while !served.is_empty() {
        served.iter().for_each(|served| served.look());
        tokio::time::sleep(LOOK).await; // why: files do not say when they change
    }
}

/// The same for the same demands on clients, whatever order their authorities are written in.
fn purpose(clients: Option<&Clients>) -> Purpose {
    let (demand, authorities): (&[u8], _) = match clients {
        None => (b"nothing", &[][..]),
        Some(Clients { required: false, authorities, .. }) => (b"may show", authorities),
        Some(Clients { required: true, authorities, .. }) => (b"must show", authorities),
    };
    let mut authorities: Vec<_> = authorities.iter().map(|it| digest::digest(&digest::SHA256, it)).collect();
    authorities.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
    let mut whole = digest::Context::new(&digest::SHA256);
    whole.update(demand);
    authorities.iter().for_each(|it| whole.update(it.as_ref()));
    let mut purpose = Purpose::default();
    purpose.copy_from_slice(whole.finish().as_ref());
    purpose
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{CertificateFiles, ClientAuth};
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A directory with the pairs `a`, `b` and `c`, and keys for tickets.
    fn scene() -> (TempDir, TlsSettings) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            let made = rcgen::generate_simple_self_signed([format!("{name}.test")]).unwrap();
            fs::write(dir.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
            fs::write(dir.path().join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
        }
        fs::write(dir.path().join("tickets"), format!("{}\n", "A".repeat(64))).unwrap();
        let settings = TlsSettings {
            certificates: vec![CertificateFiles {
                cert: dir.path().join("a.pem"),
                key: dir.path().join("a.key"),
            }],
            min_version: TlsVersion::Tls12,
            client_auth: None,
            ticket_keys: None,
        };
        (dir, settings)
    }

    fn open(settings: &TlsSettings, previous: Option<&ServedTls>) -> ServedTls {
        ServedTls::open("test", settings, previous).unwrap()
    }

    /// Whether what began with `one` can be resumed with `other`, by either way that TLS has.
    fn resumes(one: &ServedTls, other: &ServedTls) -> bool {
        let (one, other) = (one.config(), other.config());
        let ticket = one.ticketer.encrypt(b"state").unwrap();
        one.session_storage.put(b"id".to_vec(), b"state".to_vec());
        let by_ticket = other.ticketer.decrypt(&ticket).is_some();
        let by_id = other.session_storage.take(b"id").is_some();
        one.session_storage.take(b"id");
        by_ticket || by_id
    }

    #[test]
    fn a_reload_keeps_what_can_be_resumed() {
        let (dir, settings) = scene();
        let first = open(&settings, None);
        assert!(resumes(&first, &first));
        assert!(!resumes(&first, &open(&settings, None)), "another process");
        // Other certificates, another least version: it is the same house.
        let mut changed = settings.clone();
        changed.min_version = TlsVersion::Tls13;
        changed
            .certificates
            .push(CertificateFiles { cert: dir.path().join("b.pem"), key: dir.path().join("b.key") });
        let second = open(&changed, Some(&first));
        assert!(resumes(&first, &second) && resumes(&second, &first));
        assert_eq!(second.certificates().len(), 2);
        assert_eq!(first.certificates().len(), 1, "what was served before is as it was");
        changed.certificates[1].key = dir.path().join("a.key");
        assert!(ServedTls::open("test", &changed, Some(&second)).is_err());
        assert!(resumes(&first, &second));
    }

    /// A session that is resumed brings the identity that was verified when it began.
    #[test]
    fn other_clients_resume_nothing() {
        let (dir, settings) = scene();
        let asking = |ca: PathBuf, required| TlsSettings {
            client_auth: Some(ClientAuth { ca, required }),
            ..settings.clone()
        };
        let ca = dir.path().join("ca.pem");
        let certificate = |name: &str| fs::read_to_string(dir.path().join(format!("{name}.pem"))).unwrap();
        for ticket_keys in [None, Some(dir.path().join("tickets"))] {
            let with_keys = |tls: TlsSettings| TlsSettings { ticket_keys: ticket_keys.clone(), ..tls };
            fs::write(&ca, certificate("b")).unwrap();
            let nobody = open(&with_keys(settings.clone()), None);
            let optional = open(&with_keys(asking(ca.clone(), false)), Some(&nobody));
            let required = open(&with_keys(asking(ca.clone(), true)), Some(&optional));
            let same = open(&with_keys(asking(dir.path().join("b.pem"), true)), Some(&required));
            fs::write(&ca, certificate("b") + &certificate("c")).unwrap();
            let two = open(&with_keys(asking(ca.clone(), true)), Some(&same));
            fs::write(&ca, certificate("c") + &certificate("b")).unwrap();
            let same_two = open(&with_keys(asking(ca.clone(), true)), Some(&two));
            fs::write(&ca, certificate("c")).unwrap();
            let other = open(&with_keys(asking(ca.clone(), true)), Some(&same_two));
            let again_nobody = open(&with_keys(settings.clone()), Some(&other));
            for (one, next) in [
                (&nobody, &optional),
                (&optional, &required),
                (&same, &two),
                (&same_two, &other),
                (&other, &again_nobody),
            ] {
                assert!(!resumes(one, next) && !resumes(next, one));
            }
            // The same authorities in another file, or in another order.
            assert!(resumes(&required, &same) && resumes(&two, &same_two));
            // With shared keys a demand that comes back knows its tickets again.
            assert_eq!(resumes(&nobody, &again_nobody), ticket_keys.is_some());
        }
    }

    #[test]
    fn ticket_keys_come_and_go() {
        let (dir, settings) = scene();
        let shared = TlsSettings { ticket_keys: Some(dir.path().join("tickets")), ..settings.clone() };
        let (own, one, other) = (open(&settings, None), open(&shared, None), open(&shared, None));
        let ticket_of = |served: &ServedTls| served.config().ticketer.encrypt(b"state").unwrap();
        let opens = |served: &ServedTls, ticket: &[u8]| served.config().ticketer.decrypt(ticket).is_some();
        assert!(opens(&other, &ticket_of(&one)));
        let (now_shared, now_own) = (open(&shared, Some(&own)), open(&settings, Some(&one)));
        assert!(opens(&one, &ticket_of(&now_shared)) && !opens(&now_shared, &ticket_of(&own)));
        assert!(!opens(&now_own, &ticket_of(&one)) && !opens(&one, &ticket_of(&now_own)));
        fs::write(dir.path().join("tickets"), "B".repeat(64)).unwrap();
        let old = ticket_of(&one);
        one.look();
        assert!(!opens(&one, &old) && !opens(&other, &ticket_of(&one)));
        other.look();
        assert!(opens(&other, &ticket_of(&one)));
        fs::write(dir.path().join("tickets"), "").unwrap();
        assert!(ServedTls::open("test", &shared, Some(&one)).unwrap_err().ends_with("holds no key"));
    }
}
