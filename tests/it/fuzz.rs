//! Mutations of valid responses, and a server that fails anywhere while changes are counted.
//!
//! Everything follows from a seed, which is printed. `HANDINGER_FUZZ_SEED` sets it, and `HANDINGER_FUZZ` sets the number
//! of responses and calls (thousands by default, in seconds; 300000 takes minutes):
//!
//! ```sh
//! HANDINGER_FUZZ=300000 HANDINGER_FUZZ_SEED=1 cargo test --release --test it fuzz:: -- --nocapture
//! ```

use std::collections::HashMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use handinger::{Error, ErrorKind, HandingerClient, Webhook};

use crate::support::{Connection, Server, builder, response, response_with, wait_until};

/// A number of the environment.
fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

fn seed() -> u64 {
    let seed = variable("HANDINGER_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("HANDINGER_FUZZ_SEED={seed}");
    seed
}

fn count(default: u64) -> u64 {
    variable("HANDINGER_FUZZ").unwrap_or(default)
}

/// Xorshift; each case has its own, so that it does not depend on the order of the threads.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, case: u64) -> Self {
        let mut random = Self((seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1));
        (0..8).for_each(|_| _ = random.next());
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }

    pub(crate) fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

/// Shares the cases among a few threads.
fn for_each_case(cases: u64, check: impl Fn(u64) + Sync) {
    const THREADS: usize = 4;
    thread::scope(|scope| {
        for first in 0..THREADS as u64 {
            let check = &check;
            scope.spawn(move || {
                for case in (first..cases).step_by(THREADS) {
                    let started = Instant::now();
                    check(case);
                    assert!(started.elapsed() < PATIENCE, "case {case} took {:?}", started.elapsed());
                }
            });
        }
    });
}

/// Far more than any call takes, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(20);

/// The worker's id of a request, which ends with the number of the case.
fn worker_id(request: &str) -> &str {
    request.split(['/', ' ']).nth(4).unwrap()
}

fn case_of(worker_id: &str) -> u64 {
    worker_id.strip_prefix("wrk_").unwrap().parse().unwrap()
}

fn webhook(id: &str, padding: usize, token: u64) -> String {
    let padding = "x".repeat(padding);
    format!(r#"{{"url":"https://example.com/{id}","padding":"{padding}","token":"whk_{id}_{token}"}}"#)
}

/// Fails if a webhook is not that of the worker; returns the number of its token.
#[track_caller]
fn checked(id: &str, webhook: &Webhook) -> u64 {
    assert_eq!(webhook.url.as_deref(), Some(&*format!("https://example.com/{id}")), "a wrong response");
    let token = webhook.token.as_ref().unwrap().as_str();
    token.strip_prefix(&format!("whk_{id}_")).expect("a wrong response").parse().unwrap()
}

/// One of the four calls that return a webhook.
fn call(random: &mut Random, client: &HandingerClient, id: &str) -> Result<Webhook, Error> {
    match random.below(4) {
        0 => client.retrieve_webhook(id),
        1 => client.update_webhook(id, "https://example.com/hook"),
        2 => client.delete_webhook(id),
        _ => client.regenerate_token(id),
    }
}

/// What must come of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Success,
    Failure,
    /// Anything but a wrong response.
    Either,
}

/// What a server does after it has sent what it sends. (A server that stalls is in `timeouts`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
    Reset,
}

#[derive(Debug)]
struct Sent {
    pieces: Vec<Vec<u8>>,
    then: Then,
    expected: Expected,
}

/// A response before it is put together.
#[derive(Default)]
struct Parts {
    before: Vec<u8>,
    status_line: &'static str,
    headers: Vec<String>,
    /// With its framing.
    body: Vec<u8>,
    after: Vec<u8>,
    is_until_close: bool,
}

impl Parts {
    fn new(random: &mut Random, json: &str) -> Self {
        let mut headers = vec!["Content-Type: application/json".to_owned()];
        let mut body = json.as_bytes().to_vec();
        #[cfg(feature = "gzip")]
        if random.one_in(3) {
            headers.push("Content-Encoding: gzip".into());
            body = gzip(&body);
        }
        let framing = random.below(5);
        if framing < 2 {
            headers.push(format!("Content-Length: {}", body.len()));
        } else if framing < 4 {
            headers.push("Transfer-Encoding: chunked".into());
            body = chunked(random, &body);
        }
        let status_line = random.pick(&["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 299 ?"]);
        Self { status_line, headers, body, is_until_close: framing == 4, ..Self::default() }
    }

