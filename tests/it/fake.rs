//! The fake's contract: what it does to workers, webhooks and the history, for any client.

use std::time::Duration;

use handinger::fake::{FakeHandinger, Operation};
use handinger::{HandingerClient, RequestStatus, Webhook, WebhookExecution, WebhookToken};
use serde_json::{Value, json};
use time::OffsetDateTime;
use ureq::http::{Request, Response};

pub(crate) const HOOK: &str = "https://example.com/hook";
const PATH: &str = "/api/workers/wrk_1/webhook";

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

fn client_with_key(fake: &FakeHandinger, key: &str) -> HandingerClient {
    HandingerClient::builder(key).base_url(fake.base_url()).build().unwrap()
}

fn token(webhook: &Webhook) -> &str {
    webhook.token.as_ref().map_or("", WebhookToken::as_str)
}

/// The headers of a client that does everything right.
fn headers(fake: &FakeHandinger) -> [(&'static str, String); 2] {
    [("Authorization", format!("Bearer {}", fake.api_key())), ("Content-Type", "application/json".into())]
}

/// A request of a client that knows nothing of Handinger, and the response.
fn send(fake: &FakeHandinger, method: &str, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
    let response = send_with(fake, method, path, body, &headers(fake));
    (response.status().as_u16(), serde_json::from_str(response.body()).unwrap())
}

fn send_with(
    fake: &FakeHandinger,
    method: &str,
    path: &str,
    body: impl AsRef<[u8]>,
    headers: &[(&str, String)],
) -> Response<String> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let mut request = Request::builder().method(method).uri(format!("{}{path}", fake.base_url()));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let body = body.as_ref();
    let response = if body.is_empty() {
        agent.run(request.body(()).unwrap())
    } else {
        agent.run(request.body(body).unwrap())
    };
    let (head, mut body) = response.unwrap().into_parts();
    Response::from_parts(head, body.read_to_string().unwrap())
}

fn error(message: &str) -> Value {
    json!({ "error": { "message": message } })
}

fn execution(id: &str, created_at: &str) -> WebhookExecution {
    serde_json::from_value(json!({
        "id": id, "createdAt": created_at, "durationMs": 212, "requestStatus": "success", "url": HOOK,
        "workerId": "wrk_1",
    }))
    .unwrap()
}

