//! Replaces a webhook's token, and prints the new one to stdout: `cargo run --example rotate_token -- wrk_1`.
//!
//! Needs `HANDINGER_API_KEY`, or the two variables that the example `fake_server` prints.
//! To start from it, copy this file to `src/main.rs`, and `cargo add handinger`.

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;

use handinger::HandingerClient;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [worker_id] = &args[..] else { fail(2, "Usage: rotate_token WORKER_ID | store-the-secret") };
    let client = HandingerClient::from_env().unwrap_or_else(|error| fail(2, error));
    if let Err(error) = rotate(&client, worker_id) {
        fail(1, error);
    }
}

fn rotate(client: &HandingerClient, worker_id: &str) -> Result<(), Box<dyn Error>> {
    let token = client.rotate_token(worker_id)?.token.ok_or("the worker has no webhook")?;
    // Unlike `println!`, this returns an error if the reader of a pipe has exited.
    writeln!(io::stdout(), "{}", token.as_str())
        .map_err(|error| format!("the new token is in force, but could not be written to stdout: {error}"))?;
    eprintln!("replaced the token of {worker_id}; the old one is no longer valid");
    Ok(())
}

fn fail(code: i32, problem: impl Display) -> ! {
    eprintln!("{problem:#}");
    process::exit(code)
}