    fn head(&self) -> Vec<u8> {
        format!("{}\r\n{}\r\n\r\n", self.status_line, self.headers.join("\r\n")).into_bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.before[..], &self.head(), &self.body, &self.after].concat()
    }

    fn header(&mut self, name: &str) -> Option<&mut String> {
        self.headers.iter_mut().find(|header| header.starts_with(name))
    }
}

#[cfg(feature = "gzip")]
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunked(random: &mut Random, mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while !bytes.is_empty() {
        let (chunk, rest) = bytes.split_at(1 + random.below(bytes.len()));
        let size = chunk.len();
        let sizes =
            [format!("{size:x}"), format!("{size:X}"), format!("00{size:x}"), format!("{size:x};a=b")];
        body.extend([random.pick(&sizes).as_bytes(), b"\r\n", chunk, b"\r\n"].concat());
        bytes = rest;
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

/// Changes that leave a response valid.
fn vary(random: &mut Random, parts: &mut Parts) {
    for _ in 0..random.below(4) {
        match random.below(5) {
            0 => {
                let interim = ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </x>"];
                parts.before.extend(format!("HTTP/1.1 {}\r\n\r\n", random.pick(&interim)).into_bytes());
            }
            1 => {
                let number = random.below(100);
                parts.headers.extend((0..number / 4).map(|n| format!("X-Noise-{n}: {}", "y".repeat(number))));
            }
            2 => parts.headers.insert(0, format!("X-Long: {}", "z".repeat(random.below(8000)))),
            3 => {
                let odd =
                    ["X-Empty:", "x-tab:\t1\t", "X-Latin: \u{e9}", "X-Punctuation: ,;:\"'", "Date: never"];
                parts.headers.push(random.pick(&odd).into());
            }
            _ => {
                let at = random.below(parts.headers.len());
                let (name, value) = parts.headers[at].split_once(':').unwrap();
                parts.headers[at] = format!("{}: {}", name.to_ascii_lowercase(), value.trim());
            }
        }
    }
    parts.headers.sort_by_key(|header| header.len() % 7);
}

/// A `Content-Length` that is not right.
fn wrong_length(random: &mut Random, length: usize) -> (String, Expected) {
    let more = random.below(1000) + 1;
    let less = random.below(length.min(60)) + 1;
    let choices = [
        (length + more).to_string(),
        (length - less).to_string(),
        format!("-{length}"),
        format!("0x{length:x}"),
        format!("{length}.0"),
        format!("{length} {more}"),
        "18446744073709551616".into(),
        "18446744073709551615".into(),
        format!("{length}\r\nContent-Length: {}", length + more),
        // Clients may accept the following.
        format!("{length}, {length}"),
        format!("{length}, {more}"),
        format!("+{length}"),
        String::new(),
        format!("{length}\r\nTransfer-Encoding: chunked"),
    ];
    let choice = random.below(choices.len());
    (choices[choice].clone(), if choice < 9 { Expected::Failure } else { Expected::Either })
}

/// A line of chunked framing in place of the first one.
fn wrong_chunk(random: &mut Random, body: &[u8]) -> Vec<u8> {
    let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let line = String::from_utf8_lossy(&body[..end]).into_owned();
    let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
    let (more, less) = (size + 1 + random.below(100), size.saturating_sub(1 + random.below(20)));
    let line = random.pick(&[
        format!("{more:x}"),
        format!("{less:x}"),
        format!("-{size:x}"),
        format!("0x{size:x}"),
        format!("{size:x} {size:x}"),
        "fffffffffffffffff".into(),
        format!("{size:x}g"),
        "0".into(),
    ]);
    [line.as_bytes(), &body[end..]].concat()
}

pub(crate) fn mutate_bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.pick(b"\0\r\n\t :;,0149\x7f\xff"),
            2 => bytes.insert(at, random.pick(b"\0\r\n\t :;,0149\x7f\xff")),
            _ => drop(bytes.remove(at)),
        }
        if bytes.is_empty() {
            break;
        }
    }
}

