//! The examples, run as a person would.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use handinger::fake::FakeHandinger;
use handinger::{HandingerClient, RequestStatus};
use serde_json::{Value, json};

use crate::support::{Server, WEBHOOK, answer};

const ALL: [&str; 5] = ["quickstart", "set_webhook", "rotate_token", "delivery_report", "receive_deliveries"];
/// The key of every fake.
const KEY: &str = "fake-api-key";
const URL: &str = "https://example.com/hook";

/// An example, with nothing in its environment that changes what it does. `cargo test` builds the examples, but not
/// when it is told which tests to run.
fn example(name: &str, args: &[&str]) -> Command {
    // Next to `deps`, where the tests are.
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", &format!("{name}{}", env::consts::EXE_SUFFIX)]);
    let changed = |file: &Path| file.metadata().and_then(|file| file.modified()).ok();
    // Beside it, cargo says which files it was made of.
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let is_stale = sources.split_whitespace().any(|source| changed(Path::new(source)) > changed(&path));
    assert!(path.exists() && !is_stale, "{} must be built again: `cargo build --examples`", path.display());
    let mut command = Command::new(path);
    for (variable, _) in env::vars_os() {
        let text = variable.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("HANDINGER_") || text.ends_with("_PROXY") {
            command.env_remove(variable);
        }
    }
    command.args(args);
    command
}

/// What was printed, and the exit code; no example may print escape sequences when it does not print to a terminal.
struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Printed {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let printed = Printed {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    };
    assert!(!printed.stdout.contains('\x1b'), "{}", printed.stdout);
    assert!(!printed.stderr.contains('\x1b'), "{}", printed.stderr);
    assert!(!printed.stderr.contains("panicked"), "{}", printed.stderr);
    printed
}

/// Without a key.
fn demonstration(name: &str, args: &[&str]) -> Printed {
    let printed = run(&mut example(name, args));
    assert!(printed.stderr.contains("is not set: this is a demonstration"), "{}", printed.stderr);
    printed
}

/// With a key, against a server of the test in place of the real service.
fn with_key(name: &str, args: &[&str], base_url: &str) -> Printed {
    let printed = run(example(name, args).env("HANDINGER_API_KEY", KEY).env("HANDINGER_BASE_URL", base_url));
    assert!(!printed.stderr.contains("demonstration"), "{}", printed.stderr);
    printed
}

fn fake_with_webhook() -> (FakeHandinger, HandingerClient, String) {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let client = fake.client();
    let token = client.update_webhook("wrk_1", URL).unwrap().token.unwrap().as_str().to_owned();
    (fake, client, token)
}

#[test]
fn each_explains_itself() {
    for name in ALL {
        for flag in ["--help", "-h"] {
            let Printed { code, stdout, stderr } = run(&mut example(name, &[flag]));
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{name}");
            assert!(stdout.starts_with(&format!("Usage: {name} ")), "{stdout}");
            assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
        }
    }
}

#[test]
fn bad_usage_is_exit_code_2_and_does_nothing() {
    let rows: [(&str, &[&str], &str); 16] = [
        ("quickstart", &["--what"], "invalid option '--what'"),
        ("quickstart", &["wrk_1", "wrk_2"], "unexpected argument \"wrk_2\""),
        ("set_webhook", &[], "a WORKER_ID is needed"),
        ("set_webhook", &["wrk_1"], "either a URL or --clear is needed"),
        ("set_webhook", &["wrk_1", URL, "--clear"], "either a URL or --clear is needed"),
        ("set_webhook", &["..", URL], "the worker id must not be `..`"),
        ("set_webhook", &["wrk_1", " "], "the URL must not be blank"),
        ("rotate_token", &[], "a WORKER_ID is needed"),
        ("rotate_token", &["--token", "x"], "invalid option '--token'"),
        ("delivery_report", &["--since"], "missing argument for option '--since'"),
        ("delivery_report", &["--since", "yesterday"], "neither like 24h or 7d nor a date and time"),
        ("delivery_report", &["--since", "99999999999999999999d"], "neither like 24h"),
        ("delivery_report", &["--since", "99999999999999d"], "neither like 24h"),
        ("delivery_report", &["--since=-1h"], "neither like 24h"),
        ("receive_deliveries", &["--port", "70000"], "cannot parse argument"),
        ("receive_deliveries", &["--port", "8080"], "HANDINGER_WEBHOOK_TOKEN is not set"),
    ];
    for (name, args, complaint) in rows {
        let Printed { code, stdout, stderr } = run(&mut example(name, args));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{name} {args:?}: {stderr}");
        assert!(stderr.contains(complaint), "{name} {args:?}: {stderr}");
    }
}

