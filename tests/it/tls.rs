//! TLS to a rustls server on loopback, with certificates that each test makes.

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
    use crate::support::{ANY_BODY, KEY, Server, builder, response};

    struct Identity {
        certificate: CertificateDer<'static>,
        key: KeyPair,
    }

    /// A certificate authority, whose root a client can trust.
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

    type Version = &'static SupportedProtocolVersion;

    struct TlsServer {
        server: Server,
        /// Everything that clients sent inside of TLS.
        received: Arc<Mutex<Vec<u8>>>,
    }

    impl TlsServer {
        fn start(leaf: Identity) -> Self {
            Self::with_client_ca(leaf, None, rustls::ALL_VERSIONS)
        }

        /// Demands a client certificate of `client_ca`, if there is one.
        fn with_client_ca(leaf: Identity, client_ca: Option<&Ca>, versions: &[Version]) -> Self {
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
            let (config, received) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
            let receiving = Arc::clone(&received);
            let server = Server::start(move |_, connection| {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                converse(&mut tls, &mut connection.stream, &receiving);
                // Closing with data unread would send a reset, which can hide the alert from the client.
                let _ = io::copy(&mut connection.stream, &mut io::sink());
            });
            Self { server, received }
        }

        fn base_url(&self) -> String {
            self.server.base_url().replace("http:", "https:")
        }

        fn received(&self) -> String {
            String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
        }
    }

    fn converse(tls: &mut ServerConnection, stream: &mut TcpStream, received: &Mutex<Vec<u8>>) {
        let mut stream = rustls::Stream::new(tls, stream);
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            received.lock().unwrap().extend_from_slice(&buffer[..count]);
            request.extend_from_slice(&buffer[..count]);
            // Only an update has a body.
            let end: &[u8] = if request.starts_with(b"PUT") { b"}" } else { b"\r\n\r\n" };
            if request.ends_with(end) {
                request.clear();
                if stream.write_all(&response(200, ANY_BODY)).is_err() {
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

    /// Native TLS is tested on Linux alone, where it is OpenSSL: macOS's Secure Transport, for one, has no TLS 1.3.
    fn providers() -> impl Iterator<Item = TlsProvider> {
        let native = cfg!(all(feature = "native-tls", target_os = "linux")).then_some(TlsProvider::NativeTls);
        [TlsProvider::Rustls].into_iter().chain(native)
    }

    fn client(server: &TlsServer, agent: Agent) -> HandingerClient {
        builder(server.base_url()).agent(agent).build().unwrap()
    }

    /// The `Display` of everything below an error.
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
            client.list_executions("wrk_1", 1).unwrap();
            assert_eq!(server.server.connections(), 1);
            client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
            client.delete_webhook("wrk_1").unwrap();
            client.regenerate_token("wrk_1").unwrap();
            assert_eq!(server.server.connections(), 4);
            assert_eq!(server.received().matches("authorization: Bearer").count(), 5);

            let by_name = server.base_url().replace("127.0.0.1", "localhost");
            let client = builder(by_name).agent(agent(provider, &ca, None)).build().unwrap();
            client.retrieve_webhook("wrk_1").unwrap();
        }
    }

    #[test]
    fn an_invalid_certificate_is_rejected_before_anything_is_sent() {
        let ca = Ca::new();
        let expired = || ca.sign(&["127.0.0.1"], |params| params.not_after = date_time_ymd(2000, 1, 1));
        let mut cases = vec![("the roots of our own agent", ca.leaf(), None)];
        for provider in providers() {
            let trusting = || Some(agent(provider, &ca, None));
            cases.push(("untrusted", ca.leaf(), Some(agent(provider, &Ca::new(), None))));
            cases.push(("expired", expired(), trusting()));
            cases.push(("of another host", ca.sign(&["example.com"], |_| ()), trusting()));
        }
        for (name, leaf, agent) in cases {
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
                    "regenerate token of worker wrk_1: the certificate of {} was rejected (3 attempts)",
                    server.server.address()
                ),
                "{name}"
            );
            assert!(causes(&error).contains("certificate"), "{name}: {error:?}");
            assert!(!error.may_have_been_applied(), "{name}");
            assert_eq!(server.server.connections(), 3, "{name}");
            assert_eq!(server.received(), "", "{name}");
        }
    }

    #[test]
    fn a_client_certificate_is_presented() {
        let ca = Ca::new();
        for provider in providers() {
            for version in [&TLS12, &TLS13] {
                let server = TlsServer::with_client_ca(ca.leaf(), Some(&ca), &[version]);
                let client = client(&server, agent(provider, &ca, Some(&ca.sign(&[], |_| ()))));
                client.regenerate_token("wrk_1").unwrap();
            }
        }
    }

    /// In TLS 1.3, the client sends its request before the server can reject its certificate.
    #[test]
    fn a_rejected_client_may_have_sent_its_request() {
        let ca = Ca::new();
        for provider in providers() {
            let server = TlsServer::with_client_ca(ca.leaf(), Some(&ca), &[&TLS13]);
            let client = client(&server, agent(provider, &ca, None));
            let error = client.regenerate_token("wrk_1").unwrap_err();
            assert_eq!(
                error.to_string(),
                "regenerate token of worker wrk_1: connection lost; the change may have been applied"
            );
            assert_eq!(error.kind(), ErrorKind::Transport);
            assert!(causes(&error).to_lowercase().contains("certificate"), "{error:?}");
            assert_eq!(server.server.connections(), 1);
            assert_eq!(server.received(), "");
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
            assert!(server.received().contains(KEY));
        }
    }

    #[test]
    fn plain_http_to_a_tls_port_is_an_invalid_response() {
        let server = TlsServer::start(Ca::new().leaf());
        let error = builder(server.server.base_url()).build().unwrap().retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport);
        assert_eq!(
            error.to_string(),
            "retrieve webhook of worker wrk_1: the response is not valid HTTP (3 attempts)"
        );
        assert_eq!(server.received(), "");
    }
}
