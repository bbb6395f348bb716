//! Name lookups: no more of them than needed, and none without a bound.
//!
//! ureq asks its resolver before every request, even where it then takes a connection from its pool, and its own resolver
//! starts a thread each time. [`CachingResolver`] keeps the addresses of a host for [`MAX_ADDRESS_AGE`], or until no
//! connection to them can be opened.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

use super::connect::NotSent;
use super::{MAX_ADDRESS_AGE, MAX_ADDRESSES, MAX_LOOKUPS};

type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

#[derive(Clone, Debug)]
pub(super) struct CachingResolver {
    shared: Arc<Shared>,
    lookup: Lookup,
}

#[derive(Debug, Default)]
struct Shared {
    /// The base URL's host and, if there is one, the proxy's. None is ever removed.
    hosts: Mutex<Vec<Host>>,
    lookup_ended: Condvar,
}

#[derive(Debug)]
struct Host {
    scheme: Scheme,
    authority: Authority,
    found: Option<Found>,
    /// Why the last lookup failed, if it did.
    failure: Option<(io::ErrorKind, String)>,
    lookups_under_way: usize,
    lookups_ended: u64,
}

#[derive(Debug)]
struct Found {
    addresses: ResolvedSocketAddrs,
    /// `None` where the host is an address itself.
    looked_up: Option<Instant>,
}

impl Default for CachingResolver {
    fn default() -> Self {
        Self::with_lookup(|host_and_port| Ok(host_and_port.to_socket_addrs()?.collect()))
    }
}

impl CachingResolver {
    pub(super) fn with_lookup(lookup: Lookup) -> Self {
        Self { shared: Arc::default(), lookup }
    }

    /// Forgets the addresses that were looked up before `time`. Returns whether there were any.
    pub(super) fn forget_before(&self, time: Instant) -> bool {
        let mut has_forgotten = false;
        for host in self.shared.hosts().iter_mut() {
            let looked_up = host.found.as_ref().and_then(|found| found.looked_up);
            if looked_up.is_some_and(|looked_up| looked_up < time) {
                host.found = None;
                has_forgotten = true;
            }
        }
        has_forgotten
    }

    fn addresses(&self, uri: &Uri, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Error::HostNotFound);
        };
        let mut hosts = self.shared.hosts();
        let place = place_of(&mut hosts, scheme, authority);
        let host = &mut hosts[place];
        if let Some(addresses) = host.fresh() {
            return Ok(addresses);
        }
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or(Error::HostNotFound)?;
        if let Ok(address) = name.parse() {
            let addresses = resolved([address]);
            host.found = Some(Found { addresses: addresses.clone(), looked_up: None });
            return Ok(addresses);
        }
        if host.lookups_under_way < MAX_LOOKUPS {
            self.start_lookup(place, name)?;
            host.lookups_under_way += 1;
        }
        self.wait_for_lookup(hosts, place, timeout)
    }

    /// On a thread of its own, since a lookup can be neither bounded nor stopped.
    fn start_lookup(&self, place: usize, name: String) -> io::Result<()> {
        let (shared, lookup) = (Arc::clone(&self.shared), self.lookup);
        let lookup_thread = thread::Builder::new().name("handinger-lookup".into());
        let started = lookup_thread.spawn(move || {
            let result = lookup(&name);
            let host = &mut shared.hosts()[place];
            host.lookups_under_way -= 1;
            host.lookups_ended += 1;
            host.failure = None;
            match result {
                Ok(addresses) => {
                    let addresses = resolved(addresses);
                    host.found = Some(Found { addresses, looked_up: Some(Instant::now()) });
                }
                Err(error) => host.failure = Some((error.kind(), error.to_string())),
            }
            shared.lookup_ended.notify_all();
        });
        started
            .map(drop)
            .map_err(|error| io::Error::new(error.kind(), format!("no thread for the name lookup: {error}")))
    }

    /// Returns what the next lookup to end finds, whoever started it.
    fn wait_for_lookup(
        &self,
        hosts: MutexGuard<'_, Vec<Host>>,
        place: usize,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let ended = hosts[place].lookups_ended;
        let is_under_way = |hosts: &mut Vec<Host>| hosts[place].lookups_ended == ended;
        let waiting = self.shared.lookup_ended.wait_timeout_while(hosts, *timeout.after, is_under_way);
        let (hosts, waited) = waiting.unwrap_or_else(PoisonError::into_inner);
        let host = &hosts[place];
        match (&host.failure, &host.found) {
            _ if waited.timed_out() => Err(Error::Timeout(Timeout::Resolve)),
            (Some((kind, text)), _) => Err(io::Error::new(*kind, text.clone()).into()),
            (None, Some(found)) => Ok(found.addresses.clone()),
            // Another call has just forgotten them.
            (None, None) => Err(Error::ConnectionFailed),
        }
    }
}

impl Resolver for CachingResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let addresses = self.addresses(uri, timeout).map_err(NotSent::mark)?;
        if addresses.is_empty() { Err(NotSent::mark(Error::HostNotFound)) } else { Ok(addresses) }
    }
}

impl Shared {
    fn hosts(&self) -> MutexGuard<'_, Vec<Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn fresh(&self) -> Option<ResolvedSocketAddrs> {
        let found = self.found.as_ref()?;
        let is_fresh = found.looked_up.is_none_or(|looked_up| looked_up.elapsed() < MAX_ADDRESS_AGE);
        is_fresh.then(|| found.addresses.clone())
    }
}

