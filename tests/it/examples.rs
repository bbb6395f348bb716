//! The examples, run as a person would.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handinger::fake::Operation::{self, ListExecutions, RegenerateToken, RetrieveWebhook};
use handinger::fake::{FakeHandinger, Fault};
use handinger::time::OffsetDateTime;
use handinger::time::format_description::well_known::Rfc3339;
use handinger::{HandingerClient, RequestStatus};
use indicatif::{ProgressDrawTarget, TermLike};
use serde_json::{Value, json};

use crate::support::wait_until;

#[path = "../../examples/common/mod.rs"]
mod common;
#[path = "../../examples/delivery_report/progress.rs"]
#[expect(dead_code, reason = "the tests interrupt no test")]
mod progress;

/// Those with a command line of their own.
const TOOLS: [&str; 5] =
    ["set_webhook", "rotate_token", "delivery_report", "receive_deliveries", "tail_deliveries"];
/// The key of every fake.
const KEY: &str = "fake-api-key";
const URL: &str = "https://example.com/hook";

/// Returns the command of an example, with nothing in its environment that changes what it does. `cargo test` builds the examples, but not
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

struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs an example. None may print escape sequences when it does not print to a terminal.
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

/// Runs an example without a key.
fn demonstration(name: &str, args: &[&str]) -> Printed {
    let printed = run(&mut example(name, args));
    assert!(printed.stderr.contains("is not set: this is a demonstration"), "{}", printed.stderr);
    printed
}

/// Runs an example with a key, against a server of the test in place of the real service.
fn with_key(name: &str, args: &[&str], base_url: &str) -> Printed {
    with_env(name, args, [("HANDINGER_API_KEY", KEY.to_owned()), ("HANDINGER_BASE_URL", base_url.to_owned())])
}

fn with_fake(name: &str, args: &[&str], fake: &FakeHandinger) -> Printed {
    with_env(name, args, fake.env())
}

