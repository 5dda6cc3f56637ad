//! The bytes to and from gdb.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gdbstub::conn::{self, ConnectionExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::hypercall::Vm;

/// How long gdb may take for what it is sent.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that are sent without waiting for the end of a reply.
const MUCH: usize = 1 << 16;

/// A socket of either kind.
pub(super) trait Socket: Read + Write + AsFd + Send {}

impl<T: Read + Write + AsFd + Send> Socket for T {}

/// A connection to a gdb. It ends with the VM.
pub(super) struct Connection {
    vm: Arc<Vm>,
    socket: Box<dyn Socket>,
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Connection {
    pub fn new(vm: &Arc<Vm>, socket: Box<dyn Socket>) -> Self {
        Connection {
            vm: Arc::clone(vm),
            socket,
            incoming: VecDeque::new(),
            outgoing: Vec::new(),
        }
    }

    /// Waits until gdb has sent something, or something happened in the VM.
    pub fn wait(&mut self) -> io::Result<()> {
        conn::Connection::flush(self)?;
        if self.incoming.is_empty() && wait_for(&self.vm, &self.socket, None)? {
            self.fill()?;
        }
        Ok(())
    }

    /// Sends what has been written, if that is much. A reply to an endless question ends with the VM.
    fn flush_much(&mut self) -> io::Result<()> {
        if self.outgoing.len() < MUCH {
            return Ok(());
        }
        if self.vm.is_stopped() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        conn::Connection::flush(self)
    }

    /// Takes what has come.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let count = self.socket.read(&mut chunk)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.incoming.extend(chunk.iter().take(count));
        Ok(())
    }
}

/// Waits until there is something to be read, or something happened in the VM; says which.
pub(super) fn wait_for(
    vm: &Vm,
    readable: &impl AsFd,
    timeout: Option<&Timespec>,
) -> io::Result<bool> {
    let mut fds = vec![PollFd::new(readable, PollFlags::IN)];
    let event = vm.debug_event();
    fds.extend(event.iter().map(|event| PollFd::new(event, PollFlags::IN)));
    retry_on_intr(|| poll(&mut fds, timeout))?;
    let [ready, rest @ ..] = fds.as_slice() else {
        return Ok(false);
    };
    let readable = !ready.revents().is_empty();
    if let Some(event) = event
        && rest.iter().any(|fd| !fd.revents().is_empty())
    {
        // Nobody else reads it.
        let _ = rustix::io::read(event, &mut [0; 8]);
    }
    Ok(readable)
}

impl conn::Connection for Connection {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.outgoing.push(byte);
        self.flush_much()
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.outgoing.extend(bytes);
        self.flush_much()
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.outgoing);
        let (mut rest, began) = (bytes.as_slice(), Instant::now());
        while !rest.is_empty() {
            if began.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.socket.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ConnectionExt for Connection {
    fn read(&mut self) -> io::Result<u8> {
        loop {
            if let Some(byte) = self.incoming.pop_front() {
                return Ok(byte);
            }
            if self.vm.is_stopped() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            self.wait()?;
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.incoming.front().copied())
    }
}
