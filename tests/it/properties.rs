//! Properties that hold for any input, checked with random input over real connections.

use std::sync::{Arc, Mutex};

use handinger::{Error, ErrorKind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::support::{ANY_BODY, Server, WEBHOOK, builder, response};
use crate::types::PAGE;

/// Checks the property for the same 256 cases in each run, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` is set. A
/// macro could not share a server between the cases.
fn check<S: Strategy>(input: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if matches!(config.rng_seed, RngSeed::Random) {
        config.rng_seed = RngSeed::Fixed(1);
    }
    if let Err(failure) = TestRunner::new(config).run(&input, property) {
        panic!("{failure}");
    }
}

fn is_one_clean_line(error: &Error) -> bool {
    let text = format!("{error:#}");
    !text.contains(char::is_control) && text.len() < 2000
}

/// A text with something in its middle replaced.
fn damaged(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    (0..text.len(), 0..8_usize, vec(any::<u8>(), 0..6)).prop_map(move |(at, removed, added)| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.splice(at..(at + removed).min(text.len()), added);
        bytes
    })
}

#[test]
fn any_body_is_a_success_or_a_clear_error() {
    let next = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::clone(&next);
    let server = Server::start(move |_, connection| {
        while connection.request().is_some() {
            let response = script.lock().unwrap().clone();
            connection.send(response);
        }
    });
    let client = builder(server.base_url()).max_retries(0).build().unwrap();
    let body = prop_oneof![
        vec(any::<u8>(), 0..200),
        r#"[\[\]{}:,"\\0-9eE.+-]{0,40}"#.prop_map(String::into_bytes),
        damaged(WEBHOOK),
        damaged(PAGE),
        damaged(r#"{"error":{"message":"no such worker"}}"#),
    ];
    check((any::<bool>(), prop_oneof![Just(200), Just(500)], body), |(is_list, status, body)| {
        *next.lock().unwrap() = response(status, &body);
        let result = if is_list {
            client.list_executions("wrk_1", 1).map(drop)
        } else {
            client.retrieve_webhook("wrk_1").map(drop)
        };
        match result {
            Ok(()) => prop_assert_eq!(status, 200),
            Err(error) => {
                let expected = if status == 200 { ErrorKind::Decode } else { ErrorKind::Status };
                prop_assert_eq!((error.kind(), error.status()), (expected, Some(status)));
                prop_assert_eq!(error.body(), body);
                prop_assert!(is_one_clean_line(&error), "{:#}", error);
            }
        }
        Ok(())
    });
}

#[test]
fn any_base_url_is_rejected_or_requested_unchanged() {
    let server = Server::responding([response(200, ANY_BODY)]);
    let text = prop_oneof!["[ -~]{0,12}", "https?://[a-z0-9.:@\\[\\]/%?#-]{0,20}", any::<String>()];
    check(text, |prefix| {
        let result = builder(&*prefix).build();
        prop_assert!(result.err().is_none_or(|error| is_one_clean_line(&error)));
        match builder(format!("{}/{prefix}", server.base_url())).build() {
            Ok(client) => {
                client.retrieve_webhook("wrk_1").unwrap();
                let request = server.requests().pop().unwrap();
                let path = format!("/{}", prefix.trim_end());
                let line =
                    format!("GET {}/api/workers/wrk_1/webhook HTTP/1.1\r\n", path.trim_end_matches('/'));
                prop_assert!(request.starts_with(&line), "{:?}: {}", line, request);
            }
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
        Ok(())
    });
}
