//! Prints deliveries as they arrive, each once, even across restarts: `cargo run --example tail_deliveries --
//! wrk_1 wrk_1.cursor`.
//!
//! Needs `HANDINGER_API_KEY`, or the two variables that the example `fake_server` prints.
//! To start from it, copy this file to `src/main.rs`, and
//! `cargo add handinger && cargo add ctrlc --features termination`.

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;
use std::sync::Mutex;
use std::thread;

use handinger::{Cursor, HandingerClient};

/// Prevents a signal from ending the program between the first line of a round and the save of the cursor.
static PRINTING: Mutex<()> = Mutex::new(());

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [worker_id, state_file] = &args[..] else { fail(2, "Usage: tail_deliveries WORKER_ID STATE_FILE") };
    let client = HandingerClient::from_env().unwrap_or_else(|error| fail(2, error));
    if let Err(error) = tail(&client, worker_id, state_file) {
        fail(1, error);
    }
}

fn tail(client: &HandingerClient, worker_id: &str, state_file: &str) -> Result<(), Box<dyn Error>> {
    // SIGINT, SIGTERM and SIGHUP end the program at once, even during a request.
    ctrlc::set_handler(|| {
        let _printed = PRINTING.lock();
        process::exit(0);
    })?;
    let mut follow = client.follow(worker_id).starting_from(Cursor::load(state_file)?);
    loop {
        match follow.poll() {
            Ok(new) => {
                let _printing = PRINTING.lock();
                for execution in new {
                    // Unlike `println!`, this returns an error if the reader of a pipe has exited.
                    writeln!(io::stdout(), "{execution}")?;
                }
                follow.cursor().save(state_file)?;
            }
            Err(error) if follow.is_over() => return Err(error.into()),
            Err(error) => eprintln!("{error:#}"),
        }
        thread::sleep(follow.poll_after());
    }
}

fn fail(code: i32, problem: impl Display) -> ! {
    eprintln!("{problem:#}");
    process::exit(code)
}
