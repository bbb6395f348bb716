//! A small HTTP server in a process of its own, so that it shares neither memory nor a file table with the clients.
//!
//! The worker id selects the response: `/api/workers/20/webhook/executions?page=3` is page 3 of 20. For a worker id that
//! ends in `-chunked`, it is the same page without a Content-Length.

use std::collections::HashMap;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

/// Typical headers of such an API.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\
    Date: Mon, 23 Nov 2026 18:11:19 GMT\r\n\
    Content-Type: application/json\r\n\
    Cache-Control: private, no-store\r\n\
    X-Request-Id: 8f14e45f-ceea-467f-a8f6-7c0f4f0a3b1d\r\n";
const WEBHOOK: &str =
    r#"{ "token": "whk_01HZY31W2SZJ8MJ2FQTR3M1K9D", "url": "https://example.com/handinger-webhook" }"#;
const PAGE_SIZE: usize = 50;
const CHUNKS: usize = 5;

/// The running server, which ends with the process that started it.
pub(crate) struct Server {
    child: Child,
    pub(crate) base_url: String,
}

impl Server {
    /// Starts this program once more, as the server.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, base_url: format!("http://{}", address.trim()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the parent process closes its end of the standard input.
pub(crate) fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Responds to GET requests. Makes each response once, so that making it does not distort the measurement.
fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut responses = HashMap::new();
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        let request = str::from_utf8(&buffer[..filled]).unwrap();
        if !request.ends_with("\r\n\r\n") {
            continue;
        }
        let path = request.split(' ').nth(1).unwrap();
        if !responses.contains_key(path) {
            responses.insert(path.to_owned(), response(path));
        }
        if stream.write_all(&responses[path]).is_err() {
            return;
        }
        filled = 0;
    }
}

fn response(path: &str) -> Vec<u8> {
    let (worker, rest) = path.strip_prefix("/api/workers/").and_then(|rest| rest.split_once('/')).unwrap();
    let Some(number) = rest.strip_prefix("webhook/executions?page=") else {
        return with_length(WEBHOOK);
    };
    let number = number.parse().unwrap();
    match worker.strip_suffix("-chunked") {
        None => with_length(&page(number, worker.parse().unwrap())),
        Some(count) => in_chunks(&page(number, count.parse().unwrap())),
    }
}

fn with_length(body: &str) -> Vec<u8> {
    format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn in_chunks(body: &str) -> Vec<u8> {
    let mut response = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.as_bytes().chunks(body.len().div_ceil(CHUNKS)) {
        write!(response, "{:x}\r\n", chunk.len()).unwrap();
        response.extend_from_slice(chunk);
        response.extend_from_slice(b"\r\n");
    }
    response.extend_from_slice(b"0\r\n\r\n");
    response
}

fn page(number: usize, count: usize) -> String {
    let logs: Vec<String> = (0..PAGE_SIZE).map(|index| execution(number, index)).collect();
    let total = count * PAGE_SIZE;
    format!(r#"{{"logs":[{}],"page":{number},"pageCount":{count},"totalCount":{total}}}"#, logs.join(","))
}

/// Returns an execution as JSON. One delivery in ten failed.
fn execution(page: usize, index: usize) -> String {
    let (status, response, message) = if index % 10 == 9 {
        ("error", 503, r#""the endpoint returned 503 Service Unavailable""#)
    } else {
        ("success", 200, "null")
    };
    let duration = 180 + index;
    format!(
        r#"{{"id":"whe_01HZY31W2SZJ8M{page:08}{index:04}","createdAt":"2026-11-23T18:11:{index:02}.117Z","durationMs":{duration},"errorMessage":{message},"requestStatus":"{status}","responseStatus":{response},"taskId":"tsk_01HZY31W2SZJ8MJ2FQTR3M1K9D","taskTitle":"Prepare the weekly sales report","url":"https://example.com/handinger-webhook","workerId":"t_org_123_w_01HZY2ZJQ8G7K42W2D7WF6V4GM"}}"#
    )
}
