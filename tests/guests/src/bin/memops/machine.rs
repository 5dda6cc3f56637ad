//! Runs a few instructions with chosen registers, the stack pointer included, and tells all registers afterwards.
//!
//! `run!` puts the instructions out of line. `memops_execute` saves what the compiler relies on, loads the registers and
//! jumps there; the instructions end by jumping to `memops_finish`, which stores the registers and returns. One thread only.

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use test_guests::{Outcome, fail};

/// The general registers (in the hardware's order) and the flags.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Registers {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbx: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rflags: u64,
}

/// The direction flag.
pub const DF: u64 = 1 << 10;
/// The carry flag.
pub const CF: u64 = 1 << 0;
/// The zero flag.
pub const ZF: u64 = 1 << 6;

const MARKED_STACK: u64 = 0x5051_5253_5455;

/// A stack pointer that is no address. A software KVM runs ring 3 on the processor only while it is one, and emulates
/// every instruction otherwise; the accesses then reach the VMM as MMIO.
const STRANGE_STACK: u64 = 0x5050_5152_5354_5556;

static STRANGE: AtomicBool = AtomicBool::new(false);

/// From now on [`STRANGE_STACK`] stands in for the marked stack pointer.
pub fn use_strange_stack() {
    STRANGE.store(true, Relaxed);
}

/// Registers that are recognised when they turn up in the wrong place. No memory is mapped where they point.
pub const MARKED: Registers = Registers {
    rax: 0xA0A1_A2A3_A4A5_A6A7,
    rcx: 0xC0C1_C2C3_C4C5_C6C7,
    rdx: 0xD0D1_D2D3_D4D5_D6D7,
    rbx: 0xB0B1_B2B3_B4B5_B6B7,
    rsp: MARKED_STACK,
    rbp: 0xBBB0_BBB1_BBB2_BBB3,
    rsi: 0x5150_5152_5354_5556,
    rdi: 0xD1D0_D1D2_D3D4_D5D6,
    r8: 0x0808_0808_0808_0808,
    r9: 0x0909_0909_0909_0909,
    r10: 0x1010_1010_1010_1010,
    r11: 0x1111_1111_1111_1111,
    r12: 0x1212_1212_1212_1212,
    r13: 0x1313_1313_1313_1313,
    r14: 0x1414_1414_1414_1414,
    r15: 0x1515_1515_1515_1515,
    rflags: 0x202,
};

impl Registers {
    fn general(&self) -> [(&'static str, u64); 16] {
        [
            ("rax", self.rax),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rbx", self.rbx),
            ("rsp", self.rsp),
            ("rbp", self.rbp),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("r8", self.r8),
            ("r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
        ]
    }

    /// Exchanges the marked stack pointer for the strange one and back, if that is wanted.
    pub fn disguise(&mut self) {
        self.rsp = match self.rsp {
            MARKED_STACK if STRANGE.load(Relaxed) => STRANGE_STACK,
            STRANGE_STACK => MARKED_STACK,
            other => other,
        };
    }

    /// All general registers must be these; flags are not compared.
    pub fn expect(&self, expected: Registers) -> Outcome {
        for ((name, found), (_, expected)) in self.general().into_iter().zip(expected.general()) {
            if found != expected {
                fail!("{name} is {found:#x}, not {expected:#x}");
            }
        }
        Ok(())
    }
}

static STACK: AtomicU64 = AtomicU64::new(0);
static REGISTERS: AtomicU64 = AtomicU64::new(0);
static CODE: AtomicU64 = AtomicU64::new(0);
static SCRATCH: AtomicU64 = AtomicU64::new(0);

global_asm!(
    // rdi = the instructions, rsi = Registers.
    ".globl memops_execute",
    "memops_execute:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rip + {stack}], rsp",
    "mov [rip + {registers}], rsi",
    "mov [rip + {code}], rdi",
    "push qword ptr [rsi + 128]",
    "popfq",
    "mov rax, [rsi]",
    "mov rcx, [rsi + 8]",
    "mov rdx, [rsi + 16]",
    "mov rbx, [rsi + 24]",
    "mov rsp, [rsi + 32]",
    "mov rbp, [rsi + 40]",
    "mov rdi, [rsi + 56]",
    "mov r8, [rsi + 64]",
    "mov r9, [rsi + 72]",
    "mov r10, [rsi + 80]",
    "mov r11, [rsi + 88]",
    "mov r12, [rsi + 96]",
    "mov r13, [rsi + 104]",
    "mov r14, [rsi + 112]",
    "mov r15, [rsi + 120]",
    "mov rsi, [rsi + 48]",
    "jmp qword ptr [rip + {code}]",
    // Moves leave the flags alone until they are stored.
    ".globl memops_finish",
    "memops_finish:",
    "mov [rip + {scratch}], rsi",
    "mov rsi, [rip + {registers}]",
    "mov [rsi], rax",
    "mov [rsi + 8], rcx",
    "mov [rsi + 16], rdx",
    "mov [rsi + 24], rbx",
    "mov [rsi + 32], rsp",
    "mov [rsi + 40], rbp",
    "mov rax, [rip + {scratch}]",
    "mov [rsi + 48], rax",
    "mov [rsi + 56], rdi",
    "mov [rsi + 64], r8",
    "mov [rsi + 72], r9",
    "mov [rsi + 80], r10",
    "mov [rsi + 88], r11",
    "mov [rsi + 96], r12",
    "mov [rsi + 104], r13",
    "mov [rsi + 112], r14",
    "mov [rsi + 120], r15",
    "mov rsp, [rip + {stack}]",
    "pushfq",
    "pop qword ptr [rsi + 128]",
    "cld",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    stack = sym STACK,
    registers = sym REGISTERS,
    code = sym CODE,
    scratch = sym SCRATCH,
);

unsafe extern "C" {
    /// See the module.
    pub fn memops_execute(code: usize, registers: *mut Registers);
    /// Where instructions jump to when they are done.
    pub fn memops_finish();
}

/// The address of `memops_finish`.
pub fn finish() -> u64 {
    memops_finish as *const () as u64
}

/// Runs the instructions with these registers; the registers afterwards. Labels 4 to 9 are free.
macro_rules! run {
    ($registers:expr, $($line:expr),+ $(,)?) => {{
        let mut registers: $crate::machine::Registers = $registers;
        registers.disguise();
        // SAFETY: the instructions work on the case's own ground; everything the compiler relies on comes back.
        unsafe {
            core::arch::asm!(
                "lea rdi, [rip + 2f]",
                "call {execute}",
                "jmp 3f",
                "2:",
                $($line,)+
                "jmp {finish}",
                "3:",
                execute = sym $crate::machine::memops_execute,
                finish = sym $crate::machine::memops_finish,
                in("rsi") &raw mut registers,
                clobber_abi("sysv64"),
            );
        }
        registers.disguise();
        registers
    }};
}
pub(crate) use run;
