//! Agents that a caller hands in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handinger::{ErrorKind, HandingerClient, UpdateWebhook};
use ureq::config::{ConfigBuilder, RedirectAuthHeaders};
use ureq::http::Uri;
use ureq::middleware::MiddlewareNext;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy, SendBody};

use crate::support::{ANY_BODY, CALLS, Server, WEBHOOK, builder, client, response, response_with};

type Config = ConfigBuilder<AgentScope>;
type Setting = fn(Config) -> Config;

/// Expires before any server can respond.
const SHORT: Option<Duration> = Some(Duration::from_nanos(1));

fn agent(set: impl Fn(Config) -> Config) -> Agent {
    // A proxy in the environment must not matter.
    set(Agent::config_builder().proxy(None)).build().new_agent()
}

fn client_with(agent: Agent, base_url: String) -> HandingerClient {
    builder(base_url).agent(agent).build().unwrap()
}

/// Agent settings that would change what a client does if they were not overridden.
const HOSTILE: [(&str, Setting); 16] = [
    ("statuses as errors", |config| config.http_status_as_error(true)),
    ("redirects", |config| config.max_redirects(10).max_redirects_will_error(true)),
    ("redirects with the key", |config| {
        config.max_redirects(10).redirect_auth_headers(RedirectAuthHeaders::SameHost)
    }),
    ("small headers", |config| config.max_response_header_size(16)),
    ("a user agent", |config| config.user_agent("evil/1.0")),
    ("no user agent", |config| config.user_agent("")),
    ("another accept", |config| config.accept("text/html")),
    ("no encodings", |config| config.accept_encoding("")),
    ("unknown encodings", |config| config.accept_encoding("br, zstd")),
    ("no timeout", |config| config.timeout_global(None).timeout_connect(None)),
    ("timeouts of the attempt", |config| config.timeout_global(SHORT).timeout_per_call(SHORT)),
    ("timeouts to the request", |config| {
        config.timeout_resolve(SHORT).timeout_connect(SHORT).timeout_send_request(SHORT)
    }),
    ("timeouts after the request", |config| {
        config.timeout_send_body(SHORT).timeout_recv_response(SHORT).timeout_recv_body(SHORT)
    }),
    ("timeouts of I/O", |config| config.timeout_per_read(SHORT).timeout_per_write(SHORT)),
    ("no pool", |config| config.max_idle_connections(0).max_idle_connections_per_host(0)),
    ("small buffers", |config| config.input_buffer_size(64 * 1024 + 1).output_buffer_size(16 * 1024)),
];

#[test]
fn no_agent_setting_changes_the_requests() {
    for (what, hostile) in HOSTILE {
        for (name, call) in CALLS {
            let server = Server::start(|_, connection| {
                while connection.request().is_some() {
                    std::thread::sleep(Duration::from_millis(2));
                    connection.send(response(200, ANY_BODY));
                }
            });
            call(&client(server.base_url())).unwrap();
            let client = client_with(agent(hostile), server.base_url()).with_max_retries(0);
            call(&client).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
            let requests = server.requests();
            assert_eq!(requests.len(), 2);
            assert_eq!(requests[0], requests[1], "{what}");
        }
    }
}

