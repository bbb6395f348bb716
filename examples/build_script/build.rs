//! Asks, while the program is built, how the newest delivery of a worker went. That must never keep anybody from
//! building: without a key, without a network, and when the service fails, there is a warning and a fallback.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use handinger::HandingerClientBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    // Without these lines, cargo would run this again (and ask again) after every change of any file.
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["HANDINGER_API_KEY", "HANDINGER_BASE_URL", "HANDINGER_CUSTOM_HEADERS", "HANDINGER_WORKER_ID"] {
        println!("cargo::rerun-if-env-changed={name}");
    }

    let newest = newest_delivery().unwrap_or_else(|error| {
        // An error of `handinger` is one line and holds no secret, so that it can stand in a build's log.
        println!("cargo::warning=built without the state of the deliveries: {error}");
        None
    });

    // `Debug` of a string is a literal of Rust, whatever is in the string.
    let code = format!("/// How the newest delivery went.\npub const NEWEST_DELIVERY: Option<&str> = {newest:?};\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("handinger.rs"), code)?;
    Ok(())
}

fn newest_delivery() -> Result<Option<String>, Box<dyn Error>> {
    let worker_id = env::var("HANDINGER_WORKER_ID").map_err(|_| "HANDINGER_WORKER_ID is not set")?;
    // Somebody waits for the build: at most 10 s for all tries together.
    let client = HandingerClientBuilder::from_env()?
        .timeout(Duration::from_secs(5))
        .total_timeout(Duration::from_secs(10))
        .max_retries(1)
        .build()?;
    let newest = client.executions(worker_id).next().transpose()?;
    Ok(newest.map(|newest| format!("{} on {}", newest.request_status, newest.created_at.date())))
}
