//! Nothing that is printed or logged contains the key, a token, the value of a custom header, or more of a webhook's URL
//! than its host.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::sync::Once;
use std::time::Duration;

use handinger::ureq::Proxy;
use handinger::{
    Error, ErrorKind, HandingerClient, HandingerClientBuilder, UpdateWebhook, Webhook, WebhookExecutionList,
};
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{KEY, Server, Waits, builder, response, response_with, unlistened};

const TOKEN: &str = "whk_5ecr3tT0ken";
const HEADER: &str = "h3ader/5ecr3t";
const URL: &str = "https://us3r:p4ss@hooks.example.com/T0/5ecr3t Päth?5ecr3t=Query#5ecr3tFragment";

/// Parts that must not be printed.
const SECRETS: [&str; 9] = ["5ecr3t", KEY, TOKEN, HEADER, "us3r", "p4ss", "T0/", "Query", "Fragment"];

/// Keeps the log lines of this crate by thread. A call logs on the thread that made it, so that tests do not see the
/// lines of others.
struct Collector;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "handinger"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
        }
    }

    fn flush(&self) {}
}

/// The lines that were logged on this thread since the last call of this function.
fn logged() -> Vec<String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    LINES.take()
}

fn secretive(base_url: impl Into<String>) -> HandingerClientBuilder {
    builder(base_url).header("X-Gateway-Key", HEADER)
}

#[track_caller]
fn assert_no_secret_in(text: &str, scenario: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} leaks in {scenario}: {text}");
    }
}

/// Checks all that can be printed of a result, and returns the kind of its error.
#[track_caller]
fn check(result: &Result<impl Debug, Error>, scenario: &str) -> Option<ErrorKind> {
    let mut text = format!("{result:?} {result:#?}");
    if let Err(error) = result {
        write!(text, " {error} {error:#} {:?} {:?}", error.message(), error.source()).unwrap();
    }
    assert_no_secret_in(&text, scenario);
    result.as_ref().err().map(Error::kind)
}

/// Checks what all calls return and log, and returns the kinds of their errors.
#[track_caller]
fn check_calls(client: &HandingerClient, scenario: &str) -> Vec<ErrorKind> {
    logged();
    let (mut pages, mut executions) = (client.execution_pages("wrk_1"), client.executions("wrk_1"));
    let kinds = [
        check(&client.retrieve_webhook("wrk_1"), scenario),
        check(&client.update_webhook("wrk_1", URL), scenario),
        check(&client.delete_webhook("wrk_1"), scenario),
        check(&client.regenerate_token("wrk_1"), scenario),
        check(&client.rotate_token("wrk_1"), scenario),
        check(&client.list_executions("wrk_1", 1), scenario),
        check(&pages.next().transpose(), scenario),
        check(&executions.next().transpose(), scenario),
    ];
    let lines = logged();
    assert!(lines.len() >= kinds.len(), "{lines:?}");
    assert_no_secret_in(&format!("{client:?} {pages:?} {executions:?} {lines:?}"), scenario);
    kinds.into_iter().flatten().collect()
}

fn webhook() -> String {
    format!(r#"{{"url":"{URL}","token":"{TOKEN}"}}"#)
}

fn page(more: &str) -> String {
    format!(
        r#"{{"logs":[{{"id":"whe_1","createdAt":"2026-01-01T00:00:00Z","durationMs":1,"requestStatus":"error",
            "workerId":"wrk_1","url":"{URL}","errorMessage":"POST {URL} failed"{more}}}],
            "page":1,"pageCount":1,"totalCount":1}}"#
    )
}

