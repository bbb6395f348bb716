//! HTTP/1.1 as far as the fake speaks it: a request in, a response out.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use httparse::{EMPTY_HEADER, Status};
use serde::Serialize;
use serde_json::json;

use super::request::Request;
use crate::http::StatusCode;

/// Bytes of a request's head, and of the trailers after a chunked body.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_BODY: usize = 1024 * 1024;
/// Bytes of the line before a chunk.
const MAX_CHUNK_LINE: usize = 1024;

/// Why there is no request to serve.
pub(super) enum Unserved {
    /// The client closed the connection, or the fake did.
    Lost(io::Error),
    /// What the client sent deserves this response, and the connection cannot be used any further.
    Rejected(Response),
}

impl From<io::Error> for Unserved {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

fn rejected(status: u16, message: &str) -> Unserved {
    Unserved::Rejected(Response::error(status, message))
}

/// Reads one request, and no byte of the one after it. Returns as well whether another may follow.
pub(super) fn read_request(stream: &TcpStream) -> Result<(Request, bool), Unserved> {
    let (mut request, version) = read_head(stream)?;
    if version == 1 && request.header_values("host").count() != 1 {
        return Err(rejected(400, "a request needs one Host header"));
    }
    let body = body_framing(&request, version)?;
    if let Some(expectation) = request.header("expect")
        && version == 1
    {
        if !expectation.eq_ignore_ascii_case("100-continue") {
            return Err(rejected(417, "the only expectation can be 100-continue"));
        }
        if !matches!(body, Body::Length(0)) {
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
    }
    request.body = match body {
        Body::Length(length) => read_exactly(stream, length)?,
        Body::Chunked => read_chunks(stream)?,
    };
    let closes = request
        .header_values("connection")
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"));
    Ok((request, version == 1 && !closes))
}

fn read_head(stream: &TcpStream) -> Result<(Request, u8), Unserved> {
    let too_large = || rejected(431, "the request's head is too large");
    read_parsed(stream, MAX_HEAD, too_large, |bytes| {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
            Err(httparse::Error::Version) => {
                return Err(rejected(505, "only HTTP/1.1 and HTTP/1.0 are spoken"));
            }
            Err(_) => return Err(rejected(400, "malformed request")),
        };
        let (path, query) = split_target(head.path.unwrap_or_default());
        let request = Request {
            method: head.method.unwrap_or_default().to_owned(),
            path,
            query,
            headers: head
                .headers
                .iter()
                .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
                .collect(),
            body: Vec::new(),
        };
        Ok(Some((length, (request, head.version.unwrap_or_default()))))
    })
}

/// A target is a path, or the complete URL that a client sends to a proxy.
fn split_target(target: &str) -> (String, Option<String>) {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
        }
        _ => target,
    };
    match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target.to_owned(), None),
    }
}

enum Body {
    Length(usize),
    Chunked,
}

/// Two headers that disagree on where the body ends are how requests are smuggled: RFC 9112 §6.3.
fn body_framing(request: &Request, version: u8) -> Result<Body, Unserved> {
    let lengths: Vec<_> = request.header_values("content-length").collect();
    let codings: Vec<_> = request.header_values("transfer-encoding").collect();
    match (&*lengths, &*codings) {
        ([], []) => Ok(Body::Length(0)),
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(rejected(400, "malformed Content-Length"));
            }
            let length = length.parse().unwrap_or(usize::MAX);
            if length > MAX_BODY { Err(body_too_large()) } else { Ok(Body::Length(length)) }
        }
        ([], [coding]) if version == 1 => {
            let is_chunked = coding.eq_ignore_ascii_case("chunked");
            if is_chunked {
                Ok(Body::Chunked)
            } else {
                Err(rejected(501, "the only transfer coding can be chunked"))
            }
        }
        _ => Err(rejected(400, "the length of the body is ambiguous")),
    }
}

fn body_too_large() -> Unserved {
    rejected(413, "the request's body is too large")
}

fn read_chunks(stream: &TcpStream) -> Result<Vec<u8>, Unserved> {
    let malformed = || rejected(400, "malformed chunk");
    let mut body = Vec::new();
    loop {
        let size = read_parsed(stream, MAX_CHUNK_LINE, malformed, |bytes| {
            if !bytes[0].is_ascii_hexdigit() {
                return Err(malformed());
            }
            match httparse::parse_chunk_size(bytes) {
                Ok(Status::Complete(parsed)) => Ok(Some(parsed)),
                Ok(Status::Partial) => Ok(None),
                Err(_) => Err(malformed()),
            }
        })?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > MAX_BODY - body.len() {
            return Err(body_too_large());
        }
        body.append(&mut read_exactly(stream, size)?);
        if read_exactly(stream, 2)? != b"\r\n" {
            return Err(malformed());
        }
    }
    let too_large = || rejected(431, "the request's trailers are too large");
    read_parsed(stream, MAX_HEAD, too_large, |bytes| {
        match httparse::parse_headers(bytes, &mut [EMPTY_HEADER; MAX_HEADERS]) {
            Ok(Status::Complete((length, _))) => Ok(Some((length, ()))),
            Ok(Status::Partial) => Ok(None),
            Err(httparse::Error::TooManyHeaders) => Err(too_large()),
            Err(_) => Err(rejected(400, "malformed trailer")),
        }
    })?;
    Ok(body)
}

/// Reads until `parse` returns how many bytes it understood, and as what. The bytes after those stay with the system:
/// the next request begins there, and if none is read, closing the connection resets it.
fn read_parsed<T>(
    mut stream: &TcpStream,
    limit: usize,
    too_large: impl Fn() -> Unserved,
    parse: impl Fn(&[u8]) -> Result<Option<(usize, T)>, Unserved>,
) -> Result<T, Unserved> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = bytes.len();
        let count = match stream.peek(&mut chunk) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        bytes.extend_from_slice(&chunk[..count]);
        let parsed = parse(&bytes)?;
        let length = parsed.as_ref().map_or(bytes.len(), |(length, _)| *length);
        if length > limit || parsed.is_none() && length == limit {
            return Err(too_large());
        }
        stream.read_exact(&mut chunk[..length - read])?;
        if let Some((_, parsed)) = parsed {
            return Ok(parsed);
        }
    }
}

fn read_exactly(mut stream: &TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self { body, ..Self::empty(status) },
            Err(error) => Self::error(500, &error.to_string()),
        }
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self { body: json!({ "error": { "message": message } }).to_string().into(), ..Self::empty(status) }
    }

    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// The response as bytes: head and body. The headers that it has itself come in place of the usual ones.
    pub(super) fn encode(&self, is_for_head: bool, keep_alive: bool) -> (Vec<u8>, &[u8]) {
        let may_have_body = !matches!(self.status, 204 | 304);
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut add = |name: &str, value: &str| {
            let _ = write!(head, "{name}: {value}\r\n"); // a String takes everything
        };
        if may_have_body && !self.body.is_empty() && !self.has_header("content-type") {
            add("Content-Type", "application/json");
        }
        if may_have_body && !self.has_header("content-length") && !self.has_header("transfer-encoding") {
            add("Content-Length", &self.body.len().to_string());
        }
        if !keep_alive && !self.has_header("connection") {
            add("Connection", "close");
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        head.push_str("\r\n");
        (head.into_bytes(), if may_have_body && !is_for_head { &self.body } else { &[] })
    }
}

/// The name of a status; empty for one that has none.
pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}
