//! Compares the cost of a call with that of the same call written by hand: see BENCHMARKS.md.
//!
//! The contenders take turns of a few milliseconds, so that other load on the machine affects them alike. The results
//! are medians over many rounds.

mod rivals;
mod server;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use handinger::{HandingerClient, Webhook, WebhookExecutionList};
use serde::de::DeserializeOwned;

use rivals::{Bare, Raw};
use server::Server;

const ROUNDS: usize = 101;
/// The approximate length of a contender's turn.
const TURN: Duration = Duration::from_millis(8);
/// The pages of a timed walk.
const WALK: u32 = 20;
/// The walks of each length whose memory is measured: it varies from process to process with the memory layout.
const WALKS: usize = 9;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => server::run(),
        ["walk", address, pages] => walk(address, pages),
        _ => {
            let server = Server::start();
            time_of_calls(&server.address);
            time_of_walks(&server.address);
            memory_of_walks(&server.address);
        }
    }
}

fn time_of_calls(address: &str) {
    println!(
        "| per call | `handinger` | ureq, no timeouts | ratio | ureq, `timeout_global` | ratio | bare socket |"
    );
    println!("|---|---|---|---|---|---|---|");
    let client = client(address);
    let mut rivals = Rivals {
        raw: Raw::new(address, None),
        bounded: Raw::new(address, Some(Duration::from_secs(60))),
        bare: Bare::new(address),
    };
    rivals.race::<Webhook>("retrieve", "/api/workers/wrk_1/webhook", &mut || {
        black_box(client.retrieve_webhook("wrk_1").unwrap());
    });
    for (name, worker) in [("a page, Content-Length", "1"), ("a page, chunked", "1-chunked")] {
        let path = format!("/api/workers/{worker}/webhook/executions?page=1");
        rivals.race::<WebhookExecutionList>(name, &path, &mut || {
            black_box(client.list_executions(worker, 1).unwrap());
        });
    }
}

struct Rivals {
    raw: Raw,
    bounded: Raw,
    bare: Bare,
}

impl Rivals {
    /// Prints a row of the table.
    fn race<T: DeserializeOwned>(&mut self, name: &str, path: &str, ours: &mut dyn FnMut()) {
        let times = compare([
            ours,
            &mut || drop(black_box(self.raw.get::<T>(path))),
            &mut || drop(black_box(self.bounded.get::<T>(path))),
            &mut || drop(black_box(self.bare.get::<T>(path))),
        ]);
        let [ours, raw, bounded, bare] = &times;
        println!(
            "| {name} | {:.1} µs | {:.1} µs | {:.2} | {:.1} µs | {:.2} | {:.1} µs |",
            median(ours),
            median(raw),
            ratio(ours, raw),
            median(bounded),
            ratio(ours, bounded),
            median(bare),
        );
    }
}

fn time_of_walks(address: &str) {
    let client = client(address);
    let worker = WALK.to_string();
    let [executions, pages] = compare([
        &mut || assert_eq!(client.executions(&worker).map(Result::unwrap).count(), 50 * WALK as usize),
        &mut || {
            let pages = client.execution_pages(&worker);
            assert_eq!(pages.flat_map(|page| page.unwrap().logs).count(), 50 * WALK as usize);
        },
    ]);
    let per_page = |walk: &[f64]| median(walk) / f64::from(WALK);
    println!("\n| per page, of {WALK} | `executions` | `execution_pages` | ratio |\n|---|---|---|---|");
    println!(
        "| a walk | {:.1} µs | {:.1} µs | {:.2} |",
        per_page(&executions),
        per_page(&pages),
        ratio(&executions, &pages)
    );
}

fn memory_of_walks(address: &str) {
    let peak = |pages: &str| {
        let one = |_| {
            let walk = Command::new(env::current_exe().unwrap()).args(["walk", address, pages]).output();
            String::from_utf8(walk.unwrap().stdout).unwrap().trim().parse().unwrap()
        };
        median(&(0..WALKS).map(one).collect::<Vec<f64>>())
    };
    let (short, long) = (peak("100"), peak("5000"));
    println!("\n| peak memory | 100 pages | 5,000 pages | ratio |\n|---|---|---|---|");
    println!("| a walk | {short} KiB | {long} KiB | {:.2} |", long / short);
}

fn client(address: &str) -> HandingerClient {
    HandingerClient::builder("hnd_bench").base_url(format!("http://{address}")).build().unwrap()
}

/// Walks a history, and prints the peak memory of this process in KiB.
fn walk(address: &str, pages: &str) {
    let executions = client(address).executions(pages).map(Result::unwrap).count();
    assert_eq!(executions, 50 * pages.parse::<usize>().unwrap());
    // Only Linux reports it in a file.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    println!("{}", peak.map_or("NaN", str::trim));
}

/// Returns the microseconds per call of each contender, round by round.
fn compare<const N: usize>(mut contenders: [&mut dyn FnMut(); N]) -> [Vec<f64>; N] {
    let calls = contenders.each_mut().map(|call| calls_per_turn(call));
    let mut times = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for turn in 0..N {
            let index = (round + turn) % N;
            let started = Instant::now();
            for _ in 0..calls[index] {
                contenders[index]();
            }
            times[index].push(1e6 * started.elapsed().as_secs_f64() / f64::from(calls[index]));
        }
    }
    times
}

/// Warms up, and returns how many calls make a turn.
fn calls_per_turn(call: &mut dyn FnMut()) -> u32 {
    let started = Instant::now();
    let mut calls = 0;
    while started.elapsed() < 4 * TURN {
        call();
        calls += 1;
    }
    (calls / 4).max(1)
}

/// Returns the median of the rounds' ratios.
fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(&ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
