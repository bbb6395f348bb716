//! Allocations, counted. A test binary of its own, since the counting allocator takes more memory to enlarge a block than
//! the system's does, which would falsify what `it::bounds` measures.

use std::time::Duration;

use allocation_counter::measure;

use support::{Server, WEBHOOK, answer, client};

#[path = "it/support.rs"]
#[expect(dead_code, reason = "little of it is needed here")]
mod support;

#[test]
fn a_retrieve_on_a_kept_connection_allocates_at_most_50_times() {
    let server = Server::answering([answer(200, WEBHOOK)]);
    let client = client(server.base_url());
    client.retrieve_webhook("wrk_1").unwrap();
    let retrieve = measure(|| drop(client.retrieve_webhook("wrk_1").unwrap()));
    println!("a retrieve: {} allocations, {} bytes", retrieve.count_total, retrieve.bytes_total);
    assert!(retrieve.count_total <= 50, "{retrieve:?}");
    assert_eq!(retrieve.count_current, 0, "nothing is left behind: {retrieve:?}");
}

#[test]
fn a_clone_with_options_of_its_own_allocates_nothing() {
    let client = client("http://127.0.0.1:1");
    let cloned = measure(|| {
        let clone = client.clone().with_max_retries(0).with_timeout(Duration::from_secs(1));
        drop(clone);
    });
    assert_eq!(cloned.count_total, 0);
}
