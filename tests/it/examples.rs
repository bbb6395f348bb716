//! The examples, run as a person would.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use handinger::fake::Fault;
use handinger::time::OffsetDateTime;
use handinger::time::format_description::well_known::Rfc3339;
use handinger::{HandingerClient, WebhookToken, ureq};

use crate::fake::{with_webhook, with_worker};
use crate::support::wait_until;

const URL: &str = "https://example.com/hook";

/// Returns the command of an example, with no setting in its environment.
///
/// `cargo test` builds the examples, but `cargo test --test it` does not.
fn example(name: &str, args: &[&str]) -> Command {
    // The tests are in `deps`, beside `examples`.
    let folder = env::current_exe().unwrap().parent().unwrap().with_file_name("examples");
    let path = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let changed = |file: &Path| file.metadata().and_then(|file| file.modified()).ok();
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let is_stale = sources.split_whitespace().any(|source| changed(Path::new(source)) > changed(&path));
    assert!(path.exists() && !is_stale, "{} must be built: `cargo build --examples`", path.display());
    let mut command = Command::new(path);
    for name in ["HANDINGER_API_KEY", "HANDINGER_BASE_URL", "HANDINGER_CUSTOM_HEADERS"] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{command:?}: {stderr}");
    stdout
}

#[test]
fn examples_without_a_key_exit_with_2_and_name_the_variable() {
    for (name, argument) in [
        ("set_webhook", URL),
        ("rotate_token", ""),
        ("delivery_report", ""),
        ("tail_deliveries", "no-such.cursor"),
        ("receive_deliveries", "0"),
    ] {
        let arguments = ["wrk_1", argument];
        let arguments = arguments.into_iter().filter(|argument| !argument.is_empty()).collect::<Vec<_>>();
        let output = example(name, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("HANDINGER_API_KEY is not set"), "{name}");
    }
}

/// An example that runs until it is dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Returns the next line of stdout, or nothing at its end.
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(10)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn token(client: &HandingerClient) -> WebhookToken {
    client.retrieve_webhook("wrk_1").unwrap().token.unwrap()
}

#[test]
fn readme_shows_the_output_of_quickstart() {
    let printed = succeed(&mut example("quickstart", &[]));
    let (_, after) = include_str!("../../README.md").split_once("cargo run --example quickstart").unwrap();
    let shown = after.split("```").find_map(|block| block.strip_prefix("text\n")).unwrap();
    let is_time = |word: &&str| OffsetDateTime::parse(word.trim(), &Rfc3339).is_ok();
    let without_times =
        |text: &str| text.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ");
    assert_eq!(without_times(shown), without_times(&printed));
}

#[test]
fn set_webhook_sets_replaces_and_removes() {
    let fake = with_worker();
    for (url, printed) in [
        (URL, "before: none\nnow: https://example.com/hook\nThe token is new"),
        ("https://example.com/2", "before: https://example.com/hook\nnow: https://example.com/2\n"),
        ("--clear", "before: https://example.com/2\nnow: none\n"),
    ] {
        let stdout = succeed(example("set_webhook", &["wrk_1", url]).envs(fake.env()));
        assert!(stdout.starts_with(printed), "{stdout}");
    }
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url, None);
}

#[test]
fn rotate_token_prints_only_the_new_token() {
    let fake = with_webhook();
    let client = fake.client();
    let old = token(&client);
    let printed = succeed(example("rotate_token", &["wrk_1"]).envs(fake.env()));
    assert_ne!(token(&client), old);
    assert_eq!(printed, format!("{}\n", token(&client).as_str()));
}