fn place_of(hosts: &mut Vec<Host>, scheme: &Scheme, authority: &Authority) -> usize {
    let is_it = |host: &Host| host.scheme == *scheme && host.authority == *authority;
    hosts.iter().position(is_it).unwrap_or_else(|| {
        hosts.push(Host {
            scheme: scheme.clone(),
            authority: authority.clone(),
            found: None,
            failure: None,
            lookups_under_way: 0,
            lookups_ended: 0,
        });
        hosts.len() - 1
    })
}

fn resolved(addresses: impl IntoIterator<Item = SocketAddr>) -> ResolvedSocketAddrs {
    let mut resolved = DefaultResolver::default().empty();
    addresses.into_iter().take(MAX_ADDRESSES).for_each(|address| resolved.push(address));
    resolved
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[expect(
        clippy::field_reassign_with_default,
        reason = "structs of `ureq::unversioned` are not constructed"
    )]
    fn resolve(resolver: &CachingResolver, url: &'static str, millis: u64) -> Result<Vec<SocketAddr>, Error> {
        let mut timeout = NextTimeout::default();
        timeout.after = Duration::from_millis(millis).into();
        let addresses = resolver.resolve(&Uri::from_static(url), &Config::default(), timeout)?;
        Ok(addresses.to_vec())
    }

    #[test]
    fn addresses_are_looked_up_once_until_they_are_forgotten() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = CachingResolver::with_lookup(|name| {
            assert_eq!(name, "handinger.test:443");
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![address(1), address(2)])
        });
        let started = Instant::now();
        for _ in 0..3 {
            let addresses = resolve(&resolver, "https://handinger.test", 10_000).unwrap();
            assert_eq!(addresses, [address(1), address(2)]);
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        assert!(!resolver.forget_before(started), "they were found after that");
        assert!(resolver.forget_before(Instant::now()));
        assert!(!resolver.forget_before(Instant::now()), "they are forgotten already");
        resolve(&resolver, "https://handinger.test", 10_000).unwrap();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn addresses_older_than_a_minute_are_looked_up_again() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = CachingResolver::with_lookup(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![address(1)])
        });
        resolve(&resolver, "https://handinger.test", 10_000).unwrap();
        let age = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        for (looked_up, lookups) in [(age(59), 1), (age(60), 2)] {
            let Some(looked_up) = looked_up else { return }; // the machine has just started
            resolver.shared.hosts()[0].found.as_mut().unwrap().looked_up = Some(looked_up);
            resolve(&resolver, "https://handinger.test", 10_000).unwrap();
            assert_eq!(LOOKUPS.load(Ordering::SeqCst), lookups);
        }
    }

    #[test]
    fn hosts_are_kept_apart() {
        let resolver = CachingResolver::with_lookup(|name| {
            Ok(vec![address(name.rsplit(':').next().unwrap().parse().unwrap())])
        });
        for (url, port) in [
            ("https://handinger.test", 443),
            ("http://handinger.test", 80),
            ("https://handinger.test:8443", 8443),
            ("https://handinger.test", 443),
        ] {
            assert_eq!(resolve(&resolver, url, 10_000).unwrap(), [address(port)], "{url}");
        }
    }

    #[test]
    fn an_address_is_not_looked_up_and_never_forgotten() {
        let resolver = CachingResolver::with_lookup(|name| panic!("{name} was looked up"));
        for url in ["http://127.0.0.1:8080", "http://127.0.0.1:8080"] {
            assert_eq!(resolve(&resolver, url, 0).unwrap(), [address(8080)]);
            assert!(!resolver.forget_before(Instant::now()));
        }
        assert_eq!(resolve(&resolver, "https://[::1]", 0).unwrap(), ["[::1]:443".parse().unwrap()]);
    }

    #[test]
    fn a_lookup_that_fails_or_finds_nothing_is_an_error_and_is_not_kept() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = CachingResolver::with_lookup(|_| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("no such host")),
            1 => Ok(Vec::new()),
            _ => Ok(vec![address(1)]),
        });
        let error = NotSent::unmark(resolve(&resolver, "https://handinger.test", 10_000).unwrap_err());
        assert!(matches!(error, Error::Io(error) if error.to_string() == "no such host"));
        let error = NotSent::unmark(resolve(&resolver, "https://handinger.test", 10_000).unwrap_err());
        assert!(matches!(error, Error::HostNotFound));
        assert!(resolver.forget_before(Instant::now()));
        assert!(resolve(&resolver, "https://handinger.test", 10_000).is_ok());
    }

    #[test]
    fn more_addresses_than_ureq_can_hold_are_left_out() {
        let resolver = CachingResolver::with_lookup(|_| Ok((1..=20).map(address).collect()));
        assert_eq!(resolve(&resolver, "https://handinger.test", 10_000).unwrap().len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_name_server_that_does_not_respond_costs_a_bounded_number_of_threads() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: Mutex<()> = Mutex::new(());
        let unresponsive = RESPONDS.lock().unwrap();
        let resolver = CachingResolver::with_lookup(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(RESPONDS.lock());
            Ok(vec![address(1)])
        });
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let error = resolve(&resolver, "https://handinger.test", 50).unwrap_err();
                    assert!(matches!(NotSent::unmark(error), Error::Timeout(Timeout::Resolve)));
                });
            }
        });
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), MAX_LOOKUPS);
        let waiting = thread::scope(|scope| {
            let waiting = scope.spawn(|| resolve(&resolver, "https://handinger.test", 10_000));
            drop(unresponsive);
            waiting.join().unwrap()
        });
        assert_eq!(waiting.unwrap(), [address(1)], "an earlier lookup serves a later call");
    }
}