#[test]
fn no_agent_setting_changes_the_errors() {
    let elsewhere = Server::responding([response(200, ANY_BODY)]);
    for (what, hostile) in HOSTILE {
        let not_found = response_with(404, &[("X-Request-Id", "req_1")], r#"{"error": "no such worker"}"#);
        let redirect = response_with(302, &[("Location", &elsewhere.base_url())], "");
        let failure = response(500, "");
        let server =
            Server::responding([&not_found, &redirect, &failure, &response(200, WEBHOOK)].map(Vec::clone));
        let client = client_with(agent(hostile), server.base_url());

        let error = client.retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(404)), "{what}: {error}");
        assert_eq!((error.message(), error.header("x-request-id")), (Some("no such worker"), Some("req_1")));
        let error = client.update_webhook("wrk_1", "https://example.com").unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Redirect, Some(302)), "{what}: {error}");
        let error = client.regenerate_token("wrk_1").unwrap_err();
        assert_eq!((error.status(), error.attempts()), (Some(500), 1), "{what}: {error}");
        client.delete_webhook("wrk_1").unwrap();
        assert_eq!(server.requests().len(), 4, "{what}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn the_longest_request_lines_fit_the_smallest_buffer_and_longer_ones_are_rejected() {
    let server = Server::responding([response(200, WEBHOOK)]);
    let build = |key: usize, header: usize, path: usize| {
        let base_url = format!("{}/{}", server.base_url(), "x".repeat(path));
        HandingerClient::builder("k".repeat(key))
            .base_url(base_url)
            .header("X-Long", "x".repeat(header))
            .agent(agent(|config| config.output_buffer_size(16 * 1024)))
            .build()
    };
    build(8000, 8000, 8000).unwrap().retrieve_webhook(&"/".repeat(1024)).unwrap();
    for (lengths, problem) in [
        ((8192, 1, 1), "the header authorization is over 8 KiB"),
        ((1, 8192, 1), "the header x-long is over 8 KiB"),
        ((1, 1, 8192), "the base URL is over 8 KiB"),
    ] {
        let error = build(lengths.0, lengths.1, lengths.2).unwrap_err();
        assert_eq!(error.to_string(), format!("build client: {problem}"));
    }
}

#[test]
fn no_agent_setting_limits_the_response_headers() {
    for (what, hostile) in HOSTILE {
        let padding = "x".repeat(60_000);
        let server = Server::responding([response_with(200, &[("X-Padding", &padding)], WEBHOOK)]);
        let result = client_with(agent(hostile), server.base_url()).retrieve_webhook("wrk_1");
        assert!(result.is_ok(), "{what}: {result:?}");
    }
}

#[test]
fn no_agent_setting_changes_the_timeout() {
    let server = Server::start(|_, connection| connection.stay_silent());
    for (what, hostile) in HOSTILE {
        let timeout = Duration::from_millis(50);
        let client = client_with(agent(hostile), server.base_url()).with_timeout(timeout).with_max_retries(0);
        let start = Instant::now();
        let error = client.retrieve_webhook("wrk_1").unwrap_err();
        assert!(start.elapsed() >= timeout && start.elapsed() < Duration::from_secs(8), "{what}: {error}");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{what}: {error}");
    }
}

/// The error of building a client with this agent, if it is rejected.
fn rejection(base_url: &str, agent: Agent) -> Option<(ErrorKind, String)> {
    let error = builder(base_url).agent(agent).build().err()?;
    Some((error.kind(), error.to_string()))
}

fn invalid(problem: &str) -> (ErrorKind, String) {
    (ErrorKind::InvalidInput, format!("build client: {problem}"))
}

#[test]
fn an_agent_that_cannot_send_our_requests_is_rejected() {
    let socks = || Some(Proxy::new("socks5://127.0.0.1:1080").unwrap());
    for (agent, problem) in [
        (agent(|config| config.https_only(true)), "the agent allows https only, and the base URL is http"),
        (
            agent(|config| config.input_buffer_size(64 * 1024)),
            "the agent's input buffer must be larger than 64 KiB",
        ),
        (
            agent(|config| config.output_buffer_size(16 * 1024 - 1)),
            "the agent's output buffer must be at least 16 KiB",
        ),
        #[cfg(not(feature = "socks-proxy"))]
        (
            agent(|config| config.proxy(socks())),
            "a SOCKS proxy needs the cargo feature `socks-proxy` of handinger",
        ),
    ] {
        assert_eq!(rejection("http://127.0.0.1:9", agent), Some(invalid(problem)));
    }
    if cfg!(feature = "socks-proxy") {
        assert_eq!(rejection("https://127.0.0.1:9", agent(|config| config.proxy(socks()))), None);
    }
}

