//! Exact requests, with httpmock, and the responses that decode.

use std::sync::{Arc, Mutex};

use handinger::{
    Error, ErrorKind, RequestStatus, UpdateWebhook, Webhook, WebhookExecutionList, WebhookToken,
};
use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::{ANY_BODY, CALLS, Call, KEY, Server, WEBHOOK, builder, client, response, response_with};

/// From the API reference: List worker webhook executions, Response.
const EXECUTIONS: &str = r#"{ "logs": [ { "id": "whe_01HZY31W2SZJ8MJ2FQTR3M1K9D", "createdAt": "2019-12-27T18:11:19.117Z", "durationMs": 0, "errorMessage": "errorMessage", "requestStatus": "success", "responseStatus": 0, "taskId": "taskId", "taskTitle": "taskTitle", "url": "url", "workerId": "workerId" } ], "page": 0, "pageCount": 0, "totalCount": 0 }"#;

#[test]
fn each_request_has_its_path_headers_and_body_and_nothing_else() {
    let clear: Call = |client| client.update_webhook("wrk_1", UpdateWebhook::clear()).map(drop);
    let set = "content-length: 34\ncontent-type: application/json\n";
    for ((name, call), method, below, more_headers, body) in [
        (CALLS[0], "GET", "", "", ""),
        (CALLS[1], "GET", "/executions?page=1", "", ""),
        (CALLS[2], "PUT", "", set, r#"{"url":"https://example.com/hook"}"#),
        (("clear", clear), "PUT", "", &set.replace("34", "12"), r#"{"url":null}"#),
        (CALLS[3], "DELETE", "", "", ""),
        (CALLS[4], "POST", "/regenerate-token", "content-length: 0\n", ""),
    ] {
        let path = format!("/api/workers/wrk_1/webhook{below}");
        let request = received_by_httpmock(call);
        assert_eq!(
            (request.method_str(), request.uri().path_and_query().unwrap().as_str()),
            (method, &*path)
        );
        assert_eq!(request.body_string(), body, "{name}");
        let mut headers: Vec<_> =
            request.headers_vec().iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        headers.retain(|header| !header.starts_with("host: 127.0.0.1:"));
        headers.sort();
        let encoding = if cfg!(feature = "gzip") { "gzip" } else { "identity" };
        let expected = format!(
            "accept-encoding: {encoding}\naccept: application/json\nauthorization: Bearer {KEY}\n{more_headers}\
             user-agent: handinger-rust/{}\nx-team: ops\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(headers.concat(), expected, "{name}");
    }
}

/// The request that a call sends, as a server reads it that nobody here wrote.
fn received_by_httpmock(call: Call) -> HttpMockRequest {
    let server = MockServer::start();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&requests);
    server.mock(|when, then| {
        when.any_request();
        then.respond_with(move |request| {
            record.lock().unwrap().push(request.clone());
            HttpMockResponse::builder().status(200).body(ANY_BODY).build()
        });
    });
    call(&builder(server.base_url()).header("X-Team", "ops").build().unwrap()).unwrap();
    let mut requests = std::mem::take(&mut *requests.lock().unwrap());
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn parts(webhook: &Webhook) -> (Option<&str>, Option<&str>) {
    (webhook.url.as_deref(), webhook.token.as_ref().map(WebhookToken::as_str))
}

fn webhook(body: impl AsRef<[u8]>) -> Result<Webhook, Error> {
    client(Server::responding([response(200, body)]).base_url()).retrieve_webhook("wrk_1")
}

fn page(body: impl AsRef<[u8]>) -> Result<WebhookExecutionList, Error> {
    client(Server::responding([response(200, body)]).base_url()).list_executions("wrk_1", 1)
}

#[test]
fn responses_of_the_reference_are_returned() {
    // The content type does not matter.
    let server = Server::responding([response_with(200, &[("Content-Type", "text/html")], WEBHOOK)]);
    let client = client(server.base_url());
    for webhook in [
        client.retrieve_webhook("wrk_1"),
        client.update_webhook("wrk_1", "https://example.com/hook"),
        client.delete_webhook("wrk_1"),
        client.regenerate_token("wrk_1"),
    ] {
        let expected = ("https://example.com/handinger-webhook", "whk_01HZY31W2SZJ8MJ2FQTR3M1K9D");
        assert_eq!(parts(&webhook.unwrap()), (Some(expected.0), Some(expected.1)));
    }
    let list = page(EXECUTIONS).unwrap();
    let [execution] = &list.logs[..] else { panic!("{list:?}") };
    let at = OffsetDateTime::from_unix_timestamp_nanos(1_577_470_279_117_000_000).unwrap();
    assert_eq!((&*execution.id, execution.created_at), ("whe_01HZY31W2SZJ8MJ2FQTR3M1K9D", at));
    assert_eq!((&execution.request_status, execution.response_status), (&RequestStatus::Success, Some(0)));
    assert_eq!(execution.task_id.as_deref(), Some("taskId"));
    assert_eq!(execution.task_title.as_deref(), Some("taskTitle"));
    assert_eq!(serde_json::to_value(&list).unwrap(), serde_json::from_str::<Value>(EXECUTIONS).unwrap());
}

#[test]
fn decoding_a_webhook_forgives() {
    for (body, expected) in [
        (r#"{"url":null,"token":null}"#, (None, None)),
        (r#"{"url":null}"#, (None, None)),
        (r#"{"url":"https://a.example/b"}"#, (Some("https://a.example/b"), None)),
        (
            r#"{"url":"https:\/\/a.example\/\u0062\ud83d","token":null}"#,
            (Some("https://a.example/b\u{fffd}"), None),
        ),
        (r#"{"id":[{"x":1}],"url":null,"createdAt":{},"token":" whk_1\n"}"#, (None, Some("whk_1"))),
        ("\r\n\t {\"url\":null} \r\n", (None, None)),
        ("\u{feff}{\"url\":null}", (None, None)),
    ] {
        assert_eq!(parts(&webhook(body).unwrap()), expected, "{body}");
    }
}

/// A page with an ordinary execution, and one in which a field has another value, or is left out.
fn page_with(name: &str, value: Option<&str>) -> String {
    let ordinary = r#""id":"whe_1","createdAt":"2019-12-27T18:11:19.117Z","durationMs":212,
        "errorMessage":"errorMessage","requestStatus":"error","responseStatus":503,"taskId":"taskId",
        "taskTitle":"taskTitle","url":"https://example.com/hook","workerId":"wrk_1""#;
    let others = ordinary.split(',').filter(|field| !field.contains(&format!("\"{name}\":")));
    let field = value.map(|value| format!("\"{name}\":{value}"));
    let odd: Vec<_> = others.chain(field.as_deref()).collect();
    let odd = odd.join(",");
    format!(r#"{{"logs":[{{{ordinary}}},{{{odd}}}],"page":1,"pageCount":1,"totalCount":2}}"#)
}

#[test]
fn odd_execution_does_not_cost_the_page() {
    let odd = [
        ("taskTitle", Some(r#""\ud83d, \ude00\ud83d\ude00!""#), json!("\u{fffd}, \u{fffd}😀!")),
        ("errorMessage", Some(r#""lone: \ud83d""#), json!("lone: \u{fffd}")),
        ("durationMs", Some("12.0"), json!(12)),
        ("durationMs", Some("12.7"), json!(12)),
        ("durationMs", Some("1.2e3"), json!(1200)),
        ("durationMs", Some("-1"), json!(0)),
        ("durationMs", Some("18446744073709551616"), json!(u64::MAX)),
        ("createdAt", Some(r#""2019-12-27T18:11:19+05:30""#), json!("2019-12-27T18:11:19+05:30")),
        ("createdAt", Some(r#""2019-12-27T18:11:19.123456789Z""#), json!("2019-12-27T18:11:19.123456789Z")),
        ("createdAt", Some(r#""2019-12-27t18:11:19.5z""#), json!("2019-12-27T18:11:19.5Z")),
        ("createdAt", Some(r#""2019-12-27 18:11:19Z""#), json!("2019-12-27T18:11:19Z")),
        ("requestStatus", Some(r#""throttled \"x\"""#), json!("throttled \"x\"")),
        ("responseStatus", Some("200.0"), json!(200)),
        ("responseStatus", Some("70000"), Value::Null),
        ("retries", Some(r#"[{"id":null},"\ud83d",-1e9]"#), Value::Null),
    ];
    let absent = ["errorMessage", "responseStatus", "taskId", "taskTitle"]
        .into_iter()
        .flat_map(|name| [(name, Some("null"), Value::Null), (name, None, Value::Null)]);
    for (name, given, expected) in odd.into_iter().chain(absent) {
        let page = page(page_with(name, given)).unwrap_or_else(|error| panic!("{name} {given:?}: {error:#}"));
        let page = serde_json::to_value(page).unwrap();
        assert_eq!(page["logs"][0]["taskTitle"], "taskTitle", "{name} {given:?}");
        assert_eq!(page["logs"][1].get(name).unwrap_or(&Value::Null), &expected, "{name} {given:?}");
    }
}

#[test]
fn odd_count_does_not_cost_the_page() {
    let list = page(r#"{"logs":[],"page":-3,"pageCount":3.7,"totalCount":1e99,"next":null}"#).unwrap();
    assert_eq!((list.page, list.page_count, list.total_count), (0, 3, u64::MAX));
}

/// What `{:#}` says about a response that does not decode, without the line and column.
#[track_caller]
fn problem_of(result: Result<impl std::fmt::Debug, Error>, body: &[u8]) -> String {
    let error = result.expect_err(&String::from_utf8_lossy(body));
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Decode, Some(200), 1));
    assert_eq!(error.body(), body);
    let text = format!("{error:#}");
    let (_, problem) = text.split_once(" of worker wrk_1").unwrap();
    let problem = problem.split_once(": ").unwrap().1;
    problem.split(" at line ").next().unwrap().to_owned()
}

#[test]
fn response_that_is_no_json_says_what_came() {
    for (body, problem) in [
        (&b""[..], "the response is empty"),
        (b"whk_s3cret", "the response is not a JSON object"),
        (b"\x80\xff", "the response is not a JSON object"),
        (b"null", "the response is not a JSON object"),
        (b"<h1>Sign\n in</h1>", "the response is HTML, not JSON: Sign in"),
        (b"<html>whk_s3cret</html>", "the response is HTML, not JSON"),
        (
            format!("<title>Sign in with {KEY}</title>").as_bytes(),
            "the response is HTML, not JSON: Sign in with [redacted]",
        ),
    ] {
        assert_eq!(problem_of(webhook(body), body), problem);
    }
    // An error keeps no more of a page than of any body: 64 KiB.
    let title = "x".repeat(70_000);
    assert_eq!(webhook(format!("<title>{title}</title>")).unwrap_err().message(), None);
    let server = Server::responding([response(204, "")]);
    let error = client(server.base_url()).delete_webhook("wrk_1").unwrap_err();
    assert!(
        error.to_string().ends_with(": the response is empty; the change may have been applied"),
        "{error}"
    );
}

#[test]
fn json_that_the_api_does_not_document_is_an_error_with_its_cause() {
    const ARRAY: &str = "an array in place of an object";
    const NO_URL: &str = "missing field `url`";
    for (body, cause) in [
        (&b"[]"[..], ARRAY),
        (br#"["https://example.com/s3cret","whk_s3cret"]"#, ARRAY),
        (br#"{"token":"whk_s3cret"}"#, NO_URL),
        (br#"{"Url":null,"TOKEN":"whk_s3cret"}"#, NO_URL),
        (br#"{"url":null,"token":"whk_s3cret"#, "EOF while parsing a string"),
        (br#"{"url":null} whk_s3cret"#, "trailing characters"),
        (br#"{"url":17}"#, "invalid type: integer, expected a string"),
        (b"{\"url\":\"https://\xff\"}", "not UTF-8"),
    ] {
        let expected = format!("the response is not what the API documents: {cause}");
        assert_eq!(problem_of(webhook(body), body), expected);
    }
    for (body, cause) in [
        (r"[[],1,1,1]", ARRAY),
        (r#"{"page":1,"pageCount":1,"totalCount":1}"#, "missing field `logs`"),
        (r#"{"logs":[],"page":"1","pageCount":1,"totalCount":1}"#, "invalid type: string, expected a number"),
        (r#"{"logs":[],"page":1,"pageCount":1,"totalCount":1}]"#, "trailing characters"),
        (&page_with("durationMs", Some(r#""12""#)), "invalid type: string, expected a number"),
        (&page_with("taskTitle", Some("[104,105]")), "invalid type: sequence, expected a string"),
    ] {
        let expected = format!("the response is not what the API documents: {cause}");
        assert_eq!(problem_of(page(body), body.as_bytes()), expected);
    }
    let dates = "17|null|\"\"|\"2019-12-27\"|\"2019-12-27T18:11:19\"|\"2019-02-30T18:11:19Z\"|\"2019-12-27T25:11:19Z\"";
    for date in dates.split('|') {
        let body = page_with("createdAt", Some(date));
        let problem = problem_of(page(&body), body.as_bytes());
        assert!(problem.starts_with("the response is not what the API documents: "), "{problem}");
    }
}
