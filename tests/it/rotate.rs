//! `rotate_token`: whatever is lost, the token in force is known, or the error says that it is not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use handinger::{Error, ErrorKind, HandingerClient, Webhook};

use crate::support::{Server, Waits, builder, response, response_with};

/// What the server does with a request; when the steps are over, it serves all.
#[derive(Clone)]
enum Step {
    Serve,
    /// Closes the connection instead of doing what is asked.
    LoseRequest,
    /// Does it, and closes the connection instead of sending the response.
    LoseResponse,
    /// Sends this response instead of doing what is asked.
    Respond(Vec<u8>),
    /// Does it, and sends this response.
    ServeAndRespond(Vec<u8>),
    /// Somebody else has replaced the token since the request before.
    AfterAnother(Box<Step>),
}

use Step::{AfterAnother, LoseRequest, LoseResponse, Respond, Serve, ServeAndRespond};

fn status(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    response_with(status, headers, r#"{"error":{"message":"as the test says"}}"#)
}

/// A worker's webhook, and a server that replaces its token.
struct Handinger {
    server: Server,
    /// How many tokens there were before the one in force.
    tokens: Arc<Mutex<usize>>,
}

impl Handinger {
    fn with(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = Mutex::new(steps.into_iter().collect::<VecDeque<_>>());
        let tokens = Arc::new(Mutex::new(0));
        let counting = Arc::clone(&tokens);
        let server = Server::start(move |_, connection| {
            while let Some(request) = connection.request() {
                let step = steps.lock().unwrap().pop_front().unwrap_or(Serve);
                let mut tokens = counting.lock().unwrap();
                let step = match step {
                    AfterAnother(step) => {
                        *tokens += 1;
                        *step
                    }
                    step => step,
                };
                if request.starts_with("POST ") && !matches!(step, LoseRequest | Respond(_)) {
                    *tokens += 1;
                }
                match step {
                    Serve => connection.send(response(
                        200,
                        format!(r#"{{"url":"https://example.com/hook","token":"whk_{tokens}"}}"#),
                    )),
                    Respond(bytes) | ServeAndRespond(bytes) => connection.send(bytes),
                    LoseRequest | LoseResponse | AfterAnother(_) => return,
                }
            }
        });
        Self { server, tokens }
    }

    fn client(&self) -> HandingerClient {
        builder(self.server.base_url()).build().unwrap()
    }

    /// The methods of the requests, by their initials.
    fn requests(&self) -> String {
        self.server.requests().iter().map(|request| &request[..1]).collect()
    }

    fn token(&self) -> String {
        format!("whk_{}", self.tokens.lock().unwrap())
    }

    /// Asserts that the webhook has the token in force, after these requests.
    #[track_caller]
    fn assert_rotated(&self, result: Result<Webhook, Error>, requests: &str) {
        assert_eq!(self.requests(), requests);
        let webhook = result.unwrap();
        assert_eq!(webhook.token.unwrap().as_str(), self.token());
        assert_ne!(self.token(), "whk_0");
        assert_eq!(webhook.url.as_deref(), Some("https://example.com/hook"));
    }

    /// Asserts that the error says whether the token may be another, after these requests.
    #[track_caller]
    fn assert_failed(&self, result: Result<Webhook, Error>, requests: &str, note: &str) -> Error {
        assert_eq!(self.requests(), requests);
        let error = result.unwrap_err();
        assert!(error.may_have_been_applied() || self.token() == "whk_0", "{error}");
        assert!(error.to_string().contains(note), "{error}");
        error
    }
}

#[test]
fn without_a_fault_the_token_is_replaced_once() {
    let handinger = Handinger::with([]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GP");
    assert_eq!(handinger.token(), "whk_1");
}

#[test]
fn where_the_request_was_lost_it_is_sent_again() {
    let handinger = Handinger::with([Serve, LoseRequest]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPGP");
    assert_eq!(handinger.token(), "whk_1");

    let handinger = Handinger::with([Serve, LoseRequest, Serve, LoseRequest]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPGPGP");
    assert_eq!(handinger.token(), "whk_1");
}

#[test]
fn where_the_response_was_lost_the_token_is_not_replaced_again() {
    let handinger = Handinger::with([Serve, LoseResponse]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPG");
    assert_eq!(handinger.token(), "whk_1");

    let handinger = Handinger::with([Serve, LoseRequest, Serve, LoseResponse]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPGPG");
    assert_eq!(handinger.token(), "whk_1");

    // Also where it did come, and does not say which token it is.
    for useless in [status(500, &[]), response(200, "done"), status(502, &[("x-should-retry", "true")])] {
        let handinger = Handinger::with([Serve, ServeAndRespond(useless)]);
        handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPG");
        assert_eq!(handinger.token(), "whk_1");
    }
}

#[test]
fn two_lost_responses_in_a_row_are_found_out_by_retrying_the_retrieve() {
    let handinger = Handinger::with([Serve, LoseResponse, LoseResponse]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPGG");
    assert_eq!(handinger.token(), "whk_1");
}

#[test]
fn max_retries_bounds_how_often_it_is_sent_again() {
    let lost = || [LoseRequest, Serve];
    for (max_retries, requests) in [(0, "GPG"), (1, "GPGPG"), (2, "GPGPGPG"), (3, "GPGPGPGPG")] {
        let handinger = Handinger::with([Serve].into_iter().chain((0..10).flat_map(|_| lost())));
        let client = handinger.client().with_max_retries(max_retries);
        let error = handinger.assert_failed(
            client.rotate_token("wrk_1"),
            requests,
            "; the old token was still in force afterwards; the change may have been applied",
        );
        // A request that was lost may still be on its way.
        assert!(error.may_have_been_applied());
        assert_eq!(error.kind(), ErrorKind::Transport);
    }
}

#[test]
fn what_an_earlier_request_left_open_is_not_settled_by_a_later_rejection() {
    let rejected = Respond(status(403, &[]));
    let handinger = Handinger::with([Serve, LoseRequest, Serve, rejected]);
    let error = handinger.assert_failed(
        handinger.client().rotate_token("wrk_1"),
        "GPGPG",
        "the server returned 403: as the test says; the old token was still in force afterwards; \
         the change may have been applied",
    );
    assert!(error.may_have_been_applied());
}

#[test]
fn it_waits_before_it_regenerates_again() {
    let handinger = Handinger::with([Serve, LoseRequest, Serve, LoseRequest]);
    let waits = Waits::default();
    let client = builder(handinger.server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    handinger.assert_rotated(client.rotate_token("wrk_1"), "GPGPGP");
    let waits: Vec<_> = waits.take().iter().map(Duration::as_secs_f64).collect();
    assert!(matches!(waits[..], [0.375..=0.5, 0.75..=1.0]), "{waits:?}");
}

#[test]
fn the_token_of_somebody_else_is_returned_where_our_own_request_was_lost() {
    let handinger = Handinger::with([Serve, LoseRequest, AfterAnother(Box::new(Serve))]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPG");
    assert_eq!(handinger.token(), "whk_1");

    let handinger = Handinger::with([Serve, LoseResponse, AfterAnother(Box::new(Serve))]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPG");
    assert_eq!(handinger.token(), "whk_2");
}

#[test]
fn where_somebody_else_was_faster_the_token_is_our_own_all_the_same() {
    let handinger = Handinger::with([Serve, AfterAnother(Box::new(Serve))]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GP");
    assert_eq!(handinger.token(), "whk_2");
}

#[test]
fn where_the_token_in_force_cannot_be_retrieved_the_error_says_so() {
    for lost in [LoseRequest, LoseResponse] {
        let failures = [Respond(status(500, &[])), Respond(status(404, &[]))];
        let handinger = Handinger::with([vec![Serve, lost], failures.to_vec()].concat());
        let error = handinger.assert_failed(
            handinger.client().rotate_token("wrk_1"),
            "GPGG",
            "regenerate token of worker wrk_1: connection lost; the token in force could not be retrieved; \
             the change may have been applied",
        );
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    }
}

#[test]
fn where_the_webhook_was_removed_meanwhile_nothing_is_sent_again() {
    let none = response(200, r#"{"url":null,"token":null}"#);
    let handinger = Handinger::with([Serve, LoseRequest, Respond(none)]);
    handinger.assert_failed(
        handinger.client().rotate_token("wrk_1"),
        "GPG",
        "connection lost; the webhook was removed meanwhile; the change may have been applied",
    );
}

#[test]
fn without_the_token_before_nothing_is_replaced() {
    let handinger = Handinger::with([Respond(status(403, &[]))]);
    let error = handinger.assert_failed(handinger.client().rotate_token("wrk_1"), "G", "retrieve webhook");
    assert!(error.is_forbidden() && !error.may_have_been_applied());
}

#[test]
fn a_rejected_request_is_retried_as_in_any_call_and_the_old_token_stays() {
    let busy = || Respond(status(429, &[]));
    let handinger = Handinger::with([Serve, busy(), busy()]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPPP");

    let handinger = Handinger::with([Serve, busy(), busy(), busy()]);
    let error = handinger.assert_failed(handinger.client().rotate_token("wrk_1"), "GPPP", "429");
    assert!(!error.may_have_been_applied() && error.attempts() == 3);
}

#[test]
fn a_500_that_asks_to_wait_is_not_followed_by_another_request_but_for_the_token() {
    let busy = status(500, &[("Retry-After", "7")]);
    let waits = Waits::default();
    let handinger = Handinger::with([Serve, Respond(busy.clone())]);
    let client = builder(handinger.server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    let error = handinger.assert_failed(
        client.rotate_token("wrk_1"),
        "GPG",
        "the server returned 500: as the test says; the old token was still in force afterwards",
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.may_have_been_applied());
    assert!(waits.take().is_empty());

    let handinger = Handinger::with([Serve, ServeAndRespond(busy)]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPG");
}

#[test]
fn without_a_webhook_there_is_no_token_to_replace() {
    let none = response(200, r#"{"url":null,"token":null}"#);
    let handinger = Handinger::with([Respond(none.clone()), Respond(status(400, &[]))]);
    let error =
        handinger.assert_failed(handinger.client().rotate_token("wrk_1"), "GP", "400: as the test says");
    assert!(!error.may_have_been_applied());

    // What the API does is not documented; a success without a token is not one.
    let handinger = Handinger::with(vec![Respond(none); 9]);
    let error = handinger.client().rotate_token("wrk_1").unwrap_err();
    assert_eq!((error.kind(), &*handinger.requests()), (ErrorKind::Decode, "GPGPGPG"));
}

#[test]
fn a_response_with_the_old_token_is_not_a_success() {
    let old = response(200, r#"{"url":"https://example.com/hook","token":"whk_0"}"#);
    let handinger = Handinger::with([Serve, ServeAndRespond(old.clone())]);
    handinger.assert_rotated(handinger.client().rotate_token("wrk_1"), "GPG");

    let handinger = Handinger::with(vec![Respond(old); 9]);
    let error = handinger.assert_failed(
        handinger.client().rotate_token("wrk_1"),
        "GPGPGPG",
        "; the old token was still in force afterwards",
    );
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.may_have_been_applied());
}

#[test]
fn the_total_timeout_bounds_all_calls_together() {
    let busy = || Respond(status(429, &[("retry-after-ms", "1")]));
    let handinger = Handinger::with([busy(), Serve, busy(), busy(), busy()]);
    let total = Duration::from_millis(500);
    let client = builder(handinger.server.base_url())
        .total_timeout(total)
        .sleep_with(|_| thread::sleep(Duration::from_millis(200)))
        .build()
        .unwrap();
    let error = client.rotate_token("wrk_1").unwrap_err();
    assert!(error.to_string().contains("no time left within the total timeout of 500ms"), "{error}");
    assert!("GGPP".starts_with(&handinger.requests()), "{}", handinger.requests());
}

#[test]
fn it_waits_and_regenerates_again_only_within_the_total_timeout() {
    for (total_timeout, is_enough) in [(Duration::from_secs(3600), true), (Duration::from_millis(370), false)]
    {
        let handinger = Handinger::with([Serve, LoseRequest]);
        let waits = Waits::default();
        let client = builder(handinger.server.base_url())
            .total_timeout(total_timeout)
            .sleep_with(waits.recorder())
            .build()
            .unwrap();
        assert_eq!(client.rotate_token("wrk_1").is_ok(), is_enough, "{total_timeout:?}");
        assert_eq!(waits.take().len(), usize::from(is_enough), "{total_timeout:?}");
    }
}

#[test]
fn each_rotation_has_a_total_timeout_of_its_own() {
    let handinger = Handinger::with([]);
    let client = handinger.client().with_total_timeout(Duration::from_secs(2));
    client.rotate_token("wrk_1").unwrap();
    thread::sleep(Duration::from_millis(10));
    client.with_total_timeout(Duration::from_nanos(1)).rotate_token("wrk_1").unwrap_err();
    client.rotate_token("wrk_1").unwrap();
    assert_eq!(handinger.requests(), "GPGP");
}
