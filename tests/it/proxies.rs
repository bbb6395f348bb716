//! Calls through a proxy, which the caller's agent or the environment sets. Names under `.test` do not exist
//! (RFC 6761 §6.2): a client that looked them up would fail.

use std::env;
use std::error::Error as _;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use handinger::HandingerClient;
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::support::{self, KEY, Server, WEBHOOK, rerun, response, unlistened};

/// A proxy that connects every client to one address, whatever name it asks for.
pub(crate) fn proxy_to(target: SocketAddr) -> Server {
    Server::start(move |_, client| {
        if client.request().is_none_or(|request| !request.starts_with("CONNECT ")) {
            return;
        }
        client.send("HTTP/1.1 200 Connected\r\n\r\n");
        let server = TcpStream::connect(target).unwrap();
        let (from_client, to_server) = (client.stream.try_clone().unwrap(), server.try_clone().unwrap());
        let upstream = thread::spawn(move || pipe(from_client, to_server));
        pipe(server, client.stream.try_clone().unwrap());
        let _ = upstream.join();
    })
}

fn pipe(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn target() -> Server {
    Server::responding([response(200, WEBHOOK)])
}

fn client_with(agent: Agent) -> HandingerClient {
    support::builder("http://handinger.test").allow_insecure_http(true).agent(agent).build().unwrap()
}

fn agent(proxy: &str) -> Agent {
    Agent::config_builder().proxy(Some(Proxy::new(proxy).unwrap())).build().new_agent()
}

#[test]
fn a_proxy_set_on_the_agent_is_used_with_its_credentials() {
    let target = target();
    let proxy = proxy_to(target.address());
    let agent = agent(&format!("http://user:s3cret@{}", proxy.address()));
    let client = client_with(agent);
    client.retrieve_webhook("wrk_1").unwrap();
    client.retrieve_webhook("wrk_1").unwrap();
    client.regenerate_token("wrk_1").unwrap();
    assert_eq!(target.requests().len(), 3);
    assert!(target.requests()[0].contains("\r\nhost: handinger.test\r\n"), "{:?}", target.requests());

    let requests = proxy.requests();
    assert_eq!(requests.len(), 2, "one connection to retrieve, and a fresh one to regenerate");
    for request in requests {
        assert!(request.starts_with("CONNECT handinger.test:80 HTTP/1.1\r\n"), "{request}");
        // The base64 of user:s3cret.
        assert!(request.contains("\r\nProxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n"), "{request}");
        assert!(!request.contains(KEY), "{request}");
    }
}

const BASE_URL: &str = "HANDINGER_TEST_BASE_URL";
const CONNECT_TIMEOUT: &str = "HANDINGER_TEST_CONNECT_TIMEOUT";

/// Runs in the child process of [`outcome`].
#[test]
fn child() {
    let Ok(base_url) = env::var(BASE_URL) else { return };
    let millis = env::var(CONNECT_TIMEOUT).map_or(5000, |millis| millis.parse().unwrap());
    let builder = support::builder(base_url).allow_insecure_http(true);
    match builder.connect_timeout(Duration::from_millis(millis)).build() {
        Ok(client) => eprintln!("{}", regenerate(&client)),
        Err(error) => eprintln!("{error}"),
    }
}

/// The outcome of a regenerate in a process with these variables in its environment.
fn outcome(base_url: &str, variables: &[(&str, &str)]) -> String {
    let variables = [variables, &[(BASE_URL, base_url)]].concat();
    rerun("proxies::child", &variables).trim_end().to_owned()
}

/// The outcome of a regenerate: the error's kind, predicates, `Display` and `source()`.
fn regenerate(client: &HandingerClient) -> String {
    let Err(error) = client.regenerate_token("wrk_1") else { return "done".into() };
    let debug = format!("{error:?}");
    assert!(!debug.contains("s3cret") && !debug.contains(KEY), "{debug}");
    let source = error.source().unwrap();
    let io = source.downcast_ref::<io::Error>().map_or(String::new(), |io| format!(" {:?}", io.kind()));
    format!("{:?}{io}, applied: {}: {error}: {source}", error.kind(), error.may_have_been_applied())
}

#[test]
fn a_proxy_in_the_environment_is_used_with_its_credentials() {
    for variable in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "http_proxy"] {
        let target = target();
        let proxy = proxy_to(target.address());
        // Unlike the target's name, the proxy's is looked up.
        let url = format!("http://user:s3cret@localhost:{}", proxy.address().port());
        assert_eq!(outcome("http://handinger.test", &[(variable, &url)]), "done");
        let [request] = &*proxy.requests() else { panic!("one connection") };
        assert!(request.starts_with("CONNECT handinger.test:80 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nProxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n"), "{request}");
        assert_eq!(target.requests().len(), 1);
    }
}

