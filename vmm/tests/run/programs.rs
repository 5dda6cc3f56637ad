//! Programs of a few instructions, as ELF files.

use std::{
    arch::global_asm,
    mem::offset_of,
    path::{Path, PathBuf},
};

use protocol::{StartupHandle, StartupHeader, syscall::SyscallNumber};

/// Where the file is mapped, headers and all.
const BASE: u64 = 0x40_0000;
/// Length of the headers; the code follows.
const HEADERS: u64 = 64 + 56;
/// The page of `data` that `late_reader` reads last.
pub const LATE_PAGE: u64 = 2000;

/// Byte offset of the n-th handle's value in the start-up page.
const fn handle(n: usize) -> usize {
    size_of::<StartupHeader>() + n * size_of::<StartupHandle>() + offset_of!(StartupHandle, handle)
}

global_asm!(
    ".pushsection .rodata.programs, \"a\"",
    // Exits with a code of more than eight bits.
    "program_exit:",
    "mov eax, {exit}",
    "mov edi, 0x12345607",
    "syscall",
    "program_exit_end:",
    // Says that it is there and spins.
    "program_spin:",
    "mov eax, {write}",
    "lea rdi, [rip + 3f]",
    "mov esi, 6",
    "syscall",
    "2: jmp 2b",
    "3: .ascii \"ready\\n\"",
    "program_spin_end:",
    // Writes for ever.
    "program_chatter:",
    "2:",
    "mov eax, {write}",
    "lea rdi, [rip + program_chatter]",
    "mov esi, 16",
    "syscall",
    "jmp 2b",
    "program_chatter_end:",
    // Reads the first page of `data`, writes more than a pipe holds, and reads a page far behind.
    "program_late_reader:",
    "mov rbx, rdi",
    "mov eax, {map}",
    "mov edi, [rbx + {vmar}]",
    "mov esi, 1",
    "xor edx, edx",
    "mov r10d, [rbx + {data}]",
    "xor r8d, r8d",
    "mov r9d, {length}",
    "lea r12, [rsp - 8]",
    "syscall",
    "mov r14, [rsp - 8]",
    "mov r13b, [r14]",
    "mov r15d, 256",
    "2:",
    "mov eax, {write}",
    "lea rdi, [rip + 3f]",
    "mov esi, 512",
    "syscall",
    "dec r15d",
    "jnz 2b",
    "mov r13b, [r14 + {late}]",
    "mov eax, {exit}",
    "xor edi, edi",
    "syscall",
    "3: .fill 512, 1, 46",
    "program_late_reader_end:",
    // Reads `data` from its end on, every third page.
    "program_stepper:",
    "mov rbx, rdi",
    "mov eax, {map}",
    "mov edi, [rbx + {vmar}]",
    "mov esi, 1",
    "xor edx, edx",
    "mov r10d, [rbx + {data}]",
    "xor r8d, r8d",
    "mov r9d, {length}",
    "lea r12, [rsp - 8]",
    "syscall",
    "mov r14, [rsp - 8]",
    "lea r13, [r14 + {late}]",
    "mov r15d, 600",
    "2:",
    "mov al, [r13]",
    "sub r13, 3 * 4096",
    "dec r15d",
    "jnz 2b",
    "mov eax, {exit}",
    "xor edi, edi",
    "syscall",
    "program_stepper_end:",
    ".popsection",
    exit = const SyscallNumber::ProcessExit as u32,
    write = const SyscallNumber::DebugWrite as u32,
    map = const SyscallNumber::VmarMap as u32,
    vmar = const handle(0),
    data = const handle(4),
    length = const (LATE_PAGE + 1) * 4096,
    late = const LATE_PAGE * 4096,
);

macro_rules! programs {
    ($($name:ident $start:ident $end:ident;)*) => {
        unsafe extern "C" {$(
            static $start: u8;
            static $end: u8;
        )*}
        $(
            /// See the assembly.
            pub fn $name() -> &'static [u8] {
                let (start, end) = (&raw const $start, &raw const $end);
                // SAFETY: both labels belong to the block above, in this order.
                unsafe { std::slice::from_raw_parts(start, end.offset_from(start) as usize) }
            }
        )*
    };
}

programs! {
    exit program_exit program_exit_end;
    spin program_spin program_spin_end;
    chatter program_chatter program_chatter_end;
    late_reader program_late_reader program_late_reader_end;
    stepper program_stepper program_stepper_end;
}

/// An ELF file of one segment, readable and executable.
pub fn elf(code: &[u8]) -> Vec<u8> {
    let length = HEADERS + code.len() as u64;
    let mut file = vec![0x7F, b'E', b'L', b'F', 2, 1, 1, 0];
    file.resize(16, 0);
    for half in [2u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for half in [1u32, 5] {
        file.extend(half.to_le_bytes());
    }
    for word in [0, BASE, BASE, length, length, 4096] {
        file.extend(word.to_le_bytes());
    }
    assert_eq!(file.len() as u64, HEADERS);
    file.extend(code);
    file
}

/// Puts such a file into a folder.
pub fn write(folder: &Path, name: &str, code: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, elf(code)).unwrap();
    path
}
