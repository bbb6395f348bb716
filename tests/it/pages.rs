//! `PageIter`.

use std::iter::FusedIterator;

use handinger::fake::FakeHandinger;
use handinger::{ErrorKind, PageIter, WebhookExecutionList};
use serde_json::json;

use crate::support::{Server, client, response};

/// A page with these executions. The count is JSON as it stands, since servers may lie in ways that no number can.
pub(crate) fn page(ids: &str, page_count: &str) -> Vec<u8> {
    let logs: Vec<_> = ids
        .split_whitespace()
        .map(|id| {
            json!({
                "id": id, "createdAt": "2026-11-23T18:11:19Z", "durationMs": 1, "requestStatus": "success",
                "url": "https://example.com/hook", "workerId": "wrk_1",
            })
        })
        .collect();
    let logs = serde_json::to_string(&logs).unwrap();
    response(200, format!(r#"{{"logs":{logs},"page":1,"pageCount":{page_count},"totalCount":9}}"#))
}

fn ids(list: &WebhookExecutionList) -> String {
    list.logs.iter().map(|execution| execution.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// The pages that were asked for.
fn asked(server: &Server) -> Vec<u64> {
    let number = |request: &String| {
        let line = request.lines().next().unwrap();
        let page = line.strip_prefix("GET /api/workers/wrk_1/webhook/executions?page=").unwrap();
        page.strip_suffix(" HTTP/1.1").unwrap().parse().unwrap()
    };
    server.requests().iter().map(number).collect()
}

#[test]
fn it_yields_what_there_is_and_always_comes_to_an_end() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str], &'a [u64]);
    let huge = "18446744073709551616";
    let rows: [Row<'_>; 16] = [
        ("one page", &[("a b", "1")], &["a b"], &[1]),
        ("three pages", &[("a b", "3"), ("c d", "3"), ("e", "3")], &["a b", "c d", "e"], &[1, 2, 3]),
        ("no page", &[("", "0")], &[], &[1]),
        ("the reference's own example", &[("a", "0")], &["a"], &[1]),
        ("it grows", &[("a", "1"), ("b", "1")], &["a"], &[1]),
        ("it grows in time", &[("a", "2"), ("b", "3"), ("c", "3")], &["a", "b", "c"], &[1, 2, 3]),
        ("it shrinks", &[("a", "3"), ("b", "2")], &["a", "b"], &[1, 2]),
        (
            "it shrinks to less than was read",
            &[("a", "4"), ("b", "4"), ("c", "1")],
            &["a", "b", "c"],
            &[1, 2, 3],
        ),
        ("an empty page", &[("a", "9"), ("", "9"), ("b", "9")], &["a"], &[1, 2]),
        (
            "a page that repeats the one before",
            &[("a b", "3"), ("a b", "3"), ("c", "3")],
            &["a b", "c"],
            &[1, 2, 3],
        ),
        ("a last page that repeats the one before", &[("a b", "2")], &["a b"], &[1, 2]),
        ("ids that only look the same in a row", &[("a bc", "9"), ("ab c", "1")], &["a bc", "ab c"], &[1, 2]),
        ("four repeats in a row", &[("a", "5")], &["a"], &[1, 2, 3, 4, 5]),
        ("a count below zero", &[("a", "-3")], &["a"], &[1]),
        ("a count beyond numbers", &[("a", huge), ("b", huge), ("", huge)], &["a", "b"], &[1, 2, 3]),
        ("a count with a fraction", &[("a", "2.0"), ("b", "2.9"), ("c", "3")], &["a", "b"], &[1, 2]),
    ];
    for (name, responses, yielded, pages) in rows {
        let server = Server::responding(responses.iter().map(|(ids, count)| page(ids, count)));
        let mut iter = client(server.base_url()).execution_pages("wrk_1");
        let got: Vec<_> = iter.by_ref().take(50).map(|list| ids(&list.unwrap())).collect();
        assert_eq!(got, yielded, "{name}");
        assert_eq!(asked(&server), pages, "{name}");
        // Fused: nothing is asked for any more.
        assert!(iter.next().is_none() && iter.next().is_none(), "{name}");
        assert_eq!(asked(&server), pages, "{name}");
    }
}

/// Deliveries just push each page onto the next, again and again: what they push out of sight is not lost.
#[test]
fn fifty_deliveries_between_two_requests_hide_no_page() {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let client = fake.client();
    client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
    let deliver = |count| (0..count).for_each(|_| drop(fake.deliver("wrk_1", 200)));
    deliver(120);
    let mut iter = client.execution_pages("wrk_1");
    let mut sizes = Vec::new();
    while let Some(list) = iter.next().transpose().unwrap() {
        sizes.push(list.logs.len());
        if list.page == 1 {
            deliver(50);
        }
    }
    assert_eq!(sizes, [50, 50, 20]);
}

#[test]
fn a_server_that_repeats_a_page_for_ever_is_reported() {
    let server = Server::responding([page("a", "9")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1");
    assert_eq!(ids(&iter.next().unwrap().unwrap()), "a");
    let error = iter.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert_eq!(
        error.to_string(),
        "list executions of worker wrk_1: executions may be missing: the server repeats a page"
    );
    assert_eq!(asked(&server), [1, 2, 3, 4, 5, 6]);
    assert!(iter.next().is_none());

    // Three more repeats are the rest of the nine pages.
    iter.resume();
    assert!(iter.next().is_none());
    assert_eq!(asked(&server), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn nothing_is_asked_for_ahead_of_need() {
    let server = Server::responding([page("a", "3"), page("b", "3"), page("c", "3")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1");
    for (requests, id) in ["a", "b", "c"].iter().enumerate() {
        assert_eq!(server.requests().len(), requests);
        assert_eq!(ids(&iter.next().unwrap().unwrap()), *id);
    }
    assert_eq!(asked(&server), [1, 2, 3]);
    // The count says that there is no more: that is not asked.
    assert!(iter.next().is_none());
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn it_ends_after_an_error_and_goes_on_when_resumed() {
    let server = Server::responding([page("a", "3"), response(404, ""), page("b", "3"), page("c", "3")]);
    let client = client(server.base_url());
    let mut iter = client.execution_pages("wrk_1");
    assert_eq!(ids(&iter.next().unwrap().unwrap()), "a");
    let error = iter.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "list executions of worker wrk_1, page 2: the server returned 404");
    assert!(iter.next().is_none() && iter.next().is_none());
    assert_eq!(asked(&server), [1, 2]);

    iter.resume();
    assert!(iter.by_ref().map(|list| ids(&list.unwrap())).eq(["b", "c"]));
    assert_eq!(asked(&server), [1, 2, 2, 3]);
    iter.resume();
    assert!(iter.next().is_none(), "only an error can be resumed from");
}

#[test]
fn a_failure_that_passes_is_not_noticed() {
    let server = Server::responding([page("a", "2"), response(503, ""), page("b", "2")]);
    let iter = client(server.base_url()).execution_pages("wrk_1");
    assert!(iter.map(|list| ids(&list.unwrap())).eq(["a", "b"]));
    assert_eq!(asked(&server), [1, 2, 2]);
}

#[test]
fn an_error_on_the_first_page_is_yielded_once() {
    let server = Server::responding([response(401, "")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1");
    assert!(iter.next().unwrap().unwrap_err().is_unauthorized());
    assert!(iter.next().is_none());
    assert_eq!(asked(&server), [1]);
}

#[test]
fn it_can_start_at_any_page() {
    for (first, count, pages) in [
        (1, "2", &[1, 2][..]),
        (2, "2", &[2]),
        (7, "2", &[7]),
        (u64::MAX - 1, "18446744073709551616", &[u64::MAX - 1, u64::MAX]),
        (u64::MAX, "18446744073709551616", &[u64::MAX]),
    ] {
        let server = Server::responding([page("a", count), page("b", count), page("c", count)]);
        let mut iter = client(server.base_url()).execution_pages("wrk_1").starting_at(first);
        assert_eq!(iter.by_ref().map(Result::unwrap).count(), pages.len());
        assert_eq!(asked(&server), pages);
        assert!(iter.next().is_none());
    }
}

#[test]
fn it_can_start_anew_at_any_page() {
    let server = Server::responding([page("a", "2"), page("a", "2"), page("b", "2")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1");
    assert_eq!(ids(&iter.next().unwrap().unwrap()), "a");
    for (first, expected) in [(1, &["a", "b"][..]), (2, &["b"])] {
        iter = iter.starting_at(first);
        assert_eq!(iter.by_ref().map(|list| ids(&list.unwrap())).collect::<Vec<_>>(), expected);
    }
    assert_eq!(asked(&server), [1, 1, 2, 2]);
}

#[test]
fn starting_at_page_zero_is_an_error_and_no_request() {
    let server = Server::responding([page("a", "1")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1").starting_at(0);
    assert_eq!(iter.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(iter.next().is_none());
    assert_eq!(server.connections(), 0);
}

#[test]
fn its_size_hint_promises_nothing_until_it_is_over() {
    let server = Server::responding([page("a", "2"), page("b", "2")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1");
    assert_eq!(iter.size_hint(), (0, None));
    iter.next().unwrap().unwrap();
    assert_eq!(iter.size_hint(), (0, None));
    iter.next().unwrap().unwrap();
    assert_eq!(iter.size_hint(), (0, Some(0)));

    let mut failing = client("http://127.0.0.1:1").execution_pages("wrk_1");
    assert_eq!(failing.size_hint(), (0, None));
    failing.next().unwrap().unwrap_err();
    assert_eq!(failing.size_hint(), (0, None), "it may be resumed");
}

#[test]
fn it_owns_what_it_needs() {
    fn fused(_: &impl FusedIterator) {}

    fn made_here(fake: &FakeHandinger) -> PageIter {
        fake.client().execution_pages(&String::from("wrk_1"))
    }

    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    fake.client().update_webhook("wrk_1", "https://example.com/hook").unwrap();
    for _ in 0..120 {
        fake.deliver("wrk_1", 200);
    }
    let iter = made_here(&fake);
    fused(&iter);
    let sizes = std::thread::spawn(move || iter.map(|list| list.unwrap().logs.len()).collect::<Vec<_>>());
    assert_eq!(sizes.join().unwrap(), [50, 50, 20]);
}

#[test]
fn a_history_that_changes_meanwhile_is_followed() {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    let client = fake.client();
    client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
    let deliver = |count| (0..count).map(|_| fake.deliver("wrk_1", 200).execution.id).collect::<Vec<_>>();
    let old = deliver(100);

    let mut iter = client.execution_pages("wrk_1");
    iter.next().unwrap().unwrap();
    deliver(1);
    assert_eq!(iter.next().unwrap().unwrap().page_count, 3);
    assert_eq!(
        ids(&iter.next().unwrap().unwrap()),
        old[0],
        "what moved onto a page that was not there before"
    );
    assert!(iter.next().is_none());

    let mut iter = client.execution_pages("wrk_1");
    iter.next().unwrap().unwrap();
    for id in &old[..51] {
        fake.remove_execution("wrk_1", id);
    }
    assert!(iter.next().is_none(), "the second page is empty now");
}
