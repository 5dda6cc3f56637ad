//! Why an image cannot be run, in words for the one who built it.

use std::io;

/// An image that cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("{program}: {problem}")]
pub struct ElfError {
    /// Path or name of the image.
    pub program: String,
    /// What is wrong, and what helps.
    pub problem: Problem,
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No such file.
    #[error("there is no such file; check the path (`zvmm programs` lists the built-in programs)")]
    Missing,
    /// The file may not be read.
    #[error("it may not be read: {0}; give yourself read permission (chmod +r) or copy it")]
    Permission(#[source] io::Error),
    /// The file cannot be opened.
    #[error("it cannot be opened: {0}; name a readable file")]
    Unreadable(#[source] io::Error),
    /// Reading stopped in the midst.
    #[error("its headers could not be read; see whether the file is intact and not being written")]
    ReadFailed,
    /// A directory.
    #[error("it is a directory; name the program's file in it")]
    Directory,
    /// A device, socket or FIFO.
    #[error("it is not a regular file; its pages are read on demand, so copy it to a file first")]
    NotAFile,
    /// No bytes.
    #[error("it is empty; build the program again")]
    Empty,
    /// Not an ELF image.
    #[error("it is not an ELF program (it does not begin with 7f 45 4c 46); {BUILD}")]
    NotElf,
    /// Shorter than its headers say.
    #[error("it ends before its headers do; copy or build it again")]
    Truncated,
    /// A 32-bit image.
    #[error("it is a 32-bit program; build it for 64-bit x86-64 (-m64)")]
    Bits32,
    /// A big-endian image.
    #[error("it is big endian, so for another machine; build it for x86-64")]
    BigEndian,
    /// For another machine.
    #[error("it is for {}, not for x86-64; build it for x86-64", machine_name(*machine))]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// `ET_DYN`.
    #[error("it is position independent (a PIE or a shared library); {BUILD}")]
    PositionIndependent,
    /// `ET_REL`.
    #[error("it is an object file that is not linked yet; {BUILD}")]
    ObjectFile,
    /// `ET_CORE`.
    #[error("it is a core dump, not a program; name the program itself")]
    CoreDump,
    /// It wants a dynamic linker.
    #[error("it is dynamically linked (it has an interpreter); {BUILD}")]
    Dynamic,
    /// A header that makes no sense.
    #[error("its header is damaged: {0}; copy or build it again")]
    Malformed(&'static str),
    /// Absurdly many program headers.
    #[error(
        "it has {count} program headers, at most {} are allowed; link it without a special linker \
         script",
        super::MAX_HEADERS
    )]
    TooManyHeaders {
        /// `e_phnum`.
        count: u16,
    },
    /// No segment.
    #[error("it has nothing to load (no PT_LOAD segment); {BUILD}")]
    NothingToLoad,
    /// A segment has more bytes in the file than in memory.
    #[error(
        "its segment at {va:#x} has {file_size:#x} bytes in the file and only {mem_size:#x} in \
         memory; build it again"
    )]
    FileExceedsMemory {
        /// First address.
        va: u64,
        /// `p_filesz`.
        file_size: u64,
        /// `p_memsz`.
        mem_size: u64,
    },
    /// A segment without any permission.
    #[error(
        "its segment at {va:#x} can be neither read, written nor executed; correct the linker \
         script"
    )]
    NoAccess {
        /// First address.
        va: u64,
    },
    /// A segment where no program may be.
    #[error(
        "its segment of {mem_size:#x} bytes at {va:#x} is outside of {:#x}..{:#x}, where programs \
         may be; link it to another address (-Wl,-Ttext-segment=0x400000)",
        protocol::USER_BASE,
        protocol::USER_END
    )]
    OutsideUserRange {
        /// First address.
        va: u64,
        /// `p_memsz`.
        mem_size: u64,
    },
    /// A segment's bytes are not in the file.
    #[error(
        "its segment at {va:#x} is {file_size:#x} bytes at file offset {file_offset:#x}, but the \
         file has only {length:#x}; it is cut short: copy or build it again"
    )]
    BeyondFile {
        /// First address.
        va: u64,
        /// `p_offset`.
        file_offset: u64,
        /// `p_filesz`.
        file_size: u64,
        /// Bytes of the file.
        length: u64,
    },
    /// A segment that cannot be mapped from the file.
    #[error(
        "its segment at {va:#x} is at file offset {file_offset:#x}, which differs modulo the page \
         size, so it cannot be mapped; link it without -n, -N or --nmagic"
    )]
    Misaligned {
        /// First address.
        va: u64,
        /// `p_offset`.
        file_offset: u64,
    },
    /// Two segments have bytes in common.
    #[error("its segments at {first:#x} and {second:#x} overlap; correct the linker script")]
    Overlap {
        /// First address of the lower one.
        first: u64,
        /// First address of the upper one.
        second: u64,
    },
    /// Two segments meet on a page and cannot be one mapping.
    #[error(
        "its segments at {first:#x} and {second:#x} share a page and differ in permissions or \
         content; link it with -z separate-code -z max-page-size=4096"
    )]
    SharedPage {
        /// First address of the lower one.
        first: u64,
        /// First address of the upper one.
        second: u64,
    },
    /// The entry point cannot be executed.
    #[error(
        "its entry point {entry:#x} is not in an executable segment; link it with -e and the \
         start symbol"
    )]
    Entry {
        /// `e_entry`.
        entry: u64,
    },
    /// A stack beyond all measure.
    #[error(
        "it asks for a stack of {size:#x} bytes, at most {:#x} are allowed; link it with a \
         smaller -z stack-size",
        super::MAX_STACK
    )]
    Stack {
        /// `p_memsz` of `PT_GNU_STACK`.
        size: u64,
    },
}

/// The remedy for everything that was linked in another way.
const BUILD: &str = "build it for x86-64 with -static -no-pie (Rust: -C relocation-model=static)";

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Problem::Missing,
            io::ErrorKind::PermissionDenied => Problem::Permission(error),
            _ => Problem::Unreadable(error),
        }
    }
}

fn machine_name(machine: u16) -> String {
    use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, Machine};
    match Machine(machine) {
        EM_386 => "32-bit x86".into(),
        EM_AARCH64 => "64-bit ARM".into(),
        EM_ARM => "32-bit ARM".into(),
        EM_PPC64 => "POWER".into(),
        EM_RISCV => "RISC-V".into(),
        EM_S390 => "IBM Z".into(),
        Machine(number) => format!("machine number {number}"),
    }
}
