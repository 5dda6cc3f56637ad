//! A thread's registers as `zx_thread_read_state` and `zx_thread_write_state` see them.

/// Kinds of thread state.
pub mod state_kind {
    /// [`super::GeneralRegs`].
    pub const GENERAL_REGS: u32 = 0;
    /// x87 registers.
    pub const FP_REGS: u32 = 1;
    /// SSE registers.
    pub const VECTOR_REGS: u32 = 2;
    /// Debug registers.
    pub const DEBUG_REGS: u32 = 4;
    /// The single-step flag.
    pub const SINGLE_STEP: u32 = 5;
}

/// Flags that a program may have after a system call, and that a supervisor may set: the arithmetic ones, DF, AC and ID.
pub const USER_FLAGS: u64 = 0x24_0CD5;

/// The trap flag: an exception after each instruction.
pub const SINGLE_STEP: u64 = 0x100;

/// Flags of every thread: interrupts on, and the bit that is always set.
pub const FLAGS_ALWAYS: u64 = 0x202;

/// `zx_thread_state_general_regs_t` on x86-64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "registers are what their names say")]
pub struct GeneralRegs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

const _: () = assert!(
    size_of::<GeneralRegs>() == GeneralRegs::SIZE,
    "zx_thread_state_general_regs_t is twenty words"
);

impl GeneralRegs {
    /// Bytes of the record.
    pub const SIZE: usize = 160;

    /// The registers of a thread that starts.
    pub fn at_start(entry: u64, stack: u64, arg1: u64, arg2: u64) -> Self {
        GeneralRegs {
            rip: entry,
            rsp: stack,
            rdi: arg1,
            rsi: arg2,
            rflags: FLAGS_ALWAYS,
            ..Self::default()
        }
    }

    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let words = [
            self.rax,
            self.rbx,
            self.rcx,
            self.rdx,
            self.rsi,
            self.rdi,
            self.rbp,
            self.rsp,
            self.r8,
            self.r9,
            self.r10,
            self.r11,
            self.r12,
            self.r13,
            self.r14,
            self.r15,
            self.rip,
            self.rflags,
            self.fs_base,
            self.gs_base,
        ];
        let mut out = [0; Self::SIZE];
        put_words(&mut out, &words);
        out
    }

    /// The record from user memory.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let words = bytes.chunks_exact(8);
        let mut words = words.map(|word| word.first_chunk().map_or(0, |w| u64::from_le_bytes(*w)));
        let mut next = || words.next().unwrap_or_default();
        // In the order of the fields.
        GeneralRegs {
            rax: next(),
            rbx: next(),
            rcx: next(),
            rdx: next(),
            rsi: next(),
            rdi: next(),
            rbp: next(),
            rsp: next(),
            r8: next(),
            r9: next(),
            r10: next(),
            r11: next(),
            r12: next(),
            r13: next(),
            r14: next(),
            r15: next(),
            rip: next(),
            rflags: next(),
            fs_base: next(),
            gs_base: next(),
        }
    }
}

/// Writes words, little endian, as many as fit.
pub(crate) fn put_words(out: &mut [u8], words: &[u64]) {
    for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_keep_their_places() {
        let mut bytes = [0; GeneralRegs::SIZE];
        for (word, at) in bytes.chunks_exact_mut(8).zip(1u64..) {
            word.copy_from_slice(&at.to_le_bytes());
        }
        let regs = GeneralRegs::from_bytes(&bytes);
        assert_eq!((regs.rax, regs.rcx, regs.rbp, regs.rsp), (1, 3, 7, 8));
        assert_eq!((regs.rip, regs.rflags, regs.gs_base), (17, 18, 20));
        assert_eq!(regs.to_bytes(), bytes);
    }
}