/// Linux connects 0.0.0.0, which is not a loopback address, to the loopback interface; Windows does not.
#[cfg(target_os = "linux")]
#[test]
fn hosts_in_no_proxy_are_reached_directly() {
    for (no_proxy, proxied) in [("0.0.0.0,example.com", 0), ("*", 0), ("example.com", 1)] {
        let target = target();
        let proxy = proxy_to(target.address());
        let base_url = target.base_url().replace("127.0.0.1", "0.0.0.0");
        let variables = [("ALL_PROXY", &*proxy.base_url()), ("NO_PROXY", no_proxy)];
        assert_eq!(outcome(&base_url, &variables), "done");
        assert_eq!((proxy.requests().len(), target.requests().len()), (proxied, 1), "{no_proxy}");
    }
}

#[test]
fn loopback_hosts_are_reached_without_the_proxy_in_the_environment() {
    let target = target();
    let proxy = proxy_to(target.address());
    for base_url in [target.base_url(), target.base_url().replace("127.0.0.1", "localhost")] {
        assert_eq!(outcome(&base_url, &[("ALL_PROXY", &proxy.base_url())]), "done");
    }
    assert_eq!((proxy.connections(), target.requests().len()), (0, 2));
}

#[test]
fn a_proxy_that_rejects_the_request_is_a_connect_error() {
    for status in [403, 407, 502] {
        let proxy = Server::responding([response(status, format!("s3cret {KEY}"))]);
        let url = format!("http://user:s3cret@{}", proxy.address());
        let expected = format!(
            "Connect, applied: false: regenerate token of worker wrk_1: \
             could not connect to handinger.test (3 attempts): CONNECT proxy failed: proxy server responded {status}/{status}"
        );
        assert_eq!(regenerate(&client_with(agent(&url))), expected);
        assert_eq!(outcome("http://handinger.test", &[("ALL_PROXY", &url)]), expected);
        assert_eq!(proxy.connections(), 6);
    }
}

#[test]
fn a_proxy_that_refuses_connections_is_a_connect_error() {
    let (_socket, address) = unlistened();
    let url = format!("http://user:s3cret@{address}");
    let expected = "Connect ConnectionRefused, applied: false: \
                    regenerate token of worker wrk_1: could not connect to handinger.test (3 attempts): ";
    for outcome in
        [regenerate(&client_with(agent(&url))), outcome("http://handinger.test", &[("ALL_PROXY", &url)])]
    {
        assert!(outcome.starts_with(expected), "{outcome}");
    }
}

#[test]
fn the_connect_timeout_bounds_the_tunnel_and_not_the_response_through_it() {
    let target = Server::start(|_, connection| {
        connection.request();
        thread::sleep(Duration::from_millis(400));
        connection.send(response(200, WEBHOOK));
    });
    let proxy = proxy_to(target.address());
    let url = format!("http://{}", proxy.address());
    let variables = [("ALL_PROXY", &*url), (CONNECT_TIMEOUT, "250")];
    assert_eq!(outcome("http://handinger.test", &variables), "done");
}

