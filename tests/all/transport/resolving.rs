//! Where domains take their mail: real signed zones, by a resolver that is believed, and by signatures that we check.

use waxseal::mail::Domain;
use waxseal::net::dns::{Dnssec, Host, NoAddress, Options, Proof, Resolver, Trouble};

use super::zones::{Content, Zones};

fn zones() -> Zones {
    Zones::serve(&Content {
        signed: "listed MX 10 mx1.listed\nlisted MX 20 mx2.listed\nmx1.listed A 127.0.0.2\nmx1.listed AAAA ::2\nmx2.listed A 127.0.0.3
implicit A 127.0.0.4\nalias CNAME listed\nnull MX 0 .\nours MX 10 gate.example.net.\nours MX 20 mx1.listed\nlater MX 5 mx1.listed\nlater MX 10 gate.example.net.
hostless MX 10 missing\nnothing TXT x\ncircle CNAME circle2\ncircle2 CNAME circle\nmxalias CNAME mx1.listed\nnowhere CNAME missing\nempty CNAME nothing
*.wild MX 10 mx1.listed\nhalf CNAME mx2.listed
_25._tcp.mx1.listed TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
outward CNAME host.plain.example.\ntext TXT \"v=a; \" \"id=b\"\n"
            .into(),
        plain: "listed MX 10 mx\nmx A 127.0.0.5\nhost A 127.0.0.6\n_25._tcp.mx TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n".into(),
        spoiled: "listed MX 10 mx\nmx A 127.0.0.66\n*.wild MX 10 mx\nnowhere CNAME missing\n".into(),
    })
}

