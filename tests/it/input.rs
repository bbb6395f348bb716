//! What is rejected before any I/O, and what is encoded.

use std::time::Duration;

use handinger::{Error, ErrorKind, HandingerClient, HandingerClientBuilder, UpdateWebhook};

use crate::support::{ANY_BODY, Server, builder, client, response};

const NO_BASE: &str = "the base URL must begin with https://, or http:// for a loopback host";

fn server() -> Server {
    Server::responding([response(200, ANY_BODY)])
}

/// Asserts that this is the error of a rejected input, and that it has no other details than its `Display`.
fn assert_rejected(error: &Error, display: &str) {
    assert_eq!(error.to_string(), display);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{display}");
    assert_eq!((error.attempts(), error.status(), error.message()), (0, None, None), "{display}");
    assert!(error.body().is_empty() && error.header("date").is_none() && error.retry_after().is_none());
    assert!(!error.may_have_been_applied(), "{display}");
    assert!(std::error::Error::source(error).is_none(), "{display}");
}

fn assert_not_built(builder: HandingerClientBuilder, problem: &str) -> Error {
    let error = builder.build().expect_err(problem);
    assert_rejected(&error, &format!("build client: {problem}"));
    error
}

#[test]
fn every_call_rejects_a_worker_id_that_cannot_be_a_path_segment() {
    let server = server();
    let client = client(server.base_url());
    for (id, problem) in [
        ("", "the worker id must not be empty"),
        (".", "the worker id must not be `.`"),
        ("..", "the worker id must not be `..`"),
        (&"x".repeat(1025), "the worker id is over 1 KiB"),
        (&"é".repeat(513), "the worker id is over 1 KiB"),
    ] {
        let rejected = |action: &str, error: Option<Error>| {
            assert_rejected(&error.unwrap(), &format!("{action}: {problem}"));
        };
        rejected("retrieve webhook", client.retrieve_webhook(id).err());
        rejected("update webhook", client.update_webhook(id, "https://example.com/hook").err());
        rejected("update webhook", client.update_webhook(id, UpdateWebhook::clear()).err());
        rejected("delete webhook", client.delete_webhook(id).err());
        rejected("regenerate token", client.regenerate_token(id).err());
        rejected("list executions", client.list_executions(id, 1).err());
        rejected("list executions", client.execution_pages(id).next().unwrap().err());
        rejected("list executions", client.executions(id).next().unwrap().err());
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn any_other_worker_id_is_sent_as_one_path_segment() {
    let server = server();
    let client = client(server.base_url());
    let longest = "é".repeat(512);
    let ids = [
        ("wrk_1", "wrk_1"),
        ("AZaz09-._~", "AZaz09-._~"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b", "a%20b"),
        ("a+b&c=d;e:f@g", "a%2Bb%26c%3Dd%3Be%3Af%40g"),
        ("été", "%C3%A9t%C3%A9"),
        ("%2e%2e", "%252e%252e"),
        ("🦀", "%F0%9F%A6%80"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
        ("\0", "%00"),
        ("...", "..."),
        ("../x", "..%2Fx"),
        (&longest, &"%C3%A9".repeat(512)),
    ];
    for (id, _) in ids {
        client.retrieve_webhook(id).unwrap();
    }
    let lines: Vec<_> =
        server.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    let expected = ids.map(|(_, segment)| format!("GET /api/workers/{segment}/webhook HTTP/1.1"));
    assert_eq!(lines, expected);
}

#[test]
fn the_path_follows_the_base_urls_prefix_after_one_slash() {
    let server = server();
    for (end, path) in [
        ("", "/api"),
        ("/", "/api"),
        ("//", "/api"),
        ("/v1", "/v1/api"),
        ("/v1/", "/v1/api"),
        ("/a/b%20c/", "/a/b%20c/api"),
    ] {
        for space in ["", " ", "\n"] {
            client(format!("{space}{}{end}{space}", server.base_url())).regenerate_token("wrk_1").unwrap();
            let request = server.requests().pop().unwrap();
            let expected = format!("POST {path}/workers/wrk_1/webhook/regenerate-token HTTP/1.1\r\n");
            assert!(request.starts_with(&expected), "{end}: {request}");
        }
    }
}

#[test]
fn an_invalid_key_is_rejected_and_never_echoed() {
    let server = server();
    let control = "the API key has a control or non-ASCII character";
    for (key, problem) in [
        ("", "the API key is blank"),
        (" \t\r\n\u{a0}", "the API key is blank"),
        ("5ecr3t\n5ecr3t", control),
        ("5ecr3t\r\nX-Evil: 1", control),
        ("5ecr3t\t5ecr3t", control),
        ("5ecr3t\0", control),
        ("5ecr3t\u{7f}", control),
        ("5ecr3t\u{1b}[0m", control),
        ("5ecr3té", control),
        ("5ecr3t\u{200b}", control),
    ] {
        let error = assert_not_built(HandingerClient::builder(key).base_url(server.base_url()), problem);
        assert!(!format!("{error} {error:?}").contains("5ecr3t"), "{error:?}");
    }
    assert_rejected(&HandingerClient::new(" ").unwrap_err(), "build client: the API key is blank");
    assert_eq!(server.connections(), 0);
}

#[test]
fn white_space_around_a_key_is_trimmed() {
    let server = server();
    for key in [" key", "key\n", "\r\n\t key \u{a0}"] {
        let client = HandingerClient::builder(key).base_url(server.base_url()).build().unwrap();
        client.retrieve_webhook("wrk_1").unwrap();
        let request = server.requests().pop().unwrap();
        assert!(request.to_lowercase().contains("\r\nauthorization: bearer key\r\n"), "{request}");
    }
}

#[test]
fn an_invalid_header_is_rejected() {
    let server = server();
    let with = |name: &str, value: &str| builder(server.base_url()).header(name, value);

    for name in ["", " ", "a b", "x:", "é", "x\n", "(x)"] {
        assert_not_built(with(name, "1"), "a header's name is not valid");
    }
    for value in ["5ecr3t\n", "5ecr3t\r\nX-Evil: 1", "5ecr3t\0", "5ecr3t\u{7f}", "5ecr3té", "5ecr3t\t5ecr3t"]
    {
        let problem = "the value of the header x-team has a control or non-ASCII character";
        let error = assert_not_built(with("X-Team", value), problem);
        assert!(!format!("{error:?}").contains("5ecr3t"), "{error:?}");
        assert_not_built(
            builder(server.base_url()).user_agent(value),
            "the user agent has a control or non-ASCII character",
        );
    }
    for name in [
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Connection",
        "Content-Length",
        "CONTENT-TYPE",
        "expect",
        "Host",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "User-Agent",
    ] {
        let problem = format!("the header {} is set by the client itself", name.to_lowercase());
        assert_not_built(with(name, "1"), &problem);
    }
    let many =
        (0..40_000).fold(builder(server.base_url()), |builder, n| builder.header(format!("x-{n}"), "1"));
    assert_not_built(many, "there are too many headers");
    assert_eq!(server.connections(), 0);
}

#[test]
fn the_headers_are_bounded_one_by_one_and_in_sum() {
    let server = server();
    let with = |number: usize, length: usize| {
        (0..number).fold(builder(server.base_url()), |builder, n| {
            builder.header(format!("x-{n}"), "v".repeat(length))
        })
    };
    let too_many = "the headers are over 64 KiB in all";
    assert_not_built(with(9, 8000), too_many);
    assert_not_built(with(9, 8000).user_agent("short"), too_many);
    assert_not_built(with(600, 1000), too_many);
    assert_not_built(with(8, 8000).user_agent("u".repeat(8000)), too_many);
    assert_not_built(with(1, 8190), "the header x-0 is over 8 KiB");
    // One name several times is one header.
    let repeated = (0..100).fold(with(0, 0), |builder, _| builder.header("x-0", "v".repeat(8000)));
    for builder in [with(8, 8000), repeated] {
        builder.build().unwrap().retrieve_webhook("wrk_1").unwrap();
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_invalid_base_url_is_rejected() {
    let no_url = "the base URL is not a URL";
    let query = "the base URL must not carry a query or fragment";
    let user = "the base URL must not carry a user or password";
    let port = "the base URL's host or port is not valid";
    for (url, problem) in [
        ("", no_url),
        (" ", no_url),
        ("https://", no_url),
        ("https:///api", no_url),
        ("https://exa mple.com", no_url),
        ("https://[::1", no_url),
        ("handinger.com/api", no_url),
        ("handinger.com", NO_BASE),
        ("localhost:8080", NO_BASE),
        ("/api", NO_BASE),
        ("//handinger.com", NO_BASE),
        ("ftp://handinger.com", NO_BASE),
        ("ws://127.0.0.1", NO_BASE),
        ("https://handinger.com/\u{e9}", "the base URL must be ASCII; percent-encode what is not"),
        ("https://handinger.com/\u{80}", "the base URL must be ASCII; percent-encode what is not"),
        ("https://handinger.com?x=1", query),
        ("https://handinger.com/?", query),
        ("https://handinger.com/api?x=1", query),
        ("https://handinger.com/#x", query),
        ("https://handinger.com#", query),
        ("https://user:pass@handinger.com", user),
        ("https://user@handinger.com", user),
        ("http://127.0.0.1@handinger.com", user),
        ("https://handinger.com:99999", port),
        ("https://handinger.com:", port),
        ("https://:443", port),
        ("http://127.0.0.1:x", port),
    ] {
        let error = builder(url).build().expect_err(url);
        assert_rejected(&error, &format!("build client: {problem}"));
    }
}

#[test]
fn plain_http_needs_a_loopback_host_or_allow_insecure_http() {
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.8.9.10:80",
        "[::1]",
        "[::1]:8080",
        "[::ffff:127.0.0.1]",
    ] {
        let client = builder(format!("http://{host}/v1/")).build().unwrap();
        assert!(format!("{client:?}").contains(&format!("base_url: http://{host}/v1,")), "{client:?}");
    }
    for host in [
        "handinger.com",
        "localhost.example.com",
        "localhost.",
        "127.0.0.1.example.com",
        "0.0.0.0",
        "10.0.0.1:8080",
        "128.0.0.1",
        "[::]",
        "[::2]",
        "[::ffff:10.0.0.1]",
    ] {
        let problem = format!(
            "the base URL would send the key unencrypted to {host}; use https, or allow_insecure_http(true)"
        );
        let url = format!("http://{host}");
        assert_not_built(builder(&url), &problem);
        assert_not_built(builder(&url).allow_insecure_http(true).allow_insecure_http(false), &problem);
        assert!(builder(&url).allow_insecure_http(true).build().is_ok(), "{host}");
    }
    // What looks like a loopback address, and would be looked up or sent as it is.
    for host in [
        "127.1",
        "[127.0.0.1]",
        "[localhost]",
        "[::1%25lo]",
        "[::1]evil.example:18080",
        "127.0.0.1.",
        "127.0.0.1:+80",
        "2130706433",
    ] {
        let url = format!("http://{host}");
        assert_not_built(builder(&url), "the base URL's host or port is not valid");
    }
}

#[test]
fn https_is_accepted_for_any_host_in_a_build_with_tls() {
    for url in ["https://handinger.com", "HTTPS://10.0.0.1:8443/x/", "https://localhost", "https://[::1]:1"] {
        let result = builder(url).build();
        if cfg!(any(feature = "rustls", feature = "native-tls")) {
            assert!(result.is_ok(), "{url}");
        } else {
            let display = "build client: \
                an https base URL needs the cargo feature `rustls` or `native-tls` of handinger";
            assert_rejected(&result.unwrap_err(), display);
        }
    }
}

#[test]
fn pages_are_counted_from_one() {
    let server = server();
    let client = client(server.base_url());
    let display = "list executions: pages are counted from 1";
    assert_rejected(&client.list_executions("wrk_1", 0).unwrap_err(), display);
    assert_rejected(&client.execution_pages("wrk_1").starting_at(0).next().unwrap().unwrap_err(), display);
    assert_eq!(server.connections(), 0);

    client.list_executions("wrk_1", u64::MAX).unwrap();
    let line = "GET /api/workers/wrk_1/webhook/executions?page=18446744073709551615 HTTP/1.1\r\n";
    assert!(server.requests()[0].starts_with(line), "{:?}", server.requests());
}

#[test]
fn a_blank_url_does_not_clear_the_webhook() {
    let server = server();
    let display = "update webhook: the URL must not be blank; UpdateWebhook::clear() removes it";
    for url in ["", " ", "\t\r\n"] {
        assert_rejected(&client(server.base_url()).update_webhook("wrk_1", url).unwrap_err(), display);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_webhook_url_over_8_kib_is_rejected() {
    let server = server();
    let url = format!("https://example.com/{}", "x".repeat(8 * 1024 - 20 + 1));
    let error = client(server.base_url()).update_webhook("wrk_1", url).unwrap_err();
    assert_rejected(&error, "update webhook: the URL is over 8 KiB");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_timeout_of_zero_is_rejected() {
    let server = server();
    let zero = Duration::ZERO;
    let builder = || builder(server.base_url());
    assert_not_built(builder().timeout(zero), "the timeout must be more than zero");
    assert_not_built(builder().connect_timeout(zero), "the connect_timeout must be more than zero");
    assert_not_built(builder().total_timeout(zero), "the total_timeout must be more than zero");

    let client = client(server.base_url());
    for (client, name) in
        [(client.with_timeout(zero), "timeout"), (client.with_total_timeout(zero), "total_timeout")]
    {
        let display = format!("delete webhook: the {name} must be more than zero");
        assert_rejected(&client.delete_webhook("wrk_1").unwrap_err(), &display);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_client_and_its_iterators_open_no_connection_before_they_are_used() {
    let server = server();
    let client = client(server.base_url());
    let _iterators = (client.execution_pages("wrk_1"), client.executions("wrk_1"));
    assert_eq!(server.connections(), 0);
}
