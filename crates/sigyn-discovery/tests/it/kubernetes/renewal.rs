//! An API over TLS, whose certificate, authority, token and clients' certificates are exchanged while it
//! is watched.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::api::{Api, Cut};
use super::{addresses, pod, until};
use crate::rig::Rig;

/// Who signs certificates: the API's, and those of its clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn signs(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server with a certificate of this one, for clients that `clients` have signed.
    fn server(&self, clients: &[&Self]) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        for client in clients {
            roots.add(client.0.der().clone()).unwrap();
        }
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let (certificate, key) = self.signs("127.0.0.1");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

/// The files that a client has.
struct Files(TempDir);

impl Files {
    fn new(authority: &Authority, token: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("ca.crt", &authority.pem());
        files.write("token", token);
        let (certificate, key) = authority.signs("client");
        files.write("client.crt", &certificate.pem());
        files.write("client.key", &key.serialize_pem());
        files
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// A section that names all of them.
    fn named(&self, api: &Api) -> Rig {
        let section = format!(
            "kubernetes_sd_configs:
              - role: pod
                api_server: '{}'
                authorization: {{credentials_file: token}}
                tls_config: {{ca_file: ca.crt, cert_file: client.crt, key_file: client.key}}",
            api.url()
        );
        self.rig(&section)
    }

    /// A section that names a kubeconfig, which names all of them.
    fn in_kubeconfig(&self, api: &Api) -> Rig {
        let kubeconfig = format!(
            "{{current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
            clusters: [{{name: c, cluster: {{server: '{}', certificate-authority: ca.crt}}}}],
            users: [{{name: u, user: {{tokenFile: token, client-certificate: client.crt, \
                client-key: client.key}}}}]}}",
            api.url()
        );
        self.write("config", &kubeconfig);
        self.rig("kubernetes_sd_configs: [{role: pod, kubeconfig_file: config}]")
    }

    fn rig(&self, section: &str) -> Rig {
        let config = format!("scrape_configs:\n          - job_name: a\n            {section}");
        Rig::start(&config, self.path())
    }
}

/// Everything is exchanged at once, so that nothing of what we have is good any more, and comes to us
/// piece by piece.
async fn check_all_at_once(start: impl FnOnce(&Files, &Api) -> Rig) {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old, "t1");
    let api = Api::start_tls(old.server(&[&old])).await;
    api.want_token("t1");
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let mut rig = start(&files, &api);
    until(&mut rig, &["127.0.0.2:8080"]).await;

    api.renew(new.server(&[&new]));
    api.want_token("t2");
    api.cut(Cut::Close);
    rig.until_counted(|now| now.kubernetes_failures_total >= 1).await;
    // Seen once we are let in again, and not before.
    api.put("pods", pod("cart-1", "127.0.0.3"));
    let (certificate, key) = new.signs("client");
    for (name, text) in [
        ("ca.crt", new.pem()),
        ("token", "t2\n".to_owned()),
        // For a while it is not the key's.
        ("client.crt", certificate.pem()),
    ] {
        files.write(name, &text);
        let failures = rig.metrics.snapshot().kubernetes_failures_total;
        rig.until_counted(|now| now.kubernetes_failures_total > failures).await;
        assert_eq!(addresses(&mut rig), ["127.0.0.2:8080"], "{name}");
    }
    files.write("client.key", &key.serialize_pem());
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
    // The watch went on where it had ended.
    assert_eq!(api.lists("pods"), 1);
    rig.stop().await;
}

#[tokio::test]
async fn an_api_that_renews_everything_is_followed_as_soon_as_we_have_it() {
    check_all_at_once(Files::named).await;
}

#[tokio::test]
async fn files_that_a_kubeconfig_names_are_read_again() {
    check_all_at_once(Files::in_kubeconfig).await;
}

#[tokio::test]
async fn what_is_renewed_in_good_time_is_not_noticed() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old, "t1");
    let api = Api::start_tls(old.server(&[&old])).await;
    api.want_token("t1");
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let mut rig = files.named(&api);
    until(&mut rig, &["127.0.0.2:8080"]).await;

    // Both are trusted on both sides, and then only the new one is.
    files.write("ca.crt", &(old.pem() + &new.pem()));
    api.renew(new.server(&[&old, &new]));
    api.cut(Cut::Normally);
    api.put("pods", pod("cart-1", "127.0.0.3"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;

    let (certificate, key) = new.signs("client");
    for (name, text) in [
        ("client.crt", certificate.pem()),
        ("client.key", key.serialize_pem()),
        ("token", "t2".to_owned()),
        ("ca.crt", new.pem()),
    ] {
        files.write(name, &text);
    }
    // What goes on is not asked who it is.
    api.put("pods", pod("cart-2", "127.0.0.4"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080", "127.0.0.4:8080"]).await;
    assert_eq!(api.watches("pods"), 2);

    api.renew(new.server(&[&new]));
    api.want_token("t2");
    api.cut(Cut::Normally);
    api.put("pods", pod("cart-0", "127.0.0.5"));
    until(&mut rig, &["127.0.0.3:8080", "127.0.0.4:8080", "127.0.0.5:8080"]).await;
    assert_eq!((api.lists("pods"), api.watches("pods")), (1, 3));
    assert_eq!(rig.metrics.snapshot().kubernetes_failures_total, 0);
    rig.stop().await;
}
