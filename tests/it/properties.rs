//! Properties that hold for any input, checked with random input over real connections.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handinger::{
    Error, ErrorKind, HandingerClient, RequestStatus, UpdateWebhook, Webhook, WebhookExecution,
    WebhookExecutionList, WebhookToken,
};
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, UtcOffset};

use crate::support::{Server, WEBHOOK, Waits, builder, response, response_with};

/// The same 256 cases in each run, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` is set.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match config.rng_seed {
        RngSeed::Random => ProptestConfig { rng_seed: RngSeed::Fixed(1), ..config },
        RngSeed::Fixed(_) => config,
    }
}

const LIST: &str = r#"{"logs":[{"id":"whe_1","createdAt":"2026-01-01T00:00:00.117Z","durationMs":12.5,
    "errorMessage":"\ud83d","requestStatus":"success","responseStatus":200,"taskId":null,"taskTitle":"\u00e9",
    "url":"https://example.com/hook","workerId":"wrk_1"}],"page":1,"pageCount":1,"totalCount":1}"#;

/// A server for all cases of a property, whose response each case sets.
struct Script {
    server: Server,
    next: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    fn start(keeps_alive: bool) -> Self {
        let next = Arc::new(Mutex::new(response(200, WEBHOOK)));
        let script = Arc::clone(&next);
        let server = Server::start(move |_, connection| {
            while connection.request().is_some() {
                let response = script.lock().unwrap().clone();
                connection.send(response);
                if !keeps_alive {
                    break;
                }
            }
        });
        Self { server, next }
    }

    fn set(&self, response: impl Into<Vec<u8>>) {
        *self.next.lock().unwrap() = response.into();
    }

    fn client(&self) -> HandingerClient {
        builder(self.server.base_url()).max_retries(0).build().unwrap()
    }

    fn last_request(&self) -> String {
        self.server.requests().pop().unwrap()
    }
}

/// One of the five calls, and the end of the path that it requests.
fn call(client: &HandingerClient, number: usize, worker_id: &str) -> (Result<(), Error>, &'static str) {
    match number {
        0 => (client.retrieve_webhook(worker_id).map(drop), "/webhook"),
        1 => (client.update_webhook(worker_id, "https://example.com/hook").map(drop), "/webhook"),
        2 => (client.delete_webhook(worker_id).map(drop), "/webhook"),
        3 => (client.regenerate_token(worker_id).map(drop), "/webhook/regenerate-token"),
        _ => (client.list_executions(worker_id, 1).map(drop), "/webhook/executions?page=1"),
    }
}

fn is_one_clean_line(error: &Error) -> bool {
    let _ = format!("{error:?}");
    let text = error.to_string();
    !text.contains(char::is_control) && text.len() < 2000
}

