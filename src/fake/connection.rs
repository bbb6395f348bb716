//! Serves the requests of one connection, with the faults that strike them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::{Fault, Outcome};
use super::http::{Response, Unserved, read_request};
use super::server::Run;
use super::{Core, FakeHandinger};

/// How long, and how much of what a client still sends is discarded, so that it gets to read the last response: a
/// connection that is closed with unread input is reset.
const LINGER: Duration = Duration::from_secs(1);
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

pub(super) fn serve(core: &Arc<Core>, stream: &TcpStream, run: &Run) {
    let _ = stream.set_nodelay(true); // only slower without
    loop {
        match exchange(core, stream, run) {
            Ok(true) => {}
            Ok(false) => return linger(stream),
            Err(_) => return,
        }
    }
}

/// Reads a request and writes the response. Returns whether another request may follow.
///
/// # Errors
///
/// If the connection is lost, for whatever reason.
fn exchange(core: &Arc<Core>, stream: &TcpStream, run: &Run) -> io::Result<bool> {
    let (request, keep_alive) = match read_request(stream) {
        Ok(request) => request,
        Err(Unserved::Lost(error)) => return Err(error),
        Err(Unserved::Rejected(response)) => {
            send(stream, run, &response, &Fault::none(), false, false)?;
            return Ok(false);
        }
    };
    let fault = core.receive(&request).unwrap_or_else(Fault::none);
    if let Some(change) = &fault.change {
        change(&FakeHandinger::borrowing(core));
    }
    let applied = if fault.after_applying {
        let response = core.respond(&request);
        run.sleep(fault.delay)?;
        Some(response)
    } else {
        run.sleep(fault.delay)?;
        None
    };
    let response = match &fault.outcome {
        Outcome::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
        Outcome::Replace(response) => response.clone(),
        Outcome::Serve => applied.unwrap_or_else(|| core.respond(&request)),
    };
    // Headers of a test may say anything about where the response ends: let the end of the connection say it.
    let has_own_framing =
        ["connection", "content-length", "transfer-encoding"].iter().any(|name| response.has_header(name));
    let keep_alive = keep_alive && !has_own_framing;
    send(stream, run, &response, &fault, request.method == "HEAD", keep_alive)?;
    Ok(keep_alive)
}

fn send(
    mut stream: &TcpStream,
    run: &Run,
    response: &Response,
    fault: &Fault,
    is_for_head: bool,
    keep_alive: bool,
) -> io::Result<()> {
    let (mut bytes, body) = response.encode(is_for_head, keep_alive);
    let sent_of_body = fault.truncate_at.map(|length| length.min(body.len().saturating_sub(1)));
    bytes.extend_from_slice(&body[..sent_of_body.unwrap_or(body.len())]);
    match fault.drip {
        None => stream.write_all(&bytes)?,
        Some(pause) => {
            for byte in bytes.chunks(1) {
                stream.write_all(byte)?;
                run.sleep(pause)?;
            }
        }
    }
    if sent_of_body.is_some() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}

/// Ends a connection as RFC 9112 §9.6 says.
fn linger(mut stream: &TcpStream) {
    let (start, mut discarded, mut buffer) = (Instant::now(), 0, [0; 4096]);
    let _ = stream.shutdown(Shutdown::Write);
    while discarded < MAX_DISCARDED
        && let Some(left) = LINGER.checked_sub(start.elapsed()).filter(|left| !left.is_zero())
        && stream.set_read_timeout(Some(left)).is_ok()
        && let Ok(count @ 1..) = stream.read(&mut buffer)
    {
        discarded += count;
    }
}
