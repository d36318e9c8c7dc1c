use bytes::Bytes;

use super::{
    Algorithm, Challenge, Credentials, DigestClient, DigestError, DigestResponse, Hash, Qop,
};
use crate::wire::{Incoming, Message, Method, Name};

fn response(code: u16, lines: &[&str]) -> Message {
    let lines = lines.concat();
    let text = format!(
        "SIP/2.0 {code} x\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: x\r\nCSeq: 1 REGISTER\r\n{lines}\r\n"
    );
    match Message::parse_datagram(Bytes::from(text)) {
        Ok(Incoming::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn client(username: &str, password: &str) -> DigestClient {
    DigestClient::new(
        Credentials {
            username: username.into(),
            password: password.into(),
            realm: None,
        },
        7,
    )
}

/// The single answer of a client that was challenged by `line`, read back.
fn answer(client: &mut DigestClient, method: &Method, uri: &str, body: &[u8]) -> DigestResponse {
    let lines = client.authorize(method, uri, body);
    assert_eq!(lines.len(), 1);
    DigestResponse::parse(lines[0].1.as_bytes()).unwrap()
}

#[test]
fn the_examples_of_rfc_2617_and_rfc_7616_verify() {
    // RFC 2617 §3.5.
    let rfc2617 = br#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",
        response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    let read = DigestResponse::parse(rfc2617).unwrap();
    assert!(read.verify(&Method::Other("GET".into()), "Circle Of Life", b""));
    assert!(!read.verify(&Method::Other("GET".into()), "circle of life", b""));
    assert_eq!(
        (read.count(), read.qop, read.opaque.as_deref()),
        (
            Some(1),
            Some(Qop::Auth),
            Some("5ccc069c403ebaf9f0171e9517f40e41")
        )
    );
    // RFC 7616 §3.9.1.
    for (algorithm, hash) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let line = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm},\
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001,\
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{hash}\",\
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let read = DigestResponse::parse(line.as_bytes()).unwrap();
        assert!(
            read.verify(&Method::Other("GET".into()), "Circle of Life", b""),
            "{algorithm}"
        );
    }
    // RFC 7616 §3.9.2 has SHA-512-256 with userhash; the hash of a known text stands for it.
    assert_eq!(
        Hash::Sha512_256.of(&[b"abc"]),
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    );
}

#[test]
fn every_algorithm_and_qop_answers_so_that_the_server_agrees() {
    for algorithm in [
        "MD5",
        "MD5-sess",
        "SHA-256",
        "sha-256-SESS",
        "SHA-512-256",
        "SHA-512-256-sess",
    ] {
        for qop in [
            "",
            ", qop=\"auth\"",
            ", qop=\"auth-int\"",
            ", qop=\"auth,auth-int\"",
            ", qop=auth",
        ] {
            let line = format!(
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm={algorithm}{qop}\r\n"
            );
            let mut client = client("alice", "secret");
            assert_eq!(client.on_challenge(&response(401, &[&line]), 0), Ok(()));
            let first = answer(&mut client, &Method::Register, "sip:b", b"body");
            assert_eq!(Some(first.algorithm), Algorithm::from_token(algorithm));
            assert!(first.verify(&Method::Register, "secret", b"body"), "{line}");
            assert!(
                !first.verify(&Method::Invite, "secret", b"body")
                    && !first.verify(&Method::Register, "x", b"body")
            );
            let integrity = first.qop == Some(Qop::AuthInt);
            assert_eq!(integrity, qop == ", qop=\"auth-int\"");
            assert_eq!(
                first.verify(&Method::Register, "secret", b"other"),
                !integrity
            );
            let later = answer(&mut client, &Method::Bye, "sip:b;lr", b"");
            assert!(later.verify(&Method::Bye, "secret", b""));
            assert_eq!(later.count(), first.count().map(|count| count + 1));
        }
    }
}

#[test]
fn the_header_is_what_rfc_3261_servers_expect() {
    let mut client = client("al\"ice", "secret");
    let line = "Proxy-Authenticate: Digest realm=\"a \\\"b\\\" \\\\c\",\r\n nonce = \"n\" , opaque=\"o\", stale=FALSE, algorithm=md5, qop=\"auth,auth-int\"\r\n";
    assert_eq!(client.on_challenge(&response(407, &[line]), 0), Ok(()));
    let mut last = String::new();
    for _ in 0..10 {
        let lines = client.authorize(&Method::Invite, "sip:b@c;x=y", b"");
        assert_eq!(lines[0].0, Name::ProxyAuthorization);
        last.clone_from(&lines[0].1);
    }
    assert!(last.starts_with("Digest username=\"al\\\"ice\", realm=\"a \\\"b\\\" \\\\c\", nonce=\"n\", uri=\"sip:b@c;x=y\", response=\""));
    assert!(last.contains(", algorithm=md5, opaque=\"o\", qop=auth, nc=0000000a, cnonce=\""));
    let read = DigestResponse::parse(last.as_bytes()).unwrap();
    assert_eq!(
        (read.username.as_str(), read.realm.as_str()),
        ("al\"ice", "a \"b\" \\c")
    );
    assert!(read.verify(&Method::Invite, "secret", b""));
}

#[test]
fn the_strongest_supported_challenge_of_each_realm_is_answered() {
    let mut client = client("alice", "secret");
    let lines = [
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"md5\", qop=\"auth\"\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"new\", algorithm=SHA3-512, qop=\"auth\"\r\n",
        "WWW-Authenticate: Basic realm=\"r\", Digest realm=\"r\", nonce=\"sha256\", algorithm=SHA-256, qop=\"auth\"\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"second\", algorithm=SHA-256, qop=\"auth\"\r\n",
        "WWW-Authenticate: Digest realm=\"other\", nonce=\"other\"\r\n",
    ];
    assert_eq!(client.on_challenge(&response(401, &lines), 0), Ok(()));
    let proxy = response(
        407,
        &["Proxy-Authenticate: Digest realm=\"r\", nonce=\"proxy\"\r\n"],
    );
    assert_eq!(client.on_challenge(&proxy, 0), Ok(()));
    let answers = client.authorize(&Method::Invite, "sip:b", b"");
    let nonces: Vec<_> = answers
        .iter()
        .map(|(name, value)| {
            (
                *name,
                DigestResponse::parse(value.as_bytes()).unwrap().nonce,
            )
        })
        .collect();
    let expected = [
        (Name::Authorization, "sha256"),
        (Name::Authorization, "other"),
        (Name::ProxyAuthorization, "proxy"),
    ];
    assert_eq!(nonces, expected.map(|(name, nonce)| (name, nonce.into())));
}

#[test]
fn a_stale_nonce_is_replaced_and_wrong_credentials_are_given_up() {
    let challenge = |nonce: &str, stale: &str| {
        response(
            401,
            &[&format!(
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}\r\n"
            )],
        )
    };
    let mut client = client("alice", "secret");
    assert!(!client.is_primed());
    assert!(client.authorize(&Method::Register, "sip:b", b"").is_empty());
    assert_eq!(client.on_challenge(&challenge("1", ""), 0), Ok(()));
    assert_eq!(
        answer(&mut client, &Method::Register, "sip:b", b"").nonce,
        "1"
    );
    assert_eq!(
        client.on_challenge(&challenge("2", ", stale=true"), 1),
        Ok(())
    );
    let fresh = answer(&mut client, &Method::Register, "sip:b", b"");
    assert_eq!((fresh.nonce.as_str(), fresh.count()), ("2", Some(1)));
    assert_eq!(
        client.on_challenge(&challenge("3", ""), 1),
        Err(DigestError::Refused)
    );
    assert_eq!(
        client.on_challenge(&challenge("4", ", stale=true"), 4),
        Err(DigestError::TooMany)
    );
    // A later request that was authenticated ahead with an old nonce is a first challenge again.
    assert_eq!(client.on_challenge(&challenge("5", ""), 0), Ok(()));
    client.forget();
    assert!(!client.is_primed());
}

