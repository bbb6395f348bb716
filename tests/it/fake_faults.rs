//! What a test can make go wrong with the fake.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use handinger::ErrorKind;
use handinger::fake::{FakeHandinger, Fault, Operation};

use crate::fake::{HOOK, with_webhook, with_worker};
use crate::support::wait_until;

/// Longer than any test runs.
const AN_HOUR: Duration = Duration::from_secs(3600);
const A_MOMENT: Duration = Duration::from_millis(250);

/// The statuses of so many retrieves, each a single request; 0 is a connection lost, 1 a timeout.
fn statuses(fake: &FakeHandinger, count: usize) -> Vec<u16> {
    let client = fake.client().with_max_retries(0).with_timeout(A_MOMENT);
    let status = |_| match client.retrieve_webhook("wrk_1") {
        Ok(_) => 200,
        Err(error) if error.is_timeout() => 1,
        Err(error) => error.status().unwrap_or_else(|| {
            assert_eq!(error.kind(), ErrorKind::Transport);
            0
        }),
    };
    (0..count).map(status).collect()
}

#[test]
fn faults_strike_in_the_order_in_which_they_were_injected() {
    let fake = with_worker();
    fake.fail_next(1, 503);
    fake.lose_next(1);
    fake.delay_next(1, AN_HOUR);
    fake.inject(Fault::hang_up());
    fake.fail_next(2, 500);
    fake.fail_next(0, 400);
    assert_eq!(statuses(&fake, 7), [503, 0, 1, 0, 500, 500, 200]);
    fake.assert_faults_used();
    assert_eq!(fake.request_count(), 7);
}

#[test]
fn a_fault_waits_for_a_request_that_it_is_for() {
    let fake = with_webhook();
    let client = fake.client().with_max_retries(0);
    fake.inject(Fault::status(500).on(Operation::RegenerateToken));
    fake.inject(Fault::status(403).on(Operation::ListExecutions));
    fake.inject(Fault::status(409));
    assert_eq!(client.list_executions("wrk_1", 1).unwrap_err().status(), Some(403));
    assert_eq!(client.list_executions("wrk_1", 1).unwrap_err().status(), Some(409));
    assert!(client.list_executions("wrk_1", 1).is_ok());
    assert_eq!(fake.unused_faults().len(), 1);
    assert_eq!(client.regenerate_token("wrk_1").unwrap_err().status(), Some(500));
    fake.assert_faults_used();
}

#[test]
fn every_operation_can_be_selected() {
    let fake = with_webhook();
    let client = fake.client().with_max_retries(0);
    for operation in [
        Operation::RetrieveWebhook,
        Operation::UpdateWebhook,
        Operation::DeleteWebhook,
        Operation::RegenerateToken,
        Operation::ListExecutions,
    ] {
        fake.inject(Fault::status(418).on(operation).always());
        let fails = |error: handinger::Error| error.status() == Some(418);
        let failed = [
            (Operation::RetrieveWebhook, client.retrieve_webhook("wrk_1").is_err_and(fails)),
            (Operation::UpdateWebhook, client.update_webhook("wrk_1", HOOK).is_err_and(fails)),
            (Operation::RegenerateToken, client.regenerate_token("wrk_1").is_err_and(fails)),
            (Operation::DeleteWebhook, client.delete_webhook("wrk_1").is_err_and(fails)),
            (Operation::ListExecutions, client.list_executions("wrk_1", 1).is_err_and(fails)),
        ];
        for (other, has_failed) in failed {
            assert_eq!(has_failed, other == operation, "{other:?} under a fault on {operation:?}");
        }
        fake.clear_faults();
        client.update_webhook("wrk_1", HOOK).unwrap();
    }
}

#[test]
fn a_fault_lets_requests_pass_first() {
    let fake = with_worker();
    fake.inject(Fault::status(403).skip(2).times(2));
    assert_eq!(statuses(&fake, 5), [200, 200, 403, 403, 200]);

    // Those that another fault strikes count, and if both are due, the one injected first comes first.
    fake.inject(Fault::status(403).times(2));
    fake.inject(Fault::status(404).skip(1));
    assert_eq!(statuses(&fake, 4), [403, 403, 404, 200]);

    // Only requests that are selected count.
    fake.inject(Fault::status(404).on(Operation::RetrieveWebhook).skip(1));
    fake.client().list_executions("wrk_1", 1).unwrap();
    assert_eq!(statuses(&fake, 3), [200, 404, 200]);
}

