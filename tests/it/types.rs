//! The public types: formats, `Display`, comparison.

use std::fmt::Debug;
use std::time::Duration;

use handinger::{
    Cursor, Error, ErrorKind, Executions, Follow, HandingerClient, HandingerClientBuilder, PageIter,
    Progress, RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList, WebhookToken,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::{Server, WEBHOOK, client, response};

/// Two executions: one with all fields, and one without the optional ones.
const PAGE: &str = r#"{"logs":[
    {"id":"whe_2","createdAt":"2026-11-23T18:11:19.117+01:00","durationMs":212,"errorMessage":"No: \"x\"\n",
     "requestStatus":"error","responseStatus":503,"taskId":"123","taskTitle":"yes","url":"https://example.com/hook",
     "workerId":"wrk_1"},
    {"id":"whe_1","createdAt":"2026-11-23T18:11:19Z","durationMs":0,"errorMessage":null,"requestStatus":"throttled",
     "responseStatus":null,"taskId":null,"taskTitle":null,"url":"https://example.com/hook","workerId":"wrk_1"}],
    "page":1,"pageCount":3,"totalCount":120}"#;

fn from_json<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

/// Writes the value in each format, and reads it back.
fn round_trips<T: Serialize + DeserializeOwned + Debug>(value: &T) -> Vec<(&'static str, Result<T, String>)> {
    fn read<T, E: ToString>(result: Result<T, E>) -> Result<T, String> {
        result.map_err(|error| error.to_string())
    }
    let json = serde_json::to_string(value).unwrap();
    let yaml = serde_norway::to_string(value).unwrap();
    let toml = toml::to_string(value).unwrap();
    let ron = ron::to_string(value).unwrap();
    let named = rmp_serde::to_vec_named(value).unwrap();
    let mut cbor = Vec::new();
    ciborium::into_writer(value, &mut cbor).unwrap();
    vec![
        ("JSON", read(serde_json::from_str(&json))),
        ("a JSON value", read(serde_json::to_value(value).and_then(serde_json::from_value))),
        ("YAML", read(serde_norway::from_str(&yaml))),
        ("TOML", read(toml::from_str(&toml))),
        ("MessagePack", read(rmp_serde::from_slice(&rmp_serde::to_vec(value).unwrap()))),
        ("MessagePack with names", read(rmp_serde::from_slice(&named))),
        ("CBOR", read(ciborium::from_reader(&*cbor))),
        ("RON", read(ron::from_str(&ron))),
    ]
}

#[track_caller]
fn assert_reads_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
    for (format, read) in round_trips(value) {
        assert_eq!(read.as_ref(), Ok(value), "{format}");
    }
}

#[test]
fn types_read_back_from_every_format() {
    let page: WebhookExecutionList = from_json(PAGE);
    assert_reads_back(&page);
    for execution in page.logs {
        assert_reads_back(&execution);
    }
    assert_reads_back(&from_json::<Webhook>(WEBHOOK));
    assert_reads_back(&UpdateWebhook::new("https://example.com/hook"));
}

#[test]
fn cursor_reads_back_from_every_format() {
    let server = Server::responding([response(200, PAGE)]);
    let mut follow = client(server.base_url()).follow("wrk_1");
    follow.poll().unwrap();
    assert_reads_back(&follow.cursor().clone());
}

/// TOML has no null, and `url` is a required key.
#[test]
fn webhook_without_url_reads_back_except_from_toml() {
    for (format, read) in round_trips(&Webhook::default()) {
        let expected = if format == "TOML" { None } else { Some(Webhook::default()) };
        assert_eq!(read.ok(), expected, "{format}");
    }
}

