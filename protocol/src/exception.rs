//! Exceptions of threads as handlers see them, and what a handler may say.

use crate::regs::put_words;

/// `zx_excp_type_t`: what happened to a thread.
pub mod kind {
    /// Any processor exception without a type of its own.
    pub const GENERAL: u32 = 0x008;
    /// A page fault that cannot be resolved; the report's `synth_code` says why.
    pub const FATAL_PAGE_FAULT: u32 = 0x108;
    /// An instruction that does not exist.
    pub const UNDEFINED_INSTRUCTION: u32 = 0x208;
    /// A breakpoint instruction.
    pub const SW_BREAKPOINT: u32 = 0x308;
    /// A debug register or a single step.
    pub const HW_BREAKPOINT: u32 = 0x408;
    /// A system call met a policy of its job that says so.
    pub const POLICY_ERROR: u32 = 0x8208;
    /// An unaligned access.
    pub const UNALIGNED_ACCESS: u32 = 0x508;

    /// Zircon's name of a type.
    pub const fn name(kind: u32) -> &'static str {
        match kind {
            FATAL_PAGE_FAULT => "ZX_EXCP_FATAL_PAGE_FAULT",
            UNDEFINED_INSTRUCTION => "ZX_EXCP_UNDEFINED_INSTRUCTION",
            SW_BREAKPOINT => "ZX_EXCP_SW_BREAKPOINT",
            HW_BREAKPOINT => "ZX_EXCP_HW_BREAKPOINT",
            UNALIGNED_ACCESS => "ZX_EXCP_UNALIGNED_ACCESS",
            POLICY_ERROR => "ZX_EXCP_POLICY_ERROR",
            _ => "ZX_EXCP_GENERAL",
        }
    }
}

/// `ZX_PROP_EXCEPTION_STATE`: what becomes of the thread when the exception's last handle is closed.
pub mod state {
    /// The next handler is asked.
    pub const TRY_NEXT: u32 = 0;
    /// The thread goes on.
    pub const HANDLED: u32 = 1;
    /// The thread ends.
    pub const THREAD_EXIT: u32 = 2;
}

/// Whose exception channel a thread waits for: `wait_exception_channel_type`.
pub mod channel_type {
    /// None.
    pub const NONE: u32 = 0;
    /// Its own.
    pub const THREAD: u32 = 2;
    /// Its process's.
    pub const PROCESS: u32 = 3;
    /// A job's.
    pub const JOB: u32 = 4;
}

/// `zx_task_create_exception_channel`: a debugger's channel.
pub const CHANNEL_DEBUGGER: u32 = 1;

/// `zx_exception_info_t`: what a message of an exception channel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ExceptionInfo {
    /// Koid of the process.
    pub pid: u64,
    /// Koid of the thread.
    pub tid: u64,
    /// One of [`kind`].
    pub kind: u32,
    /// Zero.
    pub padding: u32,
}

/// `zx_exception_report_t` on x86-64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ExceptionReport {
    /// Bytes of this record.
    pub size: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// Vector of the processor exception.
    pub vector: u64,
    /// Its error code.
    pub err_code: u64,
    /// The address of a page fault.
    pub cr2: u64,
    /// FATAL_PAGE_FAULT: the `zx_status_t` that says why. POLICY_ERROR: the policy.
    pub synth_code: u32,
    /// More on a POLICY_ERROR.
    pub synth_data: u32,
}

const _: () = {
    assert!(
        size_of::<ExceptionInfo>() == 24,
        "zx_exception_info_t is 24 bytes"
    );
    assert!(
        size_of::<ExceptionReport>() == 40,
        "zx_exception_report_t is 40 bytes"
    );
    assert!(
        core::mem::offset_of!(ExceptionReport, synth_code) == 32,
        "version 1 ends at 32"
    );
};

impl ExceptionInfo {
    /// The record from a message.
    pub fn from_bytes(bytes: &[u8; 24]) -> Self {
        let words = bytes.chunks_exact(8);
        let mut words = words.map(|word| word.first_chunk().map_or(0, |w| u64::from_le_bytes(*w)));
        let mut next = || words.next().unwrap_or_default();
        ExceptionInfo {
            pid: next(),
            tid: next(),
            kind: next() as u32,
            padding: 0,
        }
    }

    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 24] {
        let mut out = [0; 24];
        put_words(&mut out, &[self.pid, self.tid, self.kind.into()]);
        out
    }
}

impl ExceptionReport {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 40] {
        let pair = |low: u32, high: u32| (high as u64) << 32 | low as u64;
        let words = [
            pair(self.size, self.kind),
            self.vector,
            self.err_code,
            self.cr2,
            pair(self.synth_code, self.synth_data),
        ];
        let mut out = [0; 40];
        put_words(&mut out, &words);
        out
    }
}
