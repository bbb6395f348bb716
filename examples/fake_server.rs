//! Serves a fake Handinger until Ctrl-C: `cargo run --example fake_server`.
//!
//! Prints two `export` lines: with these variables, each example and any other client runs against the fake.
//! It has a worker `wrk_1` with a webhook and a week of 1,500 deliveries, and makes a new one every 3 s. To
//! start from it, copy this file to `src/main.rs`, and `cargo add handinger --features fake`.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::Duration;

use handinger::fake::FakeHandinger;

fn main() -> Result<(), handinger::Error> {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let client = fake.client();
    client.update_webhook("wrk_1", "https://example.com/hook")?;
    for _ in 0..1_500 {
        let hours = 24 * random(7) + random(12) + random(12); // more at some times of the day than at others
        deliver(&fake, Duration::from_secs(3600 * hours + random(3600)));
    }
    println!("export HANDINGER_BASE_URL={}", fake.base_url());
    println!("export HANDINGER_API_KEY={}", fake.api_key());
    loop {
        thread::sleep(Duration::from_secs(3));
        // Skips the delivery if a client has removed the webhook.
        if client.retrieve_webhook("wrk_1")?.url.is_some() {
            deliver(&fake, Duration::ZERO);
        }
        fake.clear_requests(); // because the fake keeps each
    }
}

fn deliver(fake: &FakeHandinger, age: Duration) {
    fake.deliver_with("wrk_1", |execution| {
        execution.created_at -= age;
        execution.duration_ms = 20 + (1 + random(12)) * (1 + random(12)) * (1 + random(12));
        execution.response_status = match random(60) {
            0 => None,
            1..=3 => Some(503),
            _ => Some(200),
        };
    });
}

fn random(end: u64) -> u64 {
    RandomState::new().hash_one(()) % end
}
