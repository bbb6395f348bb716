//! The whole API in one sitting, no account needed: `cargo run --example quickstart`. With an account, to see a worker
//! of yours and change nothing: `HANDINGER_API_KEY=... cargo run --example quickstart WORKER_ID`.
//! To start from it, copy `quickstart.rs` to `src/bin/` of a crate, and `cargo add handinger --features fake`.

use handinger::{Error, HandingerClient, Webhook, fake::FakeHandinger};

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Error> {
    if let Some(worker_id) = std::env::args().nth(1) {
        let client = HandingerClient::from_env()?;
        show("The webhook", &client.retrieve_webhook(&worker_id)?);
        return walk(&client, &worker_id);
    }
    let fake = FakeHandinger::start(); // stands in for https://handinger.com
    fake.add_worker("wrk_1");
    let client = fake.client();

    let webhook = client.update_webhook("wrk_1", "https://example.com/hook")?;
    show("Set a webhook", &webhook);
    for number in 1..=120 {
        fake.deliver("wrk_1", if number % 40 == 0 { 503 } else { 200 });
    }
    walk(&client, "wrk_1")?;

    let delivery = fake.deliver("wrk_1", 200);
    println!("\nVerify the token that a delivery carries");
    verify("its token", &webhook, delivery.token.as_str());
    verify("a guess", &webhook, "whk_guess");
    println!("\nRotate the token");
    verify("the old one", &client.regenerate_token("wrk_1")?, delivery.token.as_str());
    show("\nDelete the webhook", &client.delete_webhook("wrk_1")?);
    Ok(())
}

fn show(title: &str, webhook: &Webhook) {
    println!("{title}\n  url    {}", webhook.url.as_deref().unwrap_or("none"));
    println!("  token  {}", if webhook.token.is_some() { "set" } else { "none" });
}

fn walk(client: &HandingerClient, worker_id: &str) -> Result<(), Error> {
    println!("\nWalk the newest 200 deliveries, and print the failures");
    for execution in client.executions(worker_id).take(200) {
        let execution = execution?;
        if !execution.is_success() {
            println!("  {}  {:?}", execution.created_at.date(), execution.error_message.unwrap_or_default());
        }
    }
    Ok(())
}

fn verify(what: &str, webhook: &Webhook, presented: &str) {
    let is_genuine = webhook.token.as_ref().is_some_and(|token| token.verify(presented));
    println!("  {what:<12}{}", if is_genuine { "accepted" } else { "rejected" });
}
