//! A listening socket and its threads: how they start, and how all of them end.

use std::cell::Cell;
use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::lock;

/// How long to wait before the next connection is accepted, when the system has no room for one.
const PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    static SERVES_A_CONNECTION: Cell<bool> = const { Cell::new(false) };
}

/// Listens until it is stopped. Each connection has a thread.
pub(super) struct Server {
    run: Arc<Run>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

/// What the threads of a server share.
pub(super) struct Run {
    state: Mutex<RunState>,
    stopped: Condvar,
}

struct RunState {
    is_stopped: bool,
    connections: Vec<Connection>,
}

struct Connection {
    /// Weak, so that the connection is closed when its thread ends.
    stream: Weak<TcpStream>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(super) fn start(
        listener: TcpListener,
        serve: impl Fn(&TcpStream, &Run) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = Mutex::new(RunState { is_stopped: false, connections: Vec::new() });
        let run = Arc::new(Run { state, stopped: Condvar::new() });
        let address = listener.local_addr()?;
        let accepting = {
            let (run, serve) = (Arc::clone(&run), Arc::new(serve));
            Builder::new().name("fake handinger".into()).spawn(move || {
                while run.accept(&listener, &serve) {}
                close(listener);
            })?
        };
        Ok(Self { run, address, accepting: Some(accepting) })
    }

    /// Closes the port, then all connections. Waits for the threads, unless one of them is the caller.
    pub(super) fn stop(mut self) {
        let connections = {
            let mut state = lock(&self.run.state);
            state.is_stopped = true;
            mem::take(&mut state.connections)
        };
        self.close_port();
        self.run.stopped.notify_all();
        for stream in connections.iter().filter_map(|connection| connection.stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both); // fails if the client was faster
        }
        if !SERVES_A_CONNECTION.get() {
            for connection in connections {
                let _ = connection.thread.join(); // a panic in a test's closure was printed already
            }
        }
        self.close_port(); // if the process had no file descriptor left for it before
    }

    fn close_port(&mut self) {
        // A connection wakes the thread that accepts. Its other end is closed first and so waits on the port for a
        // minute (TIME-WAIT), during which the system gives the port to no other program that asks for any.
        if self.accepting.is_some()
            && let Ok(_open_until_joined) = TcpStream::connect(self.address)
        {
            let _ = self.accepting.take().map(JoinHandle::join);
        }
    }
}

/// Stops listening at once. Dropping the listener alone does not while another thread starts a process: until that
/// executes its program, it has a copy of each file descriptor.
fn close(listener: TcpListener) {
    #[cfg(unix)]
    let _ = TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both); // not on all systems
    #[cfg(not(unix))]
    drop(listener);
}

impl Run {
    /// Sleeps.
    ///
    /// # Errors
    ///
    /// If the server has been stopped before or meanwhile.
    pub(super) fn sleep(&self, duration: Duration) -> io::Result<()> {
        let (state, _) = self
            .stopped
            .wait_timeout_while(lock(&self.state), duration, |state| !state.is_stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_stopped { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Accepts one connection; false if the server has been stopped.
    fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        serve: &Arc<impl Fn(&TcpStream, &Run) + Send + Sync + 'static>,
    ) -> bool {
        let accepted = listener.accept();
        let mut state = lock(&self.state);
        if state.is_stopped {
            return false;
        }
        state.connections.retain(|connection| !connection.thread.is_finished());
        if let Ok((stream, _)) = accepted
            && let Ok(connection) = self.connect(stream, Arc::clone(serve))
        {
            state.connections.push(connection);
            return true;
        }
        drop(state);
        self.sleep(PAUSE).is_ok()
    }

    fn connect(
        self: &Arc<Self>,
        stream: TcpStream,
        serve: Arc<impl Fn(&TcpStream, &Run) + Send + Sync + 'static>,
    ) -> io::Result<Connection> {
        let (run, stream) = (Arc::clone(self), Arc::new(stream));
        let weak = Arc::downgrade(&stream);
        let thread = Builder::new().name("fake handinger".into()).spawn(move || {
            SERVES_A_CONNECTION.set(true);
            serve(&stream, &run);
        })?;
        Ok(Connection { stream: weak, thread })
    }
}