/// Text with something in its middle replaced.
fn damaged(text: impl Into<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let text = text.into();
    let length = text.len();
    (0..length, 0..8_usize, vec(any::<u8>(), 0..6)).prop_map(move |(at, removed, added)| {
        let mut text = text.clone();
        text.splice(at..(at + removed).min(length), added);
        text
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        r#"[\[\]{}:,"\\0-9eE.+-]{0,40}"#.prop_map(String::into_bytes),
        damaged(WEBHOOK),
        damaged(LIST),
        damaged(r#"{"error":{"message":"no such worker"}}"#),
    ]
}

/// Checks `property` for random input; a macro could not share the server between the cases.
fn check<S: Strategy>(input: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    if let Err(failure) = TestRunner::new(config()).run(&input, property) {
        panic!("{failure}");
    }
}

#[test]
fn any_body_is_a_success_or_a_clear_error() {
    let script = Script::start(true);
    let client = script.client();
    check((0..5_usize, prop_oneof![Just(200), Just(500)], body()), |(number, status, body)| {
        script.set(response(status, &body));
        match call(&client, number, "wrk_1").0 {
            Ok(()) => prop_assert_eq!(status, 200),
            Err(error) => {
                let expected = if status == 200 { ErrorKind::Decode } else { ErrorKind::Status };
                prop_assert_eq!(error.kind(), expected);
                prop_assert_eq!(error.status(), Some(status));
                prop_assert_eq!(error.body(), body);
                prop_assert!(is_one_clean_line(&error), "{}", error);
            }
        }
        Ok(())
    });
}

#[test]
fn any_bytes_instead_of_http_are_a_success_or_a_clear_error() {
    let script = Script::start(false);
    let client = script.client();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                   19\r\n{\"url\":null,\"token\":null}\r\n0\r\n\r\n";
    let redirect = "HTTP/1.1 307 Moved\r\nLocation: https://example.org/\r\nRetry-After: 1\r\n\r\n";
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..100),
        damaged(response(200, WEBHOOK)),
        damaged(response_with(200, &[("Content-Encoding", "gzip")], WEBHOOK)),
        damaged(chunked),
        damaged(redirect),
    ];
    check((0..5_usize, bytes), |(number, bytes)| {
        script.set(bytes);
        if let (Err(error), _) = call(&client, number, "wrk_1") {
            prop_assert!(!error.is_timeout() && !error.is_connect(), "{}", error);
            prop_assert!(is_one_clean_line(&error), "{}", error);
        }
        Ok(())
    });
}

#[test]
fn any_worker_id_arrives_as_one_segment_or_is_rejected() {
    let script = Script::start(true);
    let client = script.client();
    let ids = prop_oneof![any::<String>(), "[./%?#&; a\\\\]{0,6}", ".{1000,1050}"];
    check((0..5_usize, ids), |(number, id)| {
        let (result, path) = call(&client, number, &id);
        if matches!(&*id, "" | "." | "..") || id.len() > 1024 {
            let error = result.unwrap_err();
            prop_assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidInput, 0));
            return Ok(());
        }
        let request = script.last_request();
        let target = request.split(' ').nth(1).unwrap();
        let segment = target.strip_prefix("/api/workers/").and_then(|rest| rest.strip_suffix(path)).unwrap();
        prop_assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        prop_assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), &*id);
        if let Err(error) = result {
            prop_assert_eq!((number, error.kind()), (4, ErrorKind::Decode), "{}", error);
            prop_assert!(is_one_clean_line(&error), "{}", error);
        }
        Ok(())
    });
}

#[test]
fn any_header_arrives_unchanged_or_is_rejected() {
    let script = Script::start(true);
    let text = || prop_oneof![any::<String>(), "[ -~]{1,20}", "[\t-~]{1,8}"];
    let name = prop_oneof![any::<String>(), "[A-Za-z-]{1,12}", "[!-~]{1,4}"];
    check((text(), text(), name, text()), |(key, user_agent, name, value)| {
        let builder = HandingerClient::builder(&*key).base_url(script.server.base_url());
        let client = match builder.user_agent(&*user_agent).header(&*name, &*value).build() {
            Ok(client) => client,
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
                prop_assert!(is_one_clean_line(&error), "{}", error);
                return Ok(());
            }
        };
        client.retrieve_webhook("wrk_1").unwrap();
        let request = script.last_request();
        let lines: Vec<_> = request.split("\r\n").collect();
        for expected in [
            format!("authorization: Bearer {}", key.trim()),
            format!("user-agent: {user_agent}"),
            format!("{}: {value}", name.to_ascii_lowercase()),
        ] {
            prop_assert!(lines.contains(&&*expected), "{:?} is not in {:?}", expected, lines);
        }
        Ok(())
    });
}

#[test]
fn any_base_url_is_rejected_or_requested_unchanged() {
    let script = Script::start(true);
    let prefixes = prop_oneof!["[ -~]{0,12}", "[a-z/.%]{0,8}", any::<String>()];
    check(prefixes, |prefix| {
        let client = match builder(format!("{}/{prefix}", script.server.base_url())).build() {
            Ok(client) => client,
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
                return Ok(());
            }
        };
        client.retrieve_webhook("wrk_1").unwrap();
        let request = script.last_request();
        let prefix = format!("/{}", prefix.trim_end());
        let expected = format!("GET {}/api/workers/wrk_1/webhook HTTP/1.1\r\n", prefix.trim_end_matches('/'));
        prop_assert!(request.starts_with(&expected), "{:?}: {}", expected, request);
        Ok(())
    });

    let urls =
        prop_oneof![any::<String>(), "https?://[a-z0-9.:@\\[\\]/%?#-]{0,20}", "[a-z]{0,6}:/{0,3}.{0,10}"];
    check(urls, |url| {
        match builder(&*url).build() {
            Ok(client) => drop(format!("{client:?}")),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
        Ok(())
    });
}