#[test]
fn with_a_key_a_worker_must_be_named() {
    for name in ["quickstart", "delivery_report"] {
        let Printed { code, stderr, .. } = with_key(name, &[], "http://127.0.0.1:1");
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("with HANDINGER_API_KEY set, a WORKER_ID is needed"), "{stderr}");
    }
}

/// As of a CI job that lacks its secret: it must not store the token of a fake.
#[test]
fn a_blank_key_is_bad_usage_and_no_demonstration() {
    let Printed { code, stdout, stderr } =
        run(example("rotate_token", &["wrk_1"]).env("HANDINGER_API_KEY", ""));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(stderr, "error: build client: HANDINGER_API_KEY is not set or blank\n");
}

#[test]
fn a_failure_of_the_service_is_exit_code_1_and_tells_why() {
    let fake = FakeHandinger::start();
    for (name, args) in [
        ("quickstart", &["wrk_1"][..]),
        ("set_webhook", &["wrk_1", URL]),
        ("rotate_token", &["wrk_1"]),
        ("delivery_report", &["wrk_1"]),
    ] {
        let Printed { code, stderr, .. } = with_key(name, args, &fake.base_url());
        assert_eq!(code, Some(1), "{name}");
        assert!(stderr.contains("of worker wrk_1"), "{stderr}");
        assert!(stderr.ends_with("the server answered 404: worker not found\n"), "{stderr}");
    }
}

