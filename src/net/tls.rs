//! TLS on both legs: the server's half with SNI, tickets and client certificates, and the client's half toward
//! `wss://` backends. aws-lc does the cryptography.

pub use super::pem::{read_certificates, read_key};

use super::tls_server::note_asked_name;
use crate::backend::{BackendTls, Identity, Roots};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// SNI picks; the first is for clients that name none of them.
    pub certificates: Vec<CertificateFiles>,
    pub min_version: TlsVersion,
    /// Mutual TLS: the CA whose client certificates are taken.
    pub client_auth: Option<ClientAuth>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    pub ca: PathBuf,
    pub required: bool,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether the two files can be served together.
pub fn check_pair(files: &CertificateFiles) -> Result<(), String> {
    certified_key(files).map(|_| ())
}

fn certified_key(files: &CertificateFiles) -> Result<CertifiedKey, String> {
    let chain = read_certificates(&files.cert)?;
    let key = read_key(&files.key)?;
    pair(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!(
                "the key in {} is not that of the certificate in {}",
                files.key.display(),
                files.cert.display()
            )
        }
        other => format!("{} with {}: {other}", files.cert.display(), files.key.display()),
    })
}

fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}

/// The server's half, from files.
pub fn server_config(settings: &TlsSettings) -> Result<Arc<ServerConfig>, String> {
    let certificates: Vec<_> = settings.certificates.iter().map(certified_key).collect::<Result<_, _>>()?;
    let client_auth = match &settings.client_auth {
        None => None,
        Some(auth) => Some((roots_from(&auth.ca)?, auth.required)),
    };
    build_server(certificates, settings.min_version, client_auth).map_err(|error| error.to_string())
}

/// The server's half for a certificate that was made on the fly.
pub fn server_config_for(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, String> {
    pair(chain, key)
        .and_then(|certified| build_server(vec![certified], TlsVersion::Tls12, None))
        .map_err(|error| error.to_string())
}

fn build_server(
    certificates: Vec<CertifiedKey>,
    min_version: TlsVersion,
    client_auth: Option<(RootCertStore, bool)>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[_] = match min_version {
        TlsVersion::Tls12 => rustls::DEFAULT_VERSIONS,
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match client_auth {
        None => builder.with_no_client_auth(),
        Some((roots, required)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let certificates = certificates.into_iter().map(Arc::new).collect();
    let mut config = builder.with_cert_resolver(Arc::new(BySni { certificates }));
    // A reconnect storm resumes instead of paying full handshakes. Early data stays off: a replayed upgrade is a second
    // session.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // One ticket, not two: a session is one connection, and comes back as one.
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Picks the certificate whose names cover the one asked for.
#[derive(Debug)]
struct BySni {
    certificates: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        note_asked_name(hello.server_name());
        let asked = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let covers = |certified: &&Arc<CertifiedKey>| {
            let parsed =
                certified.end_entity_cert().ok().and_then(|cert| ParsedCertificate::try_from(cert).ok());
            match (parsed, &asked) {
                (Some(parsed), Some(name)) => rustls::client::verify_server_name(&parsed, name).is_ok(),
                _ => false,
            }
        };
        let found = self.certificates.iter().find(covers).or(self.certificates.first());
        found.cloned()
    }
}

/// The client's half.
pub fn client_config(settings: &BackendTls) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &settings.roots {
        Roots::System => builder.with_root_certificates(system_roots()?),
        Roots::File(path) => builder.with_root_certificates(roots_from(path)?),
        Roots::AcceptAny => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider())))
        }
    };
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let certified = builder.with_client_auth_cert(read_certificates(cert)?, read_key(key)?);
            certified.map_err(|error| format!("{}: {error}", cert.display()))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots_from(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(format!(
            "the system has no CA certificates{why}; install ca-certificates or name a CA file"
        ));
    }
    Ok(roots)
}

/// `verify = "accept-any-certificate"`: the operator wrote it out.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
