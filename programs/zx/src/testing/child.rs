//! The process of one test: how it becomes a program with a start-up page of its own, and what it tells the runner.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use protocol::exception::kind;
use protocol::{RawHandle, Status};

use crate::{Channel, Unowned, print};

use super::{Crash, Test};

/// The channel to the runner; 0 in the runner itself.
static CHANNEL: AtomicU32 = AtomicU32::new(0);

/// Which test it is.
static INDEX: AtomicUsize = AtomicUsize::new(0);

/// Bytes of a [`Crash`] in a message: kind, status, address.
const CRASH: usize = 16;

#[cfg(target_os = "none")]
mod entry {
    use core::arch::global_asm;
    use core::mem::offset_of;

    use protocol::{StartupHandle, StartupHeader};

    use super::{CHANNEL, INDEX, Relaxed};
    use crate::{Channel, Handle, Process, Unowned};

    global_asm!(
        // rdi = channel, rsi = start-up page; then as every program begins.
        ".globl zx_test_process",
        "zx_test_process:",
        "xor ebp, ebp",
        "mov rbx, rsi",
        "call {receive}",
        "mov rdi, rbx",
        "xor esi, esi",
        "jmp _start",
        receive = sym receive,
    );

    /// Takes the index of the test and the start-up handles from the channel, and writes the handles to the start-up page.
    unsafe extern "C" fn receive(channel: u32, page: *mut u8) {
        let mut index = [0; 8];
        let mut handles = [const { Handle::from_raw(0) }; super::super::image::HANDLES];
        let runner = Unowned::<Channel>::from_raw(channel);
        let Ok(size) = runner.read(&mut index, &mut handles) else {
            Process::exit(super::NO_MESSAGE)
        };
        // SAFETY: the page is this process's own copy of the runner's, mapped writable; nobody has read it yet.
        unsafe {
            let first = page.add((*page.cast::<StartupHeader>()).handles_offset as usize);
            for (n, handle) in handles.into_iter().take(size.handles as usize).enumerate() {
                let record = first.add(n * size_of::<StartupHandle>());
                let place = record.add(offset_of!(StartupHandle, handle));
                place.cast::<u32>().write_unaligned(handle.into_raw());
            }
        }
        INDEX.store(usize::from_le_bytes(index), Relaxed);
        CHANNEL.store(channel, Relaxed);
    }
}

/// Exit code of a process that the runner has sent nothing.
#[cfg(target_os = "none")]
const NO_MESSAGE: i64 = 103;

/// Runs the test that this process is for; its code. Nothing in the runner.
pub(super) fn run_test(tests: &[Test]) -> Option<i32> {
    if CHANNEL.load(Relaxed) == 0 {
        return None;
    }
    print::comment_out();
    let test = tests.get(INDEX.load(Relaxed))?;
    Some((test.body)())
}

/// Announces that the test will crash by an access to `address`, for which `status` is the reason. It then passes if that
/// happens, and fails if it ends in any other way. Outside of tests nothing happens.
pub fn expect_crash(address: usize, status: Status) {
    let address = address as u64;
    announce(Crash::PageFault { address, status });
}

/// As [`expect_crash`], for an exception that is no page fault: one of [`kind`](protocol::exception::kind).
pub fn expect_exception(kind: u32) {
    announce(Crash::Exception(kind));
}

fn announce(crash: Crash) {
    let channel: RawHandle = CHANNEL.load(Relaxed);
    if channel != 0 {
        // A runner that does not listen has its own opinion of this test.
        let _ = Unowned::<Channel>::from_raw(channel).write(&crash.to_bytes(), []);
    }
}

impl Crash {
    fn to_bytes(self) -> [u8; CRASH] {
        let (kind, status, address) = match self {
            Crash::PageFault { address, status } => (kind::FATAL_PAGE_FAULT, status.0, address),
            Crash::Exception(kind) => (kind, 0, 0),
        };
        let low = u64::from(kind) | u64::from(status as u32) << 32;
        (u128::from(address) << 64 | u128::from(low)).to_le_bytes()
    }

    fn from_bytes(bytes: [u8; CRASH]) -> Self {
        let all = u128::from_le_bytes(bytes);
        match all as u32 {
            kind::FATAL_PAGE_FAULT => Crash::PageFault {
                address: (all >> 64) as u64,
                status: Status((all >> 32) as i32),
            },
            kind => Crash::Exception(kind),
        }
    }
}

/// What a test has announced last.
pub(super) fn announced(channel: &Channel) -> Option<Crash> {
    let mut bytes = [0; CRASH];
    let mut last = None;
    while channel.read(&mut bytes, &mut []).is_ok() {
        last = Some(Crash::from_bytes(bytes));
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_travel_as_they_are() {
        for crash in [
            Crash::PageFault {
                address: 0x7FFF_0000_1234_5678,
                status: Status::NOT_FOUND,
            },
            Crash::Exception(kind::UNDEFINED_INSTRUCTION),
        ] {
            assert_eq!(Crash::from_bytes(crash.to_bytes()), crash);
        }
    }
}
