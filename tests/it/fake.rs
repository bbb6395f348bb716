//! The fake, by itself and as other clients see it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handinger::fake::FakeHandinger;
use handinger::{ErrorKind, RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookToken};
use serde_json::{Value, json};
use time::OffsetDateTime;
use ureq::http::{Request, Response};

const HOOK: &str = "https://example.com/hook";
/// Longer than any test runs.
const AN_HOUR: Duration = Duration::from_secs(3600);
const A_MOMENT: Duration = Duration::from_millis(250);

fn with_worker() -> FakeHandinger {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    fake
}

fn with_webhook() -> FakeHandinger {
    let fake = with_worker();
    fake.client().update_webhook("wrk_1", HOOK).unwrap();
    fake
}

fn token(webhook: &Webhook) -> &str {
    webhook.token.as_ref().map_or("", WebhookToken::as_str)
}

/// A request of a client that knows nothing of Handinger, and what comes back.
fn bare(fake: &FakeHandinger, method: &str, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
    bare_with(fake, method, path, body, &[("Authorization", &format!("Bearer {}", fake.api_key()))]).unwrap()
}

fn bare_with(
    fake: &FakeHandinger,
    method: &str,
    path: &str,
    body: impl AsRef<[u8]>,
    headers: &[(&str, &str)],
) -> Result<(u16, Value), ureq::Error> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let mut request = Request::builder().method(method).uri(format!("{}{path}", fake.base_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.as_ref();
    let answer: Response<ureq::Body> = if body.is_empty() {
        agent.run(request.body(()).unwrap())?
    } else {
        agent.run(request.body(body).unwrap())?
    };
    let (head, mut body) = answer.into_parts();
    assert_eq!(head.headers["content-type"], "application/json");
    Ok((head.status.as_u16(), serde_json::from_str(&body.read_to_string()?).unwrap()))
}

fn refusal(message: &str) -> Value {
    json!({ "error": { "message": message } })
}

#[test]
fn a_token_lives_as_long_as_the_url_does() {
    let fake = with_worker();
    let client = fake.client();
    let none = client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!((&none.url, &none.token), (&None, &None));

    let set = client.update_webhook("wrk_1", HOOK).unwrap();
    assert_eq!(set.url.as_deref(), Some(HOOK));
    assert!(token(&set).starts_with("whk_"), "{}", token(&set));
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), set);

    let moved = client.update_webhook("wrk_1", "https://example.com/elsewhere").unwrap();
    assert_eq!(moved.url.as_deref(), Some("https://example.com/elsewhere"));
    assert_eq!(moved.token, set.token);

    let renewed = client.regenerate_token("wrk_1").unwrap();
    assert_eq!(renewed.url, moved.url);
    assert_ne!(renewed.token, moved.token);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), renewed);

    assert_eq!(client.update_webhook("wrk_1", UpdateWebhook::clear()).unwrap(), none);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), none);

    let set_again = client.update_webhook("wrk_1", HOOK).unwrap();
    assert!(set_again.token.is_some());
    assert_ne!(set_again.token, set.token);
    assert_ne!(set_again.token, renewed.token);

    assert_eq!(client.delete_webhook("wrk_1").unwrap(), none);
    assert_eq!(client.delete_webhook("wrk_1").unwrap(), none);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), none);
}

#[test]
fn a_regenerate_without_a_webhook_is_refused() {
    let error = with_worker().client().regenerate_token("wrk_1").unwrap_err();
    assert_eq!((error.status(), error.message()), (Some(400), Some("the worker has no webhook")));
}

#[test]
fn workers_are_kept_apart() {
    let fake = with_webhook();
    fake.add_worker("a/b?c#d é%2e");
    let client = fake.client();
    assert_eq!(client.retrieve_webhook("a/b?c#d é%2e").unwrap().url, None);
    let other = client.update_webhook("a/b?c#d é%2e", "https://example.com/other").unwrap();
    let first = client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!(first.url.as_deref(), Some(HOOK));
    assert_ne!(first.token, other.token);

    fake.add_worker("wrk_1");
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), first, "an added worker was added again");
    assert!(client.retrieve_webhook("wrk_2").unwrap_err().is_not_found());
}