#[test]
fn a_rotation_can_lose_the_response_of_its_second_request() {
    let fake = with_webhook();
    let client = fake.client();
    let before = client.retrieve_webhook("wrk_1").unwrap();
    fake.inject(Fault::hang_up().after_applying().skip(1));
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), before);
    let error = client.regenerate_token("wrk_1").unwrap_err();
    assert!(error.may_have_been_applied());
    assert_ne!(client.retrieve_webhook("wrk_1").unwrap().token, before.token);
    assert_eq!(fake.requests_of(Operation::RegenerateToken).len(), 1);
}

#[test]
fn a_predicate_selects_requests_and_may_call_the_fake() {
    let fake = Arc::new(with_worker());
    let calls = Arc::new(AtomicUsize::new(0));
    let predicate = {
        let (fake, calls) = (Arc::downgrade(&fake), Arc::clone(&calls));
        move |request: &handinger::fake::Request| {
            calls.fetch_add(1, Ordering::SeqCst);
            let fake = fake.upgrade().unwrap();
            assert_eq!(fake.requests().last(), Some(request));
            fake.add_worker("wrk_3");
            request.worker_id().as_deref() == Some("wrk_2")
        }
    };
    fake.inject(Fault::status(403).on(Operation::RetrieveWebhook).when(predicate));
    let client = fake.client();
    assert!(client.list_executions("wrk_1", 1).is_ok());
    assert!(client.retrieve_webhook("wrk_1").is_ok());
    assert!(client.retrieve_webhook("wrk_2").unwrap_err().is_forbidden());
    assert!(client.retrieve_webhook("wrk_2").unwrap_err().is_not_found());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(client.retrieve_webhook("wrk_3").is_ok());
}

#[test]
fn unused_faults_are_reported() {
    let fake = with_worker();
    fake.inject(Fault::status(500).on(Operation::UpdateWebhook).skip(1).times(3));
    fake.inject(Fault::hang_up().after_applying().delayed(A_MOMENT).when(|_| false).always());
    fake.inject(Fault::status(429).always());
    fake.inject(Fault::truncate(3).on(Operation::DeleteWebhook).skip(2));
    fake.inject(Fault::drip(A_MOMENT));
    fake.inject(Fault::meanwhile(|_| ()));
    assert_eq!(statuses(&fake, 1), [429]);
    let _ = fake.client().with_max_retries(0).update_webhook("wrk_1", HOOK);
    let shown: Vec<_> = fake.unused_faults().iter().map(|fault| format!("{fault:?}")).collect();
    assert_eq!(
        shown,
        [
            "Fault { status: 500, on: UpdateWebhook, times: 3 }",
            "Fault { hang_up: true, after_applying: true, delay: 250ms, when: …, always: true }",
            "Fault { truncate: 3, on: DeleteWebhook, skip: 2, times: 1 }",
            "Fault { drip: 250ms, times: 1 }",
            "Fault { meanwhile: …, times: 1 }",
        ]
    );
    let panic = std::panic::catch_unwind(|| fake.assert_faults_used()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("unused faults: [Fault { status: 500"), "{message}");
    fake.clear_faults();
    fake.assert_faults_used();
    assert_eq!(statuses(&fake, 1), [200]);
}

#[test]
fn a_fault_that_strikes_zero_times_is_none() {
    let fake = with_worker();
    fake.inject(Fault::status(500).times(0));
    fake.assert_faults_used();
    assert_eq!(statuses(&fake, 1), [200]);
}

