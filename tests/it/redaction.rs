//! In which forms a secret is recognized where the server's words are repeated, and in which it is not.

use handinger::{UpdateWebhook, WebhookExecution};

use crate::support::{KEY, Server, builder, client, response};

const HEADER: &str = "h3ader/5ecr\"et";
const URL: &str = "https://us3r:p4ss@hooks.example.com/T0/5ecr3t \"P\u{e4}th\"?k=5ecr3t&Q=1#5ecr3tFragment";

/// The parts of the URL, the key and the header, each as a server could repeat it.
const SECRETS: [&str; 7] = [
    KEY,
    HEADER,
    "/T0/5ecr3t \"P\u{e4}th\"?k=5ecr3t&Q=1",
    "/T0/5ecr3t \"P\u{e4}th\"",
    "k=5ecr3t&Q=1",
    "5ecr3tFragment",
    "us3r:p4ss",
];

/// All bytes but RFC 3986's unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode =
        |byte| if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The forms that are recognized.
fn forms(secret: &str) -> [String; 4] {
    let escaped = json_escaped(secret);
    [secret.to_owned(), percent_encoded(secret), escaped.clone(), escaped.replace('/', "\\/")]
}

#[test]
fn a_message_loses_every_documented_form_of_every_secret() {
    for secret in SECRETS {
        for form in forms(secret) {
            // In JSON, the message is escaped once more. Plain text comes as it is.
            let json = serde_json::json!({ "error": { "message": format!("no \u{ab}{form}\u{bb}, sorry") } });
            for body in [json.to_string(), format!("no \u{ab}{form}\u{bb}, sorry")] {
                let server = Server::responding([response(400, &body)]);
                let client = builder(server.base_url()).header("X-Gateway-Key", HEADER).build().unwrap();
                let error = client.update_webhook("wrk_1", URL).unwrap_err();
                let shown = "no \u{ab}[redacted]\u{bb}, sorry";
                assert_eq!(error.message(), Some(shown), "{form}");
                assert!(error.to_string().ends_with(&format!("the server returned 400: {shown}")), "{error}");
                assert_eq!(error.body(), body.as_bytes());
            }
        }
    }
}

#[test]
fn debug_of_an_execution_loses_every_documented_form_of_the_urls_secrets() {
    for secret in SECRETS.into_iter().filter(|secret| ![KEY, HEADER].contains(secret)) {
        for form in forms(secret) {
            let text = format!("no \u{ab}{form}\u{bb}");
            let execution: WebhookExecution = serde_json::from_value(serde_json::json!({
                "id": "whe_1", "createdAt": "2026-01-01T00:00:00Z", "durationMs": 1, "workerId": "wrk_1", "url": URL,
                "requestStatus": text, "errorMessage": text, "taskId": text, "taskTitle": text,
            }))
            .unwrap();
            let debug = format!("{execution:?}");
            assert_eq!(debug.matches("no \u{ab}[redacted]\u{bb}").count(), 4, "{form}: {debug}");
            assert!(debug.contains(r#"url: "https://hooks.example.com/…""#), "{debug}");
        }
    }
}

/// What SECURITY.md says is not recognized. If this fails, it has become better than its documentation.
#[test]
fn other_forms_and_parts_are_not_recognized() {
    for form in [
        KEY.to_uppercase(),
        KEY.replace('_', " "),
        format!("{} {}", &KEY[..9], &KEY[9..]),
        percent_encoded("/T0/5ecr3t \"P\u{e4}th\"").replace("%C3", "%c3"),
        "/T0/5ecr3t%20%22P%C3%A4th%22".into(),
        json_escaped("/T0/5ecr3t \"P\u{e4}th\"").replace('\u{e4}', "\\u00e4"),
        "T0".into(),
        "5ecr3t".into(),
        "us3r".into(),
        "p4s".into(),
        "whk_0nlyTheServerKnows".into(),
    ] {
        let server = Server::responding([response(400, &form)]);
        let error = client(server.base_url()).update_webhook("wrk_1", URL).unwrap_err();
        assert_eq!(error.message(), Some(&*form));
    }
}

#[test]
fn secrets_of_four_bytes_are_redacted_and_shorter_ones_are_not() {
    for (password, shown) in [("abcd", "no [redacted]"), ("abc", "no abc")] {
        let server = Server::responding([response(400, format!("no {password}"))]);
        let url = format!("https://x:{password}@example.com/");
        let error = client(server.base_url()).update_webhook("wrk_1", url).unwrap_err();
        assert_eq!(error.message(), Some(shown));
    }
}

#[test]
fn debug_of_an_update_shows_scheme_and_host_of_what_is_a_url_and_nothing_of_anything_else() {
    for (url, shown) in [
        (URL, "https://hooks.example.com/…"),
        ("example.com/s3cret?next=https://x.example/", "/…"),
        ("s3cret.example/?https://x.example", "/…"),
        ("s3:cret://x.example/", "/…"),
        ("s3/cret://x.example/", "/…"),
        ("1s3cret://x.example/", "/…"),
        ("s\u{e9}cret://x.example/", "/…"),
        (" https://s3cret.example/", "/…"),
        ("https:s3cret", "/…"),
        ("https:/s3cret", "/…"),
        ("https://x.example\\s3cret", "https://x.example/…"),
        ("https://s3cret:x@y@x.example/?s3cret", "https://x.example/…"),
        ("https://x.example?s3cret@y", "https://x.example/…"),
        ("https://x.example#s3cret@y", "https://x.example/…"),
        ("s3cret", "/…"),
    ] {
        let debug = format!("{:?}", UpdateWebhook::new(url));
        assert_eq!(debug, format!("UpdateWebhook {{ url: Some({shown:?}) }}"), "{url}");
    }
}
