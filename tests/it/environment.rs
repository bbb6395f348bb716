//! Clients from environment variables.
//!
//! A process cannot change its environment without `unsafe`, so each case runs [`child`] in a process of its own.

use std::env;
use std::error::Error as _;
use std::ffi::OsStr;

use handinger::{Error, HandingerClient, HandingerClientBuilder};

use crate::support::{KEY, Server, WEBHOOK, rerun, response};

const TASK: &str = "HANDINGER_TEST_TASK";
const API_KEY: &str = "HANDINGER_API_KEY";
const BASE_URL: &str = "HANDINGER_BASE_URL";
const CUSTOM_HEADERS: &str = "HANDINGER_CUSTOM_HEADERS";

/// Runs in the child process of [`run`].
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    if task == "regenerate" {
        let error = HandingerClient::from_env().unwrap().regenerate_token("wrk_1").unwrap_err();
        let (source, applied) = (error.source().unwrap(), error.may_have_been_applied());
        return eprintln!("{error}: {source}; may have been applied: {applied}");
    }
    let result = match &*task {
        "call" => HandingerClient::from_env().and_then(|client| {
            client.retrieve_webhook("wrk_1")?;
            Ok(client)
        }),
        "extend" => HandingerClientBuilder::from_env()
            .and_then(|builder| builder.header("X-Team", "dev").user_agent("my-tool/1.0").build())
            .and_then(|client| client.retrieve_webhook("wrk_1").map(|_| client)),
        _ => HandingerClient::from_env(),
    };
    let describe = |error: Error| format!("{:?}: {error}", error.kind());
    eprintln!("{}", result.map_or_else(describe, |client| format!("{client:?}")));
}

/// The client or the error of a child with these variables.
fn run(task: &str, variables: &[(&str, &OsStr)]) -> String {
    let variables = [variables, &[(TASK, OsStr::new(task))]].concat();
    rerun("environment::child", &variables).trim_end().to_owned()
}

fn build(variables: &[(&str, &str)]) -> String {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, OsStr::new(value))).collect();
    run("build", &variables)
}

/// The lines of the one request that a child makes, in lower case.
fn request_of(task: &str, key: &str, base_url_end: &str, headers: &str) -> Vec<String> {
    let server = Server::responding([response(200, WEBHOOK)]);
    let base_url = format!("{}{base_url_end}", server.base_url());
    let variables = [(API_KEY, key), (BASE_URL, &base_url), (CUSTOM_HEADERS, headers)];
    let outcome = run(task, &variables.map(|(name, value)| (name, OsStr::new(value))));
    assert!(outcome.starts_with("HandingerClient"), "{outcome}");
    let [request] = &server.requests()[..] else { panic!("not one request: {:?}", server.requests()) };
    request.lines().map(|line| line.trim_end().to_lowercase()).collect()
}

#[test]
fn all_three_variables_are_used() {
    let headers = "X-Team: ops\r\n\n  X-Trace :a:b \nX-Empty:\nx-team: dev\n";
    let head = request_of("call", &format!(" {KEY}\n"), "/v1/", headers);
    assert_eq!(head[0], "get /v1/api/workers/wrk_1/webhook http/1.1");
    let key = format!("authorization: bearer {}", KEY.to_lowercase());
    for line in [&key, "x-trace: a:b", "x-empty:", "x-team: dev"] {
        assert!(head.contains(&line.to_owned()), "{line:?} not in {head:?}");
    }
    assert!(!head.contains(&"x-team: ops".to_owned()), "{head:?}");
}