#[test]
fn no_secret_is_printed_or_logged() {
    let mut kinds = BTreeSet::new();
    // Successes, and responses that do not decode.
    let bodies = [
        webhook(),
        page(""),
        TOKEN.to_owned(),
        format!("<title>{KEY} {HEADER}</title>{TOKEN}"),
        format!(r#"{{"url":null,"token":["{TOKEN}"]}}"#),
        format!(r#"{{"token":"{TOKEN}","token":"{TOKEN}"}}"#),
        format!(r#"{{"logs":[],"page":"a\", expected {TOKEN}","url":1}}"#),
        page("").replace("2026-01-01T00:00:00Z", TOKEN),
        page(&format!(r#","responseStatus":"{TOKEN}""#)),
    ];
    let mut responses: Vec<_> = bodies.iter().map(|body| response(200, body)).collect();
    let rejection = format!("{KEY}: Bearer {KEY}, X-Gateway-Key: {HEADER}");
    responses.extend([400, 404, 429, 503].map(|status| response(status, &rejection)));
    let elsewhere = format!("https://{KEY}@example.org/{HEADER}?{KEY}#{KEY}");
    responses.extend([&*elsewhere, URL, KEY].map(|target| response_with(302, &[("Location", target)], "")));
    responses.push(response_with(200, &[("X-Long", &KEY.repeat(4_000))], ""));
    let malformed = [
        format!("SSH-2.0-{KEY}\r\n"),
        format!("HTTP/1.1 {KEY} {HEADER}\r\n\r\n"),
        format!("HTTP/1.1 200 {KEY}\r\n{HEADER} {TOKEN}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n{TOKEN}"),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n{TOKEN}"),
    ];
    responses.extend(malformed.map(String::into_bytes));
    for response in responses {
        let scenario = String::from_utf8_lossy(&response).into_owned();
        let server = Server::start(move |_, connection| {
            connection.request();
            connection.send(&response);
        });
        kinds.extend(check_calls(&secretive(server.base_url()).build().unwrap(), &scenario));
    }

    let silent = Server::start(|_, connection| while connection.request().is_some() {});
    let hurried = secretive(silent.base_url()).timeout(Duration::from_millis(10)).max_retries(0);
    kinds.extend(check_calls(&hurried.build().unwrap(), "a timeout"));
    let (_socket, address) = unlistened();
    let proxy = Proxy::new(&format!("http://us3r:p4ss@{address}")).unwrap();
    let proxied = secretive("http://api.example").allow_insecure_http(true);
    let proxied = proxied.ureq_config(move |config| config.proxy(Some(proxy)));
    kinds.extend(check_calls(&proxied.build().unwrap(), "a dead proxy"));

    // Settings that are rejected have messages without their values, word for word in `input`.
    let builder = secretive("http://api.example");
    let shown = format!("{builder:?} {:?}", UpdateWebhook::new(URL));
    assert_no_secret_in(&shown, "a builder");
    assert!(shown.starts_with("HandingerClientBuilder {") && shown.ends_with("…\") }"), "{shown}");
    kinds.extend(check(&builder.build(), "a rejected setting"));

    // All but `Incomplete`, whose text is constant.
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn debug_shows_the_rest_of_each_type() {
    let webhook: Webhook = serde_json::from_str(&webhook()).unwrap();
    let page: WebhookExecutionList = serde_json::from_str(&page("")).unwrap();
    assert_eq!(
        format!("{webhook:?}"),
        r#"Webhook { url: Some("https://hooks.example.com/…"), token: Some(WebhookToken([redacted])) }"#
    );
    assert_eq!(
        format!("{:?}", page.logs[0]),
        "WebhookExecution { id: \"whe_1\", created_at: 2026-01-01 0:00:00.0 +00:00:00, duration_ms: 1, \
         error_message: Some(\"POST https://[redacted]@hooks.example.com[redacted]#[redacted] failed\"), \
         request_status: \"error\", response_status: None, task_id: None, task_title: None, \
         url: \"https://hooks.example.com/…\", worker_id: \"wrk_1\" }"
    );
}

#[test]
fn message_loses_each_secret_verbatim_and_percent_encoded() {
    let redacted = "hnd_test_5ecr3tKey|h3ader/5ecr3t|h3ader%2F5ecr3t|/T0/5ecr3t Päth?5ecr3t=Query|/T0/5ecr3t Päth|\
        %2FT0%2F5ecr3t%20P%C3%A4th%3F5ecr3t%3DQuery|5ecr3t=Query|5ecr3t%3DQuery|5ecr3tFragment|us3r:p4ss|us3r%3Ap4ss";
    // The limits that SECURITY.md documents: another case, a part, under four bytes, unknown to the client.
    let shown = "HND_TEST_5ECR3TKEY|h3ader/|%2FT0%2F5ecr3t%20P%c3%a4th|T0|5ecr3t|a:b|whk_0nlyTheServerKnows";
    let server = Server::responding([response(400, format!("{redacted}|{shown}"))]);
    let client = secretive(server.base_url()).header("X-Short", "a:b").build().unwrap();
    let error = client.update_webhook("wrk_1", format!(" {URL}\n")).unwrap_err();
    let expected = format!("{}{shown}", "[redacted]|".repeat(redacted.split('|').count()));
    assert_eq!(error.message(), Some(&*expected));
    assert_eq!(error.body(), format!("{redacted}|{shown}").as_bytes());
}

#[test]
fn log_has_a_line_for_each_attempt_and_each_retry() {
    let busy = format!("{KEY} and {URL} are busy");
    let server = Server::responding([
        response_with(503, &[("Retry-After", "2")], busy),
        response(200, r#"{"url":null,"logs":[],"page":2,"pageCount":0,"totalCount":0}"#),
    ]);
    let waits = Waits::default();
    let client = secretive(server.base_url() + "/v1").sleep_with(waits.recorder()).build().unwrap();
    logged();
    client.update_webhook("wrk 1", URL).unwrap();
    client.list_executions("wrk_1", 2).unwrap();
    assert_eq!(waits.take(), [Duration::from_secs(2)]);
    let lines = logged();
    let (without_time, times): (Vec<_>, Vec<_>) =
        lines.iter().map(|line| line.split_once(" after ").unwrap_or((line, "0 ms"))).unzip();
    assert_eq!(
        without_time,
        [
            "DEBUG PUT /v1/api/workers/wrk%201/webhook: the server returned 503 on attempt 1",
            "INFO retrying in 2s: update webhook of worker wrk%201: the server returned 503: [redacted] and \
             https://[redacted]@hooks.example.com[redacted]#[redacted] are busy; the change may have been applied",
            "DEBUG PUT /v1/api/workers/wrk%201/webhook: 200 on attempt 2",
            "DEBUG GET /v1/api/workers/wrk_1/webhook/executions?page=2: 200 on attempt 1",
        ]
    );
    for time in times {
        assert!(time.strip_suffix(" ms").is_some_and(|millis| millis.parse::<u32>().is_ok()), "{time}");
    }
}
