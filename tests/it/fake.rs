//! What the fake does to workers, webhooks and the history, what can go wrong with it, and how it stops.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use handinger::fake::{FakeHandinger, Fault, Operation};
use handinger::{Error, ErrorKind, HandingerClient, UpdateWebhook, Webhook, WebhookExecution};
use serde_json::{Value, json};

use crate::support::{CALLS, rerun, wait_until};

const HOOK: &str = "https://example.com/hook";
/// Longer than any test runs.
const AN_HOUR: Duration = Duration::from_secs(3600);
pub(crate) fn with_worker() -> FakeHandinger {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    fake
}

pub(crate) fn with_webhook() -> FakeHandinger {
    let fake = with_worker();
    fake.client().update_webhook("wrk_1", HOOK).unwrap();
    fake
}

fn single_attempts(fake: &FakeHandinger) -> HandingerClient {
    fake.client().with_max_retries(0)
}

/// The status of a result; 0 is a connection lost, 1 a timeout.
fn status<T>(result: Result<T, Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) if error.is_timeout() => 1,
        Err(error) if error.kind() == ErrorKind::Transport => 0,
        Err(error) => error.status().unwrap(),
    }
}

/// The statuses of so many retrieves.
fn statuses(fake: &FakeHandinger, count: usize) -> Vec<u16> {
    (0..count).map(|_| status(single_attempts(fake).retrieve_webhook("wrk_1"))).collect()
}

fn url(fake: &FakeHandinger) -> Option<String> {
    fake.client().retrieve_webhook("wrk_1").unwrap().url
}