/// What the server sends for a case.
fn sent(random: &mut Random, json: &str) -> Sent {
    let mut parts = Parts::new(random, json);
    vary(random, &mut parts);
    let mut then =
        if parts.is_until_close { Then::Close } else { random.pick(&[Then::Keep, Then::Keep, Then::Close]) };
    let (bytes, mut expected) = corrupted(random, &mut parts);
    if expected != Expected::Success {
        then = random.pick(&[Then::Close, Then::Close, Then::Reset]);
    }
    if !parts.before.is_empty() && bytes.len() > 64 * 1024 && expected == Expected::Success {
        // ureq 3.5.2 counts what it has received after an interim response as headers.
        expected = Expected::Either;
    }
    let mut pieces = vec![bytes];
    // A stray response must be there with the first: one on its way may be taken for the next.
    if parts.after.is_empty() && random.one_in(3) {
        for _ in 0..random.below(8) {
            let last = pieces.pop().unwrap();
            let (piece, rest) = last.split_at(random.below(last.len() + 1));
            pieces.extend([piece.to_vec(), rest.to_vec()]);
        }
    }
    Sent { pieces, then, expected }
}

/// The bytes of a response: a quarter is valid.
fn corrupted(random: &mut Random, parts: &mut Parts) -> (Vec<u8>, Expected) {
    let is_gzip = parts.header("Content-Encoding").is_some();
    let mut expected = Expected::Either;
    match random.below(20) {
        0..5 => expected = Expected::Success,
        5..7 if !parts.is_until_close => {
            // A response to no request, sent at once.
            parts.after = response(200, webhook("wrk_stray", 0, 0));
            expected = Expected::Success;
        }
        7..9 if parts.header("Content-Length: ").is_some() => {
            let (length, outcome) = wrong_length(random, parts.body.len());
            *parts.header("Content-Length: ").unwrap() = format!("Content-Length: {length}");
            expected = outcome;
        }
        7..9 if parts.header("Transfer-Encoding: ").is_some() => {
            parts.body = wrong_chunk(random, &parts.body);
            expected = Expected::Failure;
        }
        9 if is_gzip => {
            let at = random.below(parts.body.len());
            parts.body[at] ^= 1 << random.below(8);
        }
        10 => {
            let codings = ["Content-Encoding: gzip", "Content-Encoding: br", "Transfer-Encoding: gzip"];
            parts.headers.push(random.pick(&codings).into());
        }
        11 => {
            let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
            parts.before = random.pick(&[switching, "HTTP/1.1 199 ?\r\n\r\n", "HTTP/1.1 100"]).into();
        }
        12 => parts.before = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(random.below(300)),
        13 => {
            let wrong = ["no colon", " folded", "X : 1", ": 1", "X: \0", "X\u{e9}: 1", "\tX: 1"];
            let line_ends = ["X: 1\rY: 2", "X: 1\nY: 2"];
            let at = random.below(parts.headers.len() + 1);
            parts.headers.insert(at, random.pick(&[&wrong[..], &line_ends].concat()).into());
        }
        14 => {
            let (number, length) = random.pick(&[(200, 1), (130, 300), (1, 70_000), (100, 1000)]);
            parts.headers.extend((0..number).map(|n| format!("X-{n}: {}", "x".repeat(length))));
        }
        15..18 => {
            let mut head = parts.head();
            mutate_bytes(random, &mut head);
            return ([&parts.before[..], &head, &parts.body].concat(), expected);
        }
        18 => return (garbage(random), expected),
        _ => {
            let mut bytes = parts.bytes();
            bytes.truncate(random.below(bytes.len()));
            return (bytes, expected);
        }
    }
    (parts.bytes(), expected)
}

/// Sends it; `false` if that is the end of the connection.
fn send(connection: &mut Connection, sent: &Sent) -> bool {
    connection.stream.set_nodelay(true).unwrap();
    for piece in &sent.pieces {
        connection.send(piece);
    }
    if sent.then == Then::Reset {
        connection.reset_on_close();
    }
    sent.then == Then::Keep
}

#[test]
fn no_response_makes_the_client_panic_or_hang_or_return_a_wrong_one() {
    let seed = seed();
    let server = Server::start(move |_, connection| {
        while let Some(request) = connection.request() {
            if !send(connection, &response_of(seed, worker_id(&request))) {
                break;
            }
        }
    });
    let client = builder(server.base_url()).timeout(PATIENCE).build().unwrap();
    for_each_case(count(2500), |case| {
        let id = format!("wrk_{case}");
        let mut random = Random::new(!seed, case);
        let sent = response_of(seed, &id);
        // The connection of a success may be one that the server was just closing.
        let client = client.with_max_retries(if sent.expected == Expected::Success { 8 } else { 2 });
        let result = call(&mut random, &client, &id).map(|webhook| checked(&id, &webhook));
        let is_expected = match sent.expected {
            Expected::Success => result.is_ok(),
            Expected::Failure => result.is_err(),
            Expected::Either => true,
        };
        assert!(is_expected, "case {case}: {result:?} after {}", sent.pieces.concat().escape_ascii());
    });
}

