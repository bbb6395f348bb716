use std::io::Error as Io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

/// A name server that finds two addresses, and counts its lookups.
#[derive(Debug, Default)]
struct NameServer {
    lookups: Arc<AtomicUsize>,
}

impl Resolver for NameServer {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let mut addresses = self.empty();
        if uri.host() != Some("absent.test") {
            addresses.push(SocketAddr::from(([127, 0, 0, 1], 1)));
            addresses.push(SocketAddr::from(([127, 0, 0, 2], 2)));
            return Ok(addresses);
        }
        Err(Error::HostNotFound)
    }
}

fn ports(resolver: &CachingResolver, url: &'static str) -> Vec<u16> {
    let found = resolver.resolve(&Uri::from_static(url), &Config::default(), NextTimeout::default());
    found.unwrap().iter().map(SocketAddr::port).collect()
}

#[test]
fn host_is_looked_up_once_a_minute() {
    let server = NameServer::default();
    let lookups = Arc::clone(&server.lookups);
    let resolver = CachingResolver::new(server);
    for (url, expected) in [
        ("https://handinger.test/api", 1),
        ("https://handinger.test/other", 1),
        ("http://handinger.test/api", 2),
        ("https://proxy.test:3128", 3),
        ("https://handinger.test/api", 3),
    ] {
        ports(&resolver, url);
        assert_eq!(lookups.load(Ordering::SeqCst), expected, "{url}");
    }
    for (age, expected) in [(59, 3), (60, 4)] {
        let earlier = Instant::now().checked_sub(Duration::from_secs(age)).expect("up for a minute");
        resolver.cache().hosts.values_mut().for_each(|(_, looked_up)| *looked_up = earlier);
        ports(&resolver, "https://handinger.test");
        assert_eq!(lookups.load(Ordering::SeqCst), expected, "after {age} s");
    }
}

#[test]
fn addresses_are_rotated_by_one_after_each_failure() {
    let resolver = CachingResolver::new(NameServer::default());
    for expected in [[1, 2], [2, 1], [1, 2]] {
        assert_eq!(ports(&resolver, "https://handinger.test"), expected);
        assert_eq!(ports(&resolver, "https://handinger.test"), expected);
        resolver.forget();
        resolver.forget(); // by another thread that has failed with the same addresses
    }
}

#[test]
fn failed_lookup_is_marked_and_not_cached() {
    let server = NameServer::default();
    let lookups = Arc::clone(&server.lookups);
    let resolver = CachingResolver::new(server);
    for _ in 0..2 {
        let uri = Uri::from_static("https://user:s3cret@absent.test:1");
        let error = resolver.resolve(&uri, &Config::default(), NextTimeout::default()).unwrap_err();
        let not_sent = NotSent::of(error).unwrap();
        assert_eq!(not_sent.problem(None), "could not look up absent.test:1");
        assert!(!not_sent.is_final());
    }
    assert_eq!(lookups.load(Ordering::SeqCst), 2);
}

#[test]
fn failure_that_a_retry_would_repeat_is_recognized() {
    for (step, error, is_final) in [
        (Step::Connect, Io::new(ErrorKind::PermissionDenied, "password authentication failed"), true),
        // A firewall: EACCES on Unix.
        (Step::Connect, Io::from_raw_os_error(13), false),
        (Step::Connect, Io::other("invalid peer certificate: Expired"), false),
        (Step::Tls, Io::other("invalid peer certificate: Expired"), true),
        (
            Step::Tls,
            Io::other("SSL routines:tls_post_process_server_certificate:certificate verify failed"),
            true,
        ),
        (Step::Tls, Io::other("unable to find any user-specified roots in the final cert chain"), true),
        (Step::Tls, Io::other("SSL routines:ssl3_read_bytes:sslv3 alert bad certificate"), false),
        (Step::Tls, Io::other("received fatal alert: HandshakeFailure"), false),
    ] {
        let not_sent = NotSent { step, host: "handinger.test".into(), error: Error::Io(error) };
        assert_eq!(not_sent.is_final(), is_final, "{not_sent:?}");
    }
}
