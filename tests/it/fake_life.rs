//! How a fake starts, stops, and comes back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use handinger::fake::{FakeHandinger, Fault};

use crate::fake::{HOOK, with_webhook, with_worker};
use crate::support::wait_until;

/// Longer than any test runs.
const AN_HOUR: Duration = Duration::from_secs(3600);
/// Much longer than a stop takes, and much shorter than what is to be interrupted.
const PROMPTLY: Duration = Duration::from_secs(5);

fn connect(fake: &FakeHandinger) -> TcpStream {
    let stream = TcpStream::connect(fake.base_url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn promptly<T>(act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = act();
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
    result
}

/// A request that a fault holds back, and the thread that waits for the response.
fn held_back(fake: &FakeHandinger, fault: Fault) -> thread::JoinHandle<Result<(), handinger::Error>> {
    let before = fake.request_count();
    fake.inject(fault);
    let client = fake.client().with_max_retries(0);
    let thread = thread::spawn(move || client.update_webhook("wrk_1", HOOK).map(drop));
    wait_until(|| fake.request_count() > before);
    thread
}

#[test]
fn three_hundred_start_at_once() {
    let barrier = Arc::new(Barrier::new(300));
    let threads: Vec<_> = (0..300)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                let fake = with_worker();
                let webhook = fake.client().update_webhook("wrk_1", HOOK).unwrap();
                assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap(), webhook);
                barrier.wait();
                (fake.base_url(), fake.api_key().to_owned())
            })
        })
        .collect();
    let all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let distinct = |of: fn(&(String, String)) -> &String| {
        all.iter().map(of).collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!((distinct(|(url, _)| url), distinct(|(_, key)| key)), (300, 300));
}

