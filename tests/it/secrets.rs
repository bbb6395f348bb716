//! Key, token, the path and query of a webhook's URL, and the values of custom headers are in no `Debug`,
//! `Display`, `source()` or log line, whatever fails.

use std::cell::RefCell;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::net::TcpListener;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use handinger::{
    Error, HandingerClient, HandingerClientBuilder, UpdateWebhook, Webhook, WebhookExecutionList,
};
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{KEY, Server, Waits, answer, answer_with, builder};

const TOKEN: &str = "whk_5ecr3tT0ken";
const HEADER: &str = "h3ader-5ecr3t";
const URL: &str = "https://us3r:p4ss@hooks.example.com/T0/5ecr3tPath?5ecr3t=Query#5ecr3tFragment";

/// What nobody must read.
const SECRETS: [&str; 9] =
    [KEY, TOKEN, HEADER, "us3r", "p4ss", "5ecr3tPath", "5ecr3t=Query", "T0/", "5ecr3tFragment"];

#[track_caller]
fn assert_no_secret_in(text: &str, scenario: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} leaks in {scenario}: {text}");
    }
}

/// Keeps the lines of this crate, thread by thread: a call runs and logs on the thread that made it, so that the
/// tests beside this one do not matter.
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

/// What was logged on this thread since the last call.
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

/// In all the ways that a value can be printed.
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

/// What all five calls print and log.
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

/// A server that gives the same answer for ever.
fn check(scenario: &str, answer: impl Into<Vec<u8>>) {
    let server = Server::answering([answer]);
    let text = all_calls(&secretive(server.base_url()).build().unwrap());
    assert_no_secret_in(&text, scenario);
}

#[test]
fn a_success_prints_no_secret() {
    let webhook = format!(r#"{{"url":"{URL}","token":"{TOKEN}"}}"#);
    let row = format!(
        r#"{{"id":"whe_1","createdAt":"2026-01-01T00:00:00Z","durationMs":1,"requestStatus":"error",
            "workerId":"wrk_1","url":"{URL}","errorMessage":"POST {URL} failed"}}"#
    );
    let list = format!(r#"{{"logs":[{row}],"page":1,"pageCount":1,"totalCount":1}}"#);
    check("a webhook", answer(200, &webhook));
    check("a list", answer(200, &list));

    let client = secretive("http://127.0.0.1:1".into());
    assert_no_secret_in(&printed(&client), "the builder");
    let webhook: Webhook = serde_json::from_str(&webhook).unwrap();
    let list: WebhookExecutionList = serde_json::from_str(&list).unwrap();
    assert!(list.logs[0].error_message.as_ref().unwrap().contains(URL));
    let text = format!("{} {} {}", printed(&webhook), printed(&list), printed(&UpdateWebhook::new(URL)));
    assert_no_secret_in(&text, "the types");
    assert!(text.contains("hooks.example.com"), "{text}");
}

