//! TLS on either side of the gateway: authorities made on the spot, and streams that block.

use super::{Raw, SOON, now};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

pub type TlsRaw = Raw<StreamOwned<ClientConnection, TcpStream>>;
pub type TlsPeer = Raw<StreamOwned<ServerConnection, TcpStream>>;

/// A directory with an authority's certificate, `ca.pem`, and what it signed: `NAME.pem` and `NAME.key`.
pub struct Authority {
    pub dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { dir, issuer }
    }

    /// Signs a certificate for these names and addresses, under the first of them.
    pub fn sign(&self, names: &[&str]) {
        let names_owned: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        self.sign_as(names[0], CertificateParams::new(names_owned).unwrap());
    }

    /// The same in `FILE.pem` and `FILE.key`.
    pub fn sign_under(&self, file: &str, name: &str) {
        self.sign_as(file, CertificateParams::new(vec![name.to_string()]).unwrap());
    }

    /// The same for a certificate that is over half a day after so many days.
    pub fn sign_for_days(&self, name: &str, days: u64) {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let start = rcgen::date_time_ymd(1970, 1, 1);
        let end = std::time::Duration::from_secs(now() + (2 * days + 1) * 12 * 60 * 60);
        params.not_after = start + end;
        self.sign_as(name, params);
    }

    /// The same for a certificate that was over before it was made.
    pub fn sign_expired(&self, name: &str) {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign_as(name, params);
    }

    fn sign_as(&self, file: &str, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        let key_file = self.path(&format!("{file}.key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn chain_and_key(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
        (vec![certificate], PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap())
    }

    /// `tls` for a listener that serves these names.
    pub fn listener(&self, names: &[&str], more: &str) -> String {
        let dir = self.dir.path().display();
        let pairs: Vec<String> = names
            .iter()
            .map(|name| format!("{{ cert = \"{dir}/{name}.pem\", key = \"{dir}/{name}.key\" }}"))
            .collect();
        let more = more.replace("DIR", &dir.to_string());
        format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\n[listener.tls]\ncertificates = [{}]\n{more}\n",
            pairs.join(", ")
        )
    }

    /// A client that trusts this authority, with settings of its own.
    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.path("ca.pem"))
    }

    /// The server's half of TLS on a connection, under this name's certificate.
    pub fn serve(&self, tcp: Raw, name: &str) -> TlsPeer {
        self.serve_as(tcp, name, WebPkiClientVerifier::no_client_auth())
    }

    /// The same for nobody without a certificate of `clients`.
    pub fn serve_known(&self, tcp: Raw, name: &str, clients: &Authority) -> TlsPeer {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(clients.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        self.serve_as(tcp, name, verifier.build().unwrap())
    }

    fn serve_as(&self, tcp: Raw, name: &str, clients: Arc<dyn ClientCertVerifier>) -> TlsPeer {
        let (chain, key) = self.chain_and_key(name);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        Raw::over(StreamOwned::new(connection, tcp.stream))
    }
}

pub struct TlsClient {
    pub config: ClientConfig,
}

impl TlsClient {
    fn trusting(ca: &Path) -> TlsClient {
        TlsClient::build(ca, rustls::ALL_VERSIONS, None)
    }

    /// One that speaks these versions only.
    pub fn versions(
        authority: &Authority,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsClient {
        TlsClient::build(&authority.path("ca.pem"), versions, None)
    }

    /// One with a certificate of its own, signed by another authority or the same.
    pub fn with_certificate(authority: &Authority, signer: &Authority, name: &str) -> TlsClient {
        TlsClient::with_certificate_over(authority, signer, name, rustls::ALL_VERSIONS)
    }

    /// The same that speaks these versions only.
    pub fn with_certificate_over(
        authority: &Authority,
        signer: &Authority,
        name: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsClient {
        TlsClient::build(&authority.path("ca.pem"), versions, Some(signer.chain_and_key(name)))
    }

    fn build(
        ca: &Path,
        versions: &[&'static rustls::SupportedProtocolVersion],
        pair: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match pair {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        };
        TlsClient { config }
    }

    /// A connection that asks for `name`, with its handshake done. The error is the peer's alert or our own complaint.
    pub fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsRaw> {
        self.over(TcpStream::connect(address).unwrap(), name)
    }

    /// The same over a connection that is there already.
    pub fn over(&self, mut tcp: TcpStream, name: &str) -> std::io::Result<TlsRaw> {
        let server = ServerName::try_from(name.to_string()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(self.config.clone()), server).unwrap();
        tcp.set_read_timeout(Some(SOON)).unwrap();
        tcp.set_write_timeout(Some(SOON)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Raw::over(StreamOwned::new(connection, tcp)))
    }
}
