//! `rotate_token`: if a response is lost, the call finds out which token is in force, and sends nothing again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use handinger::{Error, ErrorKind, HandingerClient, Webhook};

use crate::support::{Server, Waits, builder, response, response_with};

/// What the server does with a request; after the last step, it serves all.
#[derive(Clone)]
enum Step {
    Serve,
    /// Closes the connection instead of applying the request.
    LoseRequest,
    /// Applies it, and closes the connection instead of sending the response.
    LoseResponse,
    /// Sends this response instead of applying the request.
    Respond(Vec<u8>),
    /// Applies it, and sends this response.
    ServeAndRespond(Vec<u8>),
}

use Step::{LoseRequest, LoseResponse, Respond, Serve, ServeAndRespond};

fn status(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    response_with(status, headers, r#"{"error":{"message":"as the test says"}}"#)
}

fn unavailable() -> Vec<u8> {
    status(503, &[("Retry-After", "7")])
}

fn busy() -> Step {
    Respond(status(429, &[]))
}

fn old_token() -> Vec<u8> {
    response(200, r#"{"url":"https://example.com/hook","token":"whk_0"}"#)
}

fn no_webhook() -> Vec<u8> {
    response(200, r#"{"url":null,"token":null}"#)
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
                if request.starts_with("POST ") && !matches!(step, LoseRequest | Respond(_)) {
                    *tokens += 1;
                }
                match step {
                    Serve => connection.send(response(
                        200,
                        format!(r#"{{"url":"https://example.com/hook","token":"whk_{tokens}"}}"#),
                    )),
                    Respond(bytes) | ServeAndRespond(bytes) => connection.send(bytes),
                    LoseRequest | LoseResponse => return,
                }
            }
        });
        Self { server, tokens }
    }

    fn rotate(&self) -> Result<Webhook, Error> {
        self.client(&Waits::default()).rotate_token("wrk_1")
    }

    fn client(&self, waits: &Waits) -> HandingerClient {
        builder(self.server.base_url()).sleep_with(waits.recorder()).build().unwrap()
    }

    /// The methods of the requests, by their initials.
    fn requests(&self) -> String {
        self.server.requests().iter().map(|request| &request[..1]).collect()
    }

    fn token(&self) -> String {
        format!("whk_{}", self.tokens.lock().unwrap())
    }
}

/// Asserts that the token is replaced once, with these requests.
#[track_caller]
fn assert_rotated(steps: impl IntoIterator<Item = Step>, requests: &str) {
    let handinger = Handinger::with(steps);
    let result = handinger.rotate();
    assert_eq!(handinger.requests(), requests);
    assert_eq!((result.unwrap().token.unwrap().as_str(), &*handinger.token()), ("whk_1", "whk_1"));
}

/// Returns the error after these requests, which ends with this text.
#[track_caller]
fn assert_failed(steps: impl IntoIterator<Item = Step>, requests: &str, end: &str) -> Error {
    let handinger = Handinger::with(steps);
    let error = handinger.rotate().unwrap_err();
    assert_eq!(handinger.requests(), requests);
    assert!(error.to_string().ends_with(end), "{error}");
    assert!(error.may_have_been_applied() || handinger.token() == "whk_0", "{error}");
    error
}

#[test]
fn token_is_replaced_once() {
    assert_rotated([], "GP");
    assert_rotated([Serve, busy(), busy()], "GPPP");
}

#[test]
fn lost_response_is_found_out_by_a_retrieve() {
    assert_rotated([Serve, LoseResponse], "GPG");
    assert_rotated([Serve, LoseResponse, LoseResponse], "GPGG");
}

#[test]
fn response_without_the_new_token_is_found_out_by_a_retrieve() {
    let gateway = status(502, &[("x-should-retry", "true")]);
    for useless in
        [unavailable(), gateway, status(303, &[]), response(200, "done"), old_token(), no_webhook()]
    {
        assert_rotated([Serve, ServeAndRespond(useless)], "GPG");
    }
}

#[test]
fn nothing_is_sent_again_while_the_old_token_is_in_force() {
    for (step, problem) in [
        (LoseRequest, "connection lost"),
        (Respond(unavailable()), "the server returned 503: as the test says"),
        (Respond(old_token()), "the response carries no new token"),
    ] {
        let end = format!(
            "regenerate token of worker wrk_1: {problem}; the old token was still in force afterwards; \
             the change may have been applied"
        );
        assert_failed([Serve, step], "GPG", &end);
    }
}

#[test]
fn retry_after_of_a_503_is_reported_and_not_waited_for() {
    let handinger = Handinger::with([Serve, Respond(unavailable())]);
    let waits = Waits::default();
    let error = handinger.client(&waits).rotate_token("wrk_1").unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!((error.status(), error.attempts(), waits.take()), (Some(503), 1, vec![]));
}

#[test]
fn later_rejection_does_not_settle_what_the_regenerate_left_open() {
    let end =
        "wrk_1: connection lost; the token in force could not be retrieved; the change may have been applied";
    for lost in [LoseRequest, LoseResponse] {
        let error = assert_failed([Serve, lost, Respond(status(404, &[]))], "GPG", end);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    }
}

#[test]
fn webhook_that_was_removed_meanwhile_is_reported() {
    let end = "connection lost; the webhook had no token afterwards; the change may have been applied";
    assert_failed([Serve, LoseRequest, Respond(no_webhook())], "GPG", end);
}

#[test]
fn worker_without_a_webhook_has_no_token_to_replace() {
    let end = "the server returned 400: as the test says";
    let error = assert_failed([Respond(no_webhook()), Respond(status(400, &[]))], "GP", end);
    assert!(!error.may_have_been_applied());

    // The API does not document what it returns.
    let end = "the response carries no new token; the webhook had no token afterwards; \
               the change may have been applied";
    let error = assert_failed(vec![Respond(no_webhook()); 3], "GPG", end);
    assert_eq!(error.kind(), ErrorKind::Decode);
}

#[test]
fn rejected_request_leaves_the_old_token() {
    let error = assert_failed([Respond(status(403, &[]))], "G", "the server returned 403: as the test says");
    assert!(error.to_string().starts_with("retrieve webhook of worker wrk_1"), "{error}");
    assert!(error.is_forbidden() && !error.may_have_been_applied());

    let end = "the server returned 429: as the test says (3 attempts)";
    let error = assert_failed([Serve, busy(), busy(), busy()], "GPPP", end);
    assert!(!error.may_have_been_applied());
}

#[test]
fn total_timeout_limits_all_calls_together() {
    let busy = || Respond(status(429, &[("retry-after-ms", "1")]));
    let handinger = Handinger::with([busy(), Serve, busy(), busy(), busy()]);
    let client = builder(handinger.server.base_url())
        .total_timeout(Duration::from_millis(500))
        .sleep_with(|_| thread::sleep(Duration::from_millis(200)))
        .build()
        .unwrap();
    let error = client.rotate_token("wrk_1").unwrap_err();
    assert!(error.to_string().ends_with("; no time left within the total timeout of 500ms"), "{error}");
    assert!("GGPP".starts_with(&handinger.requests()), "{}", handinger.requests());

    // The next rotation has as much time again.
    client.with_total_timeout(Duration::from_secs(60)).rotate_token("wrk_1").unwrap();
}