#[test]
fn any_client_can_talk_to_it() {
    let fake = with_worker();
    let path = "/api/workers/wrk_1/webhook";
    assert_eq!(bare(&fake, "GET", path, ""), (200, json!({ "url": null, "token": null })));

    let (status, set) = bare(&fake, "PUT", path, json!({ "url": HOOK }).to_string());
    assert_eq!((status, &set["url"]), (200, &json!(HOOK)));
    assert!(set["token"].is_string());
    assert_eq!(bare(&fake, "GET", path, ""), (200, set.clone()));

    let (status, renewed) = bare(&fake, "POST", "/api/workers/wrk_1/webhook/regenerate-token", "{}");
    assert_eq!((status, &renewed["url"]), (200, &json!(HOOK)));
    assert_ne!(renewed["token"], set["token"]);

    let id = fake.deliver("wrk_1", None).unwrap().execution.id;
    let (status, list) = bare(&fake, "GET", "/api/workers/wrk_1/webhook/executions", "");
    assert_eq!(
        (status, &list["page"], &list["pageCount"], &list["totalCount"]),
        (200, &json!(1), &json!(1), &json!(1))
    );
    let row = &list["logs"][0];
    assert_eq!(
        (&row["id"], &row["requestStatus"], &row["responseStatus"]),
        (&json!(id), &json!("error"), &Value::Null)
    );

    assert_eq!(bare(&fake, "DELETE", path, ""), (200, json!({ "url": null, "token": null })));
    assert_eq!(fake.request_count(), 6);
}

#[test]
fn headers_and_bodies_that_a_client_may_send_do_not_break_it() {
    let fake = with_worker();
    let key = format!("Bearer {}", fake.api_key());
    let headers =
        [("Authorization", &*key), ("X-Twice", "1"), ("X-Twice", "2"), ("Content-Type", "text/plain")];
    let path = "/api/workers/wrk_1/webhook";
    let answer = bare_with(&fake, "GET", path, "", &headers).unwrap();
    assert_eq!(answer, (200, json!({ "url": null, "token": null })));
    assert_eq!(bare(&fake, "PUT", path, b"{\"url\":\"https://\xff\"}").0, 400);
    assert_eq!(bare(&fake, "GET", path, ""), (200, json!({ "url": null, "token": null })));
}

#[test]
fn without_the_key_everything_is_401() {
    let fake = with_webhook();
    let stranger = crate::support::client(fake.base_url());
    let error = stranger.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((error.status(), error.message()), (Some(401), Some("invalid API key")));
    assert!(stranger.delete_webhook("wrk_1").unwrap_err().is_unauthorized());
    assert!(stranger.retrieve_webhook("wrk_unknown").unwrap_err().is_unauthorized());

    let key = fake.api_key();
    for authorization in ["", key, &format!("Basic {key}"), &format!("Bearer {key}x"), "Bearer "] {
        let headers = [("Authorization", authorization)];
        let headers = if authorization.is_empty() { &[][..] } else { &headers };
        let answer = bare_with(&fake, "GET", "/api/workers/wrk_1/webhook", "", headers).unwrap();
        assert_eq!(answer, (401, refusal("invalid API key")), "{authorization}");
    }
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some(), "a stranger's DELETE was obeyed");
}

