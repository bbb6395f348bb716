//! `rotate_token`: if a response is lost, the call finds out which token is in force, and sends nothing again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use handinger::{Error, ErrorKind, HandingerClient};

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
    Respond(status(429, &[("retry-after-ms", "1")]))
}

const OLD_TOKEN: &str = r#"{"url":"https://example.com/hook","token":"whk_0"}"#;
const NO_WEBHOOK: &str = r#"{"url":null,"token":null}"#;

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

#[test]
fn token_is_replaced_once_even_if_the_response_is_lost_or_carries_no_new_one() {
    let responds = |bytes| (vec![Serve, ServeAndRespond(bytes)], "GPG");
    for (steps, requests) in [
        (vec![], "GP"),
        (vec![Serve, busy(), busy()], "GPPP"),
        (vec![Serve, LoseResponse], "GPG"),
        (vec![Serve, LoseResponse, LoseResponse], "GPGG"),
        responds(unavailable()),
        responds(status(502, &[("x-should-retry", "true")])),
        responds(status(303, &[])),
        responds(response(200, "done")),
        responds(response(200, OLD_TOKEN)),
        responds(response(200, NO_WEBHOOK)),
    ] {
        let handinger = Handinger::with(steps);
        let webhook = handinger.client(&Waits::default()).rotate_token("wrk_1").unwrap();
        assert_eq!((&*handinger.requests(), &*handinger.token()), (requests, "whk_1"));
        assert_eq!(webhook.token.unwrap().as_str(), "whk_1");
    }
}

/// Returns the error after these requests, and the waits. The message must end with this text.
#[track_caller]
fn failed<const STEPS: usize>(steps: [Step; STEPS], requests: &str, end: &str) -> (Error, Vec<Duration>) {
    let (handinger, waits) = (Handinger::with(steps), Waits::default());
    let error = handinger.client(&waits).rotate_token("wrk_1").unwrap_err();
    assert_eq!(handinger.requests(), requests, "{error}");
    assert!(error.to_string().ends_with(&format!(" of worker wrk_1: {end}")), "{error}");
    assert!(error.may_have_been_applied() || handinger.token() == "whk_0", "{error}");
    (error, waits.take())
}

#[test]
fn nothing_is_sent_again_while_the_old_token_is_in_force() {
    let note = "the old token was still in force afterwards; the change may have been applied";
    failed([Serve, LoseRequest], "GPG", &format!("connection lost; {note}"));
    let no_new = format!("the response carries no new token; {note}");
    failed([Serve, Respond(response(200, OLD_TOKEN))], "GPG", &no_new);
    let unavailable = [Serve, Respond(unavailable())];
    let (error, waits) =
        failed(unavailable, "GPG", &format!("the server returned 503: as the test says; {note}"));
    assert_eq!((error.retry_after(), error.attempts(), waits), (Some(Duration::from_secs(7)), 1, vec![]));
}

#[test]
fn later_rejection_does_not_settle_what_the_regenerate_left_open() {
    let end = "connection lost; the token in force could not be retrieved; the change may have been applied";
    for lost in [LoseRequest, LoseResponse] {
        let (error, _) = failed([Serve, lost, Respond(status(404, &[]))], "GPG", end);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    }
}

#[test]
fn webhook_that_is_missing_is_reported() {
    let note = "the webhook had no token afterwards; the change may have been applied";
    let none = || Respond(response(200, NO_WEBHOOK));
    failed([Serve, LoseRequest, none()], "GPG", &format!("connection lost; {note}"));
    failed([none(), none(), none()], "GPG", &format!("the response carries no new token; {note}"));
    let rejected = Respond(status(400, &[]));
    let (error, _) = failed([none(), rejected], "GP", "the server returned 400: as the test says");
    assert!(!error.may_have_been_applied());
}

#[test]
fn rejected_request_leaves_the_old_token() {
    let (error, _) = failed([Respond(status(403, &[]))], "G", "the server returned 403: as the test says");
    assert!(error.is_forbidden() && !error.may_have_been_applied());
    let end = "the server returned 429: as the test says (3 attempts)";
    let (error, waits) = failed([Serve, busy(), busy(), busy()], "GPPP", end);
    assert!(!error.may_have_been_applied() && waits.len() == 2);
}

#[test]
fn total_timeout_limits_all_calls_together() {
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
