//! gdb's remote protocol: a socket, and behind it the program's threads, registers and memory.
//!
//! ```text
//! server      listens; one gdb at a time, each from its attaching to its leaving
//! connection  bytes to and from gdb, and waiting for either those or the VM
//! target      what gdb asks for: threads, registers, memory, running
//! stops       why threads stand, and what gdb has been told of it
//! breakpoints int3 in pages that are the program's own
//! files       the program's and the kernel's symbols
//! arch        registers in gdb's order
//! ```
//! While gdb is attached the core gives it every exception of the program first (`zircon`, debugger.rs). All threads stand while
//! gdb is told of one; nothing that gdb does asks a pager for a page.

mod arch;
mod breakpoints;
mod connection;
mod files;
mod server;
mod stops;
mod target;

pub use server::GdbServer;
pub(crate) use server::event;
