//! What `build()` and the calls reject before any I/O, the environment included, and what they encode.
//!
//! A process cannot change its environment without `unsafe`, so each case runs [`child`] in a process of its own.

use std::env;
use std::ffi::OsStr;
use std::time::Duration;

use handinger::{Error, ErrorKind, HandingerClient, HandingerClientBuilder};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::support::{ANY_BODY, KEY, Server, builder, client, rerun, response};

fn server() -> Server {
    Server::responding([response(200, ANY_BODY)])
}

/// Asserts that this is the error of a rejected input, and that it has no other details than its `Display`.
#[track_caller]
fn assert_rejected(error: &Error, display: &str) {
    assert_eq!(error.to_string(), display);
    assert_eq!(format!("{error:#}"), display);
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidInput, 0), "{display}");
    assert_eq!((error.status(), error.message(), error.body()), (None, None, &b""[..]), "{display}");
    assert!(!error.may_have_been_applied() && !error.is_transient() && !error.is_connect(), "{display}");
}

#[track_caller]
fn assert_not_built(builder: HandingerClientBuilder, problem: &str) {
    let error = builder.build().expect_err(problem);
    assert_rejected(&error, &format!("build client: {problem}"));
}

#[test]
fn calls_reject_worker_ids_that_are_no_path_segment() {
    let server = server();
    let client = client(server.base_url());
    for (id, problem) in [
        ("", "the worker id must not be \"\""),
        (".", "the worker id must not be \".\""),
        ("..", "the worker id must not be \"..\""),
        (&"x".repeat(70_000), "the URL is too long"),
    ] {
        for (action, error) in [
            ("retrieve webhook", client.retrieve_webhook(id).err()),
            ("update webhook", client.update_webhook(id, "https://example.com/hook").err()),
            ("delete webhook", client.delete_webhook(id).err()),
            ("regenerate token", client.regenerate_token(id).err()),
            ("retrieve webhook", client.rotate_token(id).err()),
            ("list executions", client.list_executions(id, 1).err()),
            ("list executions", client.executions(id).next().unwrap().err()),
        ] {
            assert_rejected(&error.unwrap(), &format!("{action}: {problem}"));
        }
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn other_worker_ids_are_sent_as_one_path_segment() {
    let server = server();
    client(server.base_url()).retrieve_webhook("../aZ09-_~\\?b#c d+e&%2eé🦀\r\n\0").unwrap();
    let segment = "..%2FaZ09-_~%5C%3Fb%23c%20d%2Be%26%252e%C3%A9%F0%9F%A6%80%0D%0A%00";
    assert!(server.requests()[0].starts_with(&format!("GET /api/workers/{segment}/webhook HTTP/1.1\r\n")));
}

const NOT_ZERO: &str = "a timeout must be more than zero";

#[test]
fn calls_reject_page_0_blank_urls_and_timeouts_of_zero() {
    let server = server();
    let client = client(server.base_url());
    let error = client.list_executions("wrk_1", 0).unwrap_err();
    assert_rejected(&error, "list executions: pages are counted from 1");
    for url in ["", "\t \r\n"] {
        let display = "update webhook: the URL must not be blank; UpdateWebhook::clear() removes it";
        assert_rejected(&client.update_webhook("wrk_1", url).unwrap_err(), display);
    }
    for client in [client.with_timeout(Duration::ZERO), client.with_total_timeout(Duration::ZERO)] {
        let error = client.delete_webhook("wrk_1").unwrap_err();
        assert_rejected(&error, &format!("delete webhook of worker wrk_1: {NOT_ZERO}"));
    }
    let builder = || builder(server.base_url());
    assert_not_built(builder().timeout(Duration::ZERO), NOT_ZERO);
    assert_not_built(builder().connect_timeout(Duration::ZERO), NOT_ZERO);
    assert_not_built(builder().total_timeout(Duration::ZERO), NOT_ZERO);
    assert_eq!(server.connections(), 0);

    client.list_executions("wrk_1", u64::MAX).unwrap();
    assert!(server.requests()[0].contains("?page=18446744073709551615 HTTP/1.1\r\n"));
}

#[test]
fn key_is_trimmed_and_must_be_bare() {
    let server = server();
    let with = |key: &str| HandingerClient::builder(key).base_url(server.base_url());
    for key in [" key", "key\n", "\r\n\t key \u{a0}"] {
        with(key).build().unwrap().retrieve_webhook("wrk_1").unwrap();
        assert!(server.requests().pop().unwrap().contains("\r\nauthorization: Bearer key\r\n"), "{key:?}");
    }
    for (key, problem) in [
        ("", "the API key is blank"),
        (" \t\r\n\u{a0}", "the API key is blank"),
        ("\"5ecr3t\"", "the API key is in quotes"),
        ("'5ecr3t\n", "the API key is in quotes"),
        ("5ecr3t\"", "the API key is in quotes"),
        ("Bearer 5ecr3t", "the API key begins with `Bearer`; set the key alone"),
        ("bearer ", "the API key begins with `Bearer`; set the key alone"),
    ] {
        assert_not_built(with(key), problem);
    }
    assert_rejected(&HandingerClient::new(" ").unwrap_err(), "build client: the API key is blank");
    assert!(with("Bearer_5ecr3t").build().is_ok());
}

#[test]
fn key_headers_and_user_agent_must_be_printable_ascii() {
    for value in ["a\nb", "a\r\nX-Evil: 1", "a\tb", "a\0", "a\u{7f}", "a\u{1b}[0m", "aé"] {
        let rejected = |builder: HandingerClientBuilder, name: &str| {
            let builder = builder.base_url("http://127.0.0.1:1");
            assert_not_built(builder, &format!("{name} has a control or non-ASCII character"));
        };
        rejected(HandingerClient::builder(value), "the API key");
        rejected(HandingerClient::builder(KEY).user_agent(value), "the user agent");
        rejected(HandingerClient::builder(KEY).header("X-Team", value), "the value of the header x-team");
    }
}

#[test]
fn header_must_have_a_name_and_not_be_the_clients_own() {
    let with = |name: &str| builder("http://127.0.0.1:1").header(name, "1");
    for name in ["", " ", "a b", "x:", "é", "x\n", "(x)"] {
        assert_not_built(with(name), "a header's name is not valid");
    }
    let reserved = "Accept Accept-Encoding Authorization Connection Content-Length CONTENT-TYPE expect Host TE \
        Transfer-Encoding Upgrade User-Agent";
    for name in reserved.split(' ') {
        let problem = format!("the header {} is set by the client itself", name.to_lowercase());
        assert_not_built(with(name), &problem);
    }
}

#[test]
fn base_url_is_http_with_a_host_and_at_most_a_port_and_a_path() {
    let rejected = [
        (
            "the base URL is not a URL",
            "|https://|https:///api|https://a b|https://[::1|a.example/api|https://é.example|https://a.example/é",
        ),
        (
            "the base URL must begin with https://, or http:// for a loopback host",
            "a.example|localhost:8080|/api|//a.example|ftp://a.example|ws://127.0.0.1",
        ),
        (
            "the base URL must not carry a query, fragment, user or password",
            "https://a.example?x=1|https://a.example/b?|https://a.example/#x|https://a.example#|\
             https://user:pass@a.example|http://127.0.0.1@a.example|http://a.example@127.0.0.1",
        ),
        (
            "the base URL's host or port is not valid",
            "https://a.example:|https://a.example:+443|https://a.example:-1|https://a.example:99999|\
             https://a.example:0443|https://:443|http://127.0.0.1:x|http://127.0.0.1:+80|\
             http://[::1]a.example:18080|http://[::1]a.example|http://a.example[::1]",
        ),
    ];
    for (problem, urls) in rejected {
        for url in urls.split('|') {
            let error = builder(url).build().expect_err(url);
            assert_eq!(error.to_string(), format!("build client: {problem}"), "{url}");
        }
    }
}

#[test]
fn plain_http_needs_a_loopback_host_or_allow_insecure_http() {
    for host in "localhost LOCALHOST:8080 127.0.0.1 127.8.9.10:80 [::1]:8080 [::ffff:127.0.0.1]".split(' ') {
        let client = builder(format!("http://{host}/v1/")).build().unwrap();
        assert!(format!("{client:?}").contains(&format!("base_url: \"http://{host}/v1\",")), "{client:?}");
    }
    let remote = "a.example localhost.a.example localhost. 127.0.0.1.a.example 127.0.0.1. 127.1 2130706433 \
        0.0.0.0 10.0.0.1:8080 [::] [::ffff:10.0.0.1] [localhost]";
    for host in remote.split(' ') {
        let url = format!("http://{host}");
        let problem = format!(
            "the base URL would send the key unencrypted to {host}; use https, or allow_insecure_http(true)"
        );
        assert_not_built(builder(&url), &problem);
        assert_not_built(builder(&url).allow_insecure_http(true).allow_insecure_http(false), &problem);
        assert!(builder(&url).allow_insecure_http(true).build().is_ok(), "{host}");
    }
    let https = builder("HTTPS://10.0.0.1:8443/x/");
    if cfg!(any(feature = "rustls", feature = "native-tls")) {
        https.build().unwrap();
    } else {
        assert_not_built(https, "https needs the cargo feature `rustls` or `native-tls` of handinger");
    }
}

#[test]
fn any_base_url_is_rejected_or_requested_unchanged() {
    let server = server();
    let config = ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..<_>::default() };
    let text = prop_oneof!["[ -~]{0,12}", "https?://[a-z0-9.:@\\[\\]/%?#-]{0,20}", any::<String>()];
    let run = TestRunner::new(config).run(&text, |text| {
        let _never_panics = builder(&*text).build();
        let Ok(client) = builder(format!("{}/{text}", server.base_url())).build() else { return Ok(()) };
        client.retrieve_webhook("wrk_1")?;
        let request = server.requests().pop().unwrap();
        let path = format!("/{}", text.trim_end());
        let line = format!("GET {}/api/workers/wrk_1/webhook HTTP/1.1\r\n", path.trim_end_matches('/'));
        prop_assert!(request.starts_with(&line), "{:?}: {}", line, request);
        Ok(())
    });
    run.unwrap();
}

const TASK: &str = "HANDINGER_TEST_TASK";
const VARIABLES: [&str; 3] = ["HANDINGER_API_KEY", "HANDINGER_BASE_URL", "HANDINGER_CUSTOM_HEADERS"];

/// Runs in the child process of [`run`].
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let result = match &*task {
        "build" => HandingerClient::from_env(),
        _ => HandingerClientBuilder::from_env().and_then(|builder| {
            let client = builder.header("X-Team", "dev").user_agent("my-tool/1.0").build()?;
            client.retrieve_webhook("wrk_1").map(|_| client)
        }),
    };
    let describe = |error: Error| format!("{:?}: {error:#}", error.kind());
    eprintln!("{}", result.map_or_else(describe, |client| format!("{client:?}")));
}

