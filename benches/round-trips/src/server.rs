//! A Handinger over TLS that gives each call the response it expects, without any state.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

const WEBHOOK: &str = r#"{"url":"https://example.com/hook","token":"whk_01HZY31W2SZJ8MJ2FQTR3M1K9D"}"#;
const NO_WEBHOOK: &str = r#"{"url":null,"token":null}"#;
const EXECUTION: &str = r#"{"id":"whe_01HZY31W2SZJ8MJ2FQTR3M1K9D","createdAt":"2026-11-23T18:11:19.117Z",
    "durationMs":180,"errorMessage":null,"requestStatus":"success","responseStatus":200,
    "taskId":"tsk_01HZY31W2SZJ8MJ2FQTR3M1K9D","taskTitle":"Prepare the weekly sales report",
    "url":"https://example.com/hook","workerId":"wrk_1"}"#;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The server's own certificate, in DER.
    pub(crate) certificate: Vec<u8>,
}

pub(crate) fn start() -> Server {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = identity.cert.der().clone();
    let key = identity.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let config = Arc::new(config);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || serve(stream.unwrap(), config));
        }
    });
    Server { address, certificate: certificate.to_vec() }
}

/// Responds until the client closes the connection.
fn serve(stream: TcpStream, config: Arc<ServerConfig>) {
    stream.set_nodelay(true).unwrap();
    let tls = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    while let Some(request) = read_request(&mut stream) {
        let body = response_body(&request);
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.get_mut().write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// Returns the request line, after reading the headers and the body.
fn read_request(stream: &mut impl BufRead) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read_until(b'\n', &mut head).ok()?;
        if count == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let lowercase = head.to_ascii_lowercase();
    let length = lowercase.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    head.lines().next().map(str::to_owned)
}

fn response_body(request: &str) -> String {
    if request.contains("/executions") {
        let logs = vec![EXECUTION; 50].join(",");
        format!(r#"{{"logs":[{logs}],"page":1,"pageCount":1,"totalCount":50}}"#)
    } else if request.starts_with("DELETE") {
        NO_WEBHOOK.to_owned()
    } else {
        WEBHOOK.to_owned()
    }
}