fn ids(fake: &FakeHandinger) -> Vec<String> {
    let list = fake.client().list_executions("wrk_1", 1).unwrap();
    list.into_iter().map(|execution| execution.id).collect()
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

    assert_eq!(client.update_webhook("wrk_1", handinger::UpdateWebhook::clear()).unwrap(), none);
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
fn a_regenerate_without_a_webhook_is_rejected() {
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
    assert_eq!(send(&fake, "GET", PATH, ""), (200, json!({ "url": null, "token": null })));

    let (status, set) = send(&fake, "PUT", PATH, json!({ "url": HOOK, "unknown": 1 }).to_string());
    assert_eq!((status, &set["url"]), (200, &json!(HOOK)));
    assert!(set["token"].is_string());
    assert_eq!(send(&fake, "GET", PATH, ""), (200, set.clone()));

    let (status, renewed) = send(&fake, "POST", &format!("{PATH}/regenerate-token"), "{}");
    assert_eq!((status, &renewed["url"]), (200, &json!(HOOK)));
    assert_ne!(renewed["token"], set["token"]);

    let id = fake.deliver("wrk_1", None).unwrap().execution.id;
    let (status, list) = send(&fake, "GET", &format!("{PATH}/executions"), "");
    assert_eq!(
        (status, &list["page"], &list["pageCount"], &list["totalCount"]),
        (200, &json!(1), &json!(1), &json!(1))
    );
    let execution = &list["logs"][0];
    assert_eq!(
        (&execution["id"], &execution["requestStatus"], &execution["responseStatus"]),
        (&json!(id), &json!("error"), &Value::Null)
    );

    assert_eq!(send(&fake, "DELETE", PATH, ""), (200, json!({ "url": null, "token": null })));
    assert_eq!(fake.request_count(), 6);
}

/// Fields and their order as in `api-reference.md`.
#[test]
fn bodies_are_those_of_the_reference_to_the_byte() {
    let fake = with_webhook();
    let webhook = fake.client().retrieve_webhook("wrk_1").unwrap();
    let response = send_with(&fake, "GET", PATH, "", &headers(&fake));
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(*response.body(), format!(r#"{{"token":"{}","url":"{HOOK}"}}"#, token(&webhook)));

    let complete = serde_json::from_value(json!({
        "id": "whe_1", "createdAt": "2019-12-27T18:11:19.117Z", "durationMs": 0, "errorMessage": "errorMessage",
        "requestStatus": "success", "responseStatus": 0, "taskId": "taskId", "taskTitle": "taskTitle", "url": "url",
        "workerId": "workerId"
    }));
    fake.add_execution("wrk_1", complete.unwrap());
    fake.add_execution("wrk_1", execution("whe_2", "2026-11-23T18:11:00Z"));
    let response = send_with(&fake, "GET", &format!("{PATH}/executions"), "", &headers(&fake));
    assert_eq!(
        *response.body(),
        concat!(
            r#"{"logs":[{"id":"whe_2","createdAt":"2026-11-23T18:11:00.000Z","durationMs":212,"errorMessage":null,"#,
            r#""requestStatus":"success","responseStatus":null,"taskId":null,"taskTitle":null,"#,
            r#""url":"https://example.com/hook","workerId":"wrk_1"},"#,
            r#"{"id":"whe_1","createdAt":"2019-12-27T18:11:19.117Z","durationMs":0,"errorMessage":"errorMessage","#,
            r#""requestStatus":"success","responseStatus":0,"taskId":"taskId","taskTitle":"taskTitle","url":"url","#,
            r#""workerId":"workerId"}],"page":1,"pageCount":1,"totalCount":2}"#
        )
    );
}

#[test]
fn times_have_three_digits_of_a_second_in_utc() {
    let fake = with_webhook();
    for (given, sent) in [
        ("2026-11-23T18:11:19.1Z", "2026-11-23T18:11:19.100Z"),
        ("2026-11-23T18:11:19.12Z", "2026-11-23T18:11:19.120Z"),
        ("2026-11-23T18:11:19.123999999Z", "2026-11-23T18:11:19.123Z"),
        ("2026-11-23T00:11:19+02:00", "2026-11-22T22:11:19.000Z"),
        ("0001-02-03T04:05:06Z", "0001-02-03T04:05:06.000Z"),
    ] {
        fake.add_execution("wrk_1", execution("whe_1", given));
        let (_, list) = send(&fake, "GET", &format!("{PATH}/executions"), "");
        assert_eq!(list["logs"][0]["createdAt"], sent);
        fake.remove_execution("wrk_1", "whe_1");
    }
}

#[test]
fn headers_and_bodies_that_a_client_may_send_do_not_upset_it() {
    let fake = with_worker();
    let [key, _] = headers(&fake);
    let twice =
        [key, ("X-Twice", "1".into()), ("X-Twice", "2".into()), ("Content-Type", "text/plain".into())];
    assert_eq!(send_with(&fake, "GET", PATH, "", &twice).status(), 200);
    assert_eq!(send(&fake, "PUT", PATH, b"{\"url\":\"https://\xff\"}").0, 400);
    assert_eq!(send(&fake, "GET", PATH, ""), (200, json!({ "url": null, "token": null })));
}

#[test]
fn without_the_key_everything_is_401() {
    let fake = with_webhook();
    let stranger = crate::support::client(fake.base_url());
    let rejected = stranger.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((rejected.status(), rejected.message()), (Some(401), Some("invalid API key")));
    assert!(stranger.delete_webhook("wrk_1").unwrap_err().is_unauthorized());
    assert!(stranger.retrieve_webhook("wrk_unknown").unwrap_err().is_unauthorized());

    let key = fake.api_key();
    let bearer = format!("Bearer {key}");
    for authorization in [
        &[][..],
        &[key],
        &[&format!("Basic {key}")],
        &[&format!("{bearer}x")],
        &["Bearer "],
        &[&*bearer, &*bearer],
    ] {
        let headers: Vec<_> =
            authorization.iter().map(|value| ("Authorization", String::from(*value))).collect();
        let response = send_with(&fake, "GET", PATH, "", &headers);
        assert_eq!(response.status(), 401, "{authorization:?}");
        assert_eq!(serde_json::from_str::<Value>(response.body()).unwrap(), error("invalid API key"));
    }
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some(), "a stranger's DELETE was obeyed");
    for path in ["/", "/__httpmock__/mocks"] {
        assert_eq!(send_with(&fake, "DELETE", path, "", &[]).status(), 401, "{path}");
    }
}

#[test]
fn the_scheme_of_the_key_may_have_any_case() {
    let fake = with_worker();
    for scheme in ["bearer", "BEARER", "Bearer  "] {
        let headers = [("Authorization", format!("{scheme} {}", fake.api_key()))];
        assert_eq!(send_with(&fake, "GET", PATH, "", &headers).status(), 200, "{scheme}");
    }
}

#[test]
fn keys_are_added_and_revoked() {
    let (fake, other) = (with_worker(), FakeHandinger::start());
    assert_ne!(fake.api_key(), other.api_key());
    fake.add_api_key("key of the CI");
    let (first, second) = (fake.client(), client_with_key(&fake, "key of the CI"));
    assert!(first.update_webhook("wrk_1", HOOK).is_ok());
    assert_eq!(second.retrieve_webhook("wrk_1").unwrap().url.as_deref(), Some(HOOK));

    assert!(fake.revoke_api_key(fake.api_key()));
    assert!(!fake.revoke_api_key(fake.api_key()));
    assert!(first.retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
    assert!(second.retrieve_webhook("wrk_1").is_ok());

    fake.add_api_key(fake.api_key());
    assert!(first.retrieve_webhook("wrk_1").is_ok());
    assert!(client_with_key(&fake, other.api_key()).retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
}

#[test]
fn workers_of_somebody_else_are_403_for_every_call() {
    let fake = with_webhook();
    fake.add_foreign_worker("wrk_foreign");
    fake.add_foreign_worker("wrk_1");
    fake.add_worker("wrk_foreign");
    for worker in ["wrk_foreign", "wrk_1"] {
        let client = fake.client();
        assert!(client.retrieve_webhook(worker).unwrap_err().is_forbidden());
        assert!(client.update_webhook(worker, "https://example.com/mine").unwrap_err().is_forbidden());
        assert!(client.delete_webhook(worker).unwrap_err().is_forbidden());
        assert!(client.regenerate_token(worker).unwrap_err().is_forbidden());
        assert!(client.list_executions(worker, 1).unwrap_err().is_forbidden());
    }
    assert_eq!(fake.deliver("wrk_1", 200).unwrap().url, HOOK, "a rejected request was applied");
}

#[test]
fn what_is_not_there_is_404_and_what_cannot_be_done_405() {
    let fake = with_worker();
    let unknown = (404, error("worker not found"));
    for (method, end) in
        [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/regenerate-token"), ("GET", "/executions")]
    {
        let path = format!("/api/workers/wrk_2/webhook{end}");
        assert_eq!(send(&fake, method, &path, if method == "PUT" { "{}" } else { "" }), unknown, "{path}");
    }
    for path in ["/", "/api/workers/wrk_1", "/api/workers/wrk_1/webhooks", "/v1/api/workers/wrk_1/webhook"] {
        assert_eq!(send(&fake, "GET", path, ""), (404, error("no such path")), "{path}");
    }
    for end in ["/", "/x", "/executions/1", "/executions/", "%2Fexecutions"] {
        assert_eq!(send(&fake, "GET", &format!("{PATH}{end}"), ""), (404, error("no such path")), "{end}");
    }
    for (method, end, allowed) in [
        ("POST", "", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PATCH", "", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("GET", "/regenerate-token", "POST, OPTIONS"),
        ("DELETE", "/executions", "GET, HEAD, OPTIONS"),
    ] {
        let response = send_with(&fake, method, &format!("{PATH}{end}"), "", &headers(&fake));
        assert_eq!(response.status(), 405, "{method} {end}");
        assert_eq!(response.headers()["allow"], allowed);
        assert_eq!(serde_json::from_str::<Value>(response.body()).unwrap(), error("method not allowed"));
    }
}

#[test]
fn paths_are_decoded_strictly() {
    let fake = with_worker();
    fake.add_worker("\u{fffd}");
    for path in
        ["/api/workers/%77rk_1/webhook", "/api/workers/wrk_1/%77ebhook", "/api/workers/%EF%BF%BD/webhook"]
    {
        assert_eq!(send(&fake, "GET", path, "").0, 200, "{path}");
    }
    for worker in ["%FF", "%", "%7", "%zz", "%+1", "wrk_1%"] {
        let path = format!("/api/workers/{worker}/webhook");
        assert_eq!(send(&fake, "GET", &path, ""), (400, error("malformed percent-encoding")), "{path}");
    }
    assert!(fake.requests().iter().any(|request| request.path == "/api/workers/%FF/webhook"));
}

#[test]
fn an_update_that_makes_no_sense_is_rejected_and_changes_nothing() {
    let fake = with_webhook();
    let before = fake.client().retrieve_webhook("wrk_1").unwrap();
    let rejected = fake.client().update_webhook("wrk_1", "http://example.com/hook").unwrap_err();
    assert!(rejected.is_bad_request());
    assert_eq!(rejected.message(), Some("url must be an https URL"));

    for url in [
        "",
        "example.com",
        "http://example.com",
        "ftp://example.com",
        "ahttps://example.com",
        "https:example.com",
        "https://",
        "https:// ",
        "https:///path",
        "https://:443",
        "https://user@",
        "https://example.com/a b",
        " https://example.com",
        "https://example.com\n",
    ] {
        let response = send(&fake, "PUT", PATH, json!({ "url": url }).to_string());
        assert_eq!(response, (400, error("url must be an https URL")), "{url:?}");
    }
    for body in [
        "",
        "{}",
        "null",
        "[]",
        r#"["https://example.com"]"#,
        r#"{"url":1}"#,
        r#"{"url":{}}"#,
        "https://example.com",
        r#"{"url":null"#,
        r#"{"url":null} x"#,
    ] {
        let response = send(&fake, "PUT", PATH, body);
        assert_eq!(response, (400, error("the body must be an object with a url")), "{body}");
    }
    let [key, _] = headers(&fake);
    let update = json!({ "url": "https://example.com/new" }).to_string();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let headers = [key.clone(), ("Content-Type", media_type.into())];
        assert_eq!(send_with(&fake, "PUT", PATH, &update, &headers).status(), 415, "{media_type}");
    }
    assert_eq!(send_with(&fake, "PUT", PATH, &update, std::slice::from_ref(&key)).status(), 415);
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap(), before);

    for (media_type, url) in [
        ("application/json; charset=utf-8", "https://user:password@example.com:8443/a?b#c"),
        ("Application/JSON", "HTTPS://[::1]/ü"),
    ] {
        let headers = [key.clone(), ("Content-Type", media_type.into())];
        let body = json!({ "url": url }).to_string();
        assert_eq!(send_with(&fake, "PUT", PATH, body, &headers).status(), 200, "{media_type}");
        assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url.as_deref(), Some(url));
    }
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
        assert!(list.logs.iter().map(|execution| &execution.id).eq(expected), "page {page}: {list:?}");
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
    let path = format!("{PATH}/executions");
    for page in ["0", "00", "-1", "+1", "", "x", "1.0", "1e3", "%2B1"] {
        let response = send(&fake, "GET", &format!("{path}?page={page}"), "");
        assert_eq!(response, (400, error("page must be a number from 1 up")), "{page}");
    }
    assert_eq!(send(&fake, "GET", &format!("{path}?page=%FF"), "").0, 400);
    for (query, page, executions) in
        [("", 1, 1), ("?page=1", 1, 1), ("?page=%31", 1, 1), ("?x=9&page=2&y", 2, 0), ("?pages=9", 1, 1)]
    {
        let (status, list) = send(&fake, "GET", &format!("{path}{query}"), "");
        assert_eq!((status, &list["page"]), (200, &json!(page)), "{query}");
        assert_eq!(list["logs"].as_array().unwrap().len(), executions, "{query}");
    }
    // 2⁶⁴ - 1, 2⁶⁴, and more.
    for page in ["18446744073709551615", "18446744073709551616", "99999999999999999999999999999"] {
        let (status, list) = send(&fake, "GET", &format!("{path}?page={page}"), "");
        assert_eq!((status, &list["page"], &list["logs"]), (200, &json!(u64::MAX), &json!([])), "{page}");
    }
}

#[test]
fn executions_stand_where_their_time_puts_them() {
    let fake = FakeHandinger::start();
    for (id, second) in [("b", 20), ("d", 40), ("a", 10), ("c", 30), ("c2", 30), ("e", 50)] {
        fake.add_execution("wrk_1", execution(id, &format!("2026-11-23T18:11:{second}Z")));
    }
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
    for (response, status, message) in [
        (Some(200), RequestStatus::Success, None),
        (Some(299), RequestStatus::Success, None),
        (Some(199), RequestStatus::Error, Some("the endpoint responded with 199")),
        (Some(301), RequestStatus::Error, Some("the endpoint responded with 301")),
        (Some(503), RequestStatus::Error, Some("the endpoint responded with 503")),
        (None, RequestStatus::Error, Some("the endpoint could not be reached")),
    ] {
        let delivery = fake.deliver("wrk_1", response).unwrap();
        assert_eq!(delivery.url, HOOK);
        assert_eq!(Some(&delivery.token), webhook.token.as_ref());
        let execution = &delivery.execution;
        assert_eq!((&execution.request_status, execution.response_status), (&status, response));
        assert_eq!(execution.error_message.as_deref(), message);
        assert_eq!((&*execution.url, &*execution.worker_id), (HOOK, "wrk_1"));
        assert!(execution.created_at > before && execution.created_at <= OffsetDateTime::now_utc());
        // What comes over the wire is the same, to the last digit of the time.
        assert_eq!(client.list_executions("wrk_1", 1).unwrap().logs.first(), Some(execution));
    }

    client.delete_webhook("wrk_1").unwrap();
    assert_eq!(fake.deliver("wrk_1", 200), None);
    let list = client.list_executions("wrk_1", 1).unwrap();
    assert_eq!(list.total_count, 6, "the history outlives the webhook");
}

#[test]
fn a_delivery_can_be_at_any_time() {
    let fake = with_webhook();
    let now = OffsetDateTime::now_utc();
    let hours_ago = |hours: u64| now - Duration::from_secs(hours * 3600);
    let deliver = |hours, status| fake.deliver_at("wrk_1", hours_ago(hours), status).unwrap().execution;
    let (two, three, one) = (deliver(2, Some(200)), deliver(3, None), deliver(1, Some(503)));
    assert!((one.created_at - hours_ago(1)).abs() < Duration::from_millis(1));
    assert_eq!((two.is_success(), three.is_success(), one.is_success()), (true, false, false));
    assert_eq!(fake.client().list_executions("wrk_1", 1).unwrap().logs, [one, two, three]);
}

#[test]
fn the_statuses_of_an_edited_delivery_agree() {
    let fake = with_webhook();
    let deliver = |edit: fn(&mut WebhookExecution)| {
        let WebhookExecution { request_status, response_status, error_message, .. } =
            fake.deliver_with("wrk_1", edit).unwrap().execution;
        (request_status.to_string(), response_status, error_message)
    };
    let no_response = Some("the endpoint could not be reached".into());
    assert_eq!(deliver(|_| {}), ("success".into(), Some(200), None));
    assert_eq!(
        deliver(|execution| execution.response_status = Some(500)),
        ("error".into(), Some(500), Some("the endpoint responded with 500".into()))
    );
    assert_eq!(
        deliver(|execution| execution.request_status = RequestStatus::Error),
        ("error".into(), None, no_response.clone())
    );
    assert_eq!(deliver(|execution| execution.response_status = None), ("error".into(), None, no_response));
    assert_eq!(
        deliver(|execution| {
            execution.response_status = Some(504);
            execution.error_message = Some("too late".into());
        }),
        ("error".into(), Some(504), Some("too late".into()))
    );
    assert_eq!(
        deliver(|execution| execution.request_status = "throttled".into()),
        ("throttled".into(), Some(200), None)
    );
}

#[test]
fn the_closure_of_a_delivery_may_call_the_fake() {
    let fake = with_webhook();
    let outer = fake.deliver_with("wrk_1", |execution| {
        let inner = fake.deliver("wrk_1", 200).unwrap().execution;
        fake.client().regenerate_token("wrk_1").unwrap();
        execution.created_at = inner.created_at + Duration::from_secs(1);
        execution.task_title = Some(format!("after {}", inner.id));
    });
    let list = fake.client().list_executions("wrk_1", 1).unwrap();
    assert_eq!((list.total_count, &list.logs[0]), (2, &outer.unwrap().execution));
    assert_eq!(list.logs[0].task_title, Some(format!("after {}", list.logs[1].id)));
}

#[test]
fn each_fake_is_a_world_of_its_own() {
    let (one, other) = (with_webhook(), FakeHandinger::start());
    assert_ne!(one.base_url(), other.base_url());
    one.fail_next(1, 500);
    assert!(other.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    assert_eq!((one.request_count(), other.request_count()), (1, 1));
}

#[test]
fn its_client_retries_without_waiting() {
    let fake = with_worker();
    fake.fail_next(2, 503);
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    assert_eq!(fake.request_count(), 3);
}

#[test]
fn requests_are_recorded_as_they_were_sent() {
    let fake = with_worker();
    let client = fake.client();
    client.update_webhook("wrk_1", HOOK).unwrap();
    client.list_executions("wrk_1", 7).unwrap();
    let _ = client.retrieve_webhook("a b/c");
    send(&fake, "PUT", "/elsewhere?", b"\xff");

    let requests = fake.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (&*request.method, &*request.path, request.query.as_deref(), request.operation()))
        .collect();
    assert_eq!(
        seen,
        [
            ("PUT", PATH, None, Some(Operation::UpdateWebhook)),
            ("GET", &*format!("{PATH}/executions"), Some("page=7"), Some(Operation::ListExecutions)),
            ("GET", "/api/workers/a%20b%2Fc/webhook", None, Some(Operation::RetrieveWebhook)),
            ("PUT", "/elsewhere", Some(""), None),
        ]
    );
    assert_eq!(requests[0].body, br#"{"url":"https://example.com/hook"}"#);
    assert_eq!(requests[2].worker_id().as_deref(), Some("a b/c"));
    assert_eq!((requests[3].worker_id(), &*requests[3].body_text()), (None, "\u{fffd}"));
    assert_eq!(requests[1].header("ACCEPT"), Some("application/json"));
    assert_eq!(requests[1].header("authorization"), Some(&*format!("Bearer {}", fake.api_key())));
    assert_eq!(requests[1].header("x-none"), None);
    assert_eq!(fake.requests_of(Operation::UpdateWebhook), requests[..1]);
    assert_eq!(fake.request_count(), 4);
}

#[test]
fn debug_shows_no_secret() {
    let fake = with_webhook();
    let delivery = fake.deliver("wrk_1", 200).unwrap();
    assert_eq!(format!("{fake:?}"), format!("FakeHandinger {{ base_url: {:?}, .. }}", fake.base_url()));
    let shown = format!("{delivery:?}");
    assert!(!shown.contains(delivery.token.as_str()), "{shown}");

    let shown = format!("{:?}", fake.requests());
    assert!(!shown.contains(fake.api_key()), "{shown}");
    for part in ["PUT", PATH, "[redacted]", "application/json", "example.com"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