#[test]
fn delivery_report_counts_deliveries_and_reasons() {
    let fake = with_webhook();
    for status in [Some(200), Some(200), Some(503), None] {
        fake.deliver("wrk_1", status);
    }
    let printed = succeed(example("delivery_report", &["wrk_1", "1"]).envs(fake.env()));
    for line in ["4 deliveries, ", "2 failed", "1  returned 503 ", "p50 120 "] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[cfg(unix)]
#[test]
fn tail_deliveries_prints_each_delivery_once_across_restarts() {
    let fake = with_webhook();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.cursor", process::id()));
    let mut command = example("tail_deliveries", &["wrk_1", file.to_str().unwrap()]);
    command.envs(fake.env());
    // SIGKILL ends the first run after it has noted that there are no deliveries.
    let first = Running::start(&mut command);
    wait_until(|| file.exists());
    drop(first);
    // SIGTERM ends the others while they wait for the next round.
    for _ in 0..2 {
        let delivered = fake.deliver("wrk_1", 200).execution;
        let mut running = Running::start(&mut command);
        assert_eq!(running.line(), delivered.to_string());
        Command::new("kill").args(["-TERM", &running.child.id().to_string()]).status().unwrap();
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
        assert_eq!(running.line(), "");
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn receive_deliveries_accepts_only_the_token_in_force() {
    let fake = with_webhook();
    let client = fake.client();
    // Below the ports that systems assign, and another one for each run.
    let port = (20_000 + process::id() % 10_000).to_string();
    let running = Running::start(example("receive_deliveries", &["wrk_1", &port]).envs(fake.env()));
    let deliver = |token: &str| {
        let request = ureq::post(format!("http://127.0.0.1:{port}")).header(WebhookToken::HEADER, token);
        let request = request.config().proxy(None).http_status_as_error(false).build();
        request.send("a delivery").map(|response| response.status().as_u16())
    };
    let old = token(&client);
    wait_until(|| deliver(old.as_str()).is_ok_and(|status| status == 204));
    let new = client.rotate_token("wrk_1").unwrap().token.unwrap();
    assert_eq!(deliver(new.as_str()).unwrap(), 204);
    assert_eq!([deliver(old.as_str()).unwrap(), deliver("whk_guess").unwrap()], [401, 401]);
    assert_eq!([running.line(), running.line()], ["a delivery", "a delivery"]);
}

#[test]
fn fake_server_prints_the_environment_of_its_clients() {
    let running = Running::start(&mut example("fake_server", &[]));
    let [base_url, key] = ["HANDINGER_BASE_URL", "HANDINGER_API_KEY"].map(|name| {
        let line = running.line();
        line.strip_prefix(&format!("export {name}=")).unwrap_or_else(|| panic!("{line}")).to_owned()
    });
    let client = HandingerClient::builder(key).base_url(base_url).build().unwrap();
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap().url.as_deref(), Some(URL));
    let history = client.executions("wrk_1").collect::<Result<Vec<_>, _>>().unwrap();
    assert!(history.len() >= 1_500 && history.iter().any(|execution| !execution.is_success()));
}

/// Runs the script as cargo would, without a build of its own, and compiles the program with what it wrote.
#[test]
fn build_script_keeps_the_last_known_value_during_an_outage() {
    let fake = with_webhook();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("build-script-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let down = || Fault::status(503).header("retry-after-ms", "1").times(3);
    let build_and_run = |worker_id: &str| {
        let mut script = example("build_script", &[]);
        script.env("OUT_DIR", &folder).env("HANDINGER_WORKER_ID", worker_id);
        let commands = succeed(script.envs(fake.env()));
        let program = folder.join("program");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/build_script/src/main.rs");
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
        succeed(rustc.arg(source).arg("-o").arg(&program).env("OUT_DIR", &folder));
        (succeed(&mut Command::new(program)), commands.contains("cargo::warning="))
    };
    let unknown = "newest delivery: not known\n".to_owned();

    fake.inject(down());
    assert_eq!(build_and_run("wrk_1"), (unknown.clone(), true));
    let newest = format!("newest delivery: {}\n", fake.deliver("wrk_1", 200).execution);
    assert_eq!(build_and_run("wrk_1"), (newest.clone(), false));
    fake.deliver("wrk_1", 503);
    fake.inject(down());
    assert_eq!(build_and_run("wrk_1"), (newest, true));
    assert_eq!(build_and_run("wrk_2"), (unknown, true));
    fs::remove_dir_all(&folder).unwrap();
}