/// By the resolver's word, by our own check of what the authority says, and by nobody's.
fn resolvers(zones: &Zones) -> [(Resolver, &'static str); 3] {
    let off = Options { dnssec: Dnssec::Off, ..zones.by_word() };
    [(zones.by_word(), "resolver"), (zones.by_own_check(), "own"), (off, "off")]
        .map(|(options, name)| (Resolver::new(&options).unwrap(), name))
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

#[tokio::test]
async fn a_domain_s_exchangers_are_found_and_proven_where_they_are_signed() {
    let zones = zones();
    let us = [host("gate.example.net")];
    for (resolver, name) in resolvers(&zones) {
        for (domain, expect, is_signed) in [
            ("listed.signed.example", "mx1.listed.signed.example mx2.listed.signed.example", true),
            ("alias.signed.example", "mx1.listed.signed.example mx2.listed.signed.example", true),
            ("later.signed.example", "mx1.listed.signed.example", true),
            ("any.wild.signed.example", "mx1.listed.signed.example", true),
            ("any.wild.spoiled.example", "mx.spoiled.example", true),
            ("missing.spoiled.example", "5.1.2", false),
            ("nowhere.spoiled.example", "5.1.2", false),
            ("listed.plain.example", "mx.plain.example", false),
            ("null.signed.example", "5.1.10", false),
            ("missing.signed.example", "5.1.2", false),
            ("missing.plain.example", "5.1.2", false),
            ("nowhere.signed.example", "5.1.2", false),
            ("ours.signed.example", "5.4.6", false),
            ("circle.signed.example", "4.4.3", false),
        ] {
            let found = resolver.exchanges(&Domain::parse(domain).unwrap(), &us).await;
            let proof = found.as_ref().map_or(Proof::Insecure, |exchanges| exchanges.proof);
            let shown = found.map_or_else(
                |none| none.status().to_string(),
                |exchanges| exchanges.hosts.iter().map(|exchange| exchange.host.to_string()).collect::<Vec<_>>().join(" "),
            );
            let expect_proof = if is_signed && name != "off" { Proof::Secure } else { Proof::Insecure };
            assert_eq!((shown.as_str(), proof), (expect, expect_proof), "{domain} ({name})");
        }
        // Without a list the domain itself is the host, whoever says so.
        for domain in ["implicit.signed.example", "empty.signed.example"] {
            let itself = resolver.exchanges(&Domain::parse(domain).unwrap(), &us).await.unwrap();
            assert_eq!((itself.hosts[0].host.as_str(), itself.proof), (domain, Proof::Secure), "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_changed_on_the_way_is_no_answer_and_no_end() {
    let zones = zones();
    let [(by_word, _), (own, _), _] = resolvers(&zones);
    let spoiled = host("mx.spoiled.example");
    assert_eq!(by_word.addresses(&spoiled).await, Err(NoAddress::Unknown(Trouble::Refusal("Server Failure".into()))));
    assert_eq!(own.addresses(&spoiled).await, Err(NoAddress::Unknown(Trouble::Bogus)));
}

#[tokio::test]
async fn a_host_s_addresses_and_records_come_with_their_proof() {
    let zones = zones();
    for (resolver, name) in resolvers(&zones) {
        let proof = if name == "off" { Proof::Insecure } else { Proof::Secure };
        for (text, list, canonical, expect) in [
            ("mx1.listed.signed.example", "::2 127.0.0.2", "mx1.listed.signed.example", proof),
            ("mxalias.signed.example", "::2 127.0.0.2", "mx1.listed.signed.example", proof),
            ("half.signed.example", "127.0.0.3", "mx2.listed.signed.example", proof),
            ("outward.signed.example", "127.0.0.6", "host.plain.example", Proof::Insecure),
            ("mx.plain.example", "127.0.0.5", "mx.plain.example", Proof::Insecure),
        ] {
            let addresses = resolver.addresses(&host(text)).await.unwrap();
            let shown = addresses.list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            assert_eq!((shown.as_str(), addresses.canonical.as_str(), addresses.proof), (list, canonical, expect), "{text} ({name})");
        }
        assert_eq!(resolver.addresses(&host("nothing.signed.example")).await, Err(NoAddress::None), "{name}");
        assert_eq!(resolver.is_proven_alias(&host("outward.signed.example")).await, Ok(proof == Proof::Secure), "{name}");
        assert_eq!(resolver.is_proven_alias(&host("mx1.listed.signed.example")).await, Ok(false), "{name}");

        let records = resolver.tlsa(25, &host("mx1.listed.signed.example")).await.unwrap();
        assert_eq!((records.value.len(), records.proof), (1, proof), "{name}");
        let records = resolver.tlsa(25, &host("mx.plain.example")).await.unwrap();
        assert_eq!((records.value.len(), records.proof), (1, Proof::Insecure), "{name}");
        assert!(resolver.tlsa(465, &host("mx1.listed.signed.example")).await.unwrap().value.is_empty(), "{name}");
        assert_eq!(resolver.texts(&host("text.signed.example")).await.unwrap().value, ["v=a; id=b"], "{name}");
    }
}

#[tokio::test]
async fn nobody_s_record_points_at_this_machine() {
    let zones = zones();
    let options = Options { servers: vec![zones.resolver], ..Options::default() };
    let resolver = Resolver::new(&options).unwrap();
    assert_eq!(resolver.addresses(&host("mx2.listed.signed.example")).await, Err(NoAddress::Refused));
    for (address, expect) in
        [("127.0.0.1", false), ("::ffff:127.0.0.1", false), ("169.254.169.254", false), ("::1", false), ("192.0.2.1", true)]
    {
        assert_eq!(resolver.permits(address.parse().unwrap()), expect, "{address}");
    }
}

#[tokio::test]
async fn a_bit_from_beyond_loopback_proves_nothing() {
    let zones = zones();
    // The second server is never asked, and still the first one's word is only as good as the way to both.
    let options = Options { servers: vec![zones.resolver, "192.0.2.53:53".parse().unwrap()], refuse: vec![], ..Options::default() };
    let found = Resolver::new(&options).unwrap().addresses(&host("mx1.listed.signed.example")).await.unwrap();
    assert_eq!(found.proof, Proof::Insecure);
}

#[test]
fn a_trust_anchor_that_is_none_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("anchor");
    for (text, expect) in [
        ("", "trust anchor: holds no key of the root"),
        ("nonsense", "trust anchor: "),
        (
            "example. IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==",
            "trust anchor: holds no key of the root",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let options = Options { dnssec: Dnssec::Own, trust_anchor: Some(file.clone()), ..Options::default() };
        let mistake = Resolver::new(&options).err().unwrap();
        assert!(mistake.what.starts_with(expect), "{mistake}");
    }
}
