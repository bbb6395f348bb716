//! Calls through a proxy, which the configuration or the environment sets. Names under `.test` do not exist
//! (RFC 6761 §6.2): a client that looked them up would fail.

use std::env;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use handinger::{ErrorKind, HandingerClient, HandingerClientBuilder};
use ureq::Proxy;

use crate::support::{KEY, Server, WEBHOOK, builder, rerun, response, unlistened};

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

fn through(proxy: &str) -> HandingerClientBuilder {
    let proxy = Proxy::new(proxy).unwrap();
    builder("http://handinger.test")
        .allow_insecure_http(true)
        .ureq_config(move |config| config.proxy(Some(proxy)))
}

fn regenerate_error(client: &HandingerClient) -> handinger::Error {
    let error = client.regenerate_token("wrk_1").unwrap_err();
    assert!(error.is_connect() && !error.may_have_been_applied());
    let shown = format!("{error:#} {error:?}");
    assert!(!shown.contains("s3cret") && !shown.contains(KEY), "{shown}");
    error
}

const BASE_URL: &str = "HANDINGER_TEST_BASE_URL";

/// Runs in the child process of [`outcome`].
#[test]
fn child() {
    let Ok(base_url) = env::var(BASE_URL) else { return };
    let client = builder(base_url).allow_insecure_http(true).build();
    match client.and_then(|client| client.retrieve_webhook("wrk_1")) {
        Ok(_) => eprintln!("done"),
        Err(error) => eprintln!("{error}"),
    }
}

/// The outcome of a retrieve in a process with these variables in its environment.
fn outcome(base_url: &str, variables: &[(&str, &str)]) -> String {
    let variables = [variables, &[(BASE_URL, base_url)]].concat();
    rerun("proxies::child", &variables).trim_end().to_owned()
}

#[test]
fn proxy_of_the_environment_receives_credentials_and_no_key() {
    let target = target();
    let proxy = proxy_to(target.address());
    // Unlike the target's name, the proxy's is looked up.
    let url = format!("CORP\\us%65r:p%40s3cret%2F%25%C3%A9@localhost:{} \r", proxy.address().port());
    assert_eq!(outcome("http://handinger.test", &[("HTTP_PROXY", &url)]), "done");
    let [request] = &*proxy.requests() else { panic!("one connection") };
    assert!(request.starts_with("CONNECT handinger.test:80 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nUser-Agent: handinger-rust/"), "{request}");
    // The base64 of `CORP\user:p@s3cret/%é`.
    assert!(
        request.contains("\r\nProxy-Authorization: Basic Q09SUFx1c2VyOnBAczNjcmV0LyXDqQ==\r\n"),
        "{request}"
    );
    assert!(!request.contains(KEY), "{request}");
    assert!(target.requests()[0].contains("\r\nhost: handinger.test\r\n"), "{:?}", target.requests());
}

#[test]
fn unusable_proxy_of_the_environment_is_an_error_that_names_the_variable() {
    for url in ["ftp://s3cret@proxy.test", "http://user:s3cret@proxy.test:0"] {
        let outcome = outcome("http://handinger.test", &[("all_proxy", url)]);
        assert!(outcome.starts_with("build client: all_proxy ") && !outcome.contains("s3cret"), "{outcome}");
    }
}

#[test]
fn proxy_by_socks_or_tls_needs_a_feature() {
    let no_socks = "build client: a SOCKS proxy needs the cargo feature `socks-proxy` of handinger";
    let no_tls = "build client: https needs the cargo feature `rustls` or `native-tls` of handinger";
    for (proxy, no_proxy, problem, is_rejected) in [
        ("socks5://127.0.0.1:9", "", no_socks, cfg!(not(feature = "socks-proxy"))),
        ("socks5://127.0.0.1:9", "handinger.test", no_socks, false),
        ("https://127.0.0.1:9", "", no_tls, cfg!(not(any(feature = "rustls", feature = "native-tls")))),
    ] {
        let variables = [("ALL_PROXY", proxy), ("NO_PROXY", no_proxy)];
        let outcome = outcome("http://handinger.test", &variables);
        assert_eq!(outcome == problem, is_rejected, "{proxy}, NO_PROXY={no_proxy}: {outcome}");
    }
}

#[test]
fn loopback_hosts_are_never_reached_through_a_proxy() {
    let (target, proxy) = (target(), Server::responding([response(200, WEBHOOK)]));
    for host in ["127.0.0.1", "localhost"] {
        let base_url = target.base_url().replace("127.0.0.1", host);
        assert_eq!(outcome(&base_url, &[("ALL_PROXY", &proxy.base_url())]), "done");
        let client = through(&proxy.base_url()).base_url(base_url).build().unwrap();
        client.retrieve_webhook("wrk_1").unwrap();
    }
    assert_eq!((proxy.connections(), target.requests().len()), (0, 4));
}