/// The exit code and stderr, when nobody reads stdout.
fn run_unread(mut command: Command) -> (Option<i32>, String) {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// As in `quickstart | head -3`.
#[test]
fn nobody_reading_on_is_no_failure() {
    for name in ["quickstart", "delivery_report", "receive_deliveries"] {
        let (code, stderr) = run_unread(example(name, &[]));
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{name}: {stderr}");
    }
}

/// As in `rotate_token wrk_1 | a-store-that-fails`: the token would be lost, and nobody told.
#[test]
fn nobody_taking_a_token_is_a_failure() {
    for (name, args) in [("rotate_token", &["wrk_1"][..]), ("set_webhook", &["--print-token", "wrk_1", URL])]
    {
        let (fake, ..) = fake_with_webhook();
        let mut command = example(name, args);
        command.env("HANDINGER_API_KEY", KEY).env("HANDINGER_BASE_URL", fake.base_url());
        let (code, stderr) = run_unread(command);
        assert_eq!(code, Some(1), "{name}: {stderr}");
        assert!(
            stderr.contains("error: the token is in force, but could not be written"),
            "{name}: {stderr}"
        );
    }
}

#[test]
fn quickstart_tells_the_whole_story() {
    let Printed { code, stdout, .. } = demonstration("quickstart", &[]);
    assert_eq!(code, Some(0));
    let lines = [
        "Set a webhook",
        "  url    https://example.com/handinger-webhook",
        "  token  set, and not shown here",
        "  page 1 of 3  ······x···········x········x·x····················",
        "  page 2 of 3  ·············xxxxx·x·x··x··············x·x········",
        "  page 3 of 3  ·x··················",
        "  120 deliveries, 15 of which failed",
        "  11-23 09:46  Summarise support tickets     10.0 s  no answer within 10 s",
        "  and 5 more",
        "  the token of a delivery     accepted",
        "  a guess                     refused",
        "  the token of that delivery  refused",
        "  the token of the next one   accepted",
        "  url    none",
        "  token  none",
        "That took 6 requests. To see a worker of yours, with nothing changed:",
    ];
    let mut rest = stdout.lines();
    for line in lines {
        assert!(rest.any(|printed| printed == line), "no `{line}`, or not in its place, in:\n{stdout}");
    }
    assert_eq!(demonstration("quickstart", &[]).stdout, stdout);
}

#[test]
fn quickstart_with_a_key_shows_the_worker_and_changes_nothing() {
    let (fake, client, _) = fake_with_webhook();
    for number in 0..60 {
        fake.deliver_with("wrk_1", |execution| {
            execution.task_title = Some(format!("\x1b[2JTask\n{number}"));
            if number % 30 == 0 {
                execution.request_status = RequestStatus::Error;
                execution.response_status = None;
                execution.error_message = Some("no route to \x1b[31mhost".into());
            }
        });
    }
    let before = client.retrieve_webhook("wrk_1").unwrap();
    let requests = fake.request_count();

    let Printed { code, stdout, stderr } = with_key("quickstart", &["wrk_1"], &fake.base_url());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("  url    https://example.com/hook\n"), "{stdout}");
    assert!(stdout.contains("  page 2 of 2  ·········x\n"), "{stdout}");
    assert!(stdout.contains("  60 deliveries, 2 of which failed\n"), "{stdout}");
    assert!(stdout.contains("   [2JTask 30 "), "{stdout}");
    assert!(!stdout.contains(before.token.as_ref().unwrap().as_str()), "{stdout}");

    assert_eq!(fake.request_count() - requests, 3);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), before);
    assert_eq!(client.list_executions("wrk_1", 1).unwrap().total_count, 60);
}

#[test]
fn quickstart_with_a_key_sends_only_gets() {
    let page = json!({ "logs": [], "page": 1, "pageCount": 1, "totalCount": 0 });
    let server = Server::answering([answer(200, WEBHOOK), answer(200, page.to_string())]);
    let Printed { code, stdout, .. } = with_key("quickstart", &["wrk_1"], &server.base_url());
    assert_eq!(code, Some(0));
    assert!(stdout.contains("  0 deliveries, 0 of which failed\n"), "{stdout}");
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(
        lines,
        [
            "GET /api/workers/wrk_1/webhook HTTP/1.1",
            "GET /api/workers/wrk_1/webhook/executions?page=1 HTTP/1.1"
        ]
    );
}

#[test]
fn set_webhook_sets_replaces_and_clears() {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let rows: [(&[&str], &str); 4] = [
        (&["wrk_1", URL], "before  none\nnow     https://example.com/hook\ntoken   a new one"),
        (
            &["wrk_1", "https://example.com/2"],
            "before  https://example.com/hook\nnow     https://example.com/2\ntoken   the same as before\n",
        ),
        (&["--clear", "wrk_1"], "before  https://example.com/2\nnow     none\ntoken   none\n"),
        (&["--clear", "wrk_1"], "before  none\nnow     none\ntoken   none\n"),
    ];
    for (args, told) in rows {
        let Printed { code, stdout, stderr } = with_key("set_webhook", args, &fake.base_url());
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{args:?}");
        assert!(stderr.starts_with(told), "{args:?}: {stderr}");
    }
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url, None);

    let Printed { stdout, .. } = with_key("set_webhook", &["wrk_1", URL, "--print-token"], &fake.base_url());
    let token = fake.client().retrieve_webhook("wrk_1").unwrap().token.unwrap();
    assert_eq!(stdout, format!("{}\n", token.as_str()));
    assert_eq!(demonstration("set_webhook", &["wrk_2", URL]).code, Some(0));
}