#[test]
fn what_is_not_there_is_404_and_what_cannot_be_done_405() {
    let fake = with_worker();
    let unknown = (404, refusal("worker not found"));
    for (method, end) in
        [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/regenerate-token"), ("GET", "/executions")]
    {
        let path = format!("/api/workers/wrk_2/webhook{end}");
        assert_eq!(bare(&fake, method, &path, if method == "PUT" { "{}" } else { "" }), unknown, "{path}");
    }
    for path in ["/", "/api/workers/wrk_1", "/api/workers/wrk_1/webhooks", "/v1/api/workers/wrk_1/webhook"] {
        assert_eq!(bare(&fake, "GET", path, ""), (404, refusal("no such path")), "{path}");
    }
    for path in [
        "/api/workers/wrk_1/webhook/",
        "/api/workers/wrk_1/webhook/x",
        "/api/workers/wrk_1/webhook/executions/1",
    ] {
        assert_eq!(bare(&fake, "GET", path, ""), (404, refusal("no such path")), "{path}");
    }
    for (method, end) in [("POST", ""), ("GET", "/regenerate-token"), ("DELETE", "/executions")] {
        let path = format!("/api/workers/wrk_1/webhook{end}");
        assert_eq!(bare(&fake, method, &path, ""), (405, refusal("method not allowed")), "{method} {path}");
    }
}

#[test]
fn an_update_that_makes_no_sense_is_refused_and_changes_nothing() {
    let fake = with_webhook();
    let before = fake.client().retrieve_webhook("wrk_1").unwrap();
    let error = fake.client().update_webhook("wrk_1", "http://example.com/hook").unwrap_err();
    assert!(error.is_bad_request());
    assert_eq!(error.message(), Some("url must be an https URL"));

    let path = "/api/workers/wrk_1/webhook";
    for url in ["", "example.com", "http://example.com", "ftp://example.com", "ahttps://example.com"] {
        let answer = bare(&fake, "PUT", path, json!({ "url": url }).to_string());
        assert_eq!(answer, (400, refusal("url must be an https URL")), "{url}");
    }
    for body in ["{}", "null", "[]", r#"{"url":1}"#, "https://example.com", r#"{"url":null"#] {
        let answer = bare(&fake, "PUT", path, body);
        assert_eq!(answer, (400, refusal("the body must be an object with a url")), "{body}");
    }
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap(), before);
}

#[test]
fn the_history_has_fifty_a_page_the_newest_first() {
    let fake = with_webhook();
    let mut ids: Vec<_> = (0..120).map(|_| fake.deliver("wrk_1", 200).unwrap().execution.id).collect();
    ids.reverse();
    let client = fake.client();
    for (page, expected) in
        [(1, &ids[..50]), (2, &ids[50..100]), (3, &ids[100..]), (4, &[]), (1_000, &[]), (u64::MAX, &[])]
    {
        let list = client.list_executions("wrk_1", page).unwrap();
        assert_eq!((list.page, list.page_count, list.total_count), (page, 3, 120));
        assert!(list.iter().map(|row| &row.id).eq(expected), "page {page}: {list:?}");
    }
}

#[test]
fn an_empty_history_has_no_page() {
    let list = with_worker().client().list_executions("wrk_1", 1).unwrap();
    assert_eq!((list.logs.len(), list.page, list.page_count, list.total_count), (0, 1, 0, 0));
}

#[test]
fn exactly_fifty_are_one_page() {
    let fake = with_webhook();
    for _ in 0..50 {
        fake.deliver("wrk_1", 200);
    }
    assert_eq!(fake.client().list_executions("wrk_1", 1).unwrap().page_count, 1);
    fake.deliver("wrk_1", 200);
    assert_eq!(fake.client().list_executions("wrk_1", 1).unwrap().page_count, 2);
}

#[test]
fn a_page_is_a_number_from_one_up() {
    let fake = with_webhook();
    fake.deliver("wrk_1", 200);
    let path = "/api/workers/wrk_1/webhook/executions";
    for page in ["0", "-1", "", "x", "1.0", "1e3", "18446744073709551616", "%31"] {
        let answer = bare(&fake, "GET", &format!("{path}?page={page}"), "");
        assert_eq!(answer, (400, refusal("page must be a number from 1 up")), "{page}");
    }
    for (query, page, rows) in [("", 1, 1), ("?page=1", 1, 1), ("?x=9&page=2&y", 2, 0), ("?pages=9", 1, 1)] {
        let (status, list) = bare(&fake, "GET", &format!("{path}{query}"), "");
        assert_eq!((status, &list["page"]), (200, &json!(page)), "{query}");
        assert_eq!(list["logs"].as_array().unwrap().len(), rows, "{query}");
    }
}

fn execution(id: &str, second: u32) -> WebhookExecution {
    serde_json::from_value(json!({
        "id": id, "createdAt": format!("2026-11-23T18:11:{second:02}Z"), "durationMs": 212, "requestStatus": "success",
        "url": HOOK, "workerId": "wrk_1",
    }))
    .unwrap()
}