pub(crate) fn connect(fake: &FakeHandinger) -> TcpStream {
    let stream = TcpStream::connect(fake.base_url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Waits for the end of a connection, on which nothing comes any more. A reset counts as the end.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Sends these bytes, and reads up to the end of the connection.
pub(crate) fn exchange(fake: &FakeHandinger, request: &str) -> String {
    let mut stream = connect(fake);
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Sends a request of a client that knows nothing of Handinger, and returns the response's status and body.
fn send(fake: &FakeHandinger, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let headers = format!("Authorization: {key}\r\nContent-Length: {length}\r\nConnection: close\r\n");
    let response = exchange(fake, &format!("{method} /api/workers/{path} HTTP/1.1\r\n{headers}\r\n{body}"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn execution(id: &str, second: u8) -> WebhookExecution {
    serde_json::from_value(json!({
        "id": id, "createdAt": format!("2026-11-23T18:11:{second}Z"), "durationMs": 212, "url": HOOK,
        "requestStatus": "success", "workerId": "wrk_1",
    }))
    .unwrap()
}

/// Returns the message of a panic.
fn panic_of<T>(act: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).map(drop).expect_err("a panic");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// Starts an update that a fault holds back.
fn held_back(fake: &FakeHandinger) -> JoinHandle<Result<Webhook, Error>> {
    let before = fake.request_count();
    fake.inject(Fault::delay(AN_HOUR).on(Operation::UpdateWebhook));
    let client = single_attempts(fake);
    let thread = thread::spawn(move || client.update_webhook("wrk_1", HOOK));
    wait_until(|| fake.request_count() > before);
    thread
}

#[test]
fn token_lives_as_long_as_the_url() {
    let fake = with_worker();
    let client = fake.client();
    let none = client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!((&none.url, &none.token), (&None, &None));

    let set = client.update_webhook("wrk_1", HOOK).unwrap();
    assert!(set.url.as_deref() == Some(HOOK) && set.token.is_some());
    let moved = client.update_webhook("wrk_1", "https://example.com/2").unwrap();
    assert_eq!((moved.url.as_deref(), &moved.token), (Some("https://example.com/2"), &set.token));
    let renewed = client.regenerate_token("wrk_1").unwrap();
    assert!(renewed.url == moved.url && renewed.token != moved.token);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), renewed);

    assert_eq!(client.update_webhook("wrk_1", UpdateWebhook::clear()).unwrap(), none);
    let again = client.update_webhook("wrk_1", HOOK).unwrap();
    assert!(again.token.is_some() && again.token != set.token && again.token != renewed.token);
    assert_eq!(client.delete_webhook("wrk_1").unwrap(), none);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), none);
}

#[test]
fn each_worker_and_each_fake_has_a_webhook_of_its_own() {
    let (fake, other) = (with_webhook(), with_worker());
    fake.add_worker("a/b?c#d é%2e");
    fake.client().update_webhook("a/b?c#d é%2e", "https://example.com/2").unwrap();
    fake.add_worker("wrk_1"); // there already
    assert_eq!((url(&fake).as_deref(), url(&other)), (Some(HOOK), None));
    let stranger = HandingerClient::builder(other.api_key()).base_url(fake.base_url()).build().unwrap();
    assert!(stranger.retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
}

#[test]
fn rejected_requests_change_nothing() {
    let fake = with_webhook();
    fake.add_worker("wrk_2");
    let before = fake.client().retrieve_webhook("wrk_1").unwrap();
    let key = &format!("Bearer {}", fake.api_key());
    for (method, path, key, body, status, message) in [
        ("DELETE", "wrk_1/webhook", "", "", 401, "invalid API key"),
        ("DELETE", "wrk_1", "Bearer x", "", 401, "invalid API key"),
        ("DELETE", "wrk_1/webhook/", key, "", 404, "no such path or method"),
        ("PUT", "wrk_1/webhook/executions", key, "", 404, "no such path or method"),
        ("DELETE", "%ff/webhook", key, "", 404, "worker not found"),
        ("POST", "wrk_2/webhook/regenerate-token", key, "", 400, "the worker has no webhook"),
        ("PUT", "wrk_1/webhook", key, "{}", 400, "the body must be an object with a url"),
        ("PUT", "wrk_1/webhook", key, r#"{"url":null} x"#, 400, "the body must be an object with a url"),
        ("PUT", "wrk_1/webhook", key, r#"{"url":"http://example.com"}"#, 400, "url must be an https URL"),
        ("PUT", "wrk_1/webhook", key, r#"{"url":"https:///path"}"#, 400, "url must be an https URL"),
        ("GET", "wrk_1/webhook/executions?page=0", key, "", 400, "page must be a number from 1 up"),
        ("GET", "wrk_1/webhook/executions?x=9&page=x", key, "", 400, "page must be a number from 1 up"),
    ] {
        let expected = (status, json!({ "error": { "message": message } }));
        assert_eq!(send(&fake, method, path, key, body), expected, "{method} {path} {key} {body}");
    }
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap(), before);
}

#[test]
fn history_has_fifty_executions_a_page() {
    let fake = with_webhook();
    let mut ids = Vec::new();
    for (delivered, pages) in [(0, &[0][..]), (50, &[50, 0]), (120, &[50, 50, 20, 0])] {
        while ids.len() < delivered {
            ids.insert(0, fake.deliver("wrk_1", 200).execution.id);
        }
        let mut seen = Vec::new();
        for (page, length) in (1..).zip(pages) {
            let list = fake.client().list_executions("wrk_1", page).unwrap();
            let counts = (list.logs.len(), list.page, list.page_count, list.total_count);
            assert_eq!(counts, (*length, page, delivered.div_ceil(50) as u64, delivered as u64));
            seen.extend(list.logs.into_iter().map(|execution| execution.id));
        }
        assert_eq!(seen, ids);
    }
    assert_eq!(fake.client().list_executions("wrk_1", u64::MAX).unwrap().logs, []);
}

#[test]
fn executions_are_in_the_order_of_their_time() {
    let fake = FakeHandinger::start();
    for (id, second) in [("b", 20), ("d", 40), ("a", 10), ("c", 30), ("c2", 30)] {
        fake.add_execution("wrk_1", execution(id, second));
    }
    let ids = || fake.client().executions("wrk_1").map(|execution| execution.unwrap().id).collect::<Vec<_>>();
    assert_eq!(ids(), ["d", "c2", "c", "b", "a"]);
    assert!(fake.remove_execution("wrk_1", "c2"));
    assert!(!fake.remove_execution("wrk_1", "c2") && !fake.remove_execution("wrk_2", "c"));
    assert_eq!(ids(), ["d", "c", "b", "a"]);
}

#[test]
fn delivery_carries_the_webhook_and_is_in_the_history() {
    let fake = with_worker();
    let client = fake.client();
    let webhook = client.update_webhook("wrk_1", HOOK).unwrap();
    for (response, outcome, message) in [
        (Some(200), "success", None),
        (Some(299), "success", None),
        (Some(301), "error", Some("the endpoint responded with 301")),
        (None, "error", Some("the endpoint could not be reached")),
    ] {
        let delivery = fake.deliver("wrk_1", response);
        assert_eq!((&*delivery.url, Some(&delivery.token)), (HOOK, webhook.token.as_ref()));
        let execution = &delivery.execution;
        assert_eq!((execution.request_status.as_str(), execution.response_status), (outcome, response));
        assert_eq!(execution.error_message.as_deref(), message);
        assert_eq!(client.list_executions("wrk_1", 1).unwrap().logs.first(), Some(execution));
    }
    client.delete_webhook("wrk_1").unwrap();
    assert_eq!(client.list_executions("wrk_1", 1).unwrap().total_count, 4, "it outlives the webhook");
}

#[test]
fn delivery_can_be_edited_and_its_closure_may_call_the_fake() {
    let fake = with_webhook();
    let delivery = fake.deliver_with("wrk_1", |execution| {
        let earlier = fake.deliver("wrk_1", 200).execution;
        execution.created_at = earlier.created_at - AN_HOUR;
        execution.response_status = Some(504);
        execution.error_message = Some("too late".into());
    });
    let oldest = fake.client().executions("wrk_1").last().unwrap().unwrap();
    assert_eq!(oldest, delivery.execution);
    assert_eq!((oldest.is_success(), oldest.error_message.as_deref()), (false, Some("too late")));
}

#[test]
fn requests_are_recorded_as_they_were_sent() {
    let fake = with_worker();
    fake.client().update_webhook("wrk_1", HOOK).unwrap();
    fake.client().list_executions("wrk_1", 7).unwrap();
    let _ = fake.client().retrieve_webhook("a b/c");
    let requests = fake.requests();
    let operations = requests.iter().map(|request| request.operation().unwrap());
    assert!(operations.eq([Operation::UpdateWebhook, Operation::ListExecutions, Operation::RetrieveWebhook]));
    assert_eq!(requests[1].query.as_deref(), Some("page=7"));
    assert_eq!(requests[2].path, "/api/workers/a%20b%2Fc/webhook");
    assert_eq!(requests[2].worker_id().as_deref(), Some("a b/c"));
    assert_eq!(requests[0].header("AUTHORIZATION"), Some(&*format!("Bearer {}", fake.api_key())));
    let shown = r#"PUT /api/workers/wrk_1/webhook {"url":"https://example.com/hook"}"#;
    assert_eq!(format!("{:?}", requests[0]), shown, "it shows the key");
    fake.clear_requests();
    assert_eq!((fake.request_count(), fake.requests()), (0, vec![]));
}

#[test]
fn faults_strike_in_the_order_of_their_injection() {
    let fake = with_worker();
    fake.fail_next(0, 400);
    fake.fail_next(1, 503);
    fake.inject(Fault::hang_up());
    fake.inject(Fault::status(500).times(2));
    assert_eq!(statuses(&fake, 5), [503, 0, 500, 500, 200]);
    fake.assert_faults_used();
    // Requests that another fault strikes count for `skip`.
    fake.inject(Fault::status(403).skip(1).times(2));
    fake.inject(Fault::status(404));
    fake.inject(Fault::status(409).skip(3));
    assert_eq!(statuses(&fake, 5), [404, 403, 403, 409, 200]);
}

#[test]
fn fault_waits_for_its_operation() {
    use Operation::{DeleteWebhook, ListExecutions, RegenerateToken, RetrieveWebhook, UpdateWebhook};

    let operations = [RetrieveWebhook, ListExecutions, UpdateWebhook, DeleteWebhook, RegenerateToken];
    for operation in operations {
        let fake = with_webhook();
        fake.inject(Fault::status(418).on(operation).always());
        // The last first, because a regenerate needs the webhook that the delete before it removes.
        for ((name, call), other) in CALLS.into_iter().zip(operations).rev() {
            let expected = if other == operation { 418 } else { 200 };
            let status = status(call(&single_attempts(&fake)));
            assert_eq!(status, expected, "{name} under a fault on {operation:?}");
        }
    }
}

#[test]
fn unused_faults_are_reported() {
    let fake = with_worker();
    fake.inject(Fault::status(500).always());
    assert!(panic_of(|| fake.assert_faults_used()).contains("status(500)"));
    assert_eq!(statuses(&fake, 2), [500, 500]);
    fake.assert_faults_used();
    fake.clear_faults();

    fake.inject(Fault::truncate(3).times(2));
    fake.inject(Fault::hang_up().on(Operation::DeleteWebhook));
    assert_eq!(statuses(&fake, 1), [0]);
    let message = panic_of(|| fake.assert_faults_used());
    assert!(message.starts_with("unused faults: [Fault { action: truncate(3), "), "{message}");
    assert!(message.contains("times: Some(2), struck: 1 }, Fault { action: hang_up, "), "{message}");
    fake.clear_faults();
    fake.assert_faults_used();
    assert_eq!(statuses(&fake, 1), [200]);
}

#[test]
fn status_has_any_headers_and_any_body() {
    let fake = with_worker();
    let error = || single_attempts(&fake).retrieve_webhook("wrk_1").unwrap_err();
    fake.inject(Fault::status(429).header("Retry-After", "120").header("X-A", "1").header("x-a", "2"));
    let plain = error();
    assert_eq!((plain.retry_after(), plain.header("x-a")), (Some(Duration::from_secs(120)), Some("1")));
    assert_eq!(plain.body(), br#"{"error":{"message":"Too Many Requests"}}"#);
    fake.inject(Fault::status(599).header("content-type", "text/html").body("<p>Down"));
    let page = error();
    assert_eq!((page.header("content-type"), page.body()), (Some("text/html"), &b"<p>Down"[..]));
    fake.inject(Fault::status(200).body("[]"));
    assert_eq!(error().kind(), ErrorKind::Decode);
}

#[test]
fn misuse_panics_at_once() {
    let fake = with_worker();
    let header = |name, value| panic_of(|| Fault::status(200).header(name, value));
    let panics = [
        (panic_of(|| fake.deliver("wrk_1", 200)), "cannot deliver to worker wrk_1: it has no webhook"),
        (panic_of(|| fake.deliver_with("wrk_2", |_| ())), "cannot deliver to worker wrk_2: there is none"),
        (panic_of(|| Fault::status(199)), "199 is not a status between 200 and 999"),
        (header("a b", "c"), "\"a b\" is not the name of a header"),
        (header("a", "b\nc: d"), "\"b\\nc: d\" is not the value of a header"),
        (header("content-length", "2"), "Content-Length is set by the fake"),
        (panic_of(|| Fault::truncate(1).body("b")), "only a fault with a status has headers and a body"),
    ];
    for (panic, expected) in panics {
        assert!(panic.starts_with(expected), "{panic}");
    }
}

#[test]
fn delayed_request_is_applied_even_if_its_client_has_given_up() {
    let fake = with_worker();
    fake.inject(Fault::delay(Duration::from_millis(300)));
    let client = single_attempts(&fake).with_timeout(Duration::from_millis(100));
    assert_eq!(status(client.update_webhook("wrk_1", HOOK)), 1);
    wait_until(|| url(&fake).is_some());
}

#[test]
fn fault_strikes_before_or_after_the_change() {
    for (fault, expected, is_applied) in [
        (Fault::status(500), 500, false),
        (Fault::status(500).after_applying(), 500, true),
        (Fault::hang_up(), 0, false),
        (Fault::hang_up().after_applying(), 0, true),
        (Fault::delay(AN_HOUR), 1, false),
        (Fault::delay(AN_HOUR).after_applying(), 1, true),
        (Fault::truncate(0), 0, true),
        (Fault::truncate(usize::MAX), 0, true),
    ] {
        let fake = with_worker();
        fake.inject(fault.clone());
        let client = single_attempts(&fake);
        let client = if expected == 1 { client.with_timeout(Duration::from_millis(250)) } else { client };
        assert_eq!(status(client.update_webhook("wrk_1", HOOK)), expected, "{fault:?}");
        assert_eq!(url(&fake).is_some(), is_applied, "{fault:?}");
    }
}

#[test]
fn panic_in_a_closure_only_closes_the_connection() {
    let fake = with_worker();
    fake.inject(Fault::meanwhile(|_| resume_unwind(Box::new("prints nothing"))));
    assert_eq!(statuses(&fake, 2), [0, 200]);
}

#[test]
fn stopped_fake_rejects_connections_and_comes_back_as_it_was() {
    let fake = with_webhook();
    let client = single_attempts(&fake);
    let webhook = client.retrieve_webhook("wrk_1").unwrap();
    fake.stop();
    fake.stop();
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Connect);
    fake.restart();
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), webhook);
    assert_eq!(fake.request_count(), 3);
}

#[test]
fn restart_drops_idle_connections_and_the_requests_that_were_held_back() {
    let fake = with_worker();
    let (held, mut idle) = (held_back(&fake), connect(&fake));
    fake.restart();
    assert!(held.join().unwrap().is_err() && is_closed(&mut idle));
    assert_eq!(url(&fake), None);
}

#[test]
fn client_that_loses_a_connection_by_a_stop_cannot_open_another() {
    let fake = with_worker();
    // So often because it could go well by chance.
    for _ in 0..50 {
        fake.inject(Fault::meanwhile(FakeHandinger::stop));
        let mut stream = connect(&fake);
        let address = stream.peer_addr().unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(is_closed(&mut stream));
        assert!(TcpStream::connect(address).is_err());
        fake.restart();
    }
    fake.inject(Fault::meanwhile(FakeHandinger::restart));
    assert_eq!(statuses(&fake, 1), [0]);
    wait_until(|| fake.client().retrieve_webhook("wrk_1").is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn port_of_a_stopped_fake_is_kept_for_it() {
    let fake = FakeHandinger::start();
    let port: u16 = fake.base_url().rsplit(':').next().unwrap().parse().unwrap();
    fake.stop();
    // Linux gives no program that asks for a free port one that has an open connection.
    let established = format!("0100007F:{port:04X} 01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    assert!(rows.any(|row| format!("{} {}", row[1], row[3]) == established), "{table}");
    fake.restart();
}

#[cfg(target_os = "linux")]
#[test]
fn dropped_fake_leaves_no_thread_and_no_file() {
    // A process of its own, where no other test starts threads.
    if std::env::var_os("COUNT_THREADS").is_none() {
        rerun("fake::dropped_fake_leaves_no_thread_and_no_file", &[("COUNT_THREADS", "1")]);
        return;
    }
    let count = |folder| std::fs::read_dir(folder).unwrap().count();
    let counts = || (count("/proc/self/task"), count("/proc/self/fd"));
    let before = counts();
    for _ in 0..10 {
        let fake = with_worker();
        let (_held, _idle) = (held_back(&fake), connect(&fake));
        fake.stop();
        fake.restart();
        let _held = held_back(&fake);
        assert!(counts().0 > before.0 + 2);
    }
    wait_until(|| counts() == before);
}
