//! No `Debug`, `Display`, `source()` or log line contains the key, a token, the path or query of a webhook's URL, or the
//! value of a custom header, whatever fails.

use std::cell::RefCell;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::sync::Once;
use std::thread;
use std::time::Duration;

use handinger::{
    Error, HandingerClient, HandingerClientBuilder, UpdateWebhook, Webhook, WebhookExecutionList,
    WebhookToken,
};
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{KEY, Server, Waits, builder, response, response_with, unlistened};

const TOKEN: &str = "whk_5ecr3tT0ken";
const HEADER: &str = "h3ader-5ecr3t";
const URL: &str = "https://us3r:p4ss@hooks.example.com/T0/5ecr3tPath?5ecr3t=Query#5ecr3tFragment";

const SECRETS: [&str; 9] =
    [KEY, TOKEN, HEADER, "us3r", "p4ss", "5ecr3tPath", "5ecr3t=Query", "T0/", "5ecr3tFragment"];

#[track_caller]
fn assert_no_secret_in(text: &str, scenario: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} leaks in {scenario}: {text}");
    }
}

/// Keeps the log lines of this crate by thread. A call logs on the thread that made it, so that tests do not see the
/// lines of others.
struct Collector;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("handinger")
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

fn secretive(base_url: String) -> HandingerClientBuilder {
    builder(base_url).header("X-Gateway-Key", HEADER)
}

fn printed(value: &impl Debug) -> String {
    format!("{value:?} {value:#?}")
}

fn printed_error(error: &Error) -> String {
    let mut text = format!("{error} {} {}", printed(error), error.message().unwrap_or_default());
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, " {cause} {}", printed(&cause)).unwrap();
        source = cause.source();
    }
    text
}

fn printed_result(result: &Result<impl Debug, Error>) -> String {
    match result {
        Ok(value) => printed(value),
        Err(error) => printed_error(error),
    }
}

/// Everything that the five calls print and log.
fn all_calls(client: &HandingerClient) -> String {
    logged();
    let texts = [
        printed_result(&client.retrieve_webhook("wrk_1")),
        printed_result(&client.update_webhook("wrk_1", URL)),
        printed_result(&client.delete_webhook("wrk_1")),
        printed_result(&client.regenerate_token("wrk_1")),
        printed_result(&client.list_executions("wrk_1", 1)),
        printed(client),
        printed(&client.executions("wrk_1")),
        printed(&client.execution_pages("wrk_1")),
    ];
    let lines = logged();
    assert!(lines.len() >= 5, "{lines:?}");
    format!("{} {}", texts.join(" "), lines.join(" "))
}

/// Checks all five calls with this response, and returns what they print and log.
fn check(scenario: &str, response: impl Into<Vec<u8>>) -> String {
    let server = Server::responding([response]);
    let text = all_calls(&secretive(server.base_url()).build().unwrap());
    assert_no_secret_in(&text, scenario);
    text
}

const EXECUTION: &str = r#"{"id":"whe_1","createdAt":"2026-01-01T00:00:00Z","durationMs":1,"requestStatus":"error",
    "workerId":"wrk_1","url":"URL","errorMessage":"POST URL failed"}"#;