#[test]
fn a_status_comes_instead_of_what_was_requested() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0);
    for (status, message) in [
        (503, "Service Unavailable"),
        (403, "Forbidden"),
        (599, "failed as asked"),
        (300, "Multiple Choices"),
    ] {
        fake.fail_next(1, status);
        let error = client.update_webhook("wrk_1", HOOK).unwrap_err();
        assert_eq!((error.status(), error.message()), (Some(status), Some(message)));
    }
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap().url, None);

    fake.inject(Fault::status(500).after_applying());
    assert_eq!(client.update_webhook("wrk_1", HOOK).unwrap_err().status(), Some(500));
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap().url.as_deref(), Some(HOOK));
}

#[test]
fn a_status_has_any_headers_and_any_body() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0);
    fake.inject(
        Fault::status(429).header("Retry-After", "120").header("X-Twice", "1").header("x-twice", "2"),
    );
    let error = client.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert_eq!(
        (error.header("x-twice"), error.header("content-type")),
        (Some("1"), Some("application/json"))
    );

    fake.inject(Fault::status(502).header("content-type", "text/html").body("<title>Down</title>"));
    let error = client.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!(
        (error.header("Content-Type"), error.body()),
        (Some("text/html"), &b"<title>Down</title>"[..])
    );

    for body in [&b""[..], b"{", b"\xff\xfe", b"[]"] {
        fake.inject(Fault::status(200).body(body));
        assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Decode, "{body:?}");
    }
    // A body that ends too early, and one that the end of the connection ends.
    fake.inject(Fault::status(200).header("Content-Length", "100").body("{}"));
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Transport);
    fake.inject(Fault::status(200).header("Transfer-Encoding", "chunked").body("2\r\n{}\r\n0\r\n\r\n"));
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Decode);
    assert!(client.retrieve_webhook("wrk_1").is_ok());
}

#[test]
fn a_fault_that_cannot_be_is_a_panic_at_once() {
    let panics = |fault: fn() -> Fault| assert!(std::panic::catch_unwind(fault).is_err());
    panics(|| Fault::status(199));
    panics(|| Fault::status(1000));
    panics(|| Fault::status(200).header("a b", "c"));
    panics(|| Fault::status(200).header("", "c"));
    panics(|| Fault::status(200).header("a", "b\r\nc: d"));
    panics(|| Fault::hang_up().header("a", "b"));
    panics(|| Fault::hang_up().body("b"));
}

#[test]
fn a_connection_is_lost_before_or_after_the_change() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0);
    for (fault, url) in [(Fault::hang_up(), None), (Fault::hang_up().after_applying(), Some(HOOK))] {
        fake.inject(fault);
        let error = client.update_webhook("wrk_1", HOOK).unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
        assert!(error.may_have_been_applied());
        assert_eq!(client.retrieve_webhook("wrk_1").unwrap().url.as_deref(), url);
    }
}

#[test]
fn a_delay_is_before_or_after_the_change() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0).with_timeout(A_MOMENT);
    for (fault, url) in [(Fault::delay(AN_HOUR), None), (Fault::delay(AN_HOUR).after_applying(), Some(HOOK))]
    {
        fake.inject(fault);
        let error = client.update_webhook("wrk_1", HOOK).unwrap_err();
        assert!(error.is_timeout() && error.may_have_been_applied());
        assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url.as_deref(), url);
    }
}

#[test]
fn what_a_delay_held_back_is_done_even_if_the_client_has_given_up() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0).with_timeout(Duration::from_millis(50));
    fake.delay_next(1, Duration::from_millis(150));
    assert!(client.update_webhook("wrk_1", HOOK).unwrap_err().is_timeout());
    wait_until(|| fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some());
}

