//! TLS to a rustls server on loopback, with certificates that each test makes.

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn configured_tls_library_and_roots_need_their_feature() {
    use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

    let is_verifier = cfg!(all(feature = "rustls", feature = "platform-verifier"));
    let verifier = if cfg!(feature = "rustls") { "platform-verifier" } else { "rustls" };
    for (provider, roots, feature, is_there) in [
        (TlsProvider::Rustls, RootCerts::WebPki, "rustls", cfg!(feature = "rustls")),
        (TlsProvider::NativeTls, RootCerts::WebPki, "native-tls", cfg!(feature = "native-tls")),
        (TlsProvider::Rustls, RootCerts::PlatformVerifier, verifier, is_verifier),
    ] {
        let tls = TlsConfig::builder().provider(provider).root_certs(roots).build();
        let configured = |base_url| {
            let tls = tls.clone();
            let client = crate::support::builder(base_url).ureq_config(|config| config.tls_config(tls));
            client.build().map_err(|error| error.to_string()).err()
        };
        let problem = format!("build client: https needs the cargo feature `{feature}` of handinger");
        assert_eq!(configured("https://127.0.0.1"), (!is_there).then_some(problem));
        assert_eq!(configured("http://127.0.0.1"), None);
    }
}

#[cfg(any(feature = "rustls", all(feature = "native-tls", target_os = "linux")))]
mod with_tls {
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::sync::{Arc, Mutex};

    use handinger::{ErrorKind, HandingerClientBuilder};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::crypto::ring;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    use rustls::version::{TLS12, TLS13};
    use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
    use ureq::Proxy;
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

    use crate::proxies::proxy_to;
    use crate::support::{ANY_BODY, CALLS, KEY, Server, builder, response};

    struct Identity {
        certificate: CertificateDer<'static>,
        key: KeyPair,
    }

