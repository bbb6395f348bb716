//! What can only be tested with a connector or roots that no client of a caller can have.

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod with_tls {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use rcgen::CertifiedKey;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};
    use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

    use super::super::*;
    use crate::client::HandingerClient;

    /// A response of this length, as one or more records of TLS.
    fn encrypted(tls: &mut ServerConnection, host: &str, length: usize) -> Vec<u8> {
        let body = format!(r#"{{"url":"https://{host}/","token":null,"more":"{}"}}"#, "x".repeat(length));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        tls.writer().write_all((head + &body).as_bytes()).unwrap();
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    const CALLS: usize = 3;

    /// A server that gives each request responses of these lengths, all at once; how many connections it has had, and how
    /// many requests it has responded to.
    fn server(config: ServerConfig, lengths: &'static [usize]) -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (config, counts) = (Arc::new(config), Arc::<[AtomicUsize; 2]>::default());
        let counting = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().take(CALLS) {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let (config, counts) = (Arc::clone(&config), Arc::clone(&counting));
                counts[0].fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let mut tls = ServerConnection::new(config).unwrap();
                    let mut buffer = [0; 4096];
                    while let Ok(1..) = rustls::Stream::new(&mut tls, &mut stream).read(&mut buffer) {
                        let hosts = ["example.com", "evil.example"];
                        let responses =
                            lengths.iter().zip(hosts).map(|(n, host)| encrypted(&mut tls, host, *n));
                        let _ = stream.write_all(&responses.collect::<Vec<_>>().concat());
                        counts[1].fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        (address, counts)
    }

    /// Returns how many connections were opened for the calls.
    fn check(provider: TlsProvider, lengths: &'static [usize]) -> usize {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let (address, counts) = server(config, lengths);

        let root = Certificate::from_der(cert.der()).to_owned();
        let tls = TlsConfig::builder().provider(provider).root_certs(RootCerts::new_with_certs(&[root]));
        let config = Agent::config_builder().proxy(None).tls_config(tls.build()).build();
        let client = HandingerClient::builder("key")
            .base_url(format!("https://{address}"))
            .agent(agent(config, CachingResolver::default()))
            .max_retries(0)
            .build()
            .unwrap();
        for call in 1..=CALLS {
            let webhook = client.retrieve_webhook("wrk_1").unwrap();
            assert_eq!(webhook.url.unwrap(), "https://example.com/", "{provider:?} {lengths:?}");
            // The second response must have had its chance to arrive before the next call.
            while counts[1].load(Ordering::SeqCst) < call {
                thread::sleep(Duration::from_millis(1));
            }
        }
        counts[0].load(Ordering::SeqCst)
    }

    #[test]
    fn the_second_of_two_responses_is_never_the_response_to_the_next_request() {
        // In one record that is read at once, in several, and read together with a part of the next.
        for lengths in [&[0, 0], &[0, 10_000], &[3_000, 3_000], &[10_000, 0], &[15_000, 15_000]] {
            #[cfg(feature = "rustls")]
            assert_eq!(check(TlsProvider::Rustls, lengths), CALLS);
            #[cfg(feature = "native-tls")]
            assert_eq!(check(TlsProvider::NativeTls, lengths), CALLS);
        }
    }

    #[test]
    fn a_connection_with_one_response_to_each_request_is_kept() {
        for lengths in [&[0], &[10_000], &[40_000]] {
            #[cfg(feature = "rustls")]
            assert_eq!(check(TlsProvider::Rustls, lengths), 1);
            #[cfg(feature = "native-tls")]
            assert_eq!(check(TlsProvider::NativeTls, lengths), 1);
        }
    }
}