/// The response to the request about this worker; the same each time.
fn response_of(seed: u64, id: &str) -> Sent {
    let mut random = Random::new(seed, case_of(id));
    let padding = if random.one_in(100) { random.below(100_000) } else { random.below(200) };
    sent(&mut random, &webhook(id, padding, 0))
}

#[test]
fn response_that_is_truncated_at_any_byte_is_an_error_until_its_json_is_complete() {
    let json = webhook("wrk_0", 0, 0);
    let sized = response(200, &json);
    let body = chunked(&mut Random::new(seed(), 0), json.as_bytes());
    let chunked = [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &body].concat();
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{json}").into_bytes();
    let interim = [b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), sized.clone()].concat();
    // The chunk of size 0 ends the body; the blank line after it may be missing (RFC 9112 §8).
    let blank_line = 2;
    let responses = [(sized, 0), (chunked, blank_line), (until_close, 0), (interim, 0)];
    #[cfg(feature = "gzip")]
    let responses = {
        let body = gzip(json.as_bytes());
        let sized = response_with(200, &[("Content-Encoding", "gzip")], &body);
        let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
        responses.into_iter().chain([(sized, 0), ([&head[..], &body].concat(), 0)])
    };
    for (number, (response, optional)) in responses.into_iter().enumerate() {
        for length in 0..=response.len() {
            let truncated = response[..length].to_vec();
            let server = Server::faulty(usize::MAX, &crate::support::sends(truncated));
            let client = builder(server.base_url()).max_retries(0).build().unwrap();
            match client.retrieve_webhook("wrk_0") {
                Ok(webhook) => {
                    checked("wrk_0", &webhook);
                    assert!(length + optional >= response.len(), "response {number}: {length}");
                }
                Err(error) => {
                    assert_ne!(length, response.len(), "response {number}: {error}");
                    assert!(matches!(error.kind(), ErrorKind::Transport | ErrorKind::Decode), "{error:?}");
                }
            }
        }
    }
}

/// The requests about a worker, as the server counts them.
#[derive(Clone, Debug, Default)]
struct Worker {
    requests: u64,
    applied: u64,
    /// Requests with a status that says that nothing was changed.
    rejected: u64,
    /// Changes with any other response, or none.
    open: u64,
}

/// How a server that counts changes treats a request.
struct Treatment {
    applies: bool,
    /// Whether the status says that nothing was changed.
    rejects: bool,
    sent: Vec<u8>,
    then: Then,
}

/// `ok` is a successful response to the request.
fn treatment(random: &mut Random, ok: Vec<u8>) -> Treatment {
    let closes = random.pick(&[Then::Close, Then::Reset]);
    let keeps = random.pick(&[Then::Keep, Then::Close]);
    let may_apply = random.one_in(2);
    let (applies, rejects, sent, then) = match random.below(40) {
        0..10 => (true, false, ok, keeps),
        10..20 => (false, true, rejection(random), keeps),
        20..24 => (may_apply, false, Vec::new(), closes),
        24..28 => (may_apply, false, failure(random), keeps),
        28..34 => (true, false, truncated(random, ok), closes),
        34..36 => (may_apply, false, garbage(random), closes),
        36..38 => (true, false, unusable(random), Then::Close),
        38 => (may_apply, false, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), closes),
        _ => (true, false, [ok, response(200, webhook("wrk_stray", 0, 0))].concat(), Then::Keep),
    };
    Treatment { applies, rejects, sent, then }
}

fn hints(random: &mut Random) -> Vec<(&'static str, &'static str)> {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let after = random.one_in(3).then(|| ("Retry-After", random.pick(&["1", "0", "100", "soon", date])));
    let should = random.one_in(4).then(|| ("x-should-retry", random.pick(&["true", "false"])));
    after.into_iter().chain(should).collect()
}

