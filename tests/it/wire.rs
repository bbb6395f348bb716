//! Requests and responses, byte by byte, with httpmock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handinger::{
    Error, ErrorKind, Executions, HandingerClient, HandingerClientBuilder, PageIter, Progress, RequestStatus,
    UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList, WebhookToken,
};
use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::{Call, KEY, WEBHOOK, builder, client};

/// From the API reference: List worker webhook executions, Response.
const EXECUTIONS: &str = r#"{ "logs": [ { "id": "whe_01HZY31W2SZJ8MJ2FQTR3M1K9D", "createdAt": "2019-12-27T18:11:19.117Z", "durationMs": 0, "errorMessage": "errorMessage", "requestStatus": "success", "responseStatus": 0, "taskId": "taskId", "taskTitle": "taskTitle", "url": "url", "workerId": "workerId" } ], "page": 0, "pageCount": 0, "totalCount": 0 }"#;

const WORKER: &str = "t_org_123_w_01HZY2ZJQ8G7K42W2D7WF6V4GM";
const PATH: &str = "/api/workers/t_org_123_w_01HZY2ZJQ8G7K42W2D7WF6V4GM/webhook";
const HOOK: &str = "https://example.com/handinger-webhook";

/// An API that sends the same response to every request, and records the requests.
struct Api {
    server: MockServer,
    response: Arc<Mutex<Vec<u8>>>,
    content_type: Arc<Mutex<&'static str>>,
    requests: Arc<Mutex<Vec<HttpMockRequest>>>,
}

impl Api {
    fn responding(response: impl AsRef<[u8]>) -> Self {
        let api = Self {
            server: MockServer::start(),
            response: Arc::new(Mutex::new(response.as_ref().to_vec())),
            content_type: Arc::new(Mutex::new("application/json")),
            requests: Arc::default(),
        };
        let (response, content_type) = (Arc::clone(&api.response), Arc::clone(&api.content_type));
        let requests = Arc::clone(&api.requests);
        api.server.mock(|when, then| {
            when.any_request();
            then.respond_with(move |request| {
                requests.lock().unwrap().push(request.clone());
                HttpMockResponse::builder()
                    .status(200)
                    .header("content-type", *content_type.lock().unwrap())
                    .body(response.lock().unwrap().clone())
                    .build()
            });
        });
        api
    }

    fn set_response(&self, response: impl AsRef<[u8]>) {
        *self.response.lock().unwrap() = response.as_ref().to_vec();
    }

    fn client(&self) -> HandingerClient {
        client(self.server.base_url())
    }

    /// The one request since the last call of this function.
    fn request(&self) -> HttpMockRequest {
        let mut requests = std::mem::take(&mut *self.requests.lock().unwrap());
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }
}

fn headers(request: &HttpMockRequest) -> Vec<String> {
    let mut headers: Vec<_> =
        request.headers_vec().iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    headers
}

/// The calls that return a [`Webhook`], and the one that returns a page.
const WEBHOOK_CALLS: [Call; 4] = [
    |client| client.retrieve_webhook(WORKER).map(drop),
    |client| client.update_webhook(WORKER, HOOK).map(drop),
    |client| client.delete_webhook(WORKER).map(drop),
    |client| client.regenerate_token(WORKER).map(drop),
];
const LIST: Call = |client| client.list_executions(WORKER, 2).map(drop);

