//! Looks up the newest delivery of a worker during a build. If the service is down, the build neither hangs
//! nor fails: it prints a warning, and keeps the result of an earlier build.
//!
//! Needs `HANDINGER_WORKER_ID`, and `HANDINGER_API_KEY` or the two variables that `fake_server` prints.
//! To start from it, copy `build_script/build.rs` and `build_script/src` to a crate, and
//! `cargo add --build handinger`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use handinger::{ErrorKind, HandingerClientBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    // Without these lines, cargo runs this script after a change of any file.
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["API_KEY", "BASE_URL", "CUSTOM_HEADERS", "WORKER_ID"] {
        println!("cargo::rerun-if-env-changed=HANDINGER_{name}");
    }

    let worker_id = env::var("HANDINGER_WORKER_ID").unwrap_or_default();
    let file = Path::new(&env::var("OUT_DIR")?).join("handinger.rs");
    let heading = format!("/// The newest delivery of worker {worker_id:?}.\n");
    let newest = match newest_delivery(&worker_id) {
        Ok(newest) => newest,
        Err(error) => {
            println!("cargo::warning=the newest delivery may be out of date: {error:#}");
            if error.kind() != ErrorKind::InvalidInput {
                // Cargo runs this script again in the next build, because this file does not exist.
                println!("cargo::rerun-if-changed=no-such-file");
            }
            if fs::read_to_string(&file).is_ok_and(|known| known.starts_with(&heading)) {
                return Ok(());
            }
            None
        }
    };
    fs::write(file, format!("{heading}pub const NEWEST_DELIVERY: Option<&str> = {newest:?};\n"))?;
    Ok(())
}

fn newest_delivery(worker_id: &str) -> Result<Option<String>, handinger::Error> {
    let client = HandingerClientBuilder::from_env()?
        .total_timeout(Duration::from_secs(10)) // for all attempts, because a build must not hang
        .build()?;
    let newest = client.executions(worker_id).next().transpose()?;
    Ok(newest.map(|newest| newest.to_string()))
}
