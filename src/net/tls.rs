//! TLS on both legs: what a listener is told to do, the server's half with tickets and client certificates, and the
//! client's half toward `wss://` backends. aws-lc does the cryptography. Which certificate a client gets is for
//! `certificates` to say.

pub use super::certificates::check_pair;
pub use super::pem::{read_certificates, read_key};

use super::certificates::Certificates;
use crate::backend::{BackendTls, Identity, Roots};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
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
    /// Keys for session tickets that other gateways have too; without them each start makes its own.
    pub ticket_keys: Option<PathBuf>,
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

/// Mutual TLS, with its authorities read.
pub struct Clients {
    pub authorities: Vec<CertificateDer<'static>>,
    pub required: bool,
    roots: RootCertStore,
}

impl Clients {
    pub fn read(ClientAuth { ca, required }: &ClientAuth) -> Result<Clients, String> {
        let authorities = read_certificates(ca)?;
        let roots = roots_of(authorities.clone(), ca)?;
        Ok(Clients { authorities, required: *required, roots })
    }
}

/// The server's half around these certificates.
pub fn server_config(
    certificates: Arc<Certificates>,
    min_version: TlsVersion,
    clients: Option<Clients>,
) -> Result<ServerConfig, String> {
    build_server(certificates, min_version, clients).map_err(|error| error.to_string())
}

fn build_server(
    certificates: Arc<Certificates>,
    min_version: TlsVersion,
    clients: Option<Clients>,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match min_version {
        TlsVersion::Tls12 => rustls::DEFAULT_VERSIONS,
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(Clients { roots, required, .. }) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(certificates);
    // A reconnect storm resumes instead of paying full handshakes. Early data stays off: a replayed upgrade is a second
    // session.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // One ticket, not two: clients use each once (RFC 8446 C.4), a connection comes back as one, and with it comes the
    // next ticket. Who opens several at a time has one from each.
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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
    roots_of(read_certificates(path)?, path)
}

fn roots_of(certificates: Vec<CertificateDer<'static>>, path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
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