fn with_env(name: &str, args: &[&str], env: impl IntoIterator<Item = (&'static str, String)>) -> Printed {
    let printed = run(example(name, args).envs(env));
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

/// What was requested since there were `before` requests.
fn operations_since(fake: &FakeHandinger, before: usize) -> Vec<Operation> {
    fake.requests()[before..].iter().map(|request| request.operation().unwrap()).collect()
}

#[test]
fn each_explains_itself() {
    for name in TOOLS {
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
    let rows: [(&str, &[&str], &str); 25] = [
        ("set_webhook", &[], "a WORKER_ID is needed"),
        ("set_webhook", &["wrk_1"], "either a URL or --clear is needed"),
        ("set_webhook", &["wrk_1", URL, "--clear"], "either a URL or --clear is needed"),
        ("set_webhook", &["..", URL], "the worker id must not be `..`"),
        ("set_webhook", &["wrk_1", " "], "the URL must not be blank"),
        ("rotate_token", &[], "a WORKER_ID is needed"),
        ("rotate_token", &["--token", "x"], "invalid option '--token'"),
        ("delivery_report", &["--since"], "missing argument for option '--since'"),
        ("delivery_report", &["wrk_1", "wrk_2"], "unexpected argument \"wrk_2\""),
        ("delivery_report", &["--since", "yesterday"], "use 90s, 30m, 24h, 7d, 2w or a date and time"),
        ("delivery_report", &["--since", "99999999999999999999d"], "\"99999999999999999999d\": use 90s"),
        ("delivery_report", &["--since", "4294967295w"], "\"4294967295w\": use 90s"),
        ("delivery_report", &["--since=-1h"], "\"-1h\": use 90s"),
        ("delivery_report", &["--since", "+7d"], "\"+7d\": use 90s"),
        ("delivery_report", &["--since", "d"], "\"d\": use 90s"),
        ("delivery_report", &["--since", "7"], "\"7\": use 90s"),
        ("delivery_report", &["--since", ""], "\"\": use 90s"),
        ("delivery_report", &["--since", "7дней"], "use 90s"),
        ("receive_deliveries", &["--port", "70000"], "cannot parse argument"),
        ("receive_deliveries", &["--port", "8080"], "HANDINGER_WEBHOOK_TOKEN is not set"),
        ("tail_deliveries", &["wrk_1", "wrk_2"], "unexpected argument \"wrk_2\""),
        ("tail_deliveries", &["--interval", "soon"], "\"soon\": use 10s, 5m or 1h"),
        ("tail_deliveries", &["--interval", "0s"], "\"0s\": use 10s, 5m or 1h"),
        ("tail_deliveries", &["--state"], "missing argument for option '--state'"),
        ("tail_deliveries", &["--state", "file"], "--state needs HANDINGER_API_KEY"),
    ];
    for (name, args, complaint) in rows {
        let Printed { code, stdout, stderr } = run(&mut example(name, args));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{name} {args:?}: {stderr}");
        assert!(stderr.contains(complaint), "{name} {args:?}: {stderr}");
    }
}

#[test]
fn with_a_key_a_worker_must_be_named() {
    for name in ["delivery_report", "tail_deliveries"] {
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
fn a_failure_of_the_service_is_exit_code_1_and_says_why() {
    let fake = FakeHandinger::start();
    for (name, args) in [
        ("quickstart", &["wrk_1"][..]),
        ("set_webhook", &["wrk_1", URL]),
        ("rotate_token", &["wrk_1"]),
        ("delivery_report", &["wrk_1"]),
        ("tail_deliveries", &["wrk_1"]),
    ] {
        let Printed { code, stderr, .. } = with_fake(name, args, &fake);
        assert_eq!(code, Some(1), "{name}");
        assert!(stderr.contains("of worker wrk_1"), "{stderr}");
        assert!(stderr.ends_with("the server returned 404: worker not found\n"), "{stderr}");
    }
}

/// The exit code and stderr, when nobody reads stdout.
fn run_unread(mut command: Command) -> (Option<i32>, String) {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// As in `delivery_report | head -3`.
#[test]
fn nobody_reading_on_is_no_failure() {
    for name in ["delivery_report", "receive_deliveries", "tail_deliveries"] {
        let (code, stderr) = run_unread(example(name, &[]));
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{name}: {stderr}");
    }
}

/// As in `rotate_token wrk_1 | a-store-that-fails`: the token would be lost, and nobody would know.
#[test]
fn nobody_taking_a_token_is_a_failure() {
    for (name, args) in [("rotate_token", &["wrk_1"][..]), ("set_webhook", &["--print-token", "wrk_1", URL])]
    {
        let (fake, ..) = fake_with_webhook();
        let mut command = example(name, args);
        command.envs(fake.env());
        let (code, stderr) = run_unread(command);
        assert_eq!(code, Some(1), "{name}: {stderr}");
        assert!(
            stderr.contains("error: the token is in force, but could not be written"),
            "{name}: {stderr}"
        );
    }
}

/// What an example prints without a key, stderr first, with other tokens and dates in place of those that change.
fn transcript(name: &str, args: &[&str]) -> String {
    let Printed { code, stdout, stderr } = run(&mut example(name, args));
    assert_eq!(code, Some(0), "{stderr}");
    let printed = stderr + &stdout;
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
    let words = printed.split_inclusive(char::is_whitespace).map(|word| {
        let (word, space) = word.split_at(word.trim_end().len());
        let is_date = word.len() == 10 && word.bytes().filter(u8::is_ascii_digit).count() == 8;
        let is_time = word.len() == 20 && word.bytes().filter(u8::is_ascii_digit).count() == 14;
        match word {
            _ if name == "tail_deliveries" && is_time => format!("2026-11-23T18:00:00Z{space}"),
            _ if word.starts_with("whk_") => format!("whk_…{space}"),
            _ if name == "quickstart" && is_date => format!("2026-11-23{space}"),
            _ => format!("{word}{space}"),
        }
    });
    words.collect()
}

const QUICKSTART: &str = r#"Set a webhook
  url    https://example.com/hook
  token  set

Walk the newest 200 deliveries, and print the failures
  2026-11-23  "the endpoint responded with 503"
  2026-11-23  "the endpoint responded with 503"
  2026-11-23  "the endpoint responded with 503"

Verify the token that a delivery carries
  its token   accepted
  a guess     rejected

Rotate the token
  the old one rejected

Delete the webhook
  url    none
  token  none
"#;

const DELIVERY_REPORT: &str = "\
HANDINGER_API_KEY is not set: this is a demonstration with a fake.
1500 deliveries, 2026-11-16 to 2026-11-23 (UTC)
   93.3 %  ██████████████████████████████████████████████▋░░░  101 failed

Why they failed
       38  returned 503                ██████████████████████████████
       32  connection refused          █████████████████████████▎
       17  no response within 10 s     █████████████▍
       14  returned 500                ███████████

How long the endpoint took to respond
  p50 337 ms   p90 949 ms   p99 1.6 s   max 2.2 s
       55  from    0 ms  ██████▉
      112  from   50 ms  ██████████████
      269  from  100 ms  █████████████████████████████████▋
      399  from  200 ms  ██████████████████████████████████████████████████
      381  from  400 ms  ███████████████████████████████████████████████▋
      219  from  800 ms  ███████████████████████████▍
       16  from   1.6 s  ██

Busiest hours (UTC)
  ▁▁▂▂▃▃▄▄▅▅▅▅▆▆▆▆▇▇▇▇▇▇████████▆▆▆▆▄▄▄▄▄▄▂▂▂▂▁▁
  00    03    06    09    12    15    18    21
  most at 11:00 (118), 13:00 (116), 12:00 (110)
";

const RECEIVE_DELIVERIES: &str = "\
HANDINGER_WEBHOOK_TOKEN is not set: this is a demonstration with a fake.

What the endpoint returns, some minutes after a token rotation:
  the token in force                204 No Content
  the one before, on its way still  204 No Content
  one that was replaced long ago    401 Unauthorized
  a guess                           401 Unauthorized
  no token                          401 Unauthorized
  the token in force, and 2 MB      413 Payload Too Large
";

const ROTATE_TOKEN: &str = "\
HANDINGER_API_KEY is not set: this is a demonstration with a fake.
replaced the token of wrk_1; the old one is no longer valid
with a key, stdout would carry the token alone: whk_…
";

const SET_WEBHOOK: &str = "\
HANDINGER_API_KEY is not set: this is a demonstration with a fake.
before  none
now     https://example.com/hook
token   a new one: the endpoint needs it to verify deliveries
with a key, stdout would carry the token alone: whk_…
";

const TAIL_DELIVERIES: &str = "\
HANDINGER_API_KEY is not set: this is a demonstration with a fake.
list executions of worker wrk_demo, page 1: connection lost
2026-11-23T18:00:00Z  arrived   212 ms  returned 204        Weekly report
2026-11-23T18:00:00Z  arrived    1.6 s  returned 204        Compare suppliers
2026-11-23T18:00:00Z  failed     35 ms  returned 503        Triage the inbox
2026-11-23T18:00:00Z  failed      2 ms  connection refused  Translate the manual
2026-11-23T18:00:00Z  arrived   187 ms  returned 204        Sort the invoices
";

#[test]
fn demonstrations_print_their_transcripts() {
    assert_eq!(transcript("quickstart", &[]), QUICKSTART);
    assert_eq!(transcript("delivery_report", &[]), DELIVERY_REPORT);
    assert_eq!(transcript("receive_deliveries", &[]), RECEIVE_DELIVERIES);
    assert_eq!(transcript("rotate_token", &["wrk_1"]), ROTATE_TOKEN);
    assert_eq!(transcript("set_webhook", &["--print-token", "wrk_1", URL]), SET_WEBHOOK);
    assert_eq!(transcript("tail_deliveries", &[]), TAIL_DELIVERIES);
}

#[test]
fn the_readme_shows_the_transcripts() {
    let readme = include_str!("../../README.md");
    let (_, report) = DELIVERY_REPORT.split_once('\n').unwrap();
    for stdout in [QUICKSTART, report] {
        assert!(readme.contains(&format!("```text\n{stdout}```\n")), "README.md does not show\n{stdout}");
    }
}

/// A header that names too few crates is found by `.ci/examples`; this finds one that names too many.
#[test]
fn headers_name_no_crate_that_the_example_does_not_use() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    for files in [
        &["quickstart.rs"][..],
        &["set_webhook.rs", "common/mod.rs"],
        &["rotate_token.rs", "common/mod.rs"],
        &["receive_deliveries.rs", "common/mod.rs"],
        &["tail_deliveries.rs", "common/mod.rs"],
        &[
            "delivery_report/main.rs",
            "delivery_report/progress.rs",
            "delivery_report/report.rs",
            "common/mod.rs",
        ],
        &["build_script/build.rs"],
    ] {
        let source = read(files[0]);
        let commands = source.lines().filter_map(|line| line.split_once("cargo add ")?.1.split('`').next());
        let crates: Vec<_> = commands
            .flat_map(|command| command.split(' ').take_while(|word| *word != "--features"))
            .filter(|word| !word.starts_with("--"))
            .collect();
        let code: String = files.iter().map(|file| read(file)).collect();
        assert!(crates.contains(&"handinger"), "{files:?}");
        for name in crates {
            assert!(code.contains(&format!("{name}::")), "{files:?} do not use {name}");
        }
    }
}

#[test]
fn quickstart_fits_on_a_page() {
    assert!(include_str!("../../examples/quickstart.rs").lines().count() <= 60);
}

#[test]
fn quickstart_with_a_worker_needs_a_key() {
    let Printed { code, stdout, stderr } = run(&mut example("quickstart", &["wrk_1"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr, "error: build client: HANDINGER_API_KEY is not set or blank\n");
}

#[test]
fn quickstart_with_a_key_shows_the_worker_and_changes_nothing() {
    let (fake, client, token) = fake_with_webhook();
    for number in 0..60 {
        fake.deliver_with("wrk_1", |execution| {
            if number % 30 == 0 {
                execution.request_status = RequestStatus::Error;
                execution.response_status = None;
                execution.error_message = Some("no route to \x1b[31mhost".into());
            }
        });
    }
    let before = client.retrieve_webhook("wrk_1").unwrap();
    let requests = fake.request_count();

    let Printed { code, stdout, stderr } = with_fake("quickstart", &["wrk_1"], &fake);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("The webhook\n  url    https://example.com/hook\n  token  set\n"), "{stdout}");
    assert_eq!(stdout.matches(r#"  "no route to \u{1b}[31mhost""#).count(), 2, "{stdout}");
    assert!(!stdout.contains(&token), "{stdout}");

    assert_eq!(fake.request_count() - requests, 3);
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), before);
    assert_eq!(client.list_executions("wrk_1", 1).unwrap().total_count, 60);
}

#[test]
fn quickstart_with_a_key_sends_only_gets() {
    let (fake, ..) = fake_with_webhook();
    let before = fake.request_count();
    let Printed { code, .. } = with_fake("quickstart", &["wrk_1"], &fake);
    assert_eq!(code, Some(0));
    assert_eq!(operations_since(&fake, before), [RetrieveWebhook, ListExecutions]);
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
    for (args, reported) in rows {
        let Printed { code, stdout, stderr } = with_fake("set_webhook", args, &fake);
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{args:?}");
        assert!(stderr.starts_with(reported), "{args:?}: {stderr}");
    }
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url, None);

    let Printed { stdout, .. } = with_fake("set_webhook", &["wrk_1", URL, "--print-token"], &fake);
    let token = fake.client().retrieve_webhook("wrk_1").unwrap().token.unwrap();
    assert_eq!(stdout, format!("{}\n", token.as_str()));
    assert_eq!(demonstration("set_webhook", &["wrk_2", URL]).code, Some(0));
}

#[test]
fn rotate_token_prints_the_new_token_alone() {
    let (fake, client, old) = fake_with_webhook();
    let Printed { code, stdout, stderr } = with_fake("rotate_token", &["wrk_1"], &fake);
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
        assert!(stderr.contains("stdout would carry the token alone: whk_"), "{name}: {stderr}");
    }
}

#[test]
fn rotate_token_without_a_webhook_fails_before_it_rotates() {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let Printed { code, stdout, stderr } = with_fake("rotate_token", &["wrk_1"], &fake);
    assert_eq!((code, stdout.as_str(), fake.request_count()), (Some(1), "", 1));
    assert_eq!(stderr, "error: the worker has no webhook, and so no token\n");
}

/// It compares the token in force with the old one, and rotates again only if that is the same.
#[test]
fn rotate_token_retrieves_the_token_when_the_response_is_lost() {
    for (fault, expected) in [
        (Fault::hang_up().after_applying(), &[RegenerateToken, RetrieveWebhook][..]),
        (Fault::status(500).after_applying(), &[RegenerateToken, RetrieveWebhook]),
        (Fault::hang_up(), &[RegenerateToken, RetrieveWebhook, RegenerateToken]),
    ] {
        let (fake, client, old) = fake_with_webhook();
        let before = fake.request_count();
        fake.inject(fault.on(RegenerateToken));
        let Printed { code, stdout, stderr } = with_fake("rotate_token", &["wrk_1"], &fake);
        let requested = operations_since(&fake, before);
        assert_eq!(requested, [&[RetrieveWebhook; 2], expected].concat());
        let new = client.retrieve_webhook("wrk_1").unwrap().token.unwrap();
        assert_eq!((code, stdout), (Some(0), format!("{}\n", new.as_str())), "{stderr}");
        assert_ne!(new.as_str(), old);
        assert_eq!(stderr, "replaced the token of wrk_1; the old one is no longer valid\n");
        fake.assert_faults_used();
    }
}

#[test]
fn rotate_token_that_fails_says_which_token_is_in_force_as_far_as_that_is_known() {
    const UNKNOWN: &str =
        "the old token may still be in force: retrieve the webhook to learn which one is\nerror: ";
    // It may have been applied, and the server asks for a longer wait than `rotate_token` makes.
    let lost = || Fault::status(500).header("Retry-After", "7").on(RegenerateToken);
    let retrieved_later = |fault: Fault| fault.on(RetrieveWebhook).skip(2);
    let rows = [
        (vec![lost()], UNKNOWN, "; the old token was still in force afterwards; the change may"),
        (
            vec![lost(), retrieved_later(Fault::status(403))],
            UNKNOWN,
            "; the token in force could not be retrieved; the change may",
        ),
        (
            vec![lost(), retrieved_later(Fault::meanwhile(|fake| fake.client().delete_webhook("wrk_1")))],
            UNKNOWN,
            "; the webhook was removed meanwhile; the change may",
        ),
        (
            vec![Fault::status(403).on(RegenerateToken)],
            "the old token is still in force\nerror: ",
            "the server returned 403: Forbidden\n",
        ),
    ];
    for (faults, first, last) in rows {
        let (fake, ..) = fake_with_webhook();
        for fault in faults {
            fake.inject(fault);
        }
        let Printed { code, stdout, stderr } = with_fake("rotate_token", &["wrk_1"], &fake);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.starts_with(first) && stderr.contains(last), "{stderr}");
        fake.assert_faults_used();
    }
}

/// Ten deliveries at 10:00, 10:10, ... of a day, the `n`th with a response after `n` × 10 ms; the last two failed.
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
    let Printed { code, stdout, stderr } = with_fake("delivery_report", &["wrk_1", "--json"], &fake);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut hours = [0; 24];
    (hours[10], hours[11]) = (6, 4);
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap(),
        json!({
            "arrived": 8, "failed": 2, "successPercent": 80.0,
            "oldest": "2026-11-23T10:00:00Z", "newest": "2026-11-23T11:30:00Z",
            "causes": { "returned 503": 1, "connection reset": 1 },
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
        let report: Value = serde_json::from_str(&with_fake("delivery_report", &args, &fake).stdout).unwrap();
        report["arrived"].as_u64().unwrap() + report["failed"].as_u64().unwrap()
    };
    assert_eq!(count("2026-11-23T11:00:00Z"), 4);
    assert_eq!(count("2026-11-23T13:20:00+02:00"), 2);
    assert_eq!(count("2027-01-01T00:00:00Z"), 0);
    // In the demonstration it is always the same time.
    let demonstrated = |since: &str| demonstration("delivery_report", &["--since", since]).stdout;
    for (ago, time) in [
        ("5400s", "2026-11-23T16:30:00Z"),
        ("90m", "2026-11-23T16:30:00Z"),
        ("24h", "2026-11-22T18:00:00Z"),
        ("2d", "2026-11-21T18:00:00Z"),
        ("1w", "2026-11-16T18:00:00Z"),
    ] {
        assert_eq!(demonstrated(ago), demonstrated(time));
    }
    assert!(demonstrated("24h").starts_with("220 deliveries, 2026-11-22 to 2026-11-23 (UTC)\n"));
}

#[test]
fn delivery_report_of_no_deliveries() {
    let (fake, ..) = fake_with_webhook();
    let Printed { code, stdout, .. } = with_fake("delivery_report", &["wrk_1"], &fake);
    assert_eq!((code, stdout.as_str()), (Some(0), "no deliveries\n"));
    let Printed { code, stdout, .. } = with_fake("delivery_report", &["wrk_1", "--json"], &fake);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["successPercent"]), (Some(0), &Value::Null));
    assert_eq!(report["responseMs"], json!({ "p50": null, "p90": null, "p99": null, "max": null }));
}

/// A terminal of this width; keeps what is written to it.
#[derive(Clone, Debug)]
struct Terminal {
    columns: u16,
    written: Arc<Mutex<String>>,
}

impl Terminal {
    fn new(columns: u16) -> (Self, ProgressDrawTarget) {
        let terminal = Self { columns, written: Arc::default() };
        (terminal.clone(), ProgressDrawTarget::term_like(Box::new(terminal)))
    }

    fn written(&self) -> String {
        std::mem::take(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, text: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.record(&"<up>".repeat(count));
        Ok(())
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.record(&"<down>".repeat(count));
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.record(&format!("{line}\n"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.record(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.record("<clear>");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A walk over 100 deliveries that has yielded 50.
fn halfway() -> handinger::Progress {
    let (fake, client, _) = fake_with_webhook();
    for _ in 0..100 {
        fake.deliver("wrk_1", 200);
    }
    let mut walk = client.executions("wrk_1");
    assert!(walk.by_ref().take(50).all(|execution| execution.is_ok()));
    walk.progress()
}

fn at(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

/// The lines of the terminal in turn; each replaces the one before.
fn frames(written: &str) -> Vec<&str> {
    assert!(!written.contains('\n') && !written.contains("<up>"), "{written:?}");
    written.split("<clear>").collect()
}

#[test]
fn the_progress_bar_fits_the_terminal() {
    for columns in [50, 80, 200] {
        let (terminal, target) = Terminal::new(columns);
        let bar = progress::Bar::new(target, None);
        bar.show(halfway(), at("2026-11-23T18:00:00Z"));
        let written = terminal.written();
        for frame in frames(&written) {
            // The cursor goes back to the start of the line, so that a `^C` does not wrap.
            let line = frame.strip_suffix('\r').unwrap();
            assert_eq!(line.chars().count(), usize::from(columns) - 1, "{written:?}");
            assert!(line.ends_with(" 50 of 100 deliveries"), "{written:?}");
        }
        let bar_width = usize::from(columns) - " 50 of 100 deliveries".len() - 1;
        assert_eq!(
            frames(&written).last().unwrap().matches('█').count(),
            bar_width.div_ceil(2),
            "{written:?}"
        );
        drop(bar);
        assert_eq!(frames(&terminal.written()).last(), Some(&""), "it is cleared");
    }
}

#[test]
fn with_since_the_progress_bar_runs_over_time() {
    let (terminal, target) = Terminal::new(50);
    let bar = progress::Bar::new(target, Some([at("2026-11-16T18:00:00Z"), at("2026-11-23T18:00:00Z")]));
    bar.show(halfway(), at("2026-11-18T00:00:00Z"));
    let written = terminal.written();
    let last = frames(&written).pop().unwrap();
    assert_eq!(last, "███████████░░░ 50 deliveries, back to 11-18 00:00\r");
    // `since` may be in the future, and a clock may be wrong.
    let (terminal, target) = Terminal::new(50);
    let bar = progress::Bar::new(target, Some([at("2027-01-01T00:00:00Z"), at("2026-11-23T18:00:00Z")]));
    bar.show(halfway(), at("2027-01-02T00:00:00Z"));
    assert!(terminal.written().ends_with(" 50 deliveries, back to 01-02 00:00\r"));
}

#[test]
fn the_progress_bar_says_that_the_client_waits_for_a_retry() {
    let (terminal, target) = Terminal::new(50);
    let bar = progress::Bar::new(target, None);
    bar.show(halfway(), at("2026-11-23T18:00:00Z"));
    terminal.written();
    bar.sleep()(Duration::from_millis(100));
    let written = terminal.written();
    let frames = frames(&written);
    assert!(frames.iter().any(|frame| frame.ends_with(" retrying in 0.1 s\r")), "{written:?}");
    assert!(frames.last().unwrap().ends_with(" 50 of 100 deliveries\r"), "{written:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_delivery_report_prints_nothing() {
    let (fake, ..) = fake_with_webhook();
    fake.inject(Fault::delay(Duration::from_secs(3600)).on(ListExecutions));
    let mut command = example("delivery_report", &["wrk_1"]);
    command.envs(fake.env());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(|| fake.requests().iter().any(|request| request.operation() == Some(ListExecutions)));
    interrupt(&child);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stdout, stderr), (Some(130), vec![], vec![]));
}

/// As Ctrl-C does.
#[cfg(unix)]
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// A place for a state file of `tail_deliveries`, which is not there yet.
fn state_file(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tail_deliveries").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder.join("state.json")
}

fn tail_deliveries(fake: &FakeHandinger, state: &Path) -> Command {
    let mut command = example("tail_deliveries", &["wrk_1", "--state", state.to_str().unwrap()]);
    command.envs(fake.env());
    command
}

/// Writes a state file that covers a delivery, and resumes from which no request has to wait. Returns its text.
fn start_state(fake: &FakeHandinger, state: &Path) -> String {
    fake.deliver("wrk_1", 200);
    let mut deliveries = fake.client().follow("wrk_1");
    deliveries.poll().unwrap();
    let text = deliveries.cursor().to_string();
    fs::write(state, &text).unwrap();
    text
}

/// A `tail_deliveries` that runs; killed when the test ends, however it ends.
struct Tail {
    program: Endpoint,
    lines: Receiver<String>,
    errors: JoinHandle<String>,
}

impl Tail {
    fn start(fake: &FakeHandinger, state: &Path) -> Self {
        let mut command = tail_deliveries(fake, state);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| sender.send(line.unwrap())));
        let errors = thread::spawn(move || io::read_to_string(&mut stderr).unwrap());
        Self { program: Endpoint(child), lines, errors }
    }

    /// The tasks of the next lines.
    fn next(&self, count: usize) -> Vec<String> {
        let line = || self.lines.recv_timeout(Duration::from_secs(10)).expect("another line");
        (0..count).map(|_| task(&line())).collect()
    }

    /// Interrupts it. Returns the tasks of the lines that were left, and stderr.
    #[cfg(unix)]
    fn interrupt(mut self) -> (Vec<String>, String) {
        interrupt(&self.program.0);
        assert_eq!(self.program.0.wait().unwrap().code(), Some(130));
        (self.lines.iter().map(|line| task(&line)).collect(), self.errors.join().unwrap())
    }
}

/// The end of a line of `tail_deliveries`.
fn task(line: &str) -> String {
    line.rsplit("  ").next().unwrap().to_owned()
}

fn deliver(fake: &FakeHandinger, tasks: RangeInclusive<u32>) -> Vec<String> {
    let tasks = tasks.map(|number| {
        let title = format!("Task {number}");
        fake.deliver_with("wrk_1", |execution| execution.task_title = Some(title.clone()));
        title
    });
    tasks.collect()
}

#[cfg(unix)]
#[test]
fn tail_deliveries_resumes_where_it_was_interrupted() {
    let (fake, client, _) = fake_with_webhook();
    let state = state_file("resumes");
    let wait_until_all_is_saved = || {
        let newest = client.executions("wrk_1").next().unwrap().unwrap();
        wait_until(|| fs::read_to_string(&state).unwrap().contains(&newest.id));
    };
    deliver(&fake, 1..=3);

    // It starts from now: it has nothing to print, and writes the file all the same.
    let tail = Tail::start(&fake, &state);
    wait_until(|| state.exists());
    assert_eq!(tail.interrupt(), (vec![], String::new()));

    // More than a page, of which each is saved.
    let expected = deliver(&fake, 4..=70);
    let tail = Tail::start(&fake, &state);
    assert_eq!(tail.next(67), expected);
    wait_until_all_is_saved();
    assert_eq!(tail.interrupt(), (vec![], String::new()));

    let expected = deliver(&fake, 71..=72);
    let tail = Tail::start(&fake, &state);
    assert_eq!(tail.next(2), expected);
    wait_until_all_is_saved();
    assert_eq!(tail.interrupt(), (vec![], String::new()));
    assert_eq!(fs::read_dir(state.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
}

/// At whatever moment it is killed.
#[test]
fn a_killed_tail_deliveries_misses_nothing_and_repeats_at_most_one() {
    let (fake, ..) = fake_with_webhook();
    let state = state_file("killed");
    start_state(&fake, &state);
    let expected = deliver(&fake, 1..=200);
    let mut printed = Vec::new();
    for _ in 0..4 {
        let mut tail = Tail::start(&fake, &state);
        let mut tasks = tail.next(if printed.len() < 180 { 10 } else { 1 });
        tail.program.0.kill().unwrap();
        tasks.extend(tail.lines.iter().map(|line| task(&line)));
        if printed.last() == tasks.first() {
            printed.pop();
        }
        printed.extend(tasks);
        if printed.len() == expected.len() {
            break;
        }
    }
    assert_eq!(printed, expected[..printed.len()]);
}

/// What nobody has read is not saved as printed.
#[test]
fn tail_deliveries_prints_again_what_nobody_read() {
    let (fake, ..) = fake_with_webhook();
    let state = state_file("unread");
    start_state(&fake, &state);
    let expected = deliver(&fake, 1..=2);
    assert_eq!(run_unread(tail_deliveries(&fake, &state)), (Some(0), String::new()));
    assert_eq!(Tail::start(&fake, &state).next(2), expected);
}

#[test]
fn tail_deliveries_leaves_a_file_that_holds_something_else_untouched() {
    let (fake, client, _) = fake_with_webhook();
    fake.add_worker("wrk_2");
    let other = client.follow("wrk_2").cursor().to_string();
    let before = fake.request_count();
    let rows: [(&[u8], &str); 5] = [
        (b"", "cannot resume from "),
        (b"my notes\n", "state.json: read cursor: not a cursor that this version can read"),
        (b"{\"version\": 1}", "cannot resume from "),
        (b"\xff\xfe", "cannot resume from "),
        (other.as_bytes(), "the cursor is of worker wrk_2"),
    ];
    for (content, complaint) in rows {
        let state = state_file("garbage");
        fs::write(&state, content).unwrap();
        let Printed { code, stdout, stderr } = run(&mut tail_deliveries(&fake, &state));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(complaint), "{stderr}");
        assert_eq!(fs::read(&state).unwrap(), content);
        assert_eq!(fs::read_dir(state.parent().unwrap()).unwrap().count(), 1);
    }
    assert_eq!(fake.request_count(), before);
}

#[test]
fn tail_deliveries_ends_after_an_error_that_no_retry_mends() {
    let (fake, ..) = fake_with_webhook();
    let state = state_file("error");
    let text = start_state(&fake, &state);
    fake.inject(Fault::status(401));
    let Printed { code, stdout, stderr } = run(&mut tail_deliveries(&fake, &state));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.ends_with("the server returned 401: Unauthorized\n"), "{stderr}");
    assert_eq!(fs::read_to_string(&state).unwrap(), text);

    // A state that cannot be saved ends it, too.
    deliver(&fake, 1..=2);
    fs::create_dir(state.with_extension("json.tmp")).unwrap();
    let Printed { code, stdout, stderr } = run(&mut tail_deliveries(&fake, &state));
    assert_eq!((code, task(stdout.trim_end()).as_str()), (Some(1), "Task 1"));
    assert!(stderr.contains("error: cannot write "), "{stderr}");
}

#[cfg(unix)]
#[test]
fn tail_deliveries_reports_a_gap_once_and_goes_on() {
    let (fake, client, _) = fake_with_webhook();
    let state = state_file("gap");
    start_state(&fake, &state);
    let known = client.executions("wrk_1").next().unwrap().unwrap();
    fake.remove_execution("wrk_1", &known.id);
    let expected = deliver(&fake, 1..=1);
    let tail = Tail::start(&fake, &state);
    assert_eq!(tail.next(1), expected);
    let (_, errors) = tail.interrupt();
    assert!(errors.contains("executions may be missing") && errors.lines().count() == 1, "{errors}");
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
fn receive_deliveries_accepts_the_tokens_it_is_given_and_no_other() {
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
        let body = agent.post(url).send("{}").unwrap().body_mut().read_to_string().unwrap();
        assert_eq!(body, "", "it does not say why");

        let _ = endpoint.0.kill();
        let mut printed = String::new();
        stderr.read_to_string(&mut printed).unwrap();
        endpoint.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert!(printed.contains("204 No Content") && !printed.contains("whk_"), "{printed}");
    }
}

#[test]
fn receive_deliveries_rejects_a_blank_token() {
    for name in ["HANDINGER_WEBHOOK_TOKEN", "HANDINGER_WEBHOOK_TOKEN_PREVIOUS"] {
        let mut command = example("receive_deliveries", &["--port", "0"]);
        let command = command.env("HANDINGER_WEBHOOK_TOKEN", "whk_1").env(name, " ");
        let Printed { code, stderr, .. } = run(command);
        assert_eq!(code, Some(2));
        assert!(stderr.contains(&format!("{name} is blank")), "{stderr}");
    }
}

/// A crate of its own: the one that the header of `build_script` describes.
struct BuildScript {
    folder: PathBuf,
    /// Nobody has built it for this one before.
    worker_id: String,
}

impl BuildScript {
    fn new() -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/build_script");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build_script");
        fs::create_dir_all(folder.join("src")).unwrap();
        for file in ["build.rs", "src/main.rs"] {
            fs::copy(example.join(file), folder.join(file)).unwrap();
        }
        fs::copy(example.join("../../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let manifest = format!(
            "[package]\nname = \"build_script\"\nedition = \"2024\"\n[workspace]\n\
             [build-dependencies]\nhandinger.path = {:?}\n",
            env!("CARGO_MANIFEST_DIR")
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self { folder, worker_id: format!("wrk_{}", since_1970.as_nanos()) }
    }

    /// Returns what the program prints, and what the build warned of. `team` changes the environment of the script.
    fn build_and_run(&self, fake: &FakeHandinger, team: &str) -> (String, String) {
        let output = Command::new(env!("CARGO"))
            .args(["run", "--offline"])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("build_script_target"))
            .envs(fake.env())
            .env("HANDINGER_CUSTOM_HEADERS", format!("X-Team: {team}"))
            .env("HANDINGER_WORKER_ID", &self.worker_id)
            .output()
            .unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{stderr}");
        let warnings = stderr.lines().filter(|line| line.starts_with("warning: "));
        (stdout, warnings.collect())
    }
}

#[test]
#[ignore = "builds a crate of its own; run by .ci/build-script"]
fn build_script_survives_an_outage() {
    let fake = FakeHandinger::start();
    let build_script = BuildScript::new();
    let worker_id = &build_script.worker_id;
    fake.add_worker(worker_id);
    fake.client().update_webhook(worker_id, URL).unwrap();
    let today = fake.deliver(worker_id, 200).execution.created_at.date();
    let build_and_run = |team| build_script.build_and_run(&fake, team);
    let success = format!("newest delivery: success on {today}\n");

    // Down before anything is known.
    fake.fail_next(2, 500);
    let (printed, warning) = build_and_run("ops");
    assert_eq!(printed, "newest delivery: not known\n");
    assert!(warning.contains("warning: build_script@0.0.0: built with the last known state"), "{warning}");
    assert!(warning.contains("500"), "{warning}");

    // Back: the next build asks again, with nothing changed.
    assert_eq!(build_and_run("ops"), (success.clone(), String::new()));
    // And the one after that has no reason to.
    let requests = fake.request_count();
    assert_eq!(build_and_run("ops"), (success.clone(), String::new()));
    assert_eq!(fake.request_count(), requests);

    // Down again: the last good value stays.
    fake.deliver(worker_id, 503);
    fake.fail_next(2, 500);
    let (printed, warning) = build_and_run("other");
    assert_eq!(printed, success);
    assert!(warning.contains("built with the last known state"), "{warning}");

    // And back.
    let (printed, warning) = build_and_run("other");
    assert_eq!((printed, warning), (format!("newest delivery: error on {today}\n"), String::new()));

    // Of another worker, nothing is known.
    fake.fail_next(2, 500);
    let other = BuildScript::new();
    assert_eq!(other.build_and_run(&fake, "other").0, "newest delivery: not known\n");
}