#[test]
fn any_requested_wait_is_made_within_bounds() {
    let script = Script::start(true);
    let waits = Waits::default();
    let client =
        builder(script.server.base_url()).sleep_with(waits.recorder()).max_retries(1).build().unwrap();
    let values = prop_oneof![
        "[ -~]{0,12}",
        any::<f64>().prop_map(|number| number.to_string()),
        (0_u64..130).prop_map(|number| number.to_string()),
        "(Mon|Sun), [0-3][0-9] (Jan|Feb|Dec) [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] (GMT|[+-][0-9]{4})",
    ];
    let name = prop_oneof![Just("Retry-After"), Just("retry-after-ms")];
    check((0..5_usize, prop_oneof![Just(429), Just(503)], name, values), |(number, status, name, value)| {
        script.set(response_with(status, &[(name, &value)], ""));
        let error = call(&client, number, "wrk_1").0.unwrap_err();
        prop_assert_eq!(error.status(), Some(status));
        prop_assert!(is_one_clean_line(&error), "{}", error);
        let longest = Duration::from_secs(60);
        match &*waits.take() {
            [wait] => {
                prop_assert_eq!(error.attempts(), 2);
                prop_assert!(!wait.is_zero() && *wait <= longest, "{:?}", wait);
            }
            [] => {
                prop_assert_eq!(error.attempts(), 1);
                let requested = error.retry_after();
                // A regenerate is not retried after a 503 without a valid wait.
                prop_assert!(requested.is_some_and(|wait| wait > longest) || error.may_have_been_applied());
            }
            more => prop_assert!(false, "{:?}", more),
        }
        Ok(())
    });
}

/// Serializes the value, deserializes the same value, and serializes the same JSON again.
fn assert_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    value: &T,
) -> Result<(), TestCaseError> {
    let _ = format!("{value:?}");
    let json = serde_json::to_string(value).unwrap();
    let read: T = serde_json::from_str(&json).unwrap();
    prop_assert_eq!(&read, value);
    prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
    Ok(())
}

/// Any point in time that RFC 3339 can write.
fn times() -> impl Strategy<Value = OffsetDateTime> {
    let year_1_to_9998 = -62_135_510_400_i64..253_370_764_800;
    (year_1_to_9998, 0..1_000_000_000_u32, -1439..=1439_i32).prop_map(|(seconds, nanos, minutes)| {
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap().replace_nanosecond(nanos).unwrap();
        at.to_offset(UtcOffset::from_whole_seconds(minutes * 60).unwrap())
    })
}

fn executions() -> impl Strategy<Value = WebhookExecution> {
    let texts = (any::<String>(), any::<String>(), any::<String>());
    let optional = || option::of(any::<String>());
    let options = (optional(), option::of(any::<u16>()), optional(), optional());
    let status = prop_oneof!["success|error", any::<String>()];
    (texts, options, status, times(), any::<u64>()).prop_map(|(texts, options, status, at, duration)| {
        let list: WebhookExecutionList = serde_json::from_str(LIST).unwrap();
        let mut execution = list.into_iter().next().unwrap();
        (execution.id, execution.url, execution.worker_id) = texts;
        (execution.error_message, execution.response_status, execution.task_id, execution.task_title) =
            options;
        execution.request_status = RequestStatus::from(&*status);
        (execution.created_at, execution.duration_ms) = (at, duration);
        execution
    })
}

#[test]
fn the_types_round_trip_through_json() {
    check((option::of(any::<String>()), option::of(any::<String>())), |(url, token)| {
        let mut webhook: Webhook = serde_json::from_str(WEBHOOK).unwrap();
        (webhook.url, webhook.token) = (url.clone(), token.map(WebhookToken::new));
        assert_round_trip(&webhook)?;
        assert_round_trip(&url.map_or_else(UpdateWebhook::clear, UpdateWebhook::new))
    });
    check((vec(executions(), 0..4), any::<[u64; 3]>()), |(logs, [page, page_count, total_count])| {
        let mut list: WebhookExecutionList = serde_json::from_str(LIST).unwrap();
        list.logs = logs;
        (list.page, list.page_count, list.total_count) = (page, page_count, total_count);
        assert_round_trip(&list)
    });
}

#[test]
fn a_token_verifies_only_itself() {
    check((any::<String>(), any::<Vec<u8>>()), |(token, other)| {
        let secret = WebhookToken::new(&*token);
        prop_assert_eq!(secret.verify(&token), !token.is_empty());
        prop_assert_eq!(secret.verify(&other), !token.is_empty() && token.as_bytes() == other);
        Ok(())
    });
}