#[test]
fn regenerate_opens_a_tunnel_of_its_own() {
    let target = target();
    let proxy = proxy_to(target.address());
    let client = through(&proxy.base_url()).build().unwrap();
    client.retrieve_webhook("wrk_1").unwrap();
    client.delete_webhook("wrk_1").unwrap();
    assert_eq!(proxy.connections(), 1);
    client.regenerate_token("wrk_1").unwrap();
    assert_eq!((proxy.connections(), target.requests().len()), (2, 3));
}

#[test]
fn login_that_a_proxy_rejects_is_sent_once() {
    for (status, attempts) in [(401, 1), (403, 1), (407, 1), (502, 3), (503, 3)] {
        let proxy = Server::responding([response(status, format!("s3cret {KEY}"))]);
        let client = through(&format!("user:s3cret@{}", proxy.address())).build().unwrap();
        let error = regenerate_error(&client);
        let address = proxy.address();
        let attempts_shown = if attempts == 1 { "" } else { " (3 attempts)" };
        assert_eq!(
            error.to_string(),
            format!(
                "regenerate token of worker wrk_1: could not connect to handinger.test through the proxy \
                 {address}, which returned {status}{attempts_shown}"
            )
        );
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Connect, attempts > 1));
        assert_eq!((error.attempts(), proxy.connections()), (attempts, attempts as usize));
        let mut follow = client.follow("wrk_1");
        follow.poll().unwrap_err();
        assert_eq!(follow.is_over(), attempts == 1, "{error}");
    }
}

#[cfg(feature = "socks-proxy")]
#[test]
fn password_that_a_socks_proxy_rejects_is_sent_once() {
    let proxy = Server::start(|_, connection| {
        use std::io::Read;

        connection.stream.read_exact(&mut [0; 4]).unwrap(); // version 5, two methods
        connection.send([5, 2]); // user and password
        connection.stream.read_exact(&mut [0; 13]).unwrap(); // version 1, "user", "s3cret"
        connection.send([1, 1]); // rejected
    });
    let error =
        regenerate_error(&through(&format!("socks5h://user:s3cret@{}", proxy.address())).build().unwrap());
    assert_eq!(
        format!("{error:#}"),
        format!(
            "regenerate token of worker wrk_1: could not connect to handinger.test through the proxy {}: \
             password authentication failed",
            proxy.address()
        )
    );
    assert_eq!((proxy.connections(), error.is_transient()), (1, false));
}

#[test]
fn dead_proxy_is_named() {
    let (_socket, address) = unlistened();
    // The lookup of this name sends nothing, because no label may be longer than 63 bytes.
    let no_name = format!("{}.test:80", "x".repeat(64));
    for (proxy, expected) in [
        (address.to_string(), format!("could not connect to the proxy {address} (3 attempts): ")),
        (no_name.clone(), format!("could not look up the proxy {no_name} (3 attempts): ")),
    ] {
        let error = regenerate_error(&through(&proxy).build().unwrap());
        let shown = format!("{error:#}");
        assert!(shown.starts_with(&format!("regenerate token of worker wrk_1: {expected}")), "{shown}");
    }
}

#[cfg(target_os = "linux")] // where 0.0.0.0 is this machine
#[test]
fn proxy_that_is_not_used_is_not_named() {
    let (_socket, address) = unlistened();
    let unused = Proxy::builder(ureq::ProxyProtocol::Http).no_proxy("0.0.0.0").build().unwrap();
    let client = builder(format!("http://0.0.0.0:{}", address.port())).allow_insecure_http(true);
    let client = client.ureq_config(|config| config.proxy(Some(unused))).build().unwrap();
    let expected = format!("could not connect to 0.0.0.0:{} (3 attempts)", address.port());
    assert!(regenerate_error(&client).to_string().ends_with(&expected));
}

#[test]
fn connect_timeout_limits_the_tunnel_and_not_the_response_through_it() {
    let target = Server::start(|_, connection| {
        connection.request();
        thread::sleep(Duration::from_millis(300));
        connection.send(response(200, WEBHOOK));
    });
    let connect_timeout = Duration::from_millis(150);
    let proxy = proxy_to(target.address());
    let client = through(&proxy.base_url()).connect_timeout(connect_timeout).build().unwrap();
    client.retrieve_webhook("wrk_1").unwrap();

    let silent = Server::start(|_, connection| connection.stay_silent());
    let client = through(&silent.base_url()).connect_timeout(connect_timeout).max_retries(0).build().unwrap();
    assert_eq!(
        regenerate_error(&client).to_string(),
        format!(
            "regenerate token of worker wrk_1: could not connect to handinger.test through the proxy {} \
             within 150ms",
            silent.address()
        )
    );
}
