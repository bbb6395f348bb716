//! What keeps a call cheap, without a clock: a count of threads.

use std::env;
use std::thread;

use crate::support::{Server, WEBHOOK, client, rerun, response};

/// ureq looks a host up in a thread of its own, because `getaddrinfo` has no timeout: no thread, no lookup.
#[test]
fn kept_connection_needs_no_lookup_and_no_thread() {
    const ALONE: &str = "HANDINGER_TEST_ALONE";
    if env::var_os(ALONE).is_none() {
        // In this process, other tests start threads.
        rerun("costs::kept_connection_needs_no_lookup_and_no_thread", &[(ALONE, "1")]);
        return;
    }
    let server = Server::responding([response(200, WEBHOOK)]);
    let client = client(server.base_url().replace("127.0.0.1", "localhost"));
    let started_by = |call: &dyn Fn()| {
        let before = threads_so_far();
        call();
        threads_so_far() - before - 1 // the count itself
    };
    let retrieve = || drop(client.retrieve_webhook("wrk_1").unwrap());
    let regenerate = || drop(client.regenerate_token("wrk_1").unwrap());
    assert_eq!(started_by(&retrieve), 2, "the lookup, and the server's end of the connection");
    assert_eq!(started_by(&|| (0..10).for_each(|_| retrieve())), 0);
    assert_eq!(started_by(&regenerate), 1, "the server's end of the connection");
    assert_eq!(server.connections(), 2);
}

/// How many threads this process has started: their ids are consecutive numbers.
fn threads_so_far() -> u64 {
    let id = thread::spawn(|| thread::current().id()).join().unwrap();
    let digits: String = format!("{id:?}").chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