    /// A certificate authority, whose root a client can trust.
    struct Ca(CertifiedIssuer<'static, KeyPair>);

    impl Ca {
        fn new() -> Self {
            Self::named("signer")
        }

        fn named(name: &str) -> Self {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            // OpenSSL takes a certificate for self-signed if its name is that of its signer.
            params.distinguished_name.push(DnType::CommonName, name);
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

    fn tls_trusting(provider: TlsProvider, ca: &Ca, client_cert: Option<ClientCert>) -> TlsConfig {
        let roots = RootCerts::new_with_certs(&[Certificate::from_der(ca.0.der()).to_owned()]);
        TlsConfig::builder().provider(provider).root_certs(roots).client_cert(client_cert).build()
    }

    /// A client that trusts this authority alone.
    fn trusting(base_url: &str, provider: TlsProvider, ca: &Ca) -> HandingerClientBuilder {
        let tls = tls_trusting(provider, ca, None);
        builder(base_url).ureq_config(move |config| config.tls_config(tls))
    }

    /// Native TLS is tested on Linux alone, where it is OpenSSL: macOS's Secure Transport, for one, has no TLS 1.3.
    fn providers() -> impl Iterator<Item = TlsProvider> {
        let rustls = cfg!(feature = "rustls").then_some(TlsProvider::Rustls);
        let native = cfg!(all(feature = "native-tls", target_os = "linux")).then_some(TlsProvider::NativeTls);
        rustls.into_iter().chain(native)
    }

    #[test]
    fn calls_reuse_a_connection_and_a_regenerate_opens_its_own() {
        for provider in providers() {
            let ca = Ca::new();
            let server = TlsServer::start(ca.leaf());
            let by_name = server.base_url().replace("127.0.0.1", "localhost");
            let client = trusting(&by_name, provider, &ca).build().unwrap();
            for ((_, call), connections) in CALLS.into_iter().zip([1, 1, 1, 1, 2]) {
                call(&client).unwrap();
                assert_eq!(server.server.connections(), connections);
            }
            assert_eq!(server.received().matches("authorization: Bearer").count(), 5);
        }
    }

    #[test]
    fn invalid_certificate_is_rejected_once_and_before_anything_is_sent() {
        let (ca, other) = (Ca::new(), Ca::named("other"));
        let expired = || ca.sign(&["127.0.0.1"], |params| params.not_after = date_time_ymd(2000, 1, 1));
        let other_host = || ca.sign(&["example.com"], |_| ());
        for provider in providers() {
            let is_native = provider == TlsProvider::NativeTls;
            for (leaf, trusted, reason) in [
                (ca.leaf(), &other, if is_native { "local issuer" } else { "UnknownIssuer" }),
                (expired(), &ca, "expired"),
                (other_host(), &ca, if is_native { "IP address mismatch" } else { "not valid for name" }),
            ] {
                let server = TlsServer::start(leaf);
                let client = trusting(&server.base_url(), provider, trusted).build().unwrap();
                let error = client.regenerate_token("wrk_1").unwrap_err();
                assert!(!error.may_have_been_applied() && !error.is_transient(), "{error}");
                assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 1), "{error}");
                assert_eq!((server.server.connections(), &*server.received()), (1, ""), "{error}");
                let mut follow = client.follow("wrk_1");
                assert!(follow.poll().is_err() && follow.is_over());
                let shown = format!("{error:#}");
                let expected = format!("the certificate of {} was rejected", server.server.address());
                assert!(shown.contains(&expected) && shown.contains(reason), "{shown}");
                let leads_to_the_feature = shown.contains("`platform-verifier`");
                let is_unknown = reason == "UnknownIssuer" && cfg!(not(feature = "platform-verifier"));
                assert_eq!(leads_to_the_feature, is_unknown, "{shown}");
            }
        }
    }

    /// The default roots are Mozilla's or the system's: neither has this authority.
    #[test]
    fn default_roots_reject_an_unknown_issuer() {
        let server = TlsServer::start(Ca::new().leaf());
        let client = builder(server.base_url()).build().unwrap();
        assert!(!client.retrieve_webhook("wrk_1").unwrap_err().is_transient());
        assert_eq!(server.received(), "");
    }

    #[cfg(all(feature = "rustls", feature = "platform-verifier", target_os = "linux"))]
    #[test]
    fn platform_verifier_trusts_the_issuers_in_ssl_cert_file() {
        const BASE_URL: &str = "HANDINGER_TEST_TLS";
        if let Ok(base_url) = std::env::var(BASE_URL) {
            let error = builder(base_url).build().unwrap().retrieve_webhook("wrk_1").err();
            assert!(error.as_ref().is_none_or(|error| error.attempts() == 1));
            return error.into_iter().for_each(|error| eprintln!("{error}"));
        }
        let ca = Ca::new();
        let server = TlsServer::start(ca.leaf());
        let base_url = server.base_url();
        let problem_with = |roots: &str| {
            let test = "tls::with_tls::platform_verifier_trusts_the_issuers_in_ssl_cert_file";
            let variables = [(BASE_URL, &*base_url), ("SSL_CERT_FILE", roots), ("SSL_CERT_DIR", "")];
            crate::support::rerun(test, &variables)
        };
        let file = format!("{}/trusted-{}.pem", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        std::fs::write(&file, ca.0.pem()).unwrap();
        assert_eq!(problem_with(&file), "");
        std::fs::remove_file(file).unwrap();
        let problem = problem_with("/dev/null");
        assert!(problem.ends_with(": this machine has no root certificates\n"), "{problem}");
    }

    #[test]
    fn certificate_of_a_proxy_is_not_that_of_the_host() {
        let proxy = TlsServer::start(Ca::new().leaf());
        let address = proxy.server.address();
        let settings = Proxy::new(&format!("https://user:s3cret@{address}")).unwrap();
        let client =
            builder("https://handinger.test").ureq_config(move |config| config.proxy(Some(settings)));
        let error = client.build().unwrap().retrieve_webhook("wrk_1").unwrap_err();
        let expected = format!("the certificate of the proxy {address} was rejected");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!((proxy.server.connections(), proxy.received()), (1, String::new()));
    }

    #[test]
    fn failed_handshake_is_retried_and_named() {
        let server = Server::start(|_, connection| connection.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
        let base_url = server.base_url().replace("http:", "https:");
        let error = builder(base_url).build().unwrap().retrieve_webhook("wrk_1").unwrap_err();
        let expected = format!("could not complete the TLS handshake with {} (3 attempts)", server.address());
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert!(error.is_connect() && error.is_transient());
    }

    #[test]
    fn client_certificate_is_presented() {
        let ca = Ca::new();
        for provider in providers() {
            for version in [&TLS12, &TLS13] {
                let server = TlsServer::with_client_ca(ca.leaf(), Some(&ca), &[version]);
                let Identity { certificate, key } = ca.sign(&[], |_| ());
                let key = PrivateKey::from_pem(key.serialize_pem().as_bytes()).unwrap();
                let chain = [Certificate::from_der(&certificate).to_owned()];
                let tls = tls_trusting(provider, &ca, Some(ClientCert::new_with_certs(&chain, key)));
                let client = builder(server.base_url()).ureq_config(move |config| config.tls_config(tls));
                client.build().unwrap().regenerate_token("wrk_1").unwrap();
            }
        }
    }

    /// In TLS 1.3, the client sends its request before the server can reject its certificate.
    #[test]
    fn rejected_client_may_have_sent_its_request() {
        let ca = Ca::new();
        for provider in providers() {
            let server = TlsServer::with_client_ca(ca.leaf(), Some(&ca), &[&TLS13]);
            let client = trusting(&server.base_url(), provider, &ca).build().unwrap();
            let error = client.regenerate_token("wrk_1").unwrap_err();
            assert_eq!(
                error.to_string(),
                "regenerate token of worker wrk_1: connection lost; the change may have been applied"
            );
            assert_eq!(error.kind(), ErrorKind::Transport);
            assert!(format!("{error:#}").to_lowercase().contains("certificate"), "{error:#}");
            assert_eq!((server.server.connections(), server.received()), (1, String::new()));
        }
    }

    #[test]
    fn handshake_through_a_proxy_is_with_the_target() {
        let ca = Ca::new();
        for provider in providers() {
            let server = TlsServer::start(ca.sign(&["handinger.test"], |_| ()));
            let proxy = proxy_to(server.server.address());
            let settings = Proxy::new(&proxy.base_url()).unwrap();
            let tls = tls_trusting(provider, &ca, None);
            let client = builder("https://handinger.test")
                .ureq_config(move |config| config.proxy(Some(settings)).tls_config(tls));
            client.build().unwrap().retrieve_webhook("wrk_1").unwrap();
            let [request] = &*proxy.requests() else { panic!("one connection") };
            assert!(
                request.starts_with("CONNECT handinger.test:443 ") && !request.contains(KEY),
                "{request}"
            );
            assert!(server.received().contains(KEY));
        }
    }
}
