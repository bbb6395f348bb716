//! The fake's subset of HTTP/1.1: reads a request with a `Content-Length`, and writes a response.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;

use crate::http::StatusCode;
use httparse::{EMPTY_HEADER, Status};
use serde::Serialize;
use serde_json::json;

use super::request::Request;

/// The maximum size of a request's head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;

/// An error of kind `InvalidData` is a rejected request; any other error is a lost connection.
pub(super) fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Request> {
    let mut request = read_head(reader)?;
    if !["GET", "PUT", "POST", "DELETE"].contains(&&*request.method) {
        return Err(invalid("the fake supports only GET, PUT, POST and DELETE"));
    }
    for unsupported in ["Transfer-Encoding", "Expect"] {
        if request.header(unsupported).is_some() {
            return Err(invalid(format!("the fake does not support {unsupported}")));
        }
    }
    let length = request.header("Content-Length").unwrap_or("0").parse::<usize>();
    let length = length.map_err(|_| invalid("malformed Content-Length"))?;
    if length > MAX_BODY {
        return Err(invalid("the request's body is over 1 MiB"));
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

fn read_head(reader: &mut BufReader<&TcpStream>) -> io::Result<Request> {
    let mut head = Vec::new();
    loop {
        let read_before = head.len();
        head.extend_from_slice(reader.fill_buf()?);
        if head.len() == read_before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let parsed = parse_head(&head)?;
        let end = parsed.as_ref().map_or(head.len(), |(end, _)| *end);
        reader.consume(end - read_before);
        if end > MAX_HEAD {
            return Err(invalid("the request's head is over 64 KiB"));
        }
        if let Some((_, request)) = parsed {
            return Ok(request);
        }
    }
}

/// Returns the length of the head and the request without its body; `None` if the head is not complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, Request)>> {
    let mut headers = [EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(bytes).map_err(|error| invalid(format!("malformed request: {error}")))?;
    let Status::Complete(length) = parsed else { return Ok(None) };
    if head.version != Some(1) {
        return Err(invalid("the fake supports only HTTP/1.1"));
    }
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers: head.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect(),
        body: Vec::new(),
    };
    Ok(Some((length, request)))
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(super) fn json(body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self::new(200, body),
            Err(error) => Self::error(500, &error.to_string()), // a year that RFC 3339 cannot express
        }
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::new(status, json!({ "error": { "message": message } }).to_string())
    }

    /// Returns the bytes of head and body.
    pub(super) fn encode(&self, closes: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut add = |name: &str, value: &str| {
            let _ = write!(head, "{name}: {value}\r\n"); // a `String` takes everything
        };
        for (name, value) in &self.headers {
            add(name, value);
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Content-Type")) {
            add("Content-Type", "application/json");
        }
        if closes {
            add("Connection", "close");
        }
        if matches!(self.status, 204 | 304) {
            return (head + "\r\n").into_bytes(); // such a response has no body (RFC 9110 §6.4.1)
        }
        add("Content-Length", &self.body.len().to_string());
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown Status")
}
