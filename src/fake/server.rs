//! Starts and ends the port, the connections and their threads.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::FakeHandinger;
use super::fault::Action;
use super::http::{Response, read_request};
use super::request::Request;
use super::state::{State, random};

/// The wait before the next `accept` after the system had no room for a connection.
const PAUSE: Duration = Duration::from_millis(10);
/// The timeout of a stop's connection to its own port, which may have a long queue.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The limits for reading the rest of a rejected request, because closing a connection with unread bytes
/// resets it, and the client may lose the response.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_DISCARDED: u64 = 16 * 1024 * 1024;

/// A fake's data, shared with its threads.
pub(super) struct Core {
    pub(super) address: SocketAddr,
    pub(super) api_key: String,
    /// Never locked during a write, a sleep, or a test's closure.
    state: Mutex<State>,
    /// Notified when a run ends.
    stopped: Condvar,
    port: Mutex<Port>,
}

#[derive(Default)]
struct Port {
    accepting: Option<JoinHandle<Accepted>>,
    /// Both ends of a connection to the port of a stopped fake. While it is open, the system does not assign
    /// the port to a program that asks for a free one.
    reservation: Option<(TcpStream, TcpStream)>,
}

/// The listener of a run that has ended, and the connection that it accepted last.
type Accepted = (TcpListener, io::Result<(TcpStream, SocketAddr)>);

impl Core {
    #[track_caller]
    pub(super) fn start() -> Arc<Self> {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into());
        let core = Arc::new(Self {
            address: listener.local_addr().expect("a listener has an address"),
            api_key: format!("hnd_fake_{:020}", random()),
            state: Mutex::default(),
            stopped: Condvar::new(),
            port: Mutex::default(),
        });
        lock(&core.port).accepting = Some(core.accept_on(listener));
        core
    }

    #[track_caller]
    pub(super) fn restart(self: &Arc<Self>) {
        self.stop();
        let mut port = lock(&self.port);
        if port.accepting.is_none() {
            port.reservation = None;
            port.accepting = Some(self.accept_on(listen(self.address)));
        }
    }

    pub(super) fn stop(&self) {
        let mut port = lock(&self.port);
        let Some(accepting) = port.accepting.take() else { return };
        // Held until the port is closed, so that a disconnected client cannot open another connection.
        let connections: Vec<_> = {
            let mut state = self.state();
            state.run += 1;
            state.connections.drain(..).filter_map(|stream| stream.upgrade()).collect()
        };
        self.stopped.notify_all();
        port.reservation = self.close_listener(accepting);
        for stream in connections {
            let _ = stream.shutdown(Shutdown::Both); // fails if the client was faster
        }
    }

    /// Wakes the accepting thread by a connection, which then reserves the port.
    fn close_listener(&self, accepting: JoinHandle<Accepted>) -> Option<(TcpStream, TcpStream)> {
        // If the system has no free connection, the thread ends with the next client.
        let near = TcpStream::connect_timeout(&self.address, STOP_TIMEOUT).ok()?;
        let (listener, mut accepted) = accepting.join().ok()?;
        let near_address = near.local_addr().ok()?;
        let far = loop {
            match accepted {
                Ok((far, address)) if address == near_address => break far,
                Ok(_) => accepted = listener.accept(),
                Err(_) => return None,
            }
        };
        shut(listener);
        Some((near, far))
    }

    fn accept_on(self: &Arc<Self>, listener: TcpListener) -> JoinHandle<Accepted> {
        let (core, run) = (Arc::clone(self), self.state().run);
        thread::spawn(move || core.accept(listener, run))
    }

    fn accept(self: &Arc<Self>, listener: TcpListener, run: u64) -> Accepted {
        loop {
            let accepted = listener.accept();
            let Ok(mut state) = self.state_of(run) else { return (listener, accepted) };
            state.connections.retain(|stream| stream.strong_count() > 0);
            if let Ok(stream) = accepted.and_then(|(stream, _)| self.connect(stream, run)) {
                state.connections.push(stream);
            } else {
                drop(state);
                let _ = self.sleep(PAUSE, run); // the next turn finds out whether the run has ended
            }
        }
    }

    fn connect(self: &Arc<Self>, stream: TcpStream, run: u64) -> io::Result<Weak<TcpStream>> {
        let (core, stream) = (Arc::clone(self), Arc::new(stream));
        let weak = Arc::downgrade(&stream);
        thread::Builder::new().spawn(move || core.serve(&stream, run))?;
        Ok(weak)
    }

    /// Serves the requests of a connection until it is lost.
    fn serve(self: &Arc<Self>, mut stream: &TcpStream, run: u64) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            let request = match read_request(&mut reader) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    stream.write_all(&Response::error(400, &error.to_string()).encode(true))?;
                    return discard(stream);
                }
                request => request?,
            };
            let (response, is_last) = self.exchange(&request, run)?;
            stream.write_all(&response)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Returns the bytes to send, and whether the connection ends after them.
    ///
    /// # Errors
    ///
    /// If there is nothing to send, because a fault hangs up or the run has ended.
    fn exchange(self: &Arc<Self>, request: &Request, run: u64) -> io::Result<(Vec<u8>, bool)> {
        let closes = request.closes();
        let respond = || Ok::<_, io::Error>(self.state_of(run)?.respond(request, &self.api_key));
        let fault = self.state_of(run)?.receive(request);
        let Some(fault) = fault else { return Ok((respond()?.encode(closes), closes)) };
        let applied = if fault.after_applying { Some(respond()?) } else { None };
        let respond = || applied.map_or_else(respond, Ok);
        let response = match fault.action {
            Action::Respond(response) => response,
            Action::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
            Action::Delay(delay) => {
                self.sleep(delay, run)?;
                respond()?
            }
            Action::Truncate(length) => {
                let response = respond()?;
                let missing = response.body.len().saturating_sub(length).max(1);
                let mut bytes = response.encode(closes);
                bytes.truncate(bytes.len() - missing);
                return Ok((bytes, true));
            }
            Action::Meanwhile(change) => {
                change(&FakeHandinger { core: Arc::clone(self), stops_on_drop: false });
                respond()?
            }
        };
        Ok((response.encode(closes), closes))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Locks the state.
    ///
    /// # Errors
    ///
    /// If this run has ended, so that its threads end without changing the state.
    fn state_of(&self, run: u64) -> io::Result<MutexGuard<'_, State>> {
        Some(self.state()).filter(|state| state.run == run).ok_or(io::ErrorKind::ConnectionAborted.into())
    }

    fn sleep(&self, duration: Duration, run: u64) -> io::Result<()> {
        let state = self.state_of(run)?;
        drop(self.stopped.wait_timeout_while(state, duration, |state| state.run == run));
        self.state_of(run).map(drop)
    }
}

#[track_caller]
fn listen(address: SocketAddr) -> TcpListener {
    match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen on {address}: {error}"),
    }
}

/// Stops listening at once. Dropping the listener may not, because a process that another thread starts has a
/// copy of each file descriptor until it executes its program.
fn shut(listener: TcpListener) {
    #[cfg(unix)]
    let _ = TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both); // not on all systems
    #[cfg(not(unix))]
    drop(listener);
}

fn discard(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(DISCARD_TIMEOUT))?;
    io::copy(&mut stream.take(MAX_DISCARDED), &mut io::sink()).map(drop)
}

/// Ignores poisoning, because a panic leaves nothing half changed behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
