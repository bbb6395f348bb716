//! Connections, requests and threads, counted: what keeps a call cheap, without a clock.

use std::env;
use std::net::Shutdown;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use handinger::HandingerClient;

use crate::support::{Server, WEBHOOK, answer, builder, client};

/// A history of so many pages, with three rows a page.
fn history(pages: u64) -> Server {
    Server::start(move |_, connection| {
        while let Some(request) = connection.request() {
            let (_, after) = request.split_once("?page=").unwrap();
            let page: u64 = after.split_once(' ').unwrap().0.parse().unwrap();
            let rows = (0..3).map(|row| {
                format!(r#"{{"id":"whe_{page}_{row}","createdAt":"2026-11-23T18:11:19Z","durationMs":1,"#)
                    + r#""requestStatus":"success","url":"https://example.com/hook","workerId":"wrk_1"}"#
            });
            let rows = rows.collect::<Vec<_>>().join(",");
            let total = 3 * pages;
            let page =
                format!(r#"{{"logs":[{rows}],"page":{page},"pageCount":{pages},"totalCount":{total}}}"#);
            connection.send(answer(200, page));
        }
    })
}

#[test]
fn a_walk_takes_one_connection_and_one_request_a_page() {
    type Walk = fn(HandingerClient) -> usize;
    let walks: [(&str, Walk); 2] = [
        ("executions", |client| client.executions("wrk_1").map(Result::unwrap).count()),
        ("execution_pages", |client| client.execution_pages("wrk_1").flat_map(Result::unwrap).count()),
    ];
    for (name, walk) in walks {
        let server = history(40);
        assert_eq!(walk(client(server.base_url())), 120, "{name}");
        assert_eq!(server.connections(), 1, "{name}");
        let asked: Vec<String> =
            server.requests().iter().map(|it| it.split(' ').nth(1).unwrap().into()).collect();
        let pages: Vec<String> =
            (1..=40).map(|page| format!("/api/workers/wrk_1/webhook/executions?page={page}")).collect();
        assert_eq!(asked, pages, "{name}");
    }
}

#[test]
fn nothing_is_requested_ahead_of_need() {
    let server = history(40);
    let executions = client(server.base_url()).executions("wrk_1").take(6).map(Result::unwrap).count();
    assert_eq!((executions, server.requests().len()), (6, 2));
}

/// The client spares itself the first of the two looks that ureq takes at a connection between two calls.
#[test]
fn a_connection_that_was_closed_between_two_calls_is_not_used() {
    let (closed, is_closed) = mpsc::channel();
    let server = Server::start(move |_, connection| {
        connection.request();
        connection.send(answer(200, WEBHOOK));
        connection.stream.shutdown(Shutdown::Both).unwrap();
        closed.send(()).unwrap();
    });
    let client = builder(server.base_url()).max_retries(0).build().unwrap();
    for calls in 1..=3 {
        client.retrieve_webhook("wrk_1").unwrap();
        is_closed.recv().unwrap();
        assert_eq!(server.connections(), calls);
    }
}

/// Looking up a host takes ureq a thread, for that is the only way to bound it: no thread, no lookup.
#[test]
fn calls_on_a_kept_connection_look_up_no_host_and_start_no_thread() {
    const ALONE: &str = "HANDINGER_TEST_ALONE";
    if env::var_os(ALONE).is_none() {
        // Other tests start threads, too: this one is done by a process of its own.
        let name = "costs::calls_on_a_kept_connection_look_up_no_host_and_start_no_thread";
        let mut alone = Command::new(env::current_exe().unwrap());
        let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let server = Server::answering([answer(200, WEBHOOK)]);
    let base_url = server.base_url().replace("127.0.0.1", "localhost");
    let foreign = ureq::Agent::new_with_defaults();
    // The second shows that the threads would be noticed.
    for (builder, expected) in [(builder(&base_url), 0), (builder(&base_url).agent(foreign), 10)] {
        let client = builder.build().unwrap();
        client.retrieve_webhook("wrk_1").unwrap();
        let before = threads_so_far();
        for _ in 0..10 {
            client.retrieve_webhook("wrk_1").unwrap();
        }
        // One of them is started to find out.
        assert_eq!(threads_so_far() - before - 1, expected);
    }
    assert_eq!(server.connections(), 2);
}

/// How many threads this process ever started: they are numbered.
fn threads_so_far() -> u64 {
    let id = thread::spawn(|| thread::current().id()).join().unwrap();
    let digits: String = format!("{id:?}").chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
