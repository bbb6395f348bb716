//! TLS for real: a rustls server on loopback, with certificates made for each test.

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[test]
fn https_needs_a_feature() {
    let error = handinger::HandingerClient::new("key").unwrap_err();
    assert_eq!(error.kind(), handinger::ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "build client: an https base URL needs the cargo feature `rustls` or `native-tls` of handinger"
    );
}

#[cfg(feature = "rustls")]
mod with_tls {
    use std::error::Error as _;
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::sync::{Arc, Mutex};

    use handinger::{Error, ErrorKind, HandingerClient};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::crypto::ring;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    use rustls::version::{TLS12, TLS13};
    use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
    use ureq::{Agent, Proxy};

    use crate::proxies::proxy_to;
    use crate::support::{KEY, Server, answer, builder};

    struct Identity {
        certificate: CertificateDer<'static>,
        key: KeyPair,
    }

    /// Who signs: its root is what a client can trust.
    struct Ca(CertifiedIssuer<'static, KeyPair>);

    impl Ca {
        fn new() -> Self {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            // OpenSSL takes a certificate for self-signed if its name is that of its signer.
            params.distinguished_name.push(DnType::CommonName, "signer");
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn sign(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Identity {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let mut params = CertificateParams::new(names).unwrap();
            edit(&mut params);
            let key = KeyPair::generate().unwrap();
            Identity { certificate: params.signed_by(&key, &self.0).unwrap().der().clone(), key }
        }

        fn leaf(&self) -> Identity {
            self.sign(&["localhost", "127.0.0.1"], |_| ())
        }
    }

    /// What all five calls take for their answer.
    const ANY_BODY: &str = r#"{"url":null,"token":null,"logs":[],"page":1,"pageCount":0,"totalCount":0}"#;

    type Version = &'static SupportedProtocolVersion;

    struct TlsServer {
        server: Server,
        /// Whatever was said inside of TLS.
        heard: Arc<Mutex<Vec<u8>>>,
    }

    impl TlsServer {
        fn start(leaf: Identity) -> Self {
            Self::asking_for_a_certificate(leaf, None, rustls::ALL_VERSIONS)
        }

        /// Asks its clients for a certificate of `client_ca`, if there is one.
        fn asking_for_a_certificate(leaf: Identity, client_ca: Option<&Ca>, versions: &[Version]) -> Self {
            let provider = Arc::new(ring::default_provider());
            let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(versions)
                .unwrap();
            let config = if let Some(ca) = client_ca {
                let mut roots = RootCertStore::empty();
                roots.add(ca.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            } else {
                config.with_no_client_auth()
            };
            let key = PrivateKeyDer::Pkcs8(leaf.key.serialize_der().into());
            let config = config.with_single_cert(vec![leaf.certificate], key).unwrap();
            let (config, heard) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
            let hearing = Arc::clone(&heard);
            let server = Server::start(move |_, connection| {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                converse(&mut tls, &mut connection.stream, &hearing);
                // The other side shall read the alert, not find a reset.
                let _ = io::copy(&mut connection.stream, &mut io::sink());
            });
            Self { server, heard }
        }

        fn base_url(&self) -> String {
            self.server.base_url().replace("http:", "https:")
        }

        fn heard(&self) -> String {
            String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
        }
    }

    fn converse(tls: &mut ServerConnection, stream: &mut TcpStream, heard: &Mutex<Vec<u8>>) {
        let mut stream = rustls::Stream::new(tls, stream);
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            heard.lock().unwrap().extend_from_slice(&buffer[..count]);
            request.extend_from_slice(&buffer[..count]);
            // All our requests end like this, and only the update has a body.
            let end: &[u8] = if request.starts_with(b"PUT") { b"}" } else { b"\r\n\r\n" };
            if request.ends_with(end) {
                request.clear();
                if stream.write_all(&answer(200, ANY_BODY)).is_err() {
                    break;
                }
            }
        }
    }

    fn agent(provider: TlsProvider, trusted: &Ca, identity: Option<&Identity>) -> Agent {
        agent_with_proxy(provider, trusted, identity, None)
    }

    fn agent_with_proxy(
        provider: TlsProvider,
        trusted: &Ca,
        identity: Option<&Identity>,
        proxy: Option<Proxy>,
    ) -> Agent {
        let root = Certificate::from_der(trusted.0.der()).to_owned();
        let identity = identity.map(|Identity { certificate, key }| {
            let key = PrivateKey::from_pem(key.serialize_pem().as_bytes()).unwrap();
            ClientCert::new_with_certs(&[Certificate::from_der(certificate).to_owned()], key)
        });
        let tls = TlsConfig::builder()
            .provider(provider)
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(identity)
            .build();
        Agent::config_builder().proxy(proxy).tls_config(tls).build().new_agent()
    }

    fn providers() -> impl Iterator<Item = TlsProvider> {
        [TlsProvider::Rustls, TlsProvider::NativeTls]
            .into_iter()
            .filter(|provider| *provider == TlsProvider::Rustls || cfg!(feature = "native-tls"))
    }

    fn client(server: &TlsServer, agent: Agent) -> HandingerClient {
        builder(server.base_url()).agent(agent).build().unwrap()
    }

    /// The whole chain below an error in words.
    fn causes(error: &Error) -> String {
        let mut causes = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push_str(&cause.to_string());
            source = cause.source();
        }
        causes
    }

    #[test]
    fn all_calls_work_with_a_trusted_root() {
        for provider in providers() {
            let ca = Ca::new();
            let server = TlsServer::start(ca.leaf());
            let client = client(&server, agent(provider, &ca, None));
            client.retrieve_webhook("wrk_1").unwrap();
            client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
            client.delete_webhook("wrk_1").unwrap();
            client.list_executions("wrk_1", 1).unwrap();
            assert_eq!(server.server.connections(), 1);
            client.regenerate_token("wrk_1").unwrap();
            assert_eq!(server.server.connections(), 2);
            assert_eq!(server.heard().matches("authorization: Bearer").count(), 5);

            let by_name = server.base_url().replace("127.0.0.1", "localhost");
            let client = builder(by_name).agent(agent(provider, &ca, None)).build().unwrap();
            client.retrieve_webhook("wrk_1").unwrap();
        }
    }

    #[test]
    fn a_certificate_that_is_not_right_is_refused_before_anything_is_sent() {
        let ca = Ca::new();
        let expired = || ca.sign(&["127.0.0.1"], |params| params.not_after = date_time_ymd(2000, 1, 1));
        let mut rows = vec![("the roots of our own agent", ca.leaf(), None)];
        for provider in providers() {
            let trusting = || Some(agent(provider, &ca, None));
            rows.push(("untrusted", ca.leaf(), Some(agent(provider, &Ca::new(), None))));
            rows.push(("expired", expired(), trusting()));
            rows.push(("of another host", ca.sign(&["example.com"], |_| ()), trusting()));
        }
        for (name, leaf, agent) in rows {
            let server = TlsServer::start(leaf);
            let builder = builder(server.base_url());
            let builder = match agent {
                Some(agent) => builder.agent(agent),
                None => builder,
            };
            let client = builder.build().unwrap();
            let error = client.regenerate_token("wrk_1").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect, "{name}");
            assert_eq!(
                error.to_string(),
                format!(
                    "regenerate token of worker wrk_1: the certificate of {} was refused (3 tries)",
                    server.server.address()
                ),
                "{name}"
            );
            assert!(causes(&error).contains("certificate"), "{name}: {error:?}");
            assert!(!error.may_have_been_applied(), "{name}");
            assert_eq!(server.server.connections(), 3, "{name}");
            assert_eq!(server.heard(), "", "{name}");
        }
    }

    #[test]
    fn a_client_certificate_is_presented() {
        let ca = Ca::new();
        for provider in providers() {
            for version in [&TLS12, &TLS13] {
                let server = TlsServer::asking_for_a_certificate(ca.leaf(), Some(&ca), &[version]);
                let client = client(&server, agent(provider, &ca, Some(&ca.sign(&[], |_| ()))));
                client.regenerate_token("wrk_1").unwrap();
            }
        }
    }

    /// In TLS 1.3 the server refuses the client when the request is on its way already.
    #[test]
    fn a_refusal_of_the_client_is_not_taken_for_never_sent() {
        let ca = Ca::new();
        for provider in providers() {
            let server = TlsServer::asking_for_a_certificate(ca.leaf(), Some(&ca), &[&TLS13]);
            let client = client(&server, agent(provider, &ca, None));
            let error = client.regenerate_token("wrk_1").unwrap_err();
            assert_eq!(
                error.to_string(),
                "regenerate token of worker wrk_1: the connection broke; the change may have been applied"
            );
            assert_eq!(error.kind(), ErrorKind::Transport);
            assert!(causes(&error).to_lowercase().contains("certificate"), "{error:?}");
            assert_eq!(server.server.connections(), 1);
            assert_eq!(server.heard(), "");
        }
    }

    #[test]
    fn through_a_proxy_the_handshake_is_with_the_target() {
        let ca = Ca::new();
        for provider in providers() {
            let server = TlsServer::start(ca.sign(&["handinger.test"], |_| ()));
            let proxy = proxy_to(server.server.address());
            let agent = agent_with_proxy(provider, &ca, None, Some(Proxy::new(&proxy.base_url()).unwrap()));
            let client = builder("https://handinger.test").agent(agent).build().unwrap();
            client.retrieve_webhook("wrk_1").unwrap();
            let [request] = &*proxy.requests() else { panic!("one connection") };
            assert!(
                request.starts_with("CONNECT handinger.test:443 ") && !request.contains(KEY),
                "{request}"
            );
            assert!(server.heard().contains(KEY));
        }
    }

    #[test]
    fn plain_http_on_the_tls_port_is_no_connection() {
        let server = Server::start(|_, connection| {
            connection.send(answer(400, "this is not https"));
            let _ = io::copy(&mut connection.stream, &mut io::sink());
        });
        let error = builder(server.base_url().replace("http:", "https:"))
            .build()
            .unwrap()
            .regenerate_token("wrk_1")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("regenerate token of worker wrk_1: could not connect to {} (3 tries)", server.address())
        );
        assert!(error.is_connect() && !error.may_have_been_applied());
        assert_eq!(server.connections(), 3);
    }

    #[test]
    fn plain_http_to_a_tls_port_is_a_broken_answer() {
        let server = TlsServer::start(Ca::new().leaf());
        let error = builder(server.server.base_url()).build().unwrap().retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport);
        assert_eq!(
            error.to_string(),
            "retrieve webhook of worker wrk_1: the answer is not valid HTTP (3 tries)"
        );
        assert_eq!(server.heard(), "");
    }
}
