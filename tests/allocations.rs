//! Allocations, counted. A test binary of its own, since the counting allocator takes more memory to enlarge a block than
//! the system's does, which would falsify what `it::bounds` measures.

use std::time::Duration;

use allocation_counter::measure;
use handinger::WebhookExecutionList;

use support::{Server, WEBHOOK, client, response};

#[path = "it/support.rs"]
#[expect(dead_code, reason = "little of it is needed here")]
mod support;

#[test]
fn a_retrieve_on_a_kept_connection_allocates_at_most_50_times() {
    let server = Server::responding([response(200, WEBHOOK)]);
    let client = client(server.base_url());
    client.retrieve_webhook("wrk_1").unwrap();
    let retrieve = measure(|| drop(client.retrieve_webhook("wrk_1").unwrap()));
    println!("a retrieve: {} allocations, {} bytes", retrieve.count_total, retrieve.bytes_total);
    assert!(retrieve.count_total <= 50, "{retrieve:?}");
    assert_eq!(retrieve.count_current, 0, "nothing is left behind: {retrieve:?}");
}

#[test]
fn a_page_of_50_executions_allocates_at_most_315_times() {
    let execution = |number: usize| {
        let (status, message) =
            if number % 10 == 9 { ("error", r#""returned 503""#) } else { ("success", "null") };
        format!(
            r#"{{"id":"whe_{number}","createdAt":"2026-11-23T18:11:{number:02}.117Z","durationMs":180,"errorMessage":{message},
                "requestStatus":"{status}","responseStatus":200,"taskId":"tsk_1","taskTitle":"Prepare the weekly report",
                "url":"https://example.com/hook","workerId":"wrk_1"}}"#
        )
    };
    let logs = (0..50).map(execution).collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"logs":[{logs}],"page":1,"pageCount":20,"totalCount":1000}}"#);
    let decoding = measure(|| drop(serde_json::from_str::<WebhookExecutionList>(&body).unwrap()));
    let server = Server::responding([response(200, body)]);
    let client = client(server.base_url());
    client.list_executions("wrk_1", 1).unwrap();
    let page = measure(|| drop(client.list_executions("wrk_1", 1).unwrap()));
    println!("a page: {} allocations, {} of them for decoding", page.count_total, decoding.count_total);
    assert!(page.count_total <= 315, "{page:?}");
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

#[test]
fn a_walk_over_pages_allocates_at_most_5_times_a_page_more_than_requesting_them() {
    const PAGES: u64 = 20;
    let execution = |id: u64| {
        format!(
            r#"{{"id":"whe_{id:026}","createdAt":"2026-11-23T18:11:19Z","durationMs":1,"requestStatus":"success",
                "url":"https://example.com/hook","workerId":"wrk_1"}}"#
        )
    };
    let page = |page: u64| {
        let logs: Vec<_> = (page * 50..page * 50 + 50).map(execution).collect();
        let logs = logs.join(",");
        response(200, format!(r#"{{"logs":[{logs}],"page":{page},"pageCount":{PAGES},"totalCount":1000}}"#))
    };
    let server = Server::responding((0..3).flat_map(|_| (1..=PAGES).map(page)));
    let client = client(server.base_url());
    let calls = || (1..=PAGES).for_each(|page| drop(client.list_executions("wrk_1", page).unwrap()));
    calls();
    let calls = measure(calls);
    let walk = measure(|| assert_eq!(client.execution_pages("wrk_1").map(Result::unwrap).count(), 20));
    println!("{PAGES} calls: {} allocations; a walk: {}", calls.count_total, walk.count_total);
    assert!(walk.count_total <= calls.count_total + 5 * PAGES, "{walk:?}, {calls:?}");
}
