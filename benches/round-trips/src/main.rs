//! Counts the round trips of each call over a link of 50 ms, beside ureq and reqwest. Prints a Markdown table.
//!
//! ```sh
//! cargo run --release --manifest-path benches/round-trips/Cargo.toml    # 20 s after the build
//! ```
//!
//! A figure is the median time of a call, divided by 50 ms. The contenders take turns. Each makes its calls with one
//! kept client, in the order of the table, so that a page follows the regenerate; only the first call has a new client.

mod clients;
mod link;
mod server;

use std::time::Instant;

use clients::{Call, Client, Target};

/// The turns of each contender.
const TURNS: usize = 7;

const CALLS: [(&str, Call); 5] = [
    ("retrieve", Call::Retrieve),
    ("update", Call::Update),
    ("delete", Call::Delete),
    ("regenerate", Call::Regenerate),
    ("page", Call::Page),
];

fn main() {
    let server = server::start();
    let address = link::start(server.address);
    let target = Target { base_url: format!("https://{address}"), certificate: server.certificate };
    let mut contenders = [
        Contender::new("`handinger`", &target, clients::handinger),
        Contender::new("ureq", &target, clients::ureq),
        Contender::new("reqwest", &target, clients::reqwest),
    ];
    for _ in 0..TURNS {
        for contender in &mut contenders {
            contender.take_a_turn(&target);
        }
    }

    println!("| round trips per call | first call | {} |", CALLS.map(|(name, _)| name).join(" | "));
    println!("|---|---|{}", "---|".repeat(CALLS.len()));
    for contender in &mut contenders {
        let medians = contender.medians().join(" | ");
        println!("| {} | {medians} |", contender.name);
    }
}

struct Contender {
    name: &'static str,
    make: fn(&Target) -> Client,
    kept: Client,
    /// The round trips of each turn, by column of the table.
    columns: [Vec<f64>; 1 + CALLS.len()],
}

impl Contender {
    fn new(name: &'static str, target: &Target, make: fn(&Target) -> Client) -> Self {
        let kept = make(target);
        kept(Call::Retrieve);
        Self { name, make, kept, columns: Default::default() }
    }

    fn take_a_turn(&mut self, target: &Target) {
        let new = (self.make)(target);
        self.columns[0].push(round_trips(&new, Call::Retrieve));
        for (column, (_, call)) in self.columns[1..].iter_mut().zip(CALLS) {
            column.push(round_trips(&self.kept, call));
        }
    }

    fn medians(&mut self) -> [String; 1 + CALLS.len()] {
        self.columns.each_mut().map(|figures| {
            figures.sort_by(f64::total_cmp);
            format!("{:.2}", figures[figures.len() / 2])
        })
    }
}

fn round_trips(client: &Client, call: Call) -> f64 {
    let started = Instant::now();
    client(call);
    started.elapsed().as_secs_f64() / (2.0 * link::DELAY.as_secs_f64())
}
