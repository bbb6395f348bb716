//! The whole API in one sitting: `cargo run --example quickstart`.

mod common;

use std::error::Error;
use std::process::ExitCode;

use common::{DEMO_WORKER, bold, dim, green, red, say};
use handinger::{HandingerClient, RequestStatus, Webhook, WebhookToken};
use lexopt::prelude::*;

const HELP: &str = "\
Usage: quickstart [WORKER_ID]

Without HANDINGER_API_KEY, tells the whole story with a fake Handinger: sets a
webhook, walks the history of its deliveries, checks tokens, rotates the token,
and deletes the webhook.

With HANDINGER_API_KEY and a WORKER_ID, shows the worker's webhook and newest
deliveries, and changes nothing.

Exit codes: 0 done, 1 the service failed, 2 bad usage.
";

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let worker_id = &worker_id()?;
    if common::has_api_key() {
        let client = HandingerClient::from_env()?;
        heading("The webhook")?;
        show(&client.retrieve_webhook(worker_id)?)?;
        return walk(&client, worker_id);
    }

    let fake = common::start_fake(common::API_KEY, worker_id);
    let client = fake.client();

    heading("Set a webhook")?;
    let webhook = client.update_webhook(worker_id, "https://example.com/handinger-webhook")?;
    show(&webhook)?;
    let token = webhook.token.ok_or("a webhook without a token")?;

    common::add_history(&fake, worker_id, 120, 2);
    walk(&client, worker_id)?;

    heading("Is a delivery genuine?")?;
    let delivery = fake.deliver(worker_id, 200).ok_or("nothing was delivered")?;
    check("the token of a delivery", &token, delivery.token.as_str())?;
    check("a guess", &token, "whk_guess")?;

    heading("Rotate the token")?;
    let token = client.regenerate_token(worker_id)?.token.ok_or("a webhook without a token")?;
    check("the token of that delivery", &token, delivery.token.as_str())?;
    let delivery = fake.deliver(worker_id, 200).ok_or("nothing was delivered")?;
    check("the token of the next one", &token, delivery.token.as_str())?;

    heading("Delete the webhook")?;
    show(&client.delete_webhook(worker_id)?)?;

    say(format!(
        "\nThat took {} requests. To see a worker of yours, with nothing changed:",
        fake.request_count()
    ))?;
    say("  HANDINGER_API_KEY=... cargo run --example quickstart WORKER_ID")?;
    Ok(())
}

fn heading(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(say(format!("\n{}", bold(text)))?)
}

fn show(webhook: &Webhook) -> Result<(), Box<dyn Error>> {
    say(format!("  url    {}", common::one_line(webhook.url.as_deref().unwrap_or("none"), 90)))?;
    say(format!("  token  {}", if webhook.token.is_some() { "set, and not shown here" } else { "none" }))?;
    Ok(())
}

fn check(what: &str, token: &WebhookToken, presented: &str) -> Result<(), Box<dyn Error>> {
    let verdict = if token.verify(presented) { green("accepted") } else { red("refused") };
    Ok(say(format!("  {what:<28}{verdict}"))?)
}

/// A line for each page with a mark for each delivery, then the latest failures.
fn walk(client: &HandingerClient, worker_id: &str) -> Result<(), Box<dyn Error>> {
    heading("Walk the delivery history, newest first")?;
    let (mut count, mut failures) = (0, Vec::new());
    for page in client.execution_pages(worker_id).take(20) {
        let page = page?;
        let is_success = |status: &RequestStatus| *status == RequestStatus::Success;
        let marks =
            page.iter().map(|row| if is_success(&row.request_status) { green("·") } else { red("x") });
        let marks = marks.collect::<String>();
        say(format!("  page {} of {}  {marks}", page.page, page.page_count))?;
        count += page.logs.len();
        failures.extend(page.into_iter().filter(|row| !is_success(&row.request_status)));
    }
    say(format!("  {count} deliveries, {} of which failed", failures.len()))?;

    heading("The latest failures")?;
    for row in failures.iter().take(10) {
        let time = dim(common::short_time(row.created_at));
        let title = common::one_line(row.task_title.as_deref().unwrap_or("-"), 26);
        let took = common::short_duration(row.duration_ms);
        say(format!("  {time}  {title:<26}  {took:>8}  {}", red(common::cause(row))))?;
    }
    match failures.len() {
        0 => say("  none")?,
        more @ 11.. => say(dim(format!("  and {} more", more - 10)))?,
        _ => {}
    }
    Ok(())
}

fn worker_id() -> Result<String, lexopt::Error> {
    let mut worker_id = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Value(value) if worker_id.is_none() => worker_id = Some(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    match worker_id {
        None if common::has_api_key() => Err("with HANDINGER_API_KEY set, a WORKER_ID is needed".into()),
        worker_id => Ok(worker_id.unwrap_or(DEMO_WORKER.into())),
    }
}
