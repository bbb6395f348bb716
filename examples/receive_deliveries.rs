//! Receives deliveries, and rejects forged ones: `cargo run --example receive_deliveries`.
//!
//! To start from it, copy `receive_deliveries.rs` and `common/` to `src/bin/` of a crate with
//!
//! ```sh
//! cargo add handinger --features fake
//! cargo add lexopt
//! cargo add oxhttp --features server
//! ```

mod common;

use std::env::{self, VarError};
use std::error::Error;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use common::{DEMO_URL, DEMO_WORKER, say};
use handinger::{WebhookToken, ureq};
use lexopt::prelude::*;
use oxhttp::model::{Body, HeaderValue, Method, Request, Response, StatusCode};
use oxhttp::{ListeningServer, Server};

const HELP: &str = "\
Usage: receive_deliveries [--port PORT]

Listens on 127.0.0.1 until it is killed. Returns 204 to a delivery whose
X-Handinger-Token is valid, and 401 to any other. To receive from the Internet,
put it behind a reverse proxy that ends TLS and disconnects slow clients.

  --port PORT  where to listen (default: 8080; 0: any free port)

HANDINGER_WEBHOOK_TOKEN           the webhook's token
HANDINGER_WEBHOOK_TOKEN_PREVIOUS  accepted as well: set it to the old token
                                  for a while after a rotation, for
                                  deliveries that were on their way

Without HANDINGER_WEBHOOK_TOKEN, sends itself some deliveries, prints what it
returns to each, and ends.

Exit codes: 0 done, 1 it could not listen, 2 bad usage.
";

const TOKEN: &str = "HANDINGER_WEBHOOK_TOKEN";
/// In bytes. Larger bodies are rejected, so that nobody can fill the memory.
const LARGEST_BODY: u64 = 1024 * 1024;

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let port = parse_args()?;
    let token = token_from_env(TOKEN)?;
    let previous = token_from_env("HANDINGER_WEBHOOK_TOKEN_PREVIOUS")?;
    match (token, port) {
        (Some(token), port) => {
            let log = |status| eprintln!("{status}");
            let (port, server) = start(port.unwrap_or(8080), [Some(token), previous], log)?;
            eprintln!("listening on http://127.0.0.1:{port}");
            Ok(server.join()?)
        }
        (None, Some(_)) => Err(lexopt::Error::from(format!("{TOKEN} is not set")).into()),
        (None, None) => demonstrate(),
    }
}

fn start(
    port: u16,
    tokens: [Option<WebhookToken>; 2],
    log: impl Fn(StatusCode) + Send + Sync + 'static,
) -> io::Result<(u16, ListeningServer)> {
    let port = match port {
        0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
        port => port,
    };
    let server = Server::new(move |request| {
        let status = receive(&tokens, request);
        log(status);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    });
    let server = server.bind((Ipv4Addr::LOCALHOST, port)).with_global_timeout(Duration::from_secs(10));
    Ok((port, server.with_max_concurrent_connections(64).spawn()?))
}

fn receive(tokens: &[Option<WebhookToken>], request: &mut Request<Body>) -> StatusCode {
    // First of all, and before the body is read. The response does not say what was wrong.
    let presented = request.headers().get("X-Handinger-Token").map_or(&[][..], HeaderValue::as_bytes);
    if !is_genuine(tokens, presented) {
        return StatusCode::UNAUTHORIZED;
    }
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    let mut body = Vec::new();
    match request.body_mut().take(LARGEST_BODY + 1).read_to_end(&mut body) {
        Err(_) => StatusCode::BAD_REQUEST,
        Ok(_) if body.len() as u64 > LARGEST_BODY => StatusCode::PAYLOAD_TOO_LARGE,
        // Here the delivery would go into a queue: Handinger waits for the response, so the work itself comes later.
        Ok(_) => StatusCode::NO_CONTENT,
    }
}

/// `verify` takes the same time however much of the token is right. Every token is compared, so that the time does not
/// reveal which one it was.
fn is_genuine(tokens: &[Option<WebhookToken>], presented: &[u8]) -> bool {
    tokens.iter().flatten().fold(false, |genuine, token| genuine | token.verify(presented))
}

fn demonstrate() -> Result<(), Box<dyn Error>> {
    let fake = common::start_fake(TOKEN, DEMO_WORKER);
    let client = fake.client();
    client.update_webhook(DEMO_WORKER, DEMO_URL)?;
    let deliver = || fake.deliver(DEMO_WORKER, 204);
    let oldest = deliver().token;
    client.regenerate_token(DEMO_WORKER)?;
    let before = deliver().token;
    client.regenerate_token(DEMO_WORKER)?;
    let now = deliver().token;
    let (port, _server) = start(0, [Some(now.clone()), Some(before.clone())], |_| ())?;

    let send = |what: &str, token: Option<&str>, body: &[u8]| -> Result<(), Box<dyn Error>> {
        let request = ureq::post(format!("http://127.0.0.1:{port}"))
            .config()
            .proxy(None)
            .http_status_as_error(false)
            .build();
        let request =
            token.into_iter().fold(request, |request, token| request.header("X-Handinger-Token", token));
        Ok(say(format!("  {what:<34}{}", request.send(body)?.status()))?)
    };
    let body = br#"{"demonstration": true}"#;
    say("\nWhat the endpoint returns, some minutes after a token rotation:")?;
    send("the token in force", Some(now.as_str()), body)?;
    send("the one before, on its way still", Some(before.as_str()), body)?;
    send("one that was replaced long ago", Some(oldest.as_str()), body)?;
    send("a guess", Some("whk_guess"), body)?;
    send("no token", None, body)?;
    send("the token in force, and 2 MB", Some(now.as_str()), &vec![b' '; 2_000_000])
}

/// A blank token is an error: no delivery would verify.
fn token_from_env(name: &str) -> Result<Option<WebhookToken>, lexopt::Error> {
    match env::var(name) {
        Ok(token) if !token.trim().is_empty() => Ok(Some(WebhookToken::new(token.trim()))),
        Err(VarError::NotPresent) => Ok(None),
        _ => Err(format!("{name} is blank, or not text").into()),
    }
}

fn parse_args() -> Result<Option<u16>, lexopt::Error> {
    let mut port = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Long("port") => port = Some(parser.value()?.parse()?),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(port)
}
