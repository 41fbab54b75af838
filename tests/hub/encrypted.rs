//! The Hub over TLS. What the certificates are and how they are made: `certificates/make.sh`.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::environment::child;
use crate::fake_hub::Server;
use crate::fixture::{assert_message, some_repo};

#[test]
fn a_certificate_is_believed_where_its_authority_is() {
    let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hub/certificates");
    let file = |name: &str| format!("{certificates}/{name}");
    let chain = vec![CertificateDer::from_pem_file(file("localhost.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let repository = some_repo(None);
    let hub = Server::start_over(
        move |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream),
        "https://localhost",
        move |request| repository.reply(request),
    );

    let home = tempfile::tempdir().unwrap();
    let (trusted, other) = (file("trusted.pem"), file("other.pem"));
    let by_number = hub.url.replace("localhost", "127.0.0.1");
    for (endpoint, authority, expected) in [
        (&hub.url, &other, ["failed", "UnknownIssuer"]),
        (&by_number, &trusted, ["failed", "not valid for name"]),
        (&hub.url, &trusted, ["fetched", "config.json"]),
    ] {
        let vars = [("HF_ENDPOINT", endpoint.as_str()), ("SSL_CERT_FILE", authority)];
        assert_message(&child(home.path(), &vars), &expected);
    }
}