#[test]
fn types_serialize_to_the_json_of_the_api() {
    fn same<T: Serialize + DeserializeOwned>(json: &str) {
        assert_eq!(serde_json::to_value(from_json::<T>(json)).unwrap(), from_json::<Value>(json));
    }
    same::<WebhookExecutionList>(PAGE);
    same::<Webhook>(WEBHOOK);
    same::<Webhook>(r#"{"url":null,"token":null}"#);
    same::<UpdateWebhook>(r#"{"url":null}"#);
    same::<RequestStatus>(r#""throttled""#);
    let absent = serde_json::from_str::<UpdateWebhook>("{}").unwrap_err();
    assert!(absent.to_string().starts_with("missing field `url`"), "{absent}");
}

#[test]
fn execution_displays_as_one_line_that_sorts() {
    let day = "2026-01-02T03:04:05Z";
    let long = "x".repeat(201);
    let shortened = format!("2026-01-02T03:04:05.000Z success 200 12 ms {}…", &long[..200]);
    for (at, outcome, status, message, line) in [
        (day, "success", Some(200), None, "2026-01-02T03:04:05.000Z success 200 12 ms"),
        (day, "error", None, Some(""), "2026-01-02T03:04:05.000Z error 12 ms"),
        (day, "a\nb", None, Some("c\r\n\u{1b}d"), "2026-01-02T03:04:05.000Z a b 12 ms c d"),
        (day, "success", Some(200), Some(&*long), &shortened),
        ("2026-01-02T00:30:00.0079+02:00", "error", Some(1), None, "2026-01-01T22:30:00.007Z error 1 12 ms"),
        ("0001-01-02T03:04:05.1Z", "error", Some(1), None, "0001-01-02T03:04:05.100Z error 1 12 ms"),
        ("9999-12-31T23:59:59-23:59", "error", None, None, "9999-12-31T23:59:59.000Z error 12 ms"),
    ] {
        let execution = json!({ "id": "whe_1", "createdAt": at, "durationMs": 12, "requestStatus": outcome,
            "responseStatus": status, "errorMessage": message, "url": "https://example.com", "workerId": "wrk_1" });
        let execution: WebhookExecution = serde_json::from_value(execution).unwrap();
        assert_eq!(execution.to_string(), line);
        assert_eq!(execution.is_success(), outcome == "success");
        assert_eq!(execution.duration(), Duration::from_millis(12));
    }
}

#[test]
fn known_status_is_never_other() {
    assert_eq!(RequestStatus::from("success"), RequestStatus::Success);
    assert_eq!(RequestStatus::from("error"), RequestStatus::Error);
    for other in ["Success", "throttled", ""] {
        let status = RequestStatus::from(other);
        assert!(matches!(&status, RequestStatus::Other { status, .. } if status == other), "{other}");
        assert_eq!(format!("[{status:>9}]"), format!("[{other:>9}]"));
    }
}

#[test]
fn token_is_trimmed_and_verifies_only_itself() {
    assert_eq!(WebhookToken::HEADER, "X-Handinger-Token");
    let yaml: WebhookToken = serde_norway::from_str("|\n  whk_1\n").unwrap();
    for token in [WebhookToken::new(" whk_1\r\n"), from_json(r#""\twhk_1\n""#), yaml] {
        assert_eq!(token.as_str(), "whk_1");
        assert_eq!(token, WebhookToken::new("whk_1"));
        assert!(token.verify("whk_1") && token.verify(b"whk_1"));
        for other in ["", "whk_", "whk_2", "whk_11", "WHK_1", "whk_1\n"] {
            assert!(!token.verify(other), "{other:?}");
        }
    }
    assert!(!WebhookToken::new(" \n").verify(""));
    assert_ne!(WebhookToken::new("whk_1"), WebhookToken::new("whk_2"));
}

#[test]
fn update_converts_from_strings() {
    let url = String::from("https://example.com/hook");
    let updates: [UpdateWebhook; 3] = [url.as_str().into(), (&url).into(), url.clone().into()];
    assert_eq!(updates, ["https://example.com/hook"; 3].map(UpdateWebhook::new));
}

#[test]
fn types_are_send_and_sync() {
    fn shared<T: Send + Sync + Unpin + 'static>() {}
    fn cloned<T: Clone + Send + Sync + Unpin + 'static>() {}

    cloned::<(HandingerClient, Webhook, WebhookToken, UpdateWebhook, WebhookExecution)>();
    cloned::<(WebhookExecutionList, RequestStatus, Error, ErrorKind, Progress, Cursor)>();
    shared::<(HandingerClientBuilder, PageIter, Executions, Follow)>();
}
