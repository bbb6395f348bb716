//! How a walk ends that may have missed executions. No sockets: a test is the server.

use time::Duration;

use super::walk::tests::{execution, list};
use super::*;
use crate::error::ErrorKind;

/// Five pages of one execution each, an hour apart, whose total falls before each request: it uses up all
/// patience.
fn executions() -> Executions {
    let mut total = 10_000;
    let source = move |page: u64| {
        total -= 1;
        let mut list = list([], 5, total);
        list.logs.push(WebhookExecution {
            created_at: OffsetDateTime::UNIX_EPOCH - Duration::hours(page.cast_signed()),
            ..execution(u32::try_from(page).unwrap())
        });
        Ok(list)
    };
    let client = HandingerClient::builder("key").base_url("http://127.0.0.1:9").build().unwrap();
    Executions { source: Box::new(source), ..client.executions("wrk 1") }
}

#[test]
fn gap_is_reported_after_all_that_was_found_and_resume_adds_nothing() {
    for (mut executions, yielded) in
        [(executions(), 5), (executions().since(OffsetDateTime::UNIX_EPOCH - Duration::hours(3)), 3)]
    {
        for page in 1..=yielded {
            assert_eq!(executions.next().unwrap().unwrap().id, format!("{page:07}"));
        }
        let error = executions.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete);
        let message = "list executions of worker wrk%201: executions may be missing: \
                       too many were removed during the walk";
        assert_eq!(error.to_string(), message);
        assert!(executions.next().is_none());
        executions.resume();
        assert!(executions.next().is_none());
    }
}
