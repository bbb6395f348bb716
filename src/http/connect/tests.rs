//! What can only be tested with a connector or roots that no client of a caller can have.

use super::{Error, NotSent};

#[test]
fn a_mark_reads_as_the_error_below_it() {
    assert_eq!(NotSent(Error::HostNotFound).to_string(), Error::HostNotFound.to_string());
}

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

/// A service that moved, under a name that a test looks up itself.
mod stale_addresses {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::Duration;

    use super::super::*;
    use crate::client::HandingerClient;
    use crate::error::ErrorKind;
    use crate::http::{Http, Options, Settings};

    type Call = fn(&HandingerClient) -> Result<(), crate::error::Error>;
    type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

    const CALLS: [Call; 5] = [
        |client| client.retrieve_webhook("wrk_1").map(drop),
        |client| client.list_executions("wrk_1", 1).map(drop),
        |client| client.update_webhook("wrk_1", "https://example.com/hook").map(drop),
        |client| client.delete_webhook("wrk_1").map(drop),
        |client| client.regenerate_token("wrk_1").map(drop),
    ];

    /// The response to any call.
    fn response() -> String {
        let body = r#"{"url": null, "token": null, "logs": [], "page": 1, "pageCount": 0, "totalCount": 0}"#;
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// A client without retries that looks names up and connects in this way.
    fn client(base_url: &str, lookup: Lookup, connector: impl Connector) -> HandingerClient {
        let mut http = Http::new(Settings {
            api_key: "key".into(),
            base_url: base_url.into(),
            allow_insecure_http: true,
            user_agent: "test".into(),
            headers: Vec::new(),
            agent: None,
            reuse_connections: true,
            sleep: Box::new(|_| ()),
        })
        .unwrap();
        let resolver = CachingResolver::with_lookup(lookup);
        let config = Agent::config_builder().proxy(None).build();
        http.agent = Agent::with_parts(config, connector, resolver.clone());
        http.resolver = Some(resolver);
        let options = Options {
            timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(20),
            total_timeout: None,
            max_retries: 0,
        };
        HandingerClient::from_parts(http, options)
    }

    /// A service that responds to one request, and then is gone. The receiver reports that it is.
    fn service() -> (SocketAddr, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (gone, is_gone) = channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            assert_ne!(stream.read(&mut buffer).unwrap(), 0);
            stream.write_all(response().as_bytes()).unwrap();
            drop((stream, listener));
            gone.send(()).unwrap();
        });
        (address, is_gone)
    }

    #[test]
    fn a_service_that_moved_costs_a_lookup_and_no_failed_call() {
        static ADDRESS: Mutex<Option<SocketAddr>> = Mutex::new(None);
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let lookup: Lookup = |_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(ADDRESS.lock().unwrap().into_iter().collect())
        };
        let client = client("http://handinger.test", lookup, Marking(chain()));
        for (moves, call) in CALLS.into_iter().cycle().take(15).enumerate() {
            let (address, is_gone) = service();
            *ADDRESS.lock().unwrap() = Some(address);
            call(&client).unwrap();
            is_gone.recv().unwrap();
            assert_eq!(LOOKUPS.load(Ordering::SeqCst), moves + 1);
        }
    }

    #[test]
    fn where_the_lookup_fails_after_a_move_its_error_is_returned_and_nothing_was_sent() {
        static ADDRESS: Mutex<Option<SocketAddr>> = Mutex::new(None);
        let lookup: Lookup = |_| {
            let address = ADDRESS.lock().unwrap().take();
            address.map(|address| vec![address]).ok_or(io::Error::other("the name server is gone"))
        };
        for call in CALLS {
            let client = client("http://handinger.test", lookup, Marking(chain()));
            let (address, is_gone) = service();
            *ADDRESS.lock().unwrap() = Some(address);
            call(&client).unwrap();
            is_gone.recv().unwrap();
            let error = call(&client).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
            assert_eq!((error.is_connect(), error.may_have_been_applied()), (true, false), "{error}");
            assert_eq!(error.attempts(), 1);
            assert_eq!(error.source().unwrap().to_string(), "the name server is gone");
        }
    }

    /// A connector that opens no connection, and counts how often it should have.
    #[derive(Debug)]
    struct Counting(&'static AtomicUsize);

    impl Connector for Counting {
        type Out = Box<dyn Transport>;

        fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(NotSent::mark(Error::ConnectionFailed))
        }
    }

    /// How many connections each of three calls attempts to open.
    fn connections(base_url: &str, count: &'static AtomicUsize) -> [usize; 3] {
        let lookup: Lookup = |_| Ok(vec![SocketAddr::from(([127, 0, 0, 1], 9))]);
        let client = client(base_url, lookup, Counting(count));
        [(); 3].map(|()| {
            let before = count.load(Ordering::SeqCst);
            client.regenerate_token("wrk_1").unwrap_err();
            count.load(Ordering::SeqCst) - before
        })
    }

    #[test]
    fn only_an_address_that_was_looked_up_before_the_attempt_is_tried_twice() {
        static ADDRESS: AtomicUsize = AtomicUsize::new(0);
        static NAME: AtomicUsize = AtomicUsize::new(0);
        assert_eq!(connections("http://127.0.0.1:9", &ADDRESS), [1, 1, 1]);
        assert_eq!(connections("http://handinger.test", &NAME), [1, 2, 2]);
    }

    #[test]
    fn however_many_calls_wait_for_a_name_server_at_most_four_lookups_are_under_way() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: Mutex<()> = Mutex::new(());
        let unresponsive = RESPONDS.lock().unwrap();
        let lookup: Lookup = |_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(RESPONDS.lock());
            Ok(Vec::new())
        };
        let client = client("http://handinger.test", lookup, Marking(chain()));
        let client = client.with_connect_timeout(Duration::from_millis(20)).with_max_retries(2);
        thread::scope(|scope| {
            for call in CALLS.into_iter().cycle().take(50) {
                let client = &client;
                scope.spawn(move || {
                    let error = call(client).unwrap_err();
                    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 3), "{error}");
                    assert!(error.is_connect() && !error.may_have_been_applied(), "{error}");
                });
            }
        });
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 4);
        drop(unresponsive);
    }
}
