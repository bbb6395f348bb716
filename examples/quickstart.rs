//! Shows the whole API against a fake Handinger: `cargo run --example quickstart`.
//! To start from it, copy this file to `src/main.rs`, and `cargo add handinger --features fake`.

use handinger::fake::FakeHandinger;
use handinger::{Error, Webhook};

fn main() {
    if let Err(error) = run() {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Error> {
    let fake = FakeHandinger::start(); // stands in for https://handinger.com
    fake.add_worker("wrk_1");
    let client = fake.client(); // with an account: HandingerClient::from_env()?

    println!("Set a webhook");
    client.update_webhook("wrk_1", "https://example.com/hook")?;
    let webhook = client.retrieve_webhook("wrk_1")?;
    println!("  {}", webhook.url.as_deref().unwrap_or("none"));

    println!("\nList the failures among 121 deliveries");
    for number in 1..=120 {
        fake.deliver("wrk_1", if number % 50 == 0 { 503 } else { 200 });
    }
    fake.deliver("wrk_1", None); // cannot be reached
    for execution in client.executions("wrk_1") {
        let execution = execution?;
        if !execution.is_success() {
            println!("  {execution}");
        }
    }

    println!("\nFollow new deliveries");
    let mut follow = client.follow("wrk_1");
    follow.poll()?; // the first round only notes which executions exist
    let delivery = fake.deliver("wrk_1", 204);
    for execution in follow.poll()? {
        println!("  {execution}");
    }

    println!("\nVerify the token of a delivery, and rotate it");
    println!("  its token: {}", verdict(&webhook, delivery.token.as_str()));
    println!("  a guess: {}", verdict(&webhook, "whk_guess"));
    let rotated = client.rotate_token("wrk_1")?;
    println!("  the old token: {}", verdict(&rotated, delivery.token.as_str()));

    println!("\nDelete the webhook, and look for one of an unknown worker");
    client.delete_webhook("wrk_1")?;
    if let Err(error) = client.retrieve_webhook("wrk_2") {
        println!("  {error:#}");
    }
    Ok(())
}

fn verdict(webhook: &Webhook, presented: &str) -> &'static str {
    if webhook.token.as_ref().is_some_and(|token| token.verify(presented)) { "accepted" } else { "rejected" }
}