#[test]
fn what_cannot_be_answered_says_why() {
    let challenge = |value: &str| response(401, &[&format!("WWW-Authenticate: {value}\r\n")]);
    let mut client = client("alice", "secret");
    for unsupported in [
        "Basic realm=\"r\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"token\"",
        "Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5",
        "Digest realm=\"r\"",
    ] {
        assert_eq!(
            client.on_challenge(&challenge(unsupported), 0),
            Err(DigestError::Unsupported),
            "{unsupported}"
        );
    }
    assert_eq!(
        client.on_challenge(&response(401, &[]), 0),
        Err(DigestError::NoChallenge)
    );
    assert_eq!(
        client.on_challenge(&response(200, &[]), 0),
        Err(DigestError::NoChallenge)
    );
    let credentials = Credentials {
        username: "a".into(),
        password: "b".into(),
        realm: Some("mine".into()),
    };
    assert!(!format!("{credentials:?}").contains("\"b\""));
    let mut bound = DigestClient::new(credentials, 1);
    assert_eq!(
        bound.on_challenge(&challenge("Digest realm=\"r\", nonce=\"n\""), 0),
        Err(DigestError::Realm)
    );
}

#[test]
fn a_server_that_invents_realms_does_not_grow_the_client() {
    let mut client = client("alice", "secret");
    for realm in 0..100 {
        let line = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\"\r\n");
        assert_eq!(client.on_challenge(&response(401, &[&line]), 0), Ok(()));
    }
    assert_eq!(client.authorize(&Method::Register, "sip:b", b"").len(), 4);
}