fn rejection(random: &mut Random) -> Vec<u8> {
    let status = random.pick(&[301, 307, 308, 400, 401, 403, 404, 408, 409, 422, 429, 429, 451]);
    response_with(status, &hints(random), r#"{"error":{"message":"no"}}"#)
}

fn failure(random: &mut Random) -> Vec<u8> {
    let status = random.pick(&[303, 500, 501, 502, 503, 503, 504, 520, 599, 600, 999]);
    response_with(status, &hints(random), "<html><title>failed</title></html>")
}

fn truncated(random: &mut Random, mut ok: Vec<u8>) -> Vec<u8> {
    ok.truncate(random.below(ok.len()));
    ok
}

pub(crate) fn garbage(random: &mut Random) -> Vec<u8> {
    (0..=random.below(100)).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

fn unusable(random: &mut Random) -> Vec<u8> {
    let bodies = ["", "{}", "null", "done", r#"{"url":5}"#, r#"{"error":"no"}"#];
    response_with(200, &[("Connection", "close")], random.pick(&bodies))
}

#[test]
fn no_change_is_applied_twice_or_applied_without_a_report() {
    let seed = seed();
    let workers: Arc<Mutex<HashMap<String, Worker>>> = Arc::default();
    let open = Arc::new(AtomicUsize::new(0));
    let (serving, opened) = (Arc::clone(&workers), Arc::clone(&open));
    let server = Server::start(move |number, connection| {
        opened.fetch_add(1, Ordering::SeqCst);
        serve_changes(seed, number as u64, connection, &serving);
        opened.fetch_sub(1, Ordering::SeqCst);
    });
    let client = builder(server.base_url()).timeout(PATIENCE).build().unwrap();
    let results = Mutex::new(Vec::new());
    for_each_case(count(1500), |case| {
        let id = format!("wrk_{case}");
        let (name, result) = match case % 6 {
            0 => ("update", client.update_webhook(&id, "https://example.com/hook")),
            1 => ("delete", client.delete_webhook(&id)),
            2 | 3 => ("regenerate", client.regenerate_token(&id)),
            4 => ("rotate", client.rotate_token(&id)),
            _ => ("retrieve", client.retrieve_webhook(&id)),
        };
        results.lock().unwrap().push((id, name, result));
    });
    // The server may still be reading what a client has sent and given up.
    drop(client);
    wait_until(|| open.load(Ordering::SeqCst) == 0);
    let workers = workers.lock().unwrap();
    for (id, name, result) in results.into_inner().unwrap() {
        let worker = workers.get(&id).cloned().unwrap_or_default();
        let context = format!("{id}: {name}: {worker:?}: {result:?}");
        assert!(!matches!(name, "regenerate" | "rotate") || worker.applied <= 1, "{context}");
        assert!(name != "retrieve" || worker.applied == 0, "{context}");
        match result {
            Ok(webhook) => {
                let token = checked(&id, &webhook);
                assert!(token == worker.applied || name == "update" || name == "delete", "{context}");
                assert!(worker.applied > 0 || name == "retrieve", "{context}");
            }
            Err(error) => {
                // A later rejection does not settle an earlier open attempt.
                assert!(worker.open == 0 || error.may_have_been_applied(), "{context}");
                let is_certain = worker.rejected == u64::from(error.attempts()) && name != "rotate";
                assert!(!(is_certain && error.may_have_been_applied()), "{context}");
                assert!(name != "retrieve" || !error.may_have_been_applied(), "{context}");
                assert!(error.attempts() <= 3, "{context}");
            }
        }
    }
}

fn serve_changes(
    seed: u64,
    number: u64,
    connection: &mut Connection,
    workers: &Mutex<HashMap<String, Worker>>,
) {
    let mut random = Random::new(seed ^ 1, number);
    if random.one_in(20) {
        // The server reads nothing of a request, or a part of it.
        let length = random.pick(&[0, 1, 30]);
        let _ = connection.stream.read_exact(&mut vec![0; length]);
        if random.one_in(2) {
            connection.reset_on_close();
        }
        return;
    }
    while let Some(request) = connection.request() {
        let id = worker_id(&request);
        let is_change = !request.starts_with("GET");
        let Treatment { sent, then, .. } = {
            let mut workers = workers.lock().unwrap();
            let worker = workers.entry(id.to_owned()).or_default();
            let mut random = Random::new(seed, case_of(id) * 64 + worker.requests);
            // No change has this response without being applied.
            let ok = response(200, webhook(id, 0, worker.applied + u64::from(is_change)));
            let treatment = treatment(&mut random, ok);
            worker.requests += 1;
            worker.applied += u64::from(treatment.applies && is_change);
            worker.rejected += u64::from(treatment.rejects);
            worker.open += u64::from(!treatment.rejects && is_change);
            treatment
        };
        if !send(connection, &Sent { pieces: vec![sent], then, expected: Expected::Either }) {
            return;
        }
    }
}
