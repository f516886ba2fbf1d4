//! Clients that show a certificate: who may relay with it, and who may not.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use waxseal::net::tls::{client_any, provider};
use waxseal::smtp::rights::{CertificateOptions, CloudOptions, Grants, Rights};

use super::gate::{Gate, With, ask, last, options};

/// A client's certificate and its key.
struct Badge {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn badge(&self, name: &str) -> Badge {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        Badge { certificate: certificate.der().clone(), key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }
}

/// What MAIL is answered when this badge is shown after STARTTLS.
async fn mail(gate: &Gate, badge: Option<&Badge>, sender: &str) -> String {
    let mut stream = gate.connect().await;
    last(&mut stream).await;
    ask(&mut stream, "EHLO client.example").await;
    ask(&mut stream, "STARTTLS").await;
    let config = match badge {
        None => client_any().unwrap(),
        Some(badge) => showing(badge),
    };
    let name = ServerName::try_from("gate.example.org").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    ask(&mut stream, "EHLO client.example").await;
    ask(&mut stream, &format!("MAIL FROM:<{sender}>")).await
}

/// The client's settings of the house, with something to show.
fn showing(badge: &Badge) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&client_any().unwrap());
    let signing = provider().key_provider.load_private_key(badge.key.clone_key()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![badge.certificate.clone()], signing);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    Arc::new(config)
}

fn with_tls() -> With {
    With { tls: true, ..With::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_holds_relays_and_no_other_does() {
    let (ours, strange) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, ours.0.pem()).unwrap();
    let pinned = strange.badge("printer.example");
    let grants = certificates(&[
        format!("name = \"erp.example.org\"\nca = {file:?}"),
        format!("sha256 = \"{}\"", fingerprint(&pinned)),
        format!("name = \"far.example.org\"\nca = {file:?}\nnetworks = [\"192.0.2.0/24\"]"),
    ]);
    let gate = Gate::granting(options("relay_networks = []"), &grants, with_tls()).await;
    for (what, badge, expect) in [
        ("the named one", Some(ours.badge("erp.example.org")), "250"),
        ("the pinned one", Some(pinned), "250"),
        ("another name", Some(ours.badge("crm.example.org")), "530"),
        ("a name below", Some(ours.badge("erp.example.org.evil.example")), "530"),
        ("the name by another authority", Some(strange.badge("erp.example.org")), "530"),
        ("the name elsewhere", Some(ours.badge("far.example.org")), "530"),
        ("none", None, "530"),
    ] {
        let reply = mail(&gate, badge.as_ref(), "ann@example.org").await;
        assert!(reply.starts_with(expect), "{what}: {reply}");
    }
    let reply = mail(&gate, Some(&ours.badge("erp.example.org")), "eve@elsewhere.example").await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_speaks_for_others_does_not_lend_them_its_certificate() {
    let ours = Authority::new();
    let badge = ours.badge("proxy.example.org");
    let grants = certificates(&[format!("sha256 = \"{}\"", fingerprint(&badge))]);
    let peers = options("relay_networks = []\nxclient_networks = [\"127.0.0.0/8\"]");
    let gate = Gate::granting(peers, &grants, with_tls()).await;
    for introduced in ["before", "after", "never"] {
        let mut stream = gate.connect().await;
        last(&mut stream).await;
        if introduced == "before" {
            ask(&mut stream, "XCLIENT ADDR=203.0.113.9").await;
        }
        ask(&mut stream, "EHLO proxy.example").await;
        ask(&mut stream, "STARTTLS").await;
        let name = ServerName::try_from("gate.example.org").unwrap();
        let mut stream = TlsConnector::from(showing(&badge)).connect(name, stream).await.unwrap();
        if introduced == "after" {
            ask(&mut stream, "XCLIENT ADDR=203.0.113.9").await;
        }
        ask(&mut stream, "EHLO proxy.example").await;
        let reply = ask(&mut stream, "MAIL FROM:<ann@example.org>").await;
        assert_eq!(reply.starts_with("250"), introduced == "never", "{introduced}: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_needs_its_certificate_and_then_a_sender_of_the_house() {
    let ours = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, ours.0.pem()).unwrap();
    let cloud: CloudOptions = toml::from_str(&format!(
        "networks = [\"127.0.0.0/8\"]\nname = \"mail.cloud.example\"\nca = {file:?}\nfields = [\"X-OriginatorOrg: example.org\"]"
    ))
    .unwrap();
    let grants = Grants { clouds: vec![cloud], ..Grants::default() };
    let gate = Gate::granting(options("relay_networks = []\nforeign_from = \"pass\""), &grants, with_tls()).await;
    let (cloud, tenant) = (ours.badge("mail.cloud.example"), ours.badge("tenant.example"));
    for (badge, sender, expect) in [
        (Some(&cloud), "ann@example.org", "250"),
        (Some(&cloud), "", "250"),
        (Some(&cloud), "eve@elsewhere.example", "550 5.7.1"),
        (Some(&tenant), "ann@example.org", "530"),
        (None, "ann@example.org", "530"),
        (None, "", "530"),
    ] {
        let reply = mail(&gate, badge, sender).await;
        assert!(reply.starts_with(expect), "{sender}: {reply}");
    }
}

#[test]
fn a_missing_authority_is_told_with_its_file() {
    let grants = certificates(&[String::from("name = \"erp.example.org\"\nca = \"/nonexistent/ca.pem\"")]);
    let mistakes = Rights::load(&[], &grants).unwrap_err();
    assert!(mistakes[0].to_string().starts_with("/nonexistent/ca.pem: certificate: "), "{}", mistakes[0]);
}

fn certificates(tables: &[String]) -> Grants {
    let certificates = tables.iter().map(|table| toml::from_str::<CertificateOptions>(table).unwrap()).collect();
    Grants { certificates, ..Grants::default() }
}

fn fingerprint(badge: &Badge) -> String {
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&badge.certificate).into();
    data_encoding::HEXUPPER.encode(&digest)
}