#[test]
fn a_builder_from_the_environment_can_be_extended() {
    let head = request_of("extend", KEY, "", "X-Team: ops\nX-Other: 1");
    for line in ["x-team: dev", "x-other: 1", "user-agent: my-tool/1.0"] {
        assert!(head.contains(&line.to_owned()), "{line:?} not in {head:?}");
    }
    assert!(!head.contains(&"x-team: ops".to_owned()), "{head:?}");
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn variables_that_are_blank_or_not_set_have_defaults() {
    let defaults = "HandingerClient { base_url: https://handinger.com, \
        options: Options { timeout: 60s, connect_timeout: 5s, total_timeout: None, max_retries: 2 }, .. }";
    assert_eq!(build(&[(API_KEY, KEY)]), defaults);
    assert_eq!(build(&[(API_KEY, KEY), (BASE_URL, ""), (CUSTOM_HEADERS, "")]), defaults);
    assert_eq!(build(&[(API_KEY, KEY), (BASE_URL, " \n"), (CUSTOM_HEADERS, " \n\t\n")]), defaults);
}

#[test]
fn malformed_variables_are_rejected() {
    let not_set = "HANDINGER_API_KEY is not set or blank";
    let line = "a line of HANDINGER_CUSTOM_HEADERS is not of the form `Name: value`";
    let value = "the value of the header x-team has a control or non-ASCII character";
    let cases: [(&[(&str, &str)], &str); 11] = [
        (&[], not_set),
        (&[(API_KEY, "")], not_set),
        (&[(API_KEY, " \t\n")], not_set),
        (&[(BASE_URL, "https://handinger.com"), (CUSTOM_HEADERS, "X-Team: ops")], not_set),
        (&[(API_KEY, "5ecr3t\n5ecr3t")], "the API key has a control or non-ASCII character"),
        (&[(API_KEY, KEY), (BASE_URL, "handinger.com/5ecr3t")], "the base URL is not a URL"),
        (&[(API_KEY, KEY), (CUSTOM_HEADERS, "5ecr3t")], line),
        (&[(API_KEY, KEY), (CUSTOM_HEADERS, "X-Team: ops\n5ecr3t")], line),
        (&[(API_KEY, KEY), (CUSTOM_HEADERS, ": 5ecr3t")], "a header's name is not valid"),
        (&[(API_KEY, KEY), (CUSTOM_HEADERS, "X-Team: 5ecr3té")], value),
        (&[(API_KEY, KEY), (CUSTOM_HEADERS, "Host: x")], "the header host is set by the client itself"),
    ];
    for (variables, problem) in cases {
        // Without TLS in the build, an https base URL would be rejected first.
        let local = [(BASE_URL, "http://127.0.0.1:1")];
        let variables: Vec<_> = local.iter().chain(variables).copied().collect();
        assert_eq!(build(&variables), format!("InvalidInput: build client: {problem}"), "{variables:?}");
    }
}

/// Only Unix lets a test set a variable that is not Unicode from bytes.
#[cfg(unix)]
#[test]
fn variables_that_are_not_unicode_are_rejected_and_not_echoed() {
    use std::os::unix::ffi::OsStrExt;

    let odd = OsStr::from_bytes(b"5ecr3t\xff");
    let key = OsStr::new(KEY);
    for name in [API_KEY, BASE_URL, CUSTOM_HEADERS] {
        // Of two values for a variable, the last is set.
        let outcome = run("build", &[(API_KEY, key), (name, odd)]);
        assert_eq!(outcome, format!("InvalidInput: build client: {name} is not Unicode"));
    }
}

/// A stack that no address space holds makes every start of a thread fail. The test itself runs on the main thread.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn where_no_thread_can_be_had_the_lookup_is_an_error_of_a_request_that_was_not_sent() {
    let server = Server::responding([response(200, WEBHOOK)]);
    let base_url = server.base_url().replace("127.0.0.1", "localhost");
    let stack = (1_u64 << 47).to_string();
    let variables =
        [(TASK, "regenerate"), (API_KEY, KEY), (BASE_URL, &*base_url), ("RUST_MIN_STACK", &*stack)];
    let outcome = rerun("environment::child", &variables);
    assert!(
        outcome.contains(": could not connect to localhost:")
            && outcome.contains(" (3 attempts): no thread for the name lookup: ")
            && outcome.ends_with("; may have been applied: false\n"),
        "{outcome}"
    );
    assert_eq!(server.connections(), 0);
}
