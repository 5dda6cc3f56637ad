//! A Rust panic in the kernel: its message goes to the VMM, which ends the VM with a report.

use core::{
    fmt::{self, Write},
    panic::PanicInfo,
};

use protocol::boot::{KernelCall, PANIC_RUST};

use crate::port;

/// The first bytes of a message; what does not fit is cut off.
struct Message {
    bytes: [u8; 256],
    len: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(text.bytes()) {
            *to = from;
            self.len = self.len.wrapping_add(1);
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut message = Message {
        bytes: [0; 256],
        len: 0,
    };
    let _ = write!(message, "{info}");
    port::call(
        KernelCall::Panic,
        PANIC_RUST,
        &raw const message.bytes as u64,
        message.len as u64,
    );
    loop {
        port::halt();
    }
}