#[test]
#[cfg(feature = "rustls")]
fn an_agent_with_tls_that_this_build_lacks_is_rejected_only_where_tls_is_used() {
    use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

    let tls = |tls: TlsConfig| agent(move |config| config.tls_config(tls.clone()));
    let native = || tls(TlsConfig::builder().provider(TlsProvider::NativeTls).build());
    let platform = || tls(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
    let https = "https://127.0.0.1:9";
    if cfg!(not(feature = "native-tls")) {
        let problem = "TLS by the system's library needs the cargo feature `native-tls` of handinger";
        assert_eq!(rejection(https, native()), Some(invalid(problem)));
    }
    if cfg!(not(feature = "platform-verifier")) {
        let problem = "trust in the system's root certificates needs the cargo feature `platform-verifier` of handinger";
        assert_eq!(rejection(https, platform()), Some(invalid(problem)));
    }
    assert_eq!(rejection("http://127.0.0.1:9", native()), None);
    assert_eq!(rejection("http://127.0.0.1:9", platform()), None);
}

// ureq's default is TLS by rustls.
#[test]
#[cfg(feature = "rustls")]
fn an_agent_for_https_only_is_accepted_with_an_https_base_url() {
    let agent = agent(|config| config.https_only(true));
    builder("https://handinger.com").agent(agent).build().unwrap();
}

#[test]
fn the_agents_middleware_sees_every_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = {
        let seen = Arc::clone(&seen);
        move |request: ureq::http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
            seen.fetch_add(1, Ordering::SeqCst);
            next.handle(request)
        }
    };
    let agent = Agent::config_builder().proxy(None).middleware(count).build().new_agent();
    let server = Server::responding([response(500, ""), response(200, ANY_BODY)]);
    let client = client_with(agent, server.base_url());
    for (_, call) in CALLS {
        call(&client).unwrap();
    }
    assert_eq!(seen.load(Ordering::SeqCst), 6, "five calls, and one retry");
}

#[derive(Debug)]
struct EverythingIs(std::net::SocketAddr);

impl Resolver for EverythingIs {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addrs = self.empty();
        addrs.push(self.0);
        Ok(addrs)
    }
}

#[test]
fn the_agents_resolver_is_used() {
    let server = Server::responding([response(200, ANY_BODY)]);
    let config = Agent::config_builder().proxy(None).build();
    let agent = Agent::with_parts(config, DefaultConnector::default(), EverythingIs(server.address()));
    let client = builder("http://handinger.invalid").allow_insecure_http(true).agent(agent).build().unwrap();
    for (_, call) in CALLS {
        call(&client).unwrap();
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.to_ascii_lowercase().contains("host: handinger.invalid"))
    );
}

#[test]
fn one_connection_serves_all_reads_and_clones_and_each_change_has_its_own() {
    let server = Server::responding([response(404, "{}"), response(200, WEBHOOK)]);
    let client = client(server.base_url());
    client.retrieve_webhook("wrk_1").unwrap_err();
    for _ in 0..5 {
        client.with_max_retries(0).retrieve_webhook("wrk_1").unwrap();
        client.update_webhook("wrk_1", UpdateWebhook::clear()).unwrap();
        let other = client.clone();
        std::thread::spawn(move || other.delete_webhook("wrk_1").unwrap()).join().unwrap();
    }
    // One at first, and one for each of the five updates and deletes; the next read uses the last one.
    assert_eq!((server.requests().len(), server.connections()), (16, 11));
}

#[test]
fn two_clients_share_the_connections_of_one_agent() {
    let server = Server::responding([response(200, WEBHOOK)]);
    let agent = agent(|config| config);
    for _ in 0..3 {
        client_with(agent.clone(), server.base_url()).retrieve_webhook("wrk_1").unwrap();
    }
    assert_eq!(server.connections(), 1);
}