#[test]
fn an_endless_response_of_a_proxy_ends_in_time() {
    for drips in [true, false] {
        let proxy = Server::start(move |_, connection| {
            connection.request();
            connection.send("HTTP/1.1 200 Connected\r\nX-Slow: ");
            for _ in 0..400 {
                thread::sleep(Duration::from_millis(10));
                if !drips || connection.stream.write_all(b"x").is_err() {
                    break;
                }
            }
            if drips {
                // A client without a bound would get a connection, and another outcome.
                connection.send("\r\n\r\n");
            }
            connection.request();
        });
        let variables = [("ALL_PROXY", &*proxy.base_url()), (CONNECT_TIMEOUT, "100")];
        assert_eq!(
            outcome("http://handinger.test", &variables),
            "Timeout, applied: false: regenerate token of worker wrk_1: \
             no connection to handinger.test within 100ms (3 attempts): timeout: connect"
        );
    }
}

#[test]
fn an_unsupported_proxy_in_the_environment_is_not_ignored() {
    let rejected = "build client: a SOCKS proxy needs the cargo feature `socks-proxy` of handinger";
    for (no_proxy, is_rejected) in [("", cfg!(not(feature = "socks-proxy"))), ("handinger.test", false)] {
        let variables = [("ALL_PROXY", "socks5://127.0.0.1:9"), ("NO_PROXY", no_proxy)];
        let outcome = outcome("http://handinger.test", &variables);
        assert_eq!(outcome.contains(rejected), is_rejected, "NO_PROXY={no_proxy}: {outcome}");
    }
}

#[test]
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn an_https_proxy_is_rejected_in_a_build_without_tls() {
    let outcome = outcome("http://handinger.test", &[("ALL_PROXY", "https://127.0.0.1:9")]);
    assert!(outcome.contains("an https proxy needs the cargo feature `rustls` of handinger"), "{outcome}");
}

/// What `build()` says of an `http` base URL whose requests would go through a caller's proxy.
const UNENCRYPTED: &str = "build client: \
    the agent's proxy would receive the key unencrypted; use https, or allow_insecure_http(true)";

/// Every protocol that this build can speak with a proxy.
fn protocols() -> Vec<ProxyProtocol> {
    let mut protocols = vec![ProxyProtocol::Http];
    if cfg!(any(feature = "rustls", feature = "native-tls")) {
        protocols.push(ProxyProtocol::Https);
    }
    if cfg!(feature = "socks-proxy") {
        use ProxyProtocol::{Socks4, Socks4A, Socks5, Socks5h};
        protocols.extend([Socks4, Socks4A, Socks5, Socks5h]);
    }
    protocols
}

fn agent_with(proxy: Proxy) -> Agent {
    Agent::config_builder().proxy(Some(proxy)).build().new_agent()
}

/// Proxies at this address, set in each way there is. They are for all hosts but `direct.test`.
fn proxies(address: SocketAddr) -> Vec<(String, Proxy)> {
    let mut proxies = vec![("without a scheme".to_owned(), Proxy::new(&address.to_string()).unwrap())];
    for protocol in protocols() {
        let url = format!("{}://{address}", format!("{protocol:?}").to_lowercase());
        for url in [url.clone(), url.replace("://", "://user:s3cret@")] {
            proxies.push((url.clone(), Proxy::new(&url).unwrap()));
        }
        let builder = || Proxy::builder(protocol).host("127.0.0.1").port(address.port());
        for resolve_target in [true, false] {
            let proxy = builder().no_proxy("direct.test").resolve_target(resolve_target).build().unwrap();
            proxies.push((format!("{protocol:?}, resolves here: {resolve_target}"), proxy));
        }
    }
    proxies
}

