//! Receives deliveries, and rejects forged ones: `cargo run --example receive_deliveries -- wrk_1 8080`.
//!
//! Needs `HANDINGER_API_KEY`, or the two variables that the example `fake_server` prints. It listens on
//! loopback: put it behind a reverse proxy that terminates TLS and disconnects slow clients. To deliver by
//! hand, use the token that `rotate_token` prints: `curl -H "X-Handinger-Token: …" -d '{}' localhost:8080`.
//! To start from it, copy this file to `src/main.rs`, and `cargo add handinger && cargo add oxhttp --features
//! server`.

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::Read;
use std::net::Ipv4Addr;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use handinger::{HandingerClient, WebhookToken};
use oxhttp::Server;
use oxhttp::model::{Body, HeaderValue, Method, Request, Response, StatusCode};

/// The maximum size of a body in bytes, because a larger one would fill the memory.
const LARGEST_BODY: u64 = 1024 * 1024;
/// The minimum time between two lookups of the token.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [worker_id, port] = &args[..] else { fail(2, "Usage: receive_deliveries WORKER_ID PORT") };
    let port = port.parse().unwrap_or_else(|error| fail(2, format!("PORT: {error}")));
    let client = HandingerClient::from_env().unwrap_or_else(|error| fail(2, error));
    if let Err(error) = serve(&client, worker_id, port) {
        fail(1, error);
    }
}

fn serve(client: &HandingerClient, worker_id: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let token = client.retrieve_webhook(worker_id)?.token;
    let endpoint = Mutex::new(Endpoint {
        client: client.with_total_timeout(Duration::from_secs(5)),
        worker_id: worker_id.to_owned(),
        token,
        next_lookup: Instant::now(),
    });
    let server = Server::new(move |request| {
        let status = receive(request, &endpoint);
        eprintln!("{status}");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    });
    let server = server.bind((Ipv4Addr::LOCALHOST, port)).with_global_timeout(Duration::from_secs(10));
    Ok(server.with_max_concurrent_connections(64).spawn()?.join()?)
}

struct Endpoint {
    client: HandingerClient,
    worker_id: String,
    /// The token that the last lookup returned.
    token: Option<WebhookToken>,
    next_lookup: Instant,
}

impl Endpoint {
    fn is_genuine(&mut self, presented: &[u8]) -> bool {
        if self.verify(presented) {
            return true;
        }
        // Looks up a rotated token, but not for each forged delivery.
        if Instant::now() < self.next_lookup {
            return false;
        }
        match self.client.retrieve_webhook(&self.worker_id) {
            Ok(webhook) => self.token = webhook.token,
            Err(error) => eprintln!("{error:#}"),
        }
        self.next_lookup = Instant::now() + LOOKUP_INTERVAL;
        self.verify(presented)
    }

    fn verify(&self, presented: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|token| token.verify(presented))
    }
}

fn receive(request: &mut Request<Body>, endpoint: &Mutex<Endpoint>) -> StatusCode {
    // Verifies the token first, because the body may be large.
    let presented = request.headers().get(WebhookToken::HEADER).map_or(&[][..], HeaderValue::as_bytes);
    if !endpoint.lock().unwrap_or_else(PoisonError::into_inner).is_genuine(presented) {
        return StatusCode::UNAUTHORIZED;
    }
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    let mut body = Vec::new();
    match request.body_mut().take(LARGEST_BODY + 1).read_to_end(&mut body) {
        Err(_) => StatusCode::BAD_REQUEST,
        Ok(_) if body.len() as u64 > LARGEST_BODY => StatusCode::PAYLOAD_TOO_LARGE,
        Ok(_) => {
            // Put slow work into a queue, because Handinger waits for the response.
            println!("{}", String::from_utf8_lossy(&body));
            StatusCode::NO_CONTENT
        }
    }
}

fn fail(code: i32, problem: impl Display) -> ! {
    eprintln!("{problem:#}");
    process::exit(code)
}
