//! How a walk ends that may have missed executions. No sockets: a test is the server.

use super::walk::tests::list;
use super::*;
use crate::error::ErrorKind;

/// Starts at page 2, and removes what was read there: the walk may not look for it on page 1.
fn read_with_a_gap(executions: &mut Executions) -> Vec<String> {
    let mut requests = 0;
    let mut server = |_: &HandingerClient, _: &str, page| {
        requests += 1;
        Ok(match (requests, page) {
            (1, 2) => list([9], 3, 9),
            (2, 3) => list([3], 3, 8),
            (3, 2) => list([6], 3, 8),
            (4, 3) => list([5, 3], 3, 8),
            other => panic!("{other:?}"),
        })
    };
    let mut items = Vec::new();
    while let Some(item) = executions.next_with(&mut server) {
        items.push(match item {
            Ok(execution) => execution.id.trim_start_matches('0').to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        });
    }
    items
}

#[test]
fn a_gap_is_reported_at_whatever_end() {
    let client = HandingerClient::builder("key").base_url("http://127.0.0.1:9").build().unwrap();
    let executions = client.executions("wrk_1").starting_at(2);
    assert_eq!(ErrorKind::Incomplete, incomplete("wrk_1", "").kind());
    for (mut executions, items, end) in [
        (executions, &["9", "6", "5", "3", "Incomplete"][..], End::LastPage),
        (client.executions("wrk_1").starting_at(2).after("0000005"), &["9", "6", "Incomplete"], End::After),
        (
            client.executions("wrk_1").starting_at(2).since(OffsetDateTime::UNIX_EPOCH),
            &["9", "6", "5", "3", "Incomplete"],
            End::LastPage,
        ),
    ] {
        assert_eq!(read_with_a_gap(&mut executions), items);
        assert_eq!(executions.end(), None);
        executions.resume();
        assert_eq!(executions.end(), Some(end), "what was missed stays missed");
        assert!(executions.next().is_none());
    }
}