#[test]
fn an_error_that_echoes_a_secret_is_rid_of_it() {
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
            // The URL is known to the update alone, and a token to none of the calls.
            let update_alone = echo.contains("reach");
            for body in [
                format!(r#"{{"error":{{"message":"{echo}"}}}}"#),
                format!(r#"{{"error":"{echo}"}}"#),
                format!(r#"{{"message":"{echo}"}}"#),
                echo.clone(),
                format!("<html>{echo} {TOKEN}</html>"),
                format!("{{{echo} {TOKEN}"),
            ] {
                let server = Server::answering([answer_with(
                    status,
                    &[("X-Echo", &echo), ("X-Should-Retry", "false")],
                    &body,
                )]);
                let client = secretive(server.base_url()).build().unwrap();
                logged();
                let text = if update_alone {
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
fn a_redirect_is_named_without_a_secret() {
    for status in [301, 302, 303, 307, 308] {
        let location = format!("https://example.org/?key={KEY}&gateway={HEADER}");
        check(&location, answer_with(status, &[("Location", &location)], ""));

        let server = Server::answering([answer_with(status, &[("Location", URL)], "")]);
        let client = secretive(server.base_url()).build().unwrap();
        logged();
        let error = client.update_webhook("wrk_1", URL).unwrap_err();
        assert!(error.to_string().contains("hooks.example.com"), "{error}");
        assert_no_secret_in(
            &(printed_error(&error) + &logged().join(" ")),
            "a redirect to the webhook's URL",
        );
    }
}

#[test]
fn an_answer_that_does_not_decode_is_not_repeated() {
    let row = |field: &str| {
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
        row(&format!(r#""createdAt":"{TOKEN}""#)),
        row(&format!(r#""durationMs":"{TOKEN}""#)).replacen("\"durationMs\":1,", "", 1),
        row(&format!(r#""responseStatus":"{TOKEN}""#)),
        row(&format!(r#""taskTitle":["{TOKEN}"]"#)),
        row(&format!(r#""createdAt":"{TOKEN}""#)).replacen("\"createdAt\":\"2026-01-01T00:00:00Z\",", "", 1),
    ] {
        check(&body, answer(200, &body));
    }
}

#[test]
fn broken_connections_and_answers_print_no_secret() {
    for answer in [
        format!("SSH-2.0-{KEY}\r\n"),
        format!("HTTP/1.1 {KEY} {HEADER}\r\n\r\n"),
        format!("HTTP/1.1 200 {KEY}\r\n{HEADER} {TOKEN}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n{TOKEN}"),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n{TOKEN}"),
    ] {
        check(&answer, answer.as_bytes());
    }

    let cut = Server::start(|_, connection| {
        connection.request();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{TOKEN}"));
    });
    assert_no_secret_in(&all_calls(&secretive(cut.base_url()).build().unwrap()), "a cut connection");

    let silent = Server::start(|_, connection| while connection.request().is_some() {});
    let hurried =
        secretive(silent.base_url()).timeout(Duration::from_millis(20)).max_retries(0).build().unwrap();
    assert_no_secret_in(&all_calls(&hurried), "a timeout");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_no_secret_in(&all_calls(&secretive(format!("http://{nobody}")).build().unwrap()), "a refusal");
}

#[test]
fn a_refused_setting_is_not_repeated() {
    let refused = [
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
    for (number, builder) in refused.into_iter().enumerate() {
        let error = builder.build().expect_err(&number.to_string());
        assert_no_secret_in(&printed_error(&error), &number.to_string());
    }
}

/// What the documentation says of the lines at DEBUG.
#[test]
fn the_log_tells_each_try_and_wait() {
    let server = Server::answering([
        answer_with(503, &[("Retry-After", "2")], "busy"),
        answer(200, r#"{"url":null,"token":null}"#),
    ]);
    let waits = Waits::default();
    let client = secretive(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    logged();
    client.regenerate_token("wrk_5ecr3t").unwrap();
    assert_eq!(waits.take(), [Duration::from_secs(2)]);
    let lines = logged();
    let (without_time, times): (Vec<_>, Vec<_>) =
        lines.iter().map(|line| line.split_once(", after ").unwrap_or((line, "0s"))).unzip();
    assert_eq!(
        without_time,
        [
            "DEBUG POST /api/workers/{workerId}/webhook/regenerate-token: the server answered 503 at try 1",
            "DEBUG POST /api/workers/{workerId}/webhook/regenerate-token: next try in 2s",
            "DEBUG POST /api/workers/{workerId}/webhook/regenerate-token: 200 OK at try 2",
        ]
    );
    assert!(times.iter().all(|time| time.ends_with('s')), "{times:?}");
    client.list_executions("wrk_5ecr3t", 3).unwrap_err();
    let [line] = &*logged() else { panic!("one line") };
    let expected = "DEBUG GET /api/workers/{workerId}/webhook/executions: \
                    the answer is not what the API promises at try 1, after ";
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn another_thread_has_a_log_of_its_own() {
    logged();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = builder(format!("http://{nobody}")).build().unwrap();
    thread::spawn(move || client.retrieve_webhook("wrk_1").unwrap_err()).join().unwrap();
    assert_eq!(logged(), [""; 0]);
}
