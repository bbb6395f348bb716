//! What the tests share: a server that a test scripts byte by byte, and clients that do not sleep.
#![allow(
    unreachable_pub,
    reason = "a test binary has no other crate to keep its helpers from; `pub` is the shortest"
)]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use handinger::{Error, HandingerClient, HandingerClientBuilder};
use socket2::{Domain, SockRef, Socket, Type};

/// The API key of all clients in the tests. It is long enough to search output for.
pub const KEY: &str = "hnd_test_5ecr3tKey";

/// A builder whose client does not sleep between two attempts.
pub fn builder(base_url: impl Into<String>) -> HandingerClientBuilder {
    HandingerClient::builder(KEY).base_url(base_url).sleep_with(|_| {})
}

pub fn client(base_url: impl Into<String>) -> HandingerClient {
    builder(base_url).build().expect("valid settings")
}

/// Records the waits of a client that does not sleep.
#[derive(Clone, Default)]
pub struct Waits(Arc<Mutex<Vec<Duration>>>);

impl Waits {
    pub fn recorder(&self) -> impl Fn(Duration) + Send + Sync + 'static {
        let waits = Arc::clone(&self.0);
        move |wait| waits.lock().unwrap().push(wait)
    }

    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// One of the five calls, without what it returns.
pub type Call = fn(&HandingerClient) -> Result<(), Error>;

/// All five calls; the two that change nothing come first.
pub const CALLS: [(&str, Call); 5] = [
    ("retrieve", |client| client.retrieve_webhook("wrk_1").map(drop)),
    ("list", |client| client.list_executions("wrk_1", 1).map(drop)),
    ("update", |client| client.update_webhook("wrk_1", "https://example.com/hook").map(drop)),
    ("delete", |client| client.delete_webhook("wrk_1").map(drop)),
    ("regenerate", |client| client.regenerate_token("wrk_1").map(drop)),
];

/// A body that decodes as the response of each of the five calls.
pub const ANY_BODY: &str =
    r#"{"url": null, "token": null, "logs": [], "page": 1, "pageCount": 0, "totalCount": 0}"#;

/// What a server does to a connection instead of sending a proper response.
pub type Fault = Arc<dyn Fn(&mut Connection) + Send + Sync>;

/// Reads the request, sends these bytes, and closes the connection.
pub fn sends(bytes: impl Into<Vec<u8>>) -> Fault {
    let bytes = bytes.into();
    Arc::new(move |connection| {
        connection.request();
        connection.send(&bytes);
    })
}

/// Like [`sends`], but the connection ends with a reset.
pub fn sends_and_resets(bytes: impl Into<Vec<u8>>) -> Fault {
    let fault = sends(bytes);
    Arc::new(move |connection| {
        fault(connection);
        connection.reset_on_close();
    })
}

/// Waits until another thread has done something.
pub fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "not done after 10 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A server on loopback that can misbehave in ways that no HTTP library would.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Calls `serve` for each connection with its number, from 0, on a thread of its own.
    pub fn start(serve: impl Fn(usize, &mut Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            stopped: Arc::default(),
        };
        let (requests, connections) = (Arc::clone(&server.requests), Arc::clone(&server.connections));
        let stopped = Arc::clone(&server.stopped);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                // No test may hang on a client that sends nothing more.
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let mut connection = Connection { stream, requests: Arc::clone(&requests) };
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(number, &mut connection));
            }
        });
        server
    }

    /// Sends one response after the other, over any connection, and repeats the last one. Connections stay open.
    pub fn responding(responses: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let responses: Vec<Vec<u8>> = responses.into_iter().map(Into::into).collect();
        let count = AtomicUsize::new(0);
        Self::start(move |_, connection| {
            while connection.request().is_some() {
                let number = count.fetch_add(1, Ordering::SeqCst).min(responses.len() - 1);
                connection.send(&responses[number]);
            }
        })
    }

    /// Applies the fault to the first `times` connections, and sends [`ANY_BODY`] to every request on later ones.
    pub fn faulty(times: usize, fault: &Fault) -> Self {
        let fault = Arc::clone(fault);
        Self::start(move |number, connection| {
            if number < times {
                fault(connection);
            } else {
                connection.respond_to_all(response(200, ANY_BODY));
            }
        })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that arrived completely, head and body, in the order of their arrival.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// The server's end of a connection.
pub struct Connection {
    pub stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// Reads and records the next complete request; `None` if the client closes the connection instead.
    pub fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more(&mut bytes)?;
        };
        let length = String::from_utf8_lossy(&bytes[..head])
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            })
            .unwrap_or(0);
        while bytes.len() < head + length {
            self.read_more(&mut bytes)?;
        }
        let request = String::from_utf8_lossy(&bytes).into_owned();
        self.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Sends these bytes for every request until the client closes the connection.
    pub fn respond_to_all(&mut self, response: impl AsRef<[u8]>) {
        while self.request().is_some() {
            self.send(&response);
        }
    }

    /// When the connection is closed, the client gets a reset.
    pub fn reset_on_close(&self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Keeps the connection open and silent until the client closes it.
    pub fn stay_silent(&mut self) {
        while self.read_more(&mut Vec::new()).is_some() {}
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }

    /// Sends the bytes; a client that has gone is no failure. (Dropping a connection closes it; if a request on it was
    /// not read, the kernel sends a reset.)
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }
}

/// A complete HTTP response with a Content-Length.
pub fn response(status: u16, body: impl AsRef<[u8]>) -> Vec<u8> {
    response_with(status, &[], body)
}

pub fn response_with(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// From the API reference: Retrieve a worker webhook, Response.
pub const WEBHOOK: &str =
    r#"{ "token": "whk_01HZY31W2SZJ8MJ2FQTR3M1K9D", "url": "https://example.com/handinger-webhook" }"#;

/// A loopback address that is taken, but where nobody listens until the socket does.
pub fn unlistened() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Runs one test of this binary in a process of its own and returns what it prints to stderr. These variables are set
/// in its environment, and no others that the crate reads. Without them, such a test does nothing.
pub fn rerun(test: &str, variables: &[(&str, impl AsRef<OsStr>)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        child.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    for setting in ["HANDINGER_API_KEY", "HANDINGER_BASE_URL", "HANDINGER_CUSTOM_HEADERS"] {
        child.env_remove(setting);
    }
    for (name, value) in variables {
        child.env(name, value);
    }
    let output = child.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{test}: {stdout}\n{stderr}");
    stderr.into_owned()
}