#[test]
fn a_response_that_is_late_comes_all_the_same() {
    let fake = with_worker();
    let start = Instant::now();
    fake.delay_next(1, Duration::from_millis(100));
    assert!(fake.client().update_webhook("wrk_1", HOOK).is_ok());
    assert!(start.elapsed() >= Duration::from_millis(100));

    let start = Instant::now();
    fake.inject(Fault::status(404).delayed(Duration::from_millis(100)));
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_request_that_is_held_back_holds_no_other_back() {
    let fake = with_worker();
    fake.inject(Fault::delay(AN_HOUR).on(Operation::UpdateWebhook));
    let client = fake.client();
    let held = thread::spawn(move || client.update_webhook("wrk_1", HOOK));
    wait_until(|| fake.request_count() == 1);
    assert_eq!(statuses(&fake, 3), [200; 3]);
    assert!(!held.is_finished());
    drop(fake);
    assert!(held.join().unwrap().is_err());
}

#[test]
fn a_body_is_truncated_and_a_response_drips() {
    let fake = with_webhook();
    let client = fake.client().with_max_retries(0);
    let mut tokens = vec![client.retrieve_webhook("wrk_1").unwrap().token];
    for length in [0, 10, usize::MAX] {
        fake.inject(Fault::truncate(length));
        let error = client.regenerate_token("wrk_1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport, "{length}");
        assert!(error.may_have_been_applied());
        tokens.push(client.retrieve_webhook("wrk_1").unwrap().token);
        assert_ne!(tokens[tokens.len() - 2], tokens[tokens.len() - 1]);
    }
    // At least a hundred bytes: the client gives up while they are still coming.
    fake.inject(Fault::drip(Duration::from_millis(5)).times(2));
    let start = Instant::now();
    assert!(client.retrieve_webhook("wrk_1").is_ok());
    assert!(start.elapsed() > Duration::from_millis(500));
    let hurried = client.with_timeout(A_MOMENT);
    assert!(hurried.retrieve_webhook("wrk_1").unwrap_err().is_timeout());
}

#[test]
fn a_history_changes_between_two_pages() {
    let fake = with_webhook();
    let oldest = fake.deliver("wrk_1", 200).unwrap().execution;
    for _ in 1..120 {
        fake.deliver("wrk_1", 200);
    }
    let change = Fault::meanwhile(move |fake| {
        fake.deliver("wrk_1", 503);
        fake.deliver("wrk_1", 200);
        fake.remove_execution("wrk_1", &oldest.id)
    });
    fake.inject(change.on(Operation::ListExecutions).skip(1));
    let counts: Vec<_> = fake
        .client()
        .execution_pages("wrk_1")
        .map(|page| page.map(|page| (page.logs.len(), page.total_count)).unwrap())
        .collect();
    assert_eq!(counts, [(50, 120), (50, 121), (21, 121)]);
    fake.assert_faults_used();
}

#[test]
fn anything_can_happen_meanwhile() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0);
    fake.inject(Fault::meanwhile(|fake| fake.revoke_api_key(fake.api_key())).skip(1));
    assert!(client.retrieve_webhook("wrk_1").is_ok());
    assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
    fake.add_api_key(fake.api_key());

    // So often because it could go well by chance: who loses a connection must find the port closed already.
    for _ in 0..20 {
        fake.inject(Fault::meanwhile(FakeHandinger::stop));
        assert_eq!(client.update_webhook("wrk_1", HOOK).unwrap_err().kind(), ErrorKind::Transport);
        assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Connect);
        fake.restart();
        assert_eq!(
            client.retrieve_webhook("wrk_1").unwrap().url,
            None,
            "a request was served by a stopped fake"
        );
    }

    fake.inject(Fault::meanwhile(FakeHandinger::restart));
    assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Transport);
    // The connection is closed before the port listens again.
    wait_until(|| client.retrieve_webhook("wrk_1").is_ok());
}

#[test]
fn a_panic_in_a_closure_closes_the_connection_and_no_more() {
    let fake = with_worker();
    let (sender, receiver) = mpsc::channel();
    fake.inject(Fault::meanwhile(move |_| {
        sender.send(()).unwrap();
        std::panic::resume_unwind(Box::new("prints nothing"));
    }));
    fake.inject(Fault::status(500).when(|_| std::panic::resume_unwind(Box::new("prints nothing"))).skip(1));
    assert_eq!(statuses(&fake, 1), [0]);
    fake.clear_faults();
    fake.inject(Fault::meanwhile(|_| std::panic::resume_unwind(Box::new("prints nothing"))));
    assert_eq!(statuses(&fake, 3), [0, 200, 200]);
    assert!(receiver.try_recv().is_err(), "a predicate panicked, and the fault before it struck");
}