#[test]
fn each_request_has_its_method_path_query_headers_and_body_and_nothing_else() {
    let [retrieve, update, delete, regenerate] = WEBHOOK_CALLS;
    let clear: Call = |client| client.update_webhook(WORKER, UpdateWebhook::clear()).map(drop);
    let set = format!(r#"{{"url":"{HOOK}"}}"#);
    let json = "content-type: application/json";
    let executions = format!("{PATH}/executions?page=2");
    let new_token = format!("{PATH}/regenerate-token");

    for (call, method, uri, more_headers, body, response) in [
        (retrieve, "GET", PATH, &[] as &[_], "", WEBHOOK),
        (update, "PUT", PATH, &["content-length: 47", json], &set, WEBHOOK),
        (
            clear,
            "PUT",
            PATH,
            &["content-length: 12", json],
            r#"{"url":null}"#,
            r#"{"url":null,"token":null}"#,
        ),
        (delete, "DELETE", PATH, &[], "", r#"{"url":null,"token":null}"#),
        (regenerate, "POST", &new_token, &["content-length: 0"], "", WEBHOOK),
        (LIST, "GET", &executions, &[], "", EXECUTIONS),
    ] {
        let api = Api::responding(response);
        call(&builder(api.server.base_url()).header("X-Team", "ops").build().unwrap()).unwrap();

        let request = api.request();
        assert_eq!(request.method_str(), method);
        assert_eq!(request.uri_str(), api.server.url(uri));
        assert_eq!(request.body_string(), body, "{method} {uri}");
        let mut expected = vec![
            "accept: application/json".to_owned(),
            format!("authorization: Bearer {KEY}"),
            format!("host: {}", api.server.address()),
            format!("user-agent: handinger-rust/{}", env!("CARGO_PKG_VERSION")),
            "x-team: ops".to_owned(),
        ];
        let encoding = if cfg!(feature = "gzip") { "gzip" } else { "identity" };
        expected.push(format!("accept-encoding: {encoding}"));
        expected.extend(more_headers.iter().map(ToString::to_string));
        expected.sort();
        assert_eq!(headers(&request), expected, "{method} {uri}");
    }
}

#[test]
fn an_update_converts_from_strings() {
    let api = Api::responding(WEBHOOK);
    let client = api.client();
    let set = r#"{"url":"https://example.com/handinger-webhook"}"#;
    let clear = r#"{"url":null}"#;

    client.update_webhook(WORKER, HOOK).unwrap();
    assert_eq!(api.request().body_string(), set);
    client.update_webhook(WORKER, HOOK.to_owned()).unwrap();
    assert_eq!(api.request().body_string(), set);
    let kept = HOOK.to_owned();
    client.update_webhook(WORKER, &kept).unwrap();
    assert_eq!(api.request().body_string(), set);
    client.update_webhook(WORKER, UpdateWebhook::new(HOOK)).unwrap();
    assert_eq!(api.request().body_string(), set);
    client.update_webhook(WORKER, UpdateWebhook::clear()).unwrap();
    assert_eq!(api.request().body_string(), clear);
}

#[test]
fn the_last_value_of_a_header_is_sent_and_the_user_agent_can_be_set() {
    let api = Api::responding(WEBHOOK);
    let builder = builder(api.server.base_url()).header("X-Team", "ops").header("x-team", "dev");
    builder.user_agent("my-tool/1.0").build().unwrap().retrieve_webhook(WORKER).unwrap();

    let headers = headers(&api.request());
    assert!(headers.contains(&"x-team: dev".to_owned()), "{headers:?}");
    assert!(!headers.contains(&"x-team: ops".to_owned()), "{headers:?}");
    assert!(headers.contains(&"user-agent: my-tool/1.0".to_owned()), "{headers:?}");
}

fn parts(webhook: &Webhook) -> (Option<&str>, Option<&str>) {
    (webhook.url.as_deref(), webhook.token.as_ref().map(WebhookToken::as_str))
}

#[test]
fn the_webhook_of_the_reference_is_returned() {
    let api = Api::responding(WEBHOOK);
    let client = api.client();
    let expected = (Some(HOOK), Some("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D"));
    assert_eq!(parts(&client.retrieve_webhook(WORKER).unwrap()), expected);
    assert_eq!(parts(&client.update_webhook(WORKER, HOOK).unwrap()), expected);
    assert_eq!(parts(&client.regenerate_token(WORKER).unwrap()), expected);
    assert_eq!(parts(&client.delete_webhook(WORKER).unwrap()), expected);
}

#[test]
fn the_executions_of_the_reference_are_returned() {
    let list = Api::responding(EXECUTIONS).client().list_executions(WORKER, 1).unwrap();
    assert_eq!((list.page, list.page_count, list.total_count), (0, 0, 0));
    let [execution] = &list.logs[..] else { panic!("{list:?}") };
    assert_eq!(execution.id, "whe_01HZY31W2SZJ8MJ2FQTR3M1K9D");
    let at = OffsetDateTime::from_unix_timestamp_nanos(1_577_470_279_117_000_000).unwrap();
    assert_eq!(execution.created_at, at);
    assert_eq!((execution.duration_ms, execution.duration()), (0, Duration::ZERO));
    assert_eq!(execution.error_message.as_deref(), Some("errorMessage"));
    assert_eq!(execution.request_status, RequestStatus::Success);
    assert_eq!(execution.response_status, Some(0));
    assert_eq!(execution.task_id.as_deref(), Some("taskId"));
    assert_eq!(execution.task_title.as_deref(), Some("taskTitle"));
    assert_eq!(execution.url, "url");
    assert_eq!(execution.worker_id, "workerId");
}

#[test]
fn a_page_can_be_iterated_by_value_and_by_reference() {
    let list = Api::responding(EXECUTIONS).client().list_executions(WORKER, 1).unwrap();
    let mut ids = Vec::new();
    for execution in &list.logs {
        ids.push(execution.id.clone());
    }
    ids.extend(list.logs.iter().map(|execution| execution.id.clone()));
    for execution in list.logs {
        ids.push(execution.id);
    }
    assert_eq!(ids, ["whe_01HZY31W2SZJ8MJ2FQTR3M1K9D"; 3]);
}

#[test]
fn a_webhook_may_have_null_missing_and_unknown_fields() {
    let api = Api::responding("");
    let client = api.client();
    for (response, expected) in [
        (r#"{"url":null,"token":null}"#, (None, None)),
        (r#"{"url":null}"#, (None, None)),
        (r#"{"token":null}"#, (None, None)),
        (r#"{"url":"https://a.example/b"}"#, (Some("https://a.example/b"), None)),
        (r#"{"token":"whk_1"}"#, (None, Some("whk_1"))),
        (r#"{"url":"https:\/\/a.example\/\u0062","token":null}"#, (Some("https://a.example/b"), None)),
        (r#"{"id":[{"x":1}],"url":null,"createdAt":{},"token":"whk_1"}"#, (None, Some("whk_1"))),
        ("\r\n\t {\"url\":null} \r\n", (None, None)),
    ] {
        api.set_response(response);
        assert_eq!(parts(&client.retrieve_webhook(WORKER).unwrap()), expected, "{response}");
    }
}

#[test]
fn the_content_type_decides_nothing() {
    let api = Api::responding(WEBHOOK);
    for content_type in ["", "text/html", "application/octet-stream", "text/plain; charset=utf-16", "?"] {
        *api.content_type.lock().unwrap() = content_type;
        assert_eq!(parts(&api.client().retrieve_webhook(WORKER).unwrap()).0, Some(HOOK), "{content_type}");
    }
}

const EXECUTION: [(&str, &str); 10] = [
    ("id", r#""whe_1""#),
    ("createdAt", r#""2019-12-27T18:11:19.117Z""#),
    ("durationMs", "212"),
    ("errorMessage", r#""errorMessage""#),
    ("requestStatus", r#""error""#),
    ("responseStatus", "503"),
    ("taskId", r#""taskId""#),
    ("taskTitle", r#""taskTitle""#),
    ("url", r#""https://example.com/hook""#),
    ("workerId", r#""wrk_1""#),
];

/// A page with an ordinary execution, and one in which the field `name` has another value, or is left out.
fn page_with(name: &str, value: Option<&str>) -> String {
    let execution = |name: &str, value: Option<&str>| {
        let known = EXECUTION.iter().filter(|(other, _)| *other != name).copied();
        let fields: Vec<_> = known
            .chain(value.map(|value| (name, value)))
            .map(|(name, value)| format!(r#""{name}":{value}"#))
            .collect();
        format!("{{{}}}", fields.join(","))
    };
    let (ordinary, odd) = (execution("", None), execution(name, value));
    format!(r#"{{"logs":[{ordinary},{odd}],"page":1,"pageCount":1,"totalCount":2}}"#)
}

#[test]
fn an_odd_execution_does_not_cost_the_page() {
    let api = Api::responding("");
    let client = api.client();
    for (name, given, expected) in [
        // Each lone surrogate becomes one U+FFFD; the text around it is kept.
        ("taskTitle", Some(r#""\ud83d""#), json!("\u{fffd}")),
        ("taskTitle", Some(r#""caf\u00e9 \ud83d""#), json!("café \u{fffd}")),
        ("taskTitle", Some(r#""\ud83d, \ude00!""#), json!("\u{fffd}, \u{fffd}!")),
        ("taskTitle", Some(r#""\ude00\ud83d""#), json!("\u{fffd}\u{fffd}")),
        ("taskTitle", Some(r#""\ud83d\ud83d\ude00""#), json!("\u{fffd}😀")),
        ("taskTitle", Some(r#""\ud83d\u00e9\n""#), json!("\u{fffd}é\n")),
        ("taskTitle", Some(r#""\ud83d\ude00 \u0000 😀 \ud7ff \ue000""#), json!("😀 \0 😀 \u{d7ff} \u{e000}")),
        ("errorMessage", Some(r#""lone: \ud83d""#), json!("lone: \u{fffd}")),
        ("errorMessage", Some(r#""""#), json!("")),
        // Fractions, and numbers beyond u64.
        ("durationMs", Some("12.0"), json!(12)),
        ("durationMs", Some("12.7"), json!(12)),
        ("durationMs", Some("1.2e3"), json!(1200)),
        ("durationMs", Some("-1"), json!(0)),
        ("durationMs", Some("-0.5"), json!(0)),
        ("durationMs", Some("18446744073709551615"), json!(u64::MAX)),
        ("durationMs", Some("18446744073709551616"), json!(u64::MAX)),
        ("durationMs", Some("1e300"), json!(u64::MAX)),
        // Every form of RFC 3339.
        ("createdAt", Some(r#""2019-12-27T18:11:19+05:30""#), json!("2019-12-27T18:11:19+05:30")),
        ("createdAt", Some(r#""2019-12-27T18:11:19-00:00""#), json!("2019-12-27T18:11:19Z")),
        ("createdAt", Some(r#""2019-12-27T18:11:19Z""#), json!("2019-12-27T18:11:19Z")),
        ("createdAt", Some(r#""2019-12-27T18:11:19.123456789Z""#), json!("2019-12-27T18:11:19.123456789Z")),
        ("createdAt", Some(r#""2019-12-27t18:11:19.5z""#), json!("2019-12-27T18:11:19.5Z")),
        ("createdAt", Some(r#""2019-12-27T18:11:19.117\u005a""#), json!("2019-12-27T18:11:19.117Z")),
        // Known and unknown statuses.
        ("requestStatus", Some(r#""success""#), json!("success")),
        ("requestStatus", Some(r#""throttled \"x\"""#), json!("throttled \"x\"")),
        // A status may be a float, and one that cannot be a status is none.
        ("responseStatus", Some("200.0"), json!(200)),
        ("responseStatus", Some("70000"), Value::Null),
        ("responseStatus", Some("1e99"), Value::Null),
        // Optional fields may be null or missing.
        ("errorMessage", Some("null"), Value::Null),
        ("errorMessage", None, Value::Null),
        ("responseStatus", Some("null"), Value::Null),
        ("responseStatus", None, Value::Null),
        ("taskId", Some("null"), Value::Null),
        ("taskId", None, Value::Null),
        ("taskTitle", Some("null"), Value::Null),
        ("taskTitle", None, Value::Null),
        // Unknown fields are ignored.
        ("retries", Some(r#"[{"id":null},"\ud83d",-1e9]"#), Value::Null),
    ] {
        api.set_response(page_with(name, given));
        let page =
            client.list_executions(WORKER, 1).unwrap_or_else(|error| panic!("{name} {given:?}: {error}"));
        let odd = &page.logs[1];
        assert_eq!(odd.duration(), Duration::from_millis(odd.duration_ms), "{name} {given:?}");
        let page = serde_json::to_value(page).unwrap();
        assert_eq!(page["logs"][0]["taskTitle"], "taskTitle", "{name} {given:?}");
        assert_eq!(page["logs"][1].get(name).unwrap_or(&Value::Null), &expected, "{name} {given:?}");
    }
}

#[test]
fn odd_counts_do_not_cost_the_page() {
    let api = Api::responding("");
    for (given, expected) in
        [("0", 0), ("-3", 0), ("3.0", 3), ("18446744073709551616", u64::MAX), ("1e99", u64::MAX)]
    {
        api.set_response(format!(
            r#"{{"logs":[],"page":{given},"pageCount":{given},"totalCount":{given},"next":null}}"#
        ));
        let list = api.client().list_executions(WORKER, 1).unwrap();
        assert_eq!((list.page, list.page_count, list.total_count), (expected, expected, expected), "{given}");
    }
}

/// The source of the error for a response that does not decode. The response may hold secrets, so the source must not
/// echo a value.
fn decode_error(api: &Api, call: Call, response: &[u8]) -> String {
    api.set_response(response);
    let shown = String::from_utf8_lossy(response).into_owned();
    let Err(error) = call(&api.client()) else { panic!("{shown} was accepted") };
    assert_eq!(error.kind(), ErrorKind::Decode, "{shown}");
    assert_eq!((error.status(), error.attempts(), error.body()), (Some(200), 1, response), "{shown}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    source.split(" at line ").next().unwrap().to_owned()
}

#[test]
fn what_is_not_a_webhook_is_an_error_that_echoes_no_value() {
    let api = Api::responding("");
    for (response, problem) in [
        (&b""[..], "empty"),
        (b" \r\n", "empty"),
        (b"<html>whk_s3cret</html>", "expected value"),
        (b"whk_s3cret", "expected value"),
        (b"null", "invalid type: null, expected an object"),
        (b"true", "invalid type: boolean, expected an object"),
        (b"42", "invalid type: integer, expected an object"),
        (b"4.2", "invalid type: floating point, expected an object"),
        (br#""whk_s3cret""#, "invalid type: string, expected an object"),
        (br#"["https://example.com/s3cret","whk_s3cret"]"#, "an array in place of an object"),
        (br#"[{"url":null,"token":null}]"#, "an array in place of an object"),
        (b"[]", "an array in place of an object"),
        (b"{}", "neither `url` nor `token` in the object"),
        (br#"{"error":"no, expected: a token"}"#, "neither `url` nor `token` in the object"),
        (br#"{"error":{"message":"no"}}"#, "neither `url` nor `token` in the object"),
        (br#"{"Url":null,"TOKEN":"whk_s3cret"}"#, "neither `url` nor `token` in the object"),
        (br#"{"url":null,"token":"whk_s3cret"#, "EOF while parsing a string"),
        (br#"{"url":null,"token":"whk_s3cret""#, "EOF while parsing an object"),
        (br#"{"url":null}{"url":null}"#, "trailing characters"),
        (br#"{"url":null},"#, "trailing characters"),
        (br#"{"url":null} whk_s3cret"#, "trailing characters"),
        (br#"{"url":17}"#, "invalid type: integer, expected a string"),
        (br#"{"url":["https://s3cret"]}"#, "invalid type: sequence, expected a string"),
        (br#"{"token":{"s3cret":1}}"#, "invalid type: map, expected a string"),
        (br#"{"url":null,"url":"https://s3cret"}"#, "duplicate field `url`"),
        (br#"{"url":"https://s3cret/\ud83d"}"#, "unexpected end of hex escape"),
        (b"{\"url\":\"https://\xff\"}", "not UTF-8"),
        (b"\xef\xbb\xbf{\"url\":null}", "expected value"),
    ] {
        for call in WEBHOOK_CALLS {
            let shown = String::from_utf8_lossy(response);
            assert_eq!(decode_error(&api, call, response), problem, "{shown}");
        }
    }
}

#[test]
fn what_is_not_a_page_of_executions_is_an_error() {
    let api = Api::responding("");
    for (response, problem) in [
        ("", "empty"),
        ("<html>", "expected value"),
        ("null", "invalid type: null, expected an object"),
        (r#""logs""#, "invalid type: string, expected an object"),
        ("[[],1,1,1]", "an array in place of an object"),
        ("{}", "missing field `logs`"),
        (r#"{"error":{"message":"no"}}"#, "missing field `logs`"),
        (r#"{"page":1,"pageCount":1,"totalCount":1}"#, "missing field `logs`"),
        (r#"{"logs":null,"page":1,"pageCount":1,"totalCount":1}"#, "invalid type: null, expected a sequence"),
        (r#"{"logs":{},"page":1,"pageCount":1,"totalCount":1}"#, "invalid type: map, expected a sequence"),
        (
            r#"{"logs":[17],"page":1,"pageCount":1,"totalCount":1}"#,
            "invalid type: integer, expected an object",
        ),
        (r#"{"logs":[],"pageCount":1,"totalCount":1}"#, "missing field `page`"),
        (r#"{"logs":[],"page":1,"totalCount":1}"#, "missing field `pageCount`"),
        (r#"{"logs":[],"page":1,"pageCount":1}"#, "missing field `totalCount`"),
        (r#"{"logs":[],"page":"1","pageCount":1,"totalCount":1}"#, "invalid type: string, expected a number"),
        (r#"{"logs":[],"page":1,"pageCount":1,"totalCount":1"#, "EOF while parsing an object"),
        (r#"{"logs":[],"page":1,"pageCount":1,"totalCount":1}]"#, "trailing characters"),
    ] {
        assert_eq!(decode_error(&api, LIST, response.as_bytes()), problem, "{response}");
    }

    let no_date = "not a date and time of RFC 3339";
    for (name, value, problem) in [
        ("createdAt", Some(r#""yesterday""#), no_date),
        ("createdAt", Some(r#""""#), no_date),
        ("createdAt", Some(r#""2019-12-27""#), no_date),
        ("createdAt", Some(r#""2019-12-27T18:11:19""#), no_date),
        ("createdAt", Some(r#""2019-02-30T18:11:19Z""#), no_date),
        ("createdAt", Some(r#""2019-12-27T25:11:19Z""#), no_date),
        ("createdAt", Some(r#""Fri, 27 Dec 2019 18:11:19 GMT""#), no_date),
        ("createdAt", Some("1577470279117"), "invalid type: integer, expected a string"),
        ("createdAt", Some("null"), "invalid type: null, expected a string"),
        ("createdAt", None, "missing field `createdAt`"),
        ("durationMs", Some(r#""12""#), "invalid type: string, expected a number"),
        ("durationMs", None, "missing field `durationMs`"),
        ("id", Some("null"), "invalid type: null, expected a string"),
        ("id", None, "missing field `id`"),
        ("requestStatus", Some("null"), "invalid type: null, expected a string"),
        ("requestStatus", None, "missing field `requestStatus`"),
        ("responseStatus", Some(r#""503""#), "invalid type: string, expected a number"),
        ("taskTitle", Some("17"), "invalid type: integer, expected a text"),
        ("taskTitle", Some("[104,105]"), "invalid type: sequence, expected a text"),
        ("url", None, "missing field `url`"),
        ("workerId", None, "missing field `workerId`"),
    ] {
        let response = page_with(name, value);
        assert_eq!(decode_error(&api, LIST, response.as_bytes()), problem, "{response}");
    }
}

#[test]
fn types_serialize_to_what_they_were_deserialized_from() {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned>(text: &str) {
        let value: T = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&value).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        // A `Value` hands out strings and numbers in other ways than a text does.
        let value: T = serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&value).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    same::<Webhook>(WEBHOOK);
    same::<Webhook>(r#"{"url":null,"token":null}"#);
    same::<UpdateWebhook>(r#"{"url":"https://example.com/hook"}"#);
    same::<UpdateWebhook>(r#"{"url":null}"#);
    same::<WebhookExecutionList>(EXECUTIONS);
    same::<WebhookExecution>(
        r#"{"id":"whe_1","createdAt":"2019-12-27T18:11:19+01:00","durationMs":18446744073709551615,
            "errorMessage":null,"requestStatus":"throttled","responseStatus":null,"taskId":null,"taskTitle":null,
            "url":"https://example.com/hook","workerId":"wrk_1"}"#,
    );
    same::<RequestStatus>(r#""success""#);
    same::<RequestStatus>(r#""error""#);
    same::<RequestStatus>(r#""throttled""#);
    same::<WebhookToken>(r#""whk_1""#);
}

#[test]
fn an_update_without_a_url_is_not_a_clear() {
    let error = serde_json::from_str::<UpdateWebhook>("{}").unwrap_err();
    assert!(error.to_string().starts_with("missing field `url`"), "{error}");
}

#[test]
fn a_known_status_is_never_other() {
    assert_eq!(RequestStatus::from("success"), RequestStatus::Success);
    assert_eq!(RequestStatus::from("error"), RequestStatus::Error);
    assert!(
        matches!(RequestStatus::from("Success"), RequestStatus::Other { status, .. } if status == "Success")
    );
    assert_eq!("throttled".parse(), Ok(RequestStatus::from("throttled")));
    assert_eq!(RequestStatus::from("throttled"), "throttled");
    assert_ne!(RequestStatus::Error, "Error");
    assert_eq!(RequestStatus::Error, *"error");
    assert_ne!(RequestStatus::Error, *"Error");
    assert_eq!(format!("[{:>9}]", RequestStatus::Success), "[  success]");
}

#[test]
fn types_are_send_sync_and_static() {
    fn shared<T: Send + Sync + Unpin + 'static>() {}
    fn cloned<T: Clone + Send + Sync + Unpin + 'static>() {}

    cloned::<HandingerClient>();
    cloned::<Webhook>();
    cloned::<WebhookToken>();
    cloned::<UpdateWebhook>();
    cloned::<WebhookExecution>();
    cloned::<WebhookExecutionList>();
    cloned::<RequestStatus>();
    cloned::<ErrorKind>();
    cloned::<Progress>();
    shared::<HandingerClientBuilder>();
    shared::<PageIter>();
    shared::<Executions>();
    shared::<Error>();
}
