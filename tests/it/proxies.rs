//! Calls through a proxy, which the caller's agent or the environment sets. Names under `.test` do not exist
//! (RFC 6761 §6.2): a client that looked them up would fail.

use std::env;
use std::error::Error as _;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use handinger::HandingerClient;
use ureq::{Agent, Proxy};

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
