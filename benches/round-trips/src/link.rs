//! A link between client and server that delays what it carries, in user space.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The delay each way: half a round trip.
pub(crate) const DELAY: Duration = Duration::from_millis(25);

/// Returns the client's end of a link to the server.
pub(crate) fn start(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            // The client's system opens the connection at once, so the round trip of TCP's handshake is added here:
            // the first bytes start after it.
            let open = Instant::now() + 2 * DELAY;
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            carry(client.try_clone().unwrap(), server.try_clone().unwrap(), open);
            carry(server, client, open);
        }
    });
    address
}

/// Carries bytes one way. Reads on one thread and writes on another, because bytes that arrive during a delay start
/// their own.
fn carry(mut from: TcpStream, mut to: TcpStream, open: Instant) {
    to.set_nodelay(true).unwrap();
    let (sender, chunks) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let arrival = Instant::now().max(open) + DELAY;
            if sender.send((arrival, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (arrival, bytes) in chunks {
            thread::sleep(arrival.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        // A peer that has closed its end first is no failure.
        let _ = to.shutdown(Shutdown::Write);
    });
}
