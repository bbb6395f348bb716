//! The same calls written by hand, over ureq and over a socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::{Agent, Body};

const KEY: &str = "Bearer hnd_bench";

/// ureq as its documentation shows it: an agent, a URL, two headers, `read_json`.
pub(crate) struct Raw {
    agent: Agent,
    base_url: String,
}

impl Raw {
    pub(crate) fn new(address: &str, timeout: Option<Duration>) -> Self {
        let agent = Agent::config_builder().timeout_global(timeout).build().new_agent();
        Self { agent, base_url: format!("http://{address}") }
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let url = format!("{}{path}", self.base_url);
        let request = self.agent.get(url).header("Authorization", KEY).header("Accept", "application/json");
        read_json(request.call().unwrap().body_mut())
    }
}

/// A copy of ureq 3.5's `Body::read_json`, which needs a cargo feature of ureq that this crate does not enable.
fn read_json<T: DeserializeOwned>(body: &mut Body) -> T {
    const MAX_BODY_SIZE: u64 = 10 * 1024 * 1024;
    if body.content_length().is_some_and(|length| length <= MAX_BODY_SIZE / 3) {
        let bytes = body.with_config().limit(MAX_BODY_SIZE).read_to_vec().unwrap();
        return serde_json::from_slice(&bytes).unwrap();
    }
    serde_json::from_reader(body.with_config().limit(MAX_BODY_SIZE).reader()).unwrap()
}

/// The least that a call can cost: one write, as few reads as possible, and the decoder. It ignores the status and
/// panics on anything unexpected.
pub(crate) struct Bare {
    stream: TcpStream,
    address: String,
    buffer: Vec<u8>,
}

impl Bare {
    pub(crate) fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, address: address.to_owned(), buffer: vec![0; 128 * 1024] }
    }

    pub(crate) fn get<T: DeserializeOwned>(&mut self, path: &str) -> T {
        let address = &self.address;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {KEY}\r\n\
             Accept: application/json\r\nAccept-Encoding: gzip\r\nUser-Agent: bare\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut filled = 0;
        loop {
            filled += self.stream.read(&mut self.buffer[filled..]).unwrap();
            if let Some(body) = complete_body(&self.buffer[..filled]) {
                return serde_json::from_str(str::from_utf8(&body).unwrap()).unwrap();
            }
        }
    }
}

fn complete_body(response: &[u8]) -> Option<Vec<u8>> {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let (head, body) = response.split_at(end);
    match str::from_utf8(head).unwrap().split_once("Content-Length: ") {
        Some((_, length)) => {
            let length: usize = length.split_once('\r')?.0.parse().unwrap();
            (body.len() == length).then(|| body.to_vec())
        }
        None => body.ends_with(b"\r\n0\r\n\r\n").then(|| dechunked(body)),
    }
}

fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut complete = Vec::with_capacity(body.len());
    loop {
        let line = body.iter().position(|&byte| byte == b'\r').unwrap();
        let length = usize::from_str_radix(str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return complete;
        }
        body = &body[line + 2..];
        complete.extend_from_slice(&body[..length]);
        body = &body[length + 2..];
    }
}
