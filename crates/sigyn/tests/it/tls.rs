//! Authorities, what they sign, and clients that speak TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::http::{self, Answer};
use crate::program::DEADLINE;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For whoever is reached by `name`.
    pub(crate) fn signs(&self, name: &str) -> Identity {
        self.signs_names(CertificateParams::new([name.to_owned()]).unwrap().subject_alt_names)
    }

    pub(crate) fn signs_names(&self, names: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { cert: certificate.pem(), key: key.serialize_pem() }
    }
}

/// One that its owner has signed.
pub(crate) fn self_signed(name: &str, is_ca: IsCa) -> Identity {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Identity { cert: certificate.pem(), key: key.serialize_pem() }
}

/// Believes what `authority` signed, and says who it is if it is anybody.
pub(crate) fn client(
    authority: &Authority,
    identity: Option<&Identity>,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(Identity { cert, key }) => {
            let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap);
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.collect(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A connection whose handshake comes with the first byte.
pub(crate) fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, std::net::TcpStream>> {
    let name = ServerName::from(address.ip());
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, http::connect(address)?))
}

pub(crate) fn get(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    path: &str,
) -> io::Result<Answer> {
    http::exchange(connect(address, config)?, address, ("GET", path), &[], b"")
}

/// Over HTTP/2; which protocol the server chose, and the status.
pub(crate) fn http2(address: SocketAddr, config: &Arc<ClientConfig>, path: &str) -> (String, u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
        let name = ServerName::from(address.ip());
        let stream = connector.connect(name, stream).await.unwrap();
        let protocol = stream.get_ref().1.alpn_protocol().unwrap_or_default();
        let protocol = String::from_utf8_lossy(protocol).into_owned();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(connection);
        let request = ::http::Request::get(format!("https://{address}{path}"));
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        body.collect().await.unwrap();
        (protocol, parts.status.as_u16())
    };
    runtime.block_on(async { tokio::time::timeout(DEADLINE, exchange).await.unwrap() })
}