#[test]
fn a_dropped_fake_leaves_no_port_and_no_connection() {
    let fake = with_worker();
    let client = fake.client().with_max_retries(0);
    client.retrieve_webhook("wrk_1").unwrap();
    let (mut idle, mut halfway) = (connect(&fake), connect(&fake));
    halfway.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let address = idle.peer_addr().unwrap();
    promptly(|| drop(fake));
    for stream in [&mut idle, &mut halfway] {
        // The end, or a reset: on a connection that was not accepted yet.
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
    }
    assert!(TcpListener::bind(address).is_ok(), "the port is still in use");
    assert!(client.retrieve_webhook("wrk_1").is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn a_dropped_fake_leaves_no_thread() {
    // A process of its own, where no other test starts threads.
    if std::env::var_os("COUNT_THREADS").is_none() {
        crate::support::rerun("fake_life::a_dropped_fake_leaves_no_thread", &[("COUNT_THREADS", "1")]);
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    for _ in 0..10 {
        let fake = with_webhook();
        let (_first, _second) = (connect(&fake), connect(&fake));
        fake.delay_next(1, AN_HOUR);
        let mut held = connect(&fake);
        held.write_all(b"GET / HTTP/1.1\r\nHost: fake\r\n\r\n").unwrap();
        wait_until(|| fake.request_count() == 2);
        assert!(threads() > before + 3);
    }
    // A thread that was joined may be listed for a moment longer.
    wait_until(|| threads() == before);
}

#[test]
fn dropping_ends_a_delay() {
    for fault in [
        Fault::delay(AN_HOUR),
        Fault::delay(Duration::MAX).after_applying(),
        Fault::drip(AN_HOUR),
        Fault::status(500).delayed(AN_HOUR),
    ] {
        let fake = with_worker();
        let held = held_back(&fake, fault);
        promptly(|| drop(fake));
        let error = promptly(|| held.join().unwrap()).unwrap_err();
        assert!(error.may_have_been_applied());
    }
}

#[test]
fn dropping_in_a_panic_ends_everything() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let panicking = thread::spawn(move || {
        let fake = with_worker();
        let held = held_back(&fake, Fault::delay(AN_HOUR));
        sender.send((connect(&fake), held)).unwrap();
        std::panic::resume_unwind(Box::new("prints nothing"));
    });
    promptly(|| panicking.join().unwrap_err());
    let (mut stream, held) = receiver.recv().unwrap();
    assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
    assert!(held.join().unwrap().is_err());
    assert!(TcpListener::bind(stream.peer_addr().unwrap()).is_ok());
}

#[test]
fn a_stopped_fake_refuses_connections_and_comes_back_as_it_was() {
    let fake = with_webhook();
    let client = fake.client().with_max_retries(0);
    let webhook = client.retrieve_webhook("wrk_1").unwrap();
    let url = fake.base_url();
    for _ in 0..3 {
        fake.stop();
        fake.stop();
        let error = client.retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!(error.kind(), handinger::ErrorKind::Connect);
        assert!(!error.may_have_been_applied());
        fake.restart();
        assert_eq!(fake.base_url(), url);
        assert_eq!(client.retrieve_webhook("wrk_1").unwrap(), webhook);
    }
    // Of a fake that runs, it closes the connections.
    let mut idle = connect(&fake);
    fake.restart();
    assert!(!matches!(idle.read(&mut [0]), Ok(1..)));
    assert_eq!(client.with_max_retries(1).retrieve_webhook("wrk_1").unwrap(), webhook);
    assert_eq!(fake.request_count(), 6, "the log does not outlive a restart");
}

#[cfg(target_os = "linux")] // elsewhere, systems may select ports in another way
#[test]
fn the_port_of_a_stopped_fake_is_kept_for_it() {
    // So many that some would meet: the system selects among some ten thousand ports.
    let start = || (0..200).map(|_| FakeHandinger::start()).collect::<Vec<_>>();
    let stopped = start();
    stopped.iter().for_each(FakeHandinger::stop);
    let others = start();
    stopped.iter().for_each(FakeHandinger::restart);
    drop(others);
}

#[test]
fn a_service_that_comes_back_between_two_attempts_is_found() {
    let fake = Arc::new(with_webhook());
    fake.stop();
    let waiting = Arc::clone(&fake);
    let client = handinger::HandingerClient::builder(fake.api_key())
        .base_url(fake.base_url())
        .sleep_with(move |_| waiting.restart())
        .build()
        .unwrap();
    assert!(client.retrieve_webhook("wrk_1").is_ok());
}

#[test]
fn what_a_stop_interrupts_is_not_done_later() {
    let fake = with_worker();
    let held = held_back(&fake, Fault::delay(AN_HOUR));
    promptly(|| fake.restart());
    assert!(held.join().unwrap().is_err());
    assert_eq!(fake.client().retrieve_webhook("wrk_1").unwrap().url, None);
}

#[test]
fn a_fake_can_be_dropped_by_one_of_its_own_threads() {
    let fake = Arc::new(with_worker());
    let (client, kept) = (fake.client().with_max_retries(0), Arc::clone(&fake));
    let (sender, receiver) = std::sync::mpsc::channel();
    let last = std::sync::Mutex::new((receiver, Some(kept)));
    let address = connect(&fake).peer_addr().unwrap();
    let drop_the_last = Fault::meanwhile(move |_| {
        let (receiver, kept) = &mut *last.lock().unwrap();
        receiver.recv().unwrap();
        drop(kept.take());
    });
    fake.inject(drop_the_last);
    drop(fake);
    sender.send(()).unwrap();
    assert!(promptly(|| client.retrieve_webhook("wrk_1")).is_err());
    wait_until(|| TcpListener::bind(address).is_ok());
}

#[test]
fn it_listens_on_ipv6_too() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return; // this system has none
    }
    let fake = FakeHandinger::start_on((Ipv6Addr::LOCALHOST, 0));
    fake.add_worker("wrk_1");
    assert!(fake.base_url().starts_with("http://[::1]:"), "{}", fake.base_url());
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    fake.restart();
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
}

#[test]
fn it_listens_on_loopback_only() {
    assert!(std::panic::catch_unwind(|| FakeHandinger::start_on((Ipv4Addr::UNSPECIFIED, 0))).is_err());
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    assert!(std::panic::catch_unwind(|| FakeHandinger::start_on(address)).is_err());
}

#[test]
fn it_prints_nothing() {
    if std::env::var_os("LISTEN_FOR_OUTPUT").is_none() {
        let printed = crate::support::rerun("fake_life::it_prints_nothing", &[("LISTEN_FOR_OUTPUT", "1")]);
        assert_eq!(printed, "");
        return;
    }
    let fake = with_worker();
    for request in ["\r\n\r\nnonsense\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", ""] {
        let mut stream = connect(&fake);
        stream.write_all(request.as_bytes()).unwrap();
    }
    fake.lose_next(1);
    let _ = fake.client().with_max_retries(0).retrieve_webhook("wrk_1");
    let held = held_back(&fake, Fault::delay(AN_HOUR));
    drop(fake);
    let error = held.join().unwrap().unwrap_err();
    assert!(error.may_have_been_applied());
}
