//! A small HTTP server in a process of its own, so that it shares neither memory nor a file table with the clients.
//!
//! The worker id selects the response: `/api/workers/20/webhook/executions?page=3` is page 3 of 20. For a worker id that
//! ends in `-chunked`, it is the same page without a Content-Length.

use std::env;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

const PAGE_SIZE: usize = 50;
const CHUNKS: usize = 5;

/// The running server, which ends with the process that started it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts this program once more, as the server.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
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

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let webhook = with_length(
        r#"{ "token": "whk_01HZY31W2SZJ8MJ2FQTR3M1K9D", "url": "https://example.com/handinger-webhook" }"#,
    );
    let pieces = page_in_pieces();
    let mut page = Template::new(with_length(&pieces.concat()));
    let mut chunked = Template::new(in_chunks(&pieces));
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        let request = str::from_utf8(&buffer[..filled]).unwrap();
        if !request.ends_with("\r\n\r\n") {
            continue;
        }
        let (_, after) = request.split_once("/api/workers/").unwrap();
        let (worker, after) = after.split_once('/').unwrap();
        let response = match after.strip_prefix("webhook/executions?page=") {
            None => &webhook,
            Some(number) => {
                let (number, _) = number.split_once(' ').unwrap();
                let count = worker.trim_end_matches("-chunked");
                let template = if worker == count { &mut page } else { &mut chunked };
                template.fill(number.parse().unwrap(), count.parse().unwrap())
            }
        };
        if stream.write_all(response).is_err() {
            return;
        }
        filled = 0;
    }
}

fn with_length(body: &str) -> Vec<u8> {
    format!("{}Content-Length: {}\r\n\r\n{body}", head(), body.len()).into_bytes()
}

fn in_chunks(pieces: &[String]) -> Vec<u8> {
    let mut response = format!("{}Transfer-Encoding: chunked\r\n\r\n", head());
    for piece in pieces {
        write!(response, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
    }
    response.push_str("0\r\n\r\n");
    response.into_bytes()
}

/// Typical headers of such an API.
fn head() -> &'static str {
    "HTTP/1.1 200 OK\r\n\
     Date: Mon, 23 Nov 2026 18:11:19 GMT\r\n\
     Content-Type: application/json\r\n\
     Cache-Control: private, no-store\r\n\
     X-Request-Id: 8f14e45f-ceea-467f-a8f6-7c0f4f0a3b1d\r\n"
}

/// Placeholders of the numbers that differ from page to page.
const PAGE_IN_ID: &str = "@page-id";
const PAGE: &str = "@page---";
const PAGE_COUNT: &str = "@pages--";
const TOTAL_COUNT: &str = "@total--";

fn page_in_pieces() -> Vec<String> {
    let logs: Vec<String> = (0..PAGE_SIZE).map(execution).collect();
    let mut pieces: Vec<String> = logs.chunks(PAGE_SIZE / CHUNKS).map(|logs| logs.join(",") + ",").collect();
    pieces[0].insert_str(0, r#"{"logs":["#);
    let last = pieces.last_mut().unwrap();
    last.pop();
    write!(last, r#"],"page":{PAGE},"pageCount":{PAGE_COUNT},"totalCount":{TOTAL_COUNT}}}"#).unwrap();
    pieces
}

/// Of ten deliveries, the last failed.
fn execution(number: usize) -> String {
    let (status, response, message) = if number % 10 == 9 {
        ("error", 503, r#""the endpoint returned 503 Service Unavailable""#)
    } else {
        ("success", 200, "null")
    };
    format!(
        r#"{{"id":"whe_01HZY31W2SZJ8M{PAGE_IN_ID}{number:04}","createdAt":"2026-11-23T18:11:{number:02}.117Z","#
    ) + &format!(
        r#""durationMs":{},"errorMessage":{message},"requestStatus":"{status}","responseStatus":{response},"#,
        180 + number
    ) + r#""taskId":"tsk_01HZY31W2SZJ8MJ2FQTR3M1K9D","taskTitle":"Prepare the weekly sales report","#
        + r#""url":"https://example.com/handinger-webhook","workerId":"t_org_123_w_01HZY2ZJQ8G7K42W2D7WF6V4GM"}"#
}

/// A response whose numbers are overwritten in place, so that the server's own work does not distort the measurement.
struct Template {
    bytes: Vec<u8>,
    places: Vec<(usize, &'static str)>,
}

impl Template {
    fn new(bytes: Vec<u8>) -> Self {
        let marks = [PAGE_IN_ID, PAGE, PAGE_COUNT, TOTAL_COUNT];
        let places = bytes.windows(8).enumerate().filter_map(|(place, window)| {
            let mark = marks.into_iter().find(|mark| mark.as_bytes() == window)?;
            Some((place, mark))
        });
        Self { places: places.collect(), bytes }
    }

    fn fill(&mut self, page: usize, count: usize) -> &[u8] {
        let (id, page) = (format!("{page:08}"), format!("{page:>8}"));
        let (pages, total) = (format!("{count:>8}"), format!("{:>8}", count * PAGE_SIZE));
        for &(place, mark) in &self.places {
            let text = match mark {
                PAGE_IN_ID => &id,
                PAGE => &page,
                PAGE_COUNT => &pages,
                _ => &total,
            };
            self.bytes[place..place + 8].copy_from_slice(text.as_bytes());
        }
        &self.bytes
    }
}