#[test]
fn executions_stand_where_their_time_puts_them() {
    let fake = FakeHandinger::start();
    for (id, second) in [("b", 20), ("d", 40), ("a", 10), ("c", 30), ("c2", 30), ("e", 50)] {
        fake.add_execution("wrk_1", execution(id, second));
    }
    let ids = |fake: &FakeHandinger| -> Vec<_> {
        fake.client().list_executions("wrk_1", 1).unwrap().into_iter().map(|row| row.id).collect()
    };
    // Of two with the same time, the one that came later counts as the newer.
    assert_eq!(ids(&fake), ["e", "d", "c2", "c", "b", "a"]);

    assert!(fake.remove_execution("wrk_1", "c2"));
    assert!(!fake.remove_execution("wrk_1", "c2"));
    assert!(!fake.remove_execution("wrk_2", "c"));
    assert_eq!(ids(&fake), ["e", "d", "c", "b", "a"]);
}

#[test]
fn a_delivery_carries_what_the_webhook_says_and_is_in_the_history() {
    let fake = with_worker();
    assert_eq!(fake.deliver("wrk_1", 200), None);
    assert_eq!(fake.deliver("wrk_unknown", 200), None);
    let client = fake.client();
    let webhook = client.update_webhook("wrk_1", HOOK).unwrap();

    let before = OffsetDateTime::now_utc() - Duration::from_millis(1);
    for (answer, status, response_status, message) in [
        (Some(200), RequestStatus::Success, Some(200), None),
        (Some(299), RequestStatus::Success, Some(299), None),
        (Some(199), RequestStatus::Error, Some(199), Some("the endpoint answered 199")),
        (Some(301), RequestStatus::Error, Some(301), Some("the endpoint answered 301")),
        (Some(503), RequestStatus::Error, Some(503), Some("the endpoint answered 503")),
        (None, RequestStatus::Error, None, Some("the endpoint could not be reached")),
    ] {
        let delivery = fake.deliver("wrk_1", answer).unwrap();
        assert_eq!(delivery.url, HOOK);
        assert_eq!(Some(&delivery.token), webhook.token.as_ref());
        let row = &delivery.execution;
        assert_eq!((&row.request_status, row.response_status), (&status, response_status));
        assert_eq!(row.error_message.as_deref(), message);
        assert_eq!((&*row.url, &*row.worker_id), (HOOK, "wrk_1"));
        assert!(row.created_at > before && row.created_at <= OffsetDateTime::now_utc(), "{row:?}");
        assert_eq!(row.created_at.nanosecond() % 1_000_000, 0, "the service's clock counts milliseconds");
        // What comes over the wire is the same, to the last digit of the time.
        assert_eq!(client.list_executions("wrk_1", 1).unwrap().logs.first(), Some(row));
    }

    let edited = fake.deliver_with("wrk_1", |row| row.task_title = Some("Weekly report".into())).unwrap();
    assert_eq!(edited.execution.task_title.as_deref(), Some("Weekly report"));
    assert_eq!(client.list_executions("wrk_1", 1).unwrap().logs.first(), Some(&edited.execution));

    client.delete_webhook("wrk_1").unwrap();
    assert_eq!(fake.deliver("wrk_1", 200), None);
    assert_eq!(
        client.list_executions("wrk_1", 1).unwrap().total_count,
        7,
        "the history outlives the webhook"
    );
}

#[test]
fn the_next_answers_fail_as_told_and_nothing_is_done() {
    let fake = with_worker();
    fake.fail_next(2, 503);
    fake.fail_next(1, 403);
    fake.fail_next(0, 500);
    let client = fake.client().with_max_retries(0);
    for status in [503, 503, 403] {
        let error = client.update_webhook("wrk_1", HOOK).unwrap_err();
        assert_eq!(error.status(), Some(status));
    }
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap().url, None);

    fake.fail_next(1, 429);
    let answer = bare(&fake, "PUT", "/api/workers/wrk_1/webhook", "{}");
    assert_eq!(answer, (429, refusal("Too Many Requests")));
    fake.fail_next(1, 599);
    assert_eq!(bare(&fake, "GET", "/", ""), (599, refusal("failed as asked")));
    assert_eq!(fake.request_count(), 6);
}

