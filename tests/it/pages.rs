//! `PageIter`.

use handinger::{ErrorKind, WebhookExecutionList};
use serde_json::json;

use crate::support::{Server, client, response};

/// A page with these executions. The count is JSON as it stands, since servers may lie in ways that no number
/// can.
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

/// The pages that were requested.
fn requested(server: &Server) -> Vec<u64> {
    let number = |request: &String| {
        let line = request.lines().next().unwrap();
        let page = line.strip_prefix("GET /api/workers/wrk_1/webhook/executions?page=").unwrap();
        page.strip_suffix(" HTTP/1.1").unwrap().parse().unwrap()
    };
    server.requests().iter().map(number).collect()
}

#[test]
fn each_response_is_yielded_when_it_is_asked_for_up_to_the_page_count() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);
    let huge = "18446744073709551616";
    let cases: [Case<'_>; 12] = [
        ("one page", &[("a b", "1")], 1),
        ("three pages", &[("a b", "3"), ("c d", "3"), ("e", "3")], 3),
        ("no page", &[("", "0")], 1),
        ("the reference's own example", &[("a", "0")], 1),
        ("it grows too late", &[("a", "1"), ("b", "1")], 1),
        ("it grows in time", &[("a", "2"), ("b", "3"), ("c", "3")], 3),
        ("it shrinks", &[("a", "3"), ("b", "2")], 2),
        ("it shrinks to less than was read", &[("a", "4"), ("b", "4"), ("c", "1")], 3),
        ("an empty page", &[("a", "3"), ("", "3"), ("b", "3")], 3),
        ("a page that repeats the one before", &[("a b", "3"), ("a b", "3"), ("c", "3")], 3),
        ("a count below zero", &[("a", "-3")], 1),
        ("a count beyond numbers", &[("a", huge), ("b", huge), ("", "1")], 3),
    ];
    for (name, responses, pages) in cases {
        let server = Server::responding(responses.iter().map(|(ids, count)| page(ids, count)));
        let mut iter = client(server.base_url()).execution_pages("wrk_1");
        for (number, (expected, _)) in (0..pages).zip(responses) {
            assert!(requested(&server).into_iter().eq(1..=number), "{name}: nothing ahead of need");
            assert_eq!(ids(&iter.next().unwrap().unwrap()), *expected, "{name}");
        }
        assert!(iter.next().is_none() && iter.next().is_none(), "{name}");
        iter.resume();
        assert!(iter.next().is_none(), "only an error can be resumed from");
        assert!(requested(&server).into_iter().eq(1..=pages), "{name}");
    }
}

#[test]
fn iterator_ends_after_an_error_and_goes_on_when_resumed() {
    let server = Server::responding([page("a", "3"), response(404, ""), page("b", "3"), page("c", "3")]);
    let mut iter = client(server.base_url()).execution_pages("wrk_1");
    assert_eq!(ids(&iter.next().unwrap().unwrap()), "a");
    let error = iter.next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("list executions of worker wrk_1, page 2: "), "{error}");
    assert!(iter.next().is_none() && iter.next().is_none());
    iter.resume();
    assert!(iter.by_ref().map(|list| ids(&list.unwrap())).eq(["b", "c"]));
    assert_eq!(requested(&server), [1, 2, 2, 3]);
}

#[test]
fn any_page_can_be_the_first_also_of_a_walk_that_has_begun() {
    let huge = "18446744073709551616";
    for (first, count, pages) in
        [(2, "2", &[2][..]), (7, "2", &[7]), (u64::MAX - 1, huge, &[u64::MAX - 1, u64::MAX])]
    {
        let server = Server::responding([page("a", count)]);
        let mut iter = client(server.base_url()).execution_pages("wrk_1").starting_at(first);
        assert_eq!(iter.by_ref().map(Result::unwrap).count(), pages.len());
        assert_eq!(requested(&server), pages);
        assert_eq!(iter.starting_at(first).map(Result::unwrap).count(), pages.len());
    }
    let mut iter = client("http://127.0.0.1:1").execution_pages("wrk_1").starting_at(0);
    assert_eq!(iter.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(iter.next().is_none());
}
