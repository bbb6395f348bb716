//! Compares the time of a call with that of the same call written by hand over ureq, and measures walks. Prints three
//! Markdown tables.
//!
//! ```sh
//! taskset -c 0 cargo bench --bench calls    # 15 s after the build
//! ```
//!
//! The contenders take turns of a few milliseconds, so that other load on the machine affects them alike. Times are
//! medians over many rounds, ratios are medians of the ratios of a round.

mod server;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use handinger::{HandingerClient, Webhook, WebhookExecutionList};
use serde::de::DeserializeOwned;
use ureq::{Agent, Body};

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
        ["walk", base_url, pages] => walk(base_url, pages),
        _ => {
            let server = Server::start();
            time_of_calls(&server.base_url);
            time_of_walks(&server.base_url);
            memory_of_walks(&server.base_url);
        }
    }
}

fn time_of_calls(base_url: &str) {
    println!("| per call | `handinger` | ureq, no timeouts | ratio | ureq, `timeout_global` | ratio |");
    println!("|---|---|---|---|---|---|");
    let client = client(base_url);
    race::<Webhook>("retrieve", &format!("{base_url}/api/workers/wrk_1/webhook"), &mut || {
        black_box(client.retrieve_webhook("wrk_1").unwrap());
    });
    for (name, worker) in [("a page, Content-Length", "1"), ("a page, chunked", "1-chunked")] {
        let url = format!("{base_url}/api/workers/{worker}/webhook/executions?page=1");
        race::<WebhookExecutionList>(name, &url, &mut || {
            black_box(client.list_executions(worker, 1).unwrap());
        });
    }
}

/// Prints the table's line for a call that requests the URL.
fn race<T: DeserializeOwned>(name: &str, url: &str, ours: &mut dyn FnMut()) {
    let unbounded = agent(None);
    let bounded = agent(Some(Duration::from_secs(60)));
    let by_hand = |agent: &Agent| drop(black_box(get::<T>(agent, url)));
    let [ours, unbounded, bounded] = compare([ours, &mut || by_hand(&unbounded), &mut || by_hand(&bounded)]);
    println!(
        "| {name} | {:.1} µs | {:.1} µs | {:.2} | {:.1} µs | {:.2} |",
        median(&ours),
        median(&unbounded),
        ratio(&ours, &unbounded),
        median(&bounded),
        ratio(&ours, &bounded),
    );
}

fn agent(timeout: Option<Duration>) -> Agent {
    Agent::config_builder().timeout_global(timeout).build().new_agent()
}

/// Makes a call as ureq's documentation shows it: a URL, two headers, `read_json`.
fn get<T: DeserializeOwned>(agent: &Agent, url: &str) -> T {
    let request =
        agent.get(url).header("Authorization", "Bearer hnd_bench").header("Accept", "application/json");
    read_json(request.call().unwrap().body_mut())
}

/// Does what ureq's `Body::read_json` does, which needs a cargo feature of ureq that this crate does not enable.
fn read_json<T: DeserializeOwned>(body: &mut Body) -> T {
    const MAX_BODY_SIZE: u64 = 10 * 1024 * 1024;
    if body.content_length().is_some_and(|length| length <= MAX_BODY_SIZE / 3) {
        let bytes = body.with_config().limit(MAX_BODY_SIZE).read_to_vec().unwrap();
        return serde_json::from_slice(&bytes).unwrap();
    }
    serde_json::from_reader(body.with_config().limit(MAX_BODY_SIZE).reader()).unwrap()
}

fn time_of_walks(base_url: &str) {
    let client = client(base_url);
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

fn memory_of_walks(base_url: &str) {
    let peak = |pages: &str| {
        let one = |_| {
            let walk = Command::new(env::current_exe().unwrap()).args(["walk", base_url, pages]).output();
            String::from_utf8(walk.unwrap().stdout).unwrap().trim().parse().unwrap()
        };
        median(&(0..WALKS).map(one).collect::<Vec<f64>>())
    };
    let (short, long) = (peak("100"), peak("5000"));
    println!("\n| peak memory | 100 pages | 5,000 pages | ratio |\n|---|---|---|---|");
    println!("| a walk | {short} KiB | {long} KiB | {:.2} |", long / short);
}

fn client(base_url: &str) -> HandingerClient {
    HandingerClient::builder("hnd_bench").base_url(base_url).build().unwrap()
}

/// Walks a history, and prints the peak memory of this process in KiB.
fn walk(base_url: &str, pages: &str) {
    let executions = client(base_url).executions(pages).map(Result::unwrap).count();
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