/// Returns the client or the error of a child with these values of the three variables; an empty one is not set.
fn run(task: &str, values: [&OsStr; 3]) -> String {
    let set = VARIABLES.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
    let variables: Vec<_> = set.chain([(TASK, OsStr::new(task))]).collect();
    rerun("input::child", &variables).trim_end().to_owned()
}

#[test]
fn environment_sets_key_base_url_and_headers() {
    let server = server();
    let base_url = format!(" {}/v1/\n", server.base_url());
    let headers = "X-Team: ops\r\n\n  X-Trace :a:b \nX-Empty:\nX-Twice: 1\nx-twice: 2\n";
    let outcome = run("call", [" key\n", &base_url, headers].map(OsStr::new));
    assert!(outcome.starts_with("HandingerClient"), "{outcome}");
    let request = server.requests().pop().unwrap();
    assert!(request.starts_with("GET /v1/api/workers/wrk_1/webhook HTTP/1.1\r\n"), "{request}");
    let lines: Vec<_> = request.lines().map(str::trim_end).collect();
    let set = ["authorization: Bearer key", "x-trace: a:b", "x-empty:", "x-twice: 2"];
    for line in set.iter().chain(&["x-team: dev", "user-agent: my-tool/1.0"]) {
        assert!(lines.contains(line), "{line:?} not in {lines:?}");
    }
    assert!(!request.contains("x-twice: 1") && !request.contains("ops"), "{request}");
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn blank_variables_are_not_set() {
    let blank = run("build", [KEY, " \n", " \n\t\n"].map(OsStr::new));
    assert_eq!(blank, run("build", [KEY, "", ""].map(OsStr::new)));
    assert_eq!(
        blank,
        "HandingerClient { base_url: \"https://handinger.com\", \
         options: Options { timeout: 60s, connect_timeout: 5s, total_timeout: None, max_retries: 2 }, .. }"
    );
}

#[test]
fn message_names_the_variable_of_a_rejected_value() {
    // Without TLS in the build, the default base URL would be rejected first.
    let local = "http://127.0.0.1:1";
    for (values, problem) in [
        (["", local, ""], "HANDINGER_API_KEY is not set or blank"),
        ([" \t\n", local, ""], "HANDINGER_API_KEY is not set or blank"),
        (["\"5ecr3t\"", local, ""], "HANDINGER_API_KEY: the API key is in quotes"),
        ([KEY, "a.example/5ecr3t", ""], "HANDINGER_BASE_URL: the base URL is not a URL"),
        (
            [KEY, local, "X-Team: ops\n5ecr3t"],
            "a line of HANDINGER_CUSTOM_HEADERS is not of the form `Name: value`",
        ),
        ([KEY, local, ": 5ecr3t"], "HANDINGER_CUSTOM_HEADERS: a header's name is not valid"),
    ] {
        assert_eq!(run("build", values.map(OsStr::new)), format!("InvalidInput: build client: {problem}"));
    }
}

/// Only Unix lets a test set a variable that is not Unicode from bytes.
#[cfg(unix)]
#[test]
fn variable_that_is_not_unicode_is_rejected_and_not_repeated() {
    use std::os::unix::ffi::OsStrExt;

    for (number, name) in VARIABLES.into_iter().enumerate() {
        let mut values = [KEY, "", ""].map(OsStr::new);
        values[number] = OsStr::from_bytes(b"5ecr3t\xff");
        assert_eq!(run("build", values), format!("InvalidInput: build client: {name} is not Unicode"));
    }
}