#[test]
fn malformed_headers_are_refused() {
    for value in [
        "",
        "Digest =",
        "a=b",
        "Digest r ealm=\"x\", =y",
        "Digest realm=\"\u{0}\", b@d=1",
    ] {
        assert!(
            Challenge::parse(value.as_bytes()).is_none_or(|challenge| !challenge.is_supported()),
            "{value}"
        );
    }
    let many = format!(
        "Digest {}",
        (0..65)
            .map(|at| format!("a{at}=b"))
            .collect::<Vec<_>>()
            .join(",")
    );
    assert_eq!(Challenge::parse(many.as_bytes()), None);
    let valid =
        "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"x\", response=\"y\", cnonce=\"c\"";
    assert!(DigestResponse::parse(valid.as_bytes()).is_some());
    for tail in [
        ", qop=auth",
        ", qop=auth, nc=1",
        ", qop=auth, nc=0000000g",
        ", qop=other",
        ", algorithm=foo",
    ] {
        assert_eq!(
            DigestResponse::parse(format!("{valid}{tail}").as_bytes()),
            None,
            "{tail}"
        );
    }
    assert_eq!(
        DigestResponse::parse(valid.replace("Digest", "Basic").as_bytes()),
        None
    );
}

#[test]
fn rsip_computes_the_same_md5() {
    use rsip::headers::auth::{Algorithm as RsipAlgorithm, AuthQop};
    let uri = rsip::Uri::try_from("sip:example.com").unwrap();
    let mut client = client("alice", "secret");
    let line = "WWW-Authenticate: Digest realm=\"r\", nonce=\"abc\", qop=\"auth\"\r\n";
    assert_eq!(client.on_challenge(&response(401, &[line]), 0), Ok(()));
    let ours = answer(&mut client, &Method::Register, "sip:example.com", b"");
    let qop = AuthQop::Auth {
        cnonce: ours.cnonce.as_ref().unwrap().to_string(),
        nc: 1,
    };
    let generator = rsip::services::DigestGenerator {
        username: "alice",
        password: "secret",
        nonce: "abc",
        uri: &uri,
        realm: "r",
        method: &rsip::Method::Register,
        qop: Some(&qop),
        algorithm: RsipAlgorithm::Md5,
    };
    assert!(generator.verify(&ours.response));
    let plain = "WWW-Authenticate: Digest realm=\"r\", nonce=\"abc\"\r\n";
    assert_eq!(client.on_challenge(&response(401, &[plain]), 0), Ok(()));
    let ours = answer(&mut client, &Method::Register, "sip:example.com", b"");
    assert!(
        rsip::services::DigestGenerator {
            qop: None,
            ..generator
        }
        .verify(&ours.response)
    );
}