#[test]
fn no_proxy_of_an_agent_receives_the_key_unencrypted() {
    let proxy = Server::responding([response(200, WEBHOOK)]);
    for (what, settings) in proxies(proxy.address()) {
        for host in ["127.0.0.1:1", "localhost", "[::1]:1", "localhost:8080/prefix"] {
            let builder = support::builder(format!("http://{host}")).agent(agent_with(settings.clone()));
            let error = builder.build().expect_err(&what);
            assert_eq!(error.to_string(), UNENCRYPTED, "{what}: {host}");
        }
        // For other hosts, the base URL is rejected already.
        for host in ["example.test", "localhost.test", "10.0.0.1", "127.0.0.1.test"] {
            let builder = support::builder(format!("http://{host}")).agent(agent_with(settings.clone()));
            let error = builder.build().expect_err(&what).to_string();
            let expected = format!("the base URL would send the key unencrypted to {host};");
            assert!(error.contains(&expected), "{what}: {error}");
        }
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_proxy_of_an_agent_is_used_unencrypted_only_if_that_is_allowed() {
    let target = target();
    let proxy = proxy_to(target.address());
    for host in ["127.0.0.1:1", "handinger.test"] {
        let builder = support::builder(format!("http://{host}")).agent(agent(&proxy.base_url()));
        builder.allow_insecure_http(true).build().unwrap().retrieve_webhook("wrk_1").unwrap();
    }
    assert_eq!((proxy.requests().len(), target.requests().len()), (2, 2));
}

#[test]
fn a_loopback_host_that_an_agent_reaches_without_its_proxy_is_accepted() {
    let (target, proxy) = (target(), Server::responding([response(502, "")]));
    for (no_proxy, host, is_direct) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("*", "127.0.0.1", true),
        ("*", "localhost", true),
        ("localhost", "localhost", true),
        ("localhost", "127.0.0.1", false),
        ("127.0.0.2", "127.0.0.1", false),
        (".test", "localhost", false),
    ] {
        let settings = Proxy::builder(ProxyProtocol::Http).host("127.0.0.1").port(proxy.address().port());
        let agent = agent_with(settings.no_proxy(no_proxy).build().unwrap());
        let base_url = target.base_url().replace("127.0.0.1", host);
        let before = target.requests().len();
        match support::builder(base_url).agent(agent).build() {
            Ok(client) => drop(client.retrieve_webhook("wrk_1").unwrap()),
            Err(error) => assert_eq!(error.to_string(), UNENCRYPTED),
        }
        assert_eq!(target.requests().len() > before, is_direct, "{no_proxy}: {host}");
    }
    assert_eq!(proxy.connections(), 0);
}

const CALLERS_AGENT: &str = "HANDINGER_TEST_CALLERS_AGENT";

/// Runs in the child processes of the test below: a client with a default agent of ureq, whose proxy is the environment's.
#[test]
fn child_with_an_agent() {
    let Ok(base_url) = env::var(CALLERS_AGENT) else { return };
    match support::builder(base_url).agent(Agent::new_with_defaults()).build() {
        Ok(client) => eprintln!("{}", regenerate(&client)),
        Err(error) => eprintln!("{error}"),
    }
}

#[test]
fn a_proxy_in_the_environment_of_a_default_agent_does_not_receive_the_key_unencrypted() {
    let (target, proxy) = (target(), Server::responding([response(200, WEBHOOK)]));
    let run = |variables: &[(&str, &str)]| {
        let base_url = target.base_url();
        let variables = [variables, &[(CALLERS_AGENT, &*base_url)]].concat();
        rerun("proxies::child_with_an_agent", &variables).trim_end().to_owned()
    };
    let address = proxy.address().to_string();
    let mut urls = vec![address.clone(), format!("http://user:s3cret@{address}")];
    urls.extend(protocols().iter().map(|protocol| format!("{protocol:?}://{address}").to_lowercase()));
    for url in &urls {
        for variable in ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            // Not each variable with each URL: each case is a process.
            if variable == "HTTP_PROXY" || *url == urls[0] {
                assert_eq!(run(&[(variable, url)]), UNENCRYPTED, "{variable}={url}");
            }
        }
    }
    assert_eq!(run(&[("HTTP_PROXY", &address), ("NO_PROXY", "example.test")]), UNENCRYPTED);
    assert_eq!((proxy.connections(), target.requests().len()), (0, 0));

    assert_eq!(run(&[("HTTP_PROXY", &address), ("NO_PROXY", "127.0.0.1")]), "done");
    assert_eq!(run(&[]), "done");
    assert_eq!((proxy.connections(), target.requests().len()), (0, 2));
}