fn webhook() -> String {
    format!(r#"{{"url":"{URL}","token":"{TOKEN}"}}"#)
}

fn page() -> String {
    let execution = EXECUTION.replace("URL", URL);
    format!(r#"{{"logs":[{execution}],"page":1,"pageCount":1,"totalCount":1}}"#)
}

#[test]
fn a_success_prints_no_secret() {
    check("a webhook", response(200, webhook()));
    check("a page", response(200, page()));
}

#[test]
fn debug_shows_no_secret() {
    let server = Server::responding([response(200, page())]);
    let builder = secretive(format!("https://{KEY}.example"));
    let client = secretive(server.base_url()).build().unwrap();
    let mut pages = client.execution_pages("wrk_1");
    pages.next().unwrap().unwrap();
    let mut executions = client.executions("wrk_1");
    executions.next().unwrap().unwrap();

    let webhook: Webhook = serde_json::from_str(&webhook()).unwrap();
    let page: WebhookExecutionList = serde_json::from_str(&page()).unwrap();
    let execution = &page.logs[0];
    assert!(execution.error_message.as_ref().unwrap().contains(URL));
    let (token, update) = (WebhookToken::new(TOKEN), UpdateWebhook::new(URL));
    let all: [&dyn Debug; 9] =
        [&webhook, &token, &update, execution, &page, &client, &builder, &pages, &executions];
    for value in all {
        let text = printed(&value);
        assert_no_secret_in(&text, &text);
    }
    // Everything else is shown.
    assert_eq!(
        format!("{webhook:?}"),
        r#"Webhook { url: Some("https://hooks.example.com/…"), token: Some(WebhookToken([redacted])) }"#
    );
    assert_eq!(format!("{update:?}"), r#"UpdateWebhook { url: Some("https://hooks.example.com/…") }"#);
    assert!(format!("{execution:?}").contains(r#"id: "whe_1", created_at: 2026-01-01 0:00:00.0 +00:00:00"#));
    assert!(format!("{client:?}").contains(&server.base_url()));
    let options =
        "options: Options { timeout: 60s, connect_timeout: 5s, total_timeout: None, max_retries: 2 }";
    assert!(format!("{client:?}").contains(options));
    assert_eq!(format!("{builder:?}"), format!("HandingerClientBuilder {{ {options}, .. }}"));
}

#[test]
fn a_secret_that_an_error_response_echoes_is_redacted() {
    let path_and_query = URL.split_once("example.com").unwrap().1;
    let path = path_and_query.split('?').next().unwrap();
    for status in [400, 401, 403, 404, 409, 422, 429, 500, 503] {
        for echo in [
            format!("{KEY} is not valid"),
            format!("Bearer {KEY} with X-Gateway-Key: {HEADER}"),
            format!("cannot reach {URL}, that is {path_and_query}, that is {path}"),
            format!("cannot reach {}", URL.split('#').next().unwrap()),
            "cannot reach it as us3r:p4ss, nor with p4ss".to_owned(),
        ] {
            // Only an update knows the URL.
            let only_update = echo.contains("reach");
            for body in [
                format!(r#"{{"error":{{"message":"{echo}"}}}}"#),
                format!(r#"{{"error":"{echo}"}}"#),
                format!(r#"{{"message":"{echo}"}}"#),
                echo.clone(),
                format!("<html>{echo} {TOKEN}</html>"),
                format!("{{{echo} {TOKEN}"),
            ] {
                let server = Server::responding([response_with(
                    status,
                    &[("X-Echo", &echo), ("X-Should-Retry", "false")],
                    &body,
                )]);
                let client = secretive(server.base_url()).build().unwrap();
                logged();
                let text = if only_update {
                    printed_result(&client.update_webhook("wrk_1", URL)) + &logged().join(" ")
                } else {
                    all_calls(&client)
                };
                assert_no_secret_in(&text, &body);
                assert!(text.contains(&status.to_string()), "{text}");
            }
        }
    }
}

#[test]
fn a_location_is_shown_without_secrets() {
    for status in [301, 302, 303, 307, 308] {
        let location = format!("https://example.org/?key={KEY}&gateway={HEADER}");
        let text = check(&location, response_with(status, &[("Location", &location)], ""));
        assert!(text.contains("to https://example.org, which"), "{text}");

        let server = Server::responding([response_with(status, &[("Location", URL)], "")]);
        let client = secretive(server.base_url()).build().unwrap();
        logged();
        let error = client.update_webhook("wrk_1", URL).unwrap_err();
        assert!(
            error.to_string().ends_with("to https://hooks.example.com, which is not followed"),
            "{error}"
        );
        assert_no_secret_in(
            &(printed_error(&error) + &logged().join(" ")),
            "a redirect to the webhook's URL",
        );
    }
}

#[test]
fn a_response_that_does_not_decode_is_not_echoed() {
    let page = |field: &str| {
        format!(
            r#"{{"logs":[{{"id":"whe_1","createdAt":"2026-01-01T00:00:00Z","durationMs":1,
                "requestStatus":"error","workerId":"wrk_1","url":"{URL}",{field}}}],"page":1,"pageCount":1,"totalCount":1}}"#
        )
    };
    for body in [
        TOKEN.to_owned(),
        format!("\"{TOKEN}\""),
        format!(r#"["{TOKEN}"]"#),
        format!(r#"{{"{TOKEN}"#),
        format!(r#"{{"{TOKEN}":1}}"#),
        format!(r#"{{"error":"{TOKEN}"}}"#),
        format!(r#"{{"token":["{TOKEN}"]}}"#),
        format!(r#"{{"token":{{"{TOKEN}":"{TOKEN}"}}}}"#),
        format!(r#"{{"token":"{TOKEN}","token":"{TOKEN}"}}"#),
        format!(r#"{{"token":"{TOKEN}","url":"{URL}"}} {TOKEN}"#),
        format!(r#"{{"token":"{TOKEN}","url":5}}"#),
        format!(r#"{{"token":"{TOKEN}","url":"\ud800{URL}"}}"#),
        format!(r#"{{"logs":"{TOKEN}","url":1}}"#),
        format!(r#"{{"logs":["{TOKEN}"],"url":1}}"#),
        format!(r#"{{"logs":[],"page":"{TOKEN}","url":1}}"#),
        format!(r#"{{"logs":[],"page":"a\", expected {TOKEN}","url":1}}"#),
        page(&format!(r#""createdAt":"{TOKEN}""#)),
        page(&format!(r#""durationMs":"{TOKEN}""#)).replacen("\"durationMs\":1,", "", 1),
        page(&format!(r#""responseStatus":"{TOKEN}""#)),
        page(&format!(r#""taskTitle":["{TOKEN}"]"#)),
        page(&format!(r#""createdAt":"{TOKEN}""#)).replacen("\"createdAt\":\"2026-01-01T00:00:00Z\",", "", 1),
    ] {
        check(&body, response(200, &body));
    }
}

#[test]
fn lost_connections_and_invalid_responses_print_no_secret() {
    for response in [
        format!("SSH-2.0-{KEY}\r\n"),
        format!("HTTP/1.1 {KEY} {HEADER}\r\n\r\n"),
        format!("HTTP/1.1 200 {KEY}\r\n{HEADER} {TOKEN}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n{TOKEN}"),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n{TOKEN}"),
    ] {
        check(&response, response.as_bytes());
    }

    let truncating = Server::start(|_, connection| {
        connection.request();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{TOKEN}"));
    });
    let client = secretive(truncating.base_url()).build().unwrap();
    assert_no_secret_in(&all_calls(&client), "a truncated body");

    let silent = Server::start(|_, connection| while connection.request().is_some() {});
    let hurried =
        secretive(silent.base_url()).timeout(Duration::from_millis(20)).max_retries(0).build().unwrap();
    assert_no_secret_in(&all_calls(&hurried), "a timeout");

    let (_socket, address) = unlistened();
    let client = secretive(format!("http://{address}")).build().unwrap();
    assert_no_secret_in(&all_calls(&client), "a refused connection");
}

#[test]
fn a_rejected_setting_is_not_echoed() {
    let rejected = [
        HandingerClient::builder(format!("{KEY}\u{7}")),
        HandingerClient::builder(format!("{KEY}é")),
        builder(format!("https://{KEY}@example.com")),
        builder(format!("https://us3r:{KEY}@example.com")),
        builder(format!("https://example.com/?key={KEY}")),
        builder(format!("https://example.com/#{KEY}")),
        builder(format!("{KEY}://example.com")),
        builder(KEY),
        builder(format!("http://example.com/{KEY}")),
        builder("http://127.0.0.1").header("Authorization", format!("Bearer {KEY}")),
        builder("http://127.0.0.1").header("X-Gateway-Key", format!("{HEADER}\n")),
        builder("http://127.0.0.1").header("X-Gateway-Key", format!("{HEADER}é")),
        builder("http://127.0.0.1").header(format!("{HEADER}: "), "x"),
        builder("http://127.0.0.1").user_agent(format!("{KEY}\n")),
    ];
    for (number, builder) in rejected.into_iter().enumerate() {
        let error = builder.build().expect_err(&number.to_string());
        assert_no_secret_in(&printed_error(&error), &number.to_string());
    }
}

#[test]
fn the_log_has_a_line_for_each_attempt_and_wait() {
    let server = Server::responding([
        response_with(503, &[("Retry-After", "2")], "busy"),
        response(200, r#"{"url":null,"token":null}"#),
    ]);
    let waits = Waits::default();
    let client = secretive(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    logged();
    client.regenerate_token("wrk_5ecr3t").unwrap();
    assert_eq!(waits.take(), [Duration::from_secs(2)]);
    let lines = logged();
    let (without_time, times): (Vec<_>, Vec<_>) =
        lines.iter().map(|line| line.split_once(" after ").unwrap_or((line, "0s"))).unzip();
    assert_eq!(
        without_time,
        [
            "DEBUG POST /api/workers/{workerId}/webhook/regenerate-token: the server returned 503 on attempt 1",
            "DEBUG POST /api/workers/{workerId}/webhook/regenerate-token: retrying in 2s",
            "DEBUG POST /api/workers/{workerId}/webhook/regenerate-token: 200 OK on attempt 2",
        ]
    );
    assert!(times.iter().all(|time| time.ends_with('s')), "{times:?}");
    client.list_executions("wrk_5ecr3t", 3).unwrap_err();
    let [attempt, decoding] = &*logged() else { panic!("two lines") };
    let path = "DEBUG GET /api/workers/{workerId}/webhook/executions";
    assert!(attempt.starts_with(&format!("{path}: 200 OK on attempt 1 after ")), "{attempt}");
    assert_eq!(*decoding, format!("{path}: the response is not what the API documents"));
}

#[test]
fn each_thread_has_its_own_log() {
    logged();
    let (_socket, address) = unlistened();
    let client = builder(format!("http://{address}")).build().unwrap();
    thread::spawn(move || client.retrieve_webhook("wrk_1").unwrap_err()).join().unwrap();
    assert_eq!(logged(), [""; 0]);
}

#[test]
fn no_log_line_contains_a_workers_id() {
    let id = "wrk_5ecr3t é/x";
    let encoded = "wrk_5ecr3t%20%C3%A9%2Fx";
    let lower = encoded.to_lowercase();
    let not_found = format!(r#"{{"error":{{"message":"no worker {id}"}}}}"#);
    let mut responses = vec![
        response(200, r#"{"url":null,"token":null,"logs":[],"page":1,"pageCount":0,"totalCount":0}"#),
        response(200, id),
        response(404, not_found),
        response(503, id),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nX-Id: {encoded}\r\n\r\n{id}").into_bytes(),
        format!("{encoded}\r\n\r\n").into_bytes(),
    ];
    let locations = [encoded, &lower, "wrk_5ecr3t%20%c3%a9/x"].map(|id| {
        [
            format!("/v2/workers/{id}/webhook"),
            format!("/v2/workers/{id}.json"),
            format!("/v2/worker={id};x"),
            format!("{id}/webhook"),
            format!("/v2?worker={id}#{id}"),
            format!("https://example.com/{id}?{id}#{id}"),
            format!("//example.com/{id}"),
            format!("https://{id}@example.com/"),
            format!("http://BASE/{id}"),
        ]
    });
    for location in locations.into_iter().flatten() {
        responses.push(response_with(301, &[("Location", &location)], ""));
    }
    for response in responses {
        let base = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
        let address = std::sync::Arc::clone(&base);
        let server = Server::start(move |_, connection| {
            let text = String::from_utf8_lossy(&response).replace("BASE", address.wait());
            connection.request();
            connection.send(text);
        });
        base.set(server.address().to_string()).unwrap();
        let client = builder(server.base_url()).build().unwrap();
        logged();
        let _ = client.retrieve_webhook(id);
        let _ = client.update_webhook(id, URL);
        let _ = client.delete_webhook(id);
        let _ = client.regenerate_token(id);
        let _ = client.rotate_token(id);
        let _ = client.list_executions(id, 1);
        let lines = logged();
        assert!(lines.len() >= 6, "{lines:?}");
        for line in lines {
            let line = line.to_lowercase();
            assert!(!line.contains("wrk") && !line.contains("5ecr3t"), "{line}");
        }
    }
}