#[test]
fn rotate_token_prints_the_new_token_alone() {
    let (fake, client, old) = fake_with_webhook();
    let Printed { code, stdout, stderr } = with_key("rotate_token", &["wrk_1"], &fake.base_url());
    let new = client.retrieve_webhook("wrk_1").unwrap().token.unwrap();
    assert_eq!((code, stdout), (Some(0), format!("{}\n", new.as_str())));
    assert_ne!(new.as_str(), old);
    assert!(!stderr.contains(new.as_str()) && !stderr.contains(&old), "{stderr}");
}

/// As in `rotate_token wrk_1 | a-store`, where somebody forgot to set the key.
#[test]
fn the_token_of_a_demonstration_is_not_handed_out() {
    for (name, args) in [("rotate_token", &["wrk_1"][..]), ("set_webhook", &["--print-token", "wrk_1", URL])]
    {
        let Printed { code, stdout, stderr } = demonstration(name, args);
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{name}");
        assert!(stderr.contains("the token would stand alone on standard output: whk_"), "{name}: {stderr}");
    }
}

#[test]
fn rotate_token_without_a_webhook_fails_before_it_rotates() {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let Printed { code, stdout, stderr } = with_key("rotate_token", &["wrk_1"], &fake.base_url());
    assert_eq!((code, stdout.as_str(), fake.request_count()), (Some(1), "", 1));
    assert_eq!(stderr, "error: the worker has no webhook, and so no token\n");
}

/// The answer to the rotation is lost; a third request tells which token is in force.
#[test]
fn rotate_token_asks_when_the_answer_is_lost() {
    let other = WEBHOOK.replace("whk_", "whk_other_");
    let rows = [
        (other.as_str(), Some(0), "whk_other_01HZY31W2SZJ8MJ2FQTR3M1K9D\n", "is no longer valid"),
        (WEBHOOK, Some(1), "", "error: the old token is still in force"),
        (r#"{ "url": null, "token": null }"#, Some(1), "", "error: the webhook was removed meanwhile"),
    ];
    for (found, expected_code, expected, told) in rows {
        // 500: it may have rotated before it failed.
        let answers = [answer(200, WEBHOOK), answer(500, ""), answer(200, found)];
        let server = Server::answering(answers);
        let Printed { code, stdout, stderr } = with_key("rotate_token", &["wrk_1"], &server.base_url());
        assert_eq!((code, stdout.as_str()), (expected_code, expected), "{stderr}");
        assert!(
            stderr.contains("the change may have been applied\nasking which token is in force\n"),
            "{stderr}"
        );
        assert!(stderr.lines().last().unwrap().contains(told), "{stderr}");
        assert_eq!(server.requests().len(), 3);
    }
}

#[test]
fn rotate_token_says_so_when_it_cannot_learn_which_token_is_in_force() {
    let server = Server::answering([answer(200, WEBHOOK), answer(500, ""), answer(403, "")]);
    let Printed { code, stdout, stderr } = with_key("rotate_token", &["wrk_1"], &server.base_url());
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("it is not known which token is in force"), "{stderr}");
}

#[test]
fn delivery_report_shows_a_history_at_a_glance() {
    let Printed { code, stdout, .. } = demonstration("delivery_report", &[]);
    assert_eq!(code, Some(0));
    let lines = [
        "1500 deliveries, 2026-11-16 to 2026-11-23 (UTC)",
        "   94.9 %  ███████████████████████████████████████████████▍░░  77 failed",
        "Why they failed",
        "       32  answered 503                ██████████████████████████████",
        "       10  no answer within 10 s       █████████▍",
        "How long the endpoint took to answer",
        "  p50 325 ms   p90 961 ms   p99 1.6 s   max 2.2 s",
        "      424  from  200 ms  ██████████████████████████████████████████████████",
        "Busiest hours (UTC)",
        "  most at 12:00 (128), 09:00 (112), 10:00 (112)",
    ];
    let mut rest = stdout.lines();
    for line in lines {
        assert!(rest.any(|printed| printed == line), "no `{line}`, or not in its place, in:\n{stdout}");
    }
    assert_eq!(demonstration("delivery_report", &[]).stdout, stdout);
}

