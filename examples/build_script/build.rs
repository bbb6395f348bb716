//! Asks, while the program is built, how the newest delivery of a worker went. The service never fails a build: without
//! a key, without a network and during an outage, there is a warning, and the program gets the last value known.
//!
//! To start from it, copy `build_script/build.rs` and `build_script/src` to a crate with
//!
//! ```sh
//! cargo add --build handinger
//! ```
//!
//! and build it with `HANDINGER_API_KEY` and `HANDINGER_WORKER_ID` set.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use handinger::{ErrorKind, HandingerClientBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    // Without these lines, cargo would run this script after every change of any file.
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["HANDINGER_API_KEY", "HANDINGER_BASE_URL", "HANDINGER_CUSTOM_HEADERS", "HANDINGER_WORKER_ID"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }

    let worker_id = env::var("HANDINGER_WORKER_ID").unwrap_or_default();
    // What an earlier build wrote is still there.
    let path = Path::new(&env::var("OUT_DIR")?).join("handinger.rs");
    let heading = format!("/// How the newest delivery of worker {worker_id:?} went.\n");
    let newest = match newest_delivery(&worker_id) {
        Ok(newest) => newest,
        Err(error) => {
            // An error of `handinger` is one line and carries no secret, so it may stand in the log of a build.
            println!("cargo::warning=built with the last known state of the deliveries: {error}");
            if error.kind() != ErrorKind::InvalidInput {
                // There is no such file, so cargo runs this script again in the next build.
                println!("cargo::rerun-if-changed=ask-again-in-the-next-build");
            }
            if fs::read_to_string(&path).is_ok_and(|known| known.starts_with(&heading)) {
                return Ok(());
            }
            None
        }
    };
    // `Debug` of a string is a literal of Rust, whatever is in the string.
    fs::write(path, format!("{heading}pub const NEWEST_DELIVERY: Option<&str> = {newest:?};\n"))?;
    Ok(())
}

fn newest_delivery(worker_id: &str) -> Result<Option<String>, handinger::Error> {
    // Somebody waits for the build: at most 10 s for all attempts together.
    let client = HandingerClientBuilder::from_env()?
        .timeout(Duration::from_secs(5))
        .total_timeout(Duration::from_secs(10))
        .max_retries(1)
        .build()?;
    let newest = client.executions(worker_id).next().transpose()?;
    Ok(newest.map(|newest| format!("{} on {}", newest.request_status, newest.created_at.date())))
}