#[test]
fn the_next_answers_are_cut_after_everything_is_done() {
    let fake = with_webhook();
    let client = fake.client().with_max_retries(0);
    let before = client.retrieve_webhook("wrk_1").unwrap();
    fake.cut_next(2);
    for _ in 0..2 {
        let error = client.regenerate_token("wrk_1").unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
        assert!(error.may_have_been_applied());
    }
    let after = client.retrieve_webhook("wrk_1").unwrap();
    assert_ne!(after.token, before.token);

    fake.cut_next(1);
    let key = format!("Bearer {}", fake.api_key());
    let path = "/api/workers/wrk_1/webhook";
    bare_with(&fake, "DELETE", path, "", &[("Authorization", &key)]).unwrap_err();
    assert_eq!(bare(&fake, "GET", path, ""), (200, json!({ "url": null, "token": null })));
    assert_eq!(fake.request_count(), 7);
}

#[test]
fn the_next_requests_are_held_back_before_anything_is_done() {
    let fake = with_worker();
    fake.delay_next(2, AN_HOUR);
    fake.delay_next(0, AN_HOUR);
    let hurried = fake.client().with_max_retries(0).with_timeout(A_MOMENT);
    for _ in 0..2 {
        assert!(hurried.update_webhook("wrk_1", HOOK).unwrap_err().is_timeout());
    }
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url, None);
    assert_eq!(fake.request_count(), 1);
}

#[test]
fn a_request_that_is_held_back_does_not_hold_back_others() {
    let fake = with_worker();
    fake.delay_next(1, AN_HOUR);
    let mut held = TcpStream::connect(fake.base_url().trim_start_matches("http://")).unwrap();
    held.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    // Should the first of these come before the one above, it is held back in its place.
    let hurried = fake.client().with_max_retries(0).with_timeout(A_MOMENT);
    assert!((0..10).any(|_| hurried.retrieve_webhook("wrk_1").is_ok()));
}

#[test]
fn an_answer_that_is_late_comes_all_the_same() {
    let fake = with_worker();
    fake.delay_next(1, Duration::from_millis(100));
    let start = Instant::now();
    let webhook = fake.client().update_webhook("wrk_1", HOOK).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(webhook.url.as_deref(), Some(HOOK));
}

#[test]
fn each_delay_is_that_of_its_own_call() {
    let fake = with_worker();
    let client = fake.client();
    let takes_at_least = |least: u64| {
        let start = Instant::now();
        client.retrieve_webhook("wrk_1").unwrap();
        assert!(start.elapsed() >= Duration::from_millis(least), "{:?}", start.elapsed());
    };
    for millis in [1, 100, 50] {
        fake.delay_next(1, Duration::from_millis(millis));
    }
    takes_at_least(1);
    takes_at_least(100);
    takes_at_least(50);
    fake.delay_next(1, Duration::from_millis(100));
    takes_at_least(100);
}

#[test]
fn a_late_answer_can_also_fail_or_be_cut() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0);
    fake.delay_next(2, Duration::from_millis(1));
    fake.fail_next(1, 500);
    assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_server_error());
    fake.cut_next(1);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Transport);
    assert!(client.retrieve_webhook("wrk_1").is_ok());
}

#[test]
fn each_fake_is_a_world_of_its_own() {
    let (one, other) = (with_webhook(), FakeHandinger::start());
    assert_ne!(one.base_url(), other.base_url());
    one.fail_next(1, 500);
    assert!(other.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    assert_eq!((one.request_count(), other.request_count()), (1, 1));

    drop(one);
    // httpmock keeps its servers for later use: nothing of the dropped fake may be left.
    let fresh = FakeHandinger::start();
    assert!(fresh.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    assert_eq!(fresh.request_count(), 1);
}

#[test]
fn its_client_tries_again_without_waiting() {
    let fake = with_worker();
    fake.fail_next(2, 503);
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    assert_eq!(fake.request_count(), 3);
}

#[test]
fn debug_shows_where_it_is_and_no_token() {
    let fake = with_webhook();
    let delivery = fake.deliver("wrk_1", 200).unwrap();
    assert_eq!(format!("{fake:?}"), format!("FakeHandinger {{ base_url: {:?}, .. }}", fake.base_url()));
    let shown = format!("{delivery:?}");
    assert!(!shown.contains(delivery.token.as_str()), "{shown}");
}
