//! Prints what `build.rs` looked up.

include!(concat!(env!("OUT_DIR"), "/handinger.rs"));

fn main() {
    println!("newest delivery: {}", NEWEST_DELIVERY.unwrap_or("not known"));
}