/// Ten deliveries at 10:00, 10:10, ... of a day, the `n`th answered within `n` × 10 ms; the last two failed.
fn fake_with_ten_deliveries() -> FakeHandinger {
    let (fake, ..) = fake_with_webhook();
    for number in 1..=10_u64 {
        let minutes = (number - 1) * 10;
        let row = json!({
            "id": format!("whe_{number}"), "workerId": "wrk_1", "url": URL, "durationMs": number * 10,
            "createdAt": format!("2026-11-23T{:02}:{:02}:00+02:00", 12 + minutes / 60, minutes % 60),
            "requestStatus": if number > 8 { "error" } else { "success" },
            "responseStatus": match number { 9 => Some(503), 10 => None, _ => Some(200) },
            "errorMessage": (number == 10).then_some("connection reset"),
        });
        fake.add_execution("wrk_1", serde_json::from_value(row).unwrap());
    }
    fake
}

#[test]
fn delivery_report_gives_the_figures_as_json() {
    let fake = fake_with_ten_deliveries();
    let Printed { code, stdout, stderr } =
        with_key("delivery_report", &["wrk_1", "--json"], &fake.base_url());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut hours = [0; 24];
    (hours[10], hours[11]) = (6, 4);
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap(),
        json!({
            "arrived": 8, "failed": 2, "successPercent": 80.0,
            "oldest": "2026-11-23T10:00:00Z", "newest": "2026-11-23T11:30:00Z",
            "causes": { "answered 503": 1, "connection reset": 1 },
            "responseMs": { "p50": 50, "p90": 90, "p99": 90, "max": 90 },
            "responseHistogram": [
                { "fromMs": 0, "count": 4 }, { "fromMs": 50, "count": 5 }, { "fromMs": 100, "count": 0 },
                { "fromMs": 200, "count": 0 }, { "fromMs": 400, "count": 0 }, { "fromMs": 800, "count": 0 },
                { "fromMs": 1600, "count": 0 }, { "fromMs": 3200, "count": 0 },
            ],
            "deliveriesByHourUtc": hours,
        })
    );
}

#[test]
fn delivery_report_since_leaves_out_what_is_older() {
    let fake = fake_with_ten_deliveries();
    let count = |since: &str| {
        let args = ["wrk_1", "--json", "--since", since];
        let report: Value =
            serde_json::from_str(&with_key("delivery_report", &args, &fake.base_url()).stdout).unwrap();
        report["arrived"].as_u64().unwrap() + report["failed"].as_u64().unwrap()
    };
    assert_eq!(count("2026-11-23T11:00:00Z"), 4);
    assert_eq!(count("2026-11-23T13:20:00+02:00"), 2);
    assert_eq!(count("2027-01-01T00:00:00Z"), 0);
    // In the demonstration it is always the same time.
    let demonstrated = |since: &str| demonstration("delivery_report", &["--since", since]).stdout;
    for (ago, time) in
        [("90m", "2026-11-23T16:30:00Z"), ("24h", "2026-11-22T18:00:00Z"), ("2d", "2026-11-21T18:00:00Z")]
    {
        assert_eq!(demonstrated(ago), demonstrated(time));
    }
    assert!(demonstrated("24h").starts_with("234 deliveries, 2026-11-22 to 2026-11-23 (UTC)\n"));
}

