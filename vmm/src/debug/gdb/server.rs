//! Listens for gdb, and serves one at a time.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gdbstub::stub::{DisconnectReason, GdbStub};
use rustix::event::{EventfdFlags, eventfd};

use super::connection::{Connection, PATIENCE, Socket, wait_for};
use super::files::Files;
use super::target::{Events, Target};
use crate::config::Program;
use crate::hypercall::Vm;
use crate::outcome::End;

/// Before the next try to accept a gdb.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the longest packet.
const PACKET: usize = 0x4000;

/// A socket that gdb can connect to, with `target remote`.
///
/// Give it to a run: [`crate::config::RunConfig::gdb`]. Whoever connects can read and write the program's memory: a port is one of this host
/// only, a socket in the file system is as open as its folder.
pub struct GdbServer {
    listener: Listener,
    address: String,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl fmt::Debug for GdbServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GdbServer").field(&self.address).finish()
    }
}

impl GdbServer {
    /// Listens on a port of 127.0.0.1; 0 is any that is free.
    ///
    /// # Errors
    /// The port is taken, or not permitted.
    pub fn on_port(port: u16) -> io::Result<GdbServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let listener = Listener::Tcp(listener);
        Ok(GdbServer { listener, address })
    }

    /// Listens on a socket in the file system, which goes when this does.
    ///
    /// # Errors
    /// Something is there already, or the folder does not permit it.
    pub fn on_path(path: &Path) -> io::Result<GdbServer> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let address = path.display().to_string();
        let listener = Listener::Unix(listener, path.into());
        Ok(GdbServer { listener, address })
    }

    /// What to tell gdb's `target remote`.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn accept(&self) -> io::Result<Box<dyn Socket>> {
        Ok(match &self.listener {
            Listener::Tcp(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(false)?;
                socket.set_nodelay(true)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Box::new(socket)
            }
            Listener::Unix(listener, _) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(false)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Box::new(socket)
            }
        })
    }

    /// Serves until the VM ends. Whatever goes wrong with a gdb, the program goes on without it.
    pub(crate) fn serve(&self, vm: &Arc<Vm>, program: &Program) {
        let files = Files::new(program);
        while !vm.is_stopped() {
            match wait_for(vm, self, None) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    log::error!("waiting for gdb: {error}");
                    vm.debug_end();
                    break;
                }
            }
            let socket = match self.accept() {
                Ok(socket) => socket,
                Err(error) => {
                    log::warn!("a gdb that could not be accepted: {error}");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let mut target = Target::new(vm, &files);
            let connection = Connection::new(vm, socket);
            let served = catch_unwind(AssertUnwindSafe(|| session(connection, &mut target)));
            let left = catch_unwind(AssertUnwindSafe(|| target.leave()));
            if served.and(left).is_err() {
                log::error!("serving gdb panicked; the program goes on without it");
                vm.debug_end();
            }
        }
    }
}

impl AsFd for GdbServer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for GdbServer {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = &self.listener {
            // Somebody may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}

/// What the VM tells its debugger with.
pub(crate) fn event() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)
}

/// Serves one gdb until it leaves.
fn session(connection: Connection, target: &mut Target) {
    target.attach();
    let stub = GdbStub::builder(connection)
        .packet_buffer_size(PACKET)
        .build();
    let stub = match stub {
        Ok(stub) => stub,
        Err(error) => return log::error!("gdb: {error}"),
    };
    match stub.run_blocking::<Events>(target) {
        Ok(DisconnectReason::Kill) => target.vm().stop(End::Killed),
        Ok(reason) => log::info!("gdb has left: {reason:?}"),
        Err(_) if target.vm().is_stopped() => {}
        Err(error) => log::warn!("gdb is gone, the program goes on without it: {error}"),
    }
}