#[test]
fn delivery_report_of_no_deliveries() {
    let (fake, ..) = fake_with_webhook();
    let Printed { code, stdout, .. } = with_key("delivery_report", &["wrk_1"], &fake.base_url());
    assert_eq!((code, stdout.as_str()), (Some(0), "no deliveries\n"));
    let Printed { code, stdout, .. } = with_key("delivery_report", &["wrk_1", "--json"], &fake.base_url());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["successPercent"]), (Some(0), &Value::Null));
    assert_eq!(report["responseMs"], json!({ "p50": null, "p90": null, "p99": null, "max": null }));
}

#[test]
fn receive_deliveries_shows_what_it_answers() {
    let Printed { code, stdout, stderr } = demonstration("receive_deliveries", &[]);
    assert_eq!(code, Some(0));
    let expected = "
What the endpoint answers, some minutes after a token rotation:
  the token in force                204 No Content
  the one before, on its way still  204 No Content
  one that was rotated out long ago 401 Unauthorized
  a guess                           401 Unauthorized
  no token                          401 Unauthorized
  the token in force, and 2 MB      413 Payload Too Large
";
    assert_eq!(stdout, expected);
    assert!(!stderr.contains("whk_"), "{stderr}");
}

/// Killed when the test ends, however it ends.
struct Endpoint(Child);

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn receive_deliveries_takes_the_tokens_it_is_given_and_no_other() {
    let rows: [(Option<&str>, [u16; 4]); 2] =
        [(None, [204, 401, 401, 401]), (Some("whk_previous"), [204, 204, 401, 401])];
    for (previous, expected) in rows {
        let mut command = example("receive_deliveries", &["--port", "0"]);
        command
            .env("HANDINGER_WEBHOOK_TOKEN", " whk_current\n")
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(previous) = previous {
            command.env("HANDINGER_WEBHOOK_TOKEN_PREVIOUS", previous);
        }
        let mut endpoint = Endpoint(command.spawn().unwrap());
        let mut stderr = BufReader::new(endpoint.0.stderr.take().unwrap());
        let mut first_line = String::new();
        stderr.read_line(&mut first_line).unwrap();
        let url = first_line.strip_prefix("listening on ").unwrap().trim();

        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder().proxy(None).http_status_as_error(false).build(),
        );
        let status = |token: &str, body: &[u8]| {
            agent.post(url).header("X-Handinger-Token", token).send(body).unwrap().status().as_u16()
        };
        let statuses = ["whk_current", "whk_previous", "whk_guess", ""].map(|token| status(token, b"{}"));
        assert_eq!(statuses, expected);
        assert_eq!(status("whk_current", &vec![0; 1024 * 1024]), 204);
        assert_eq!(status("whk_current", &vec![0; 1024 * 1024 + 1]), 413);
        let get = |token| agent.get(url).header("X-Handinger-Token", token).call().unwrap().status();
        assert_eq!((get("whk_current").as_u16(), get("whk_guess").as_u16()), (405, 401));
        let refusal = agent.post(url).send("{}").unwrap().body_mut().read_to_string().unwrap();
        assert_eq!(refusal, "", "it does not say why");

        let _ = endpoint.0.kill();
        let mut printed = String::new();
        stderr.read_to_string(&mut printed).unwrap();
        endpoint.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert!(printed.contains("204 No Content") && !printed.contains("whk_"), "{printed}");
    }
}

#[test]
fn receive_deliveries_refuses_a_blank_token() {
    for name in ["HANDINGER_WEBHOOK_TOKEN", "HANDINGER_WEBHOOK_TOKEN_PREVIOUS"] {
        let mut command = example("receive_deliveries", &["--port", "0"]);
        let command = command.env("HANDINGER_WEBHOOK_TOKEN", "whk_1").env(name, " ");
        let Printed { code, stderr, .. } = run(command);
        assert_eq!(code, Some(2));
        assert!(stderr.contains(&format!("{name} is blank")), "{stderr}");
    }
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../../README.md");
    for name in ["quickstart", "delivery_report"] {
        let printed = demonstration(name, &[]).stdout;
        assert!(readme.contains(printed.trim_matches('\n')), "README.md shows another output of {name}");
    }
}
