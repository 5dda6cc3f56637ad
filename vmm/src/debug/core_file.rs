//! An ELF core of a crashed program, as `gdb PROGRAM CORE` reads it.
//!
//! ```text
//! ELF header | program headers | notes: prpsinfo, then prstatus of each thread, the crashed one first | pages
//! ```
//! Pages that were not there have no segment: gdb says that it cannot access them. Nothing is asked of a pager. Layouts are those of
//! Linux on x86-64 (<sys/procfs.h>, <elf.h>).

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use object::elf;
use protocol::{GeneralRegs, PAGE_SIZE};
use tempfile::NamedTempFile;
use zircon::{MappedRun, MemoryOp, MemoryResult, ThreadId};

use super::Crash;
use crate::memory::Memory;

/// Most segments of pages: the header counts in 16 bits. What is beyond is left out.
const MAX_SEGMENTS: usize = 60_000;

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// Pages copied at once.
const COPY: u64 = 64;

/// A core that will be written, if the program crashes. Until it is whole it has another name.
#[derive(Debug)]
pub(crate) struct CoreFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl CoreFile {
    /// Makes sure that a file can be made there.
    pub fn prepare(path: &Path) -> io::Result<CoreFile> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::Builder::new()
            .prefix(".zvmm-core")
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        Ok(CoreFile {
            path: path.into(),
            file,
        })
    }

    /// Writes the core. `threads` are the other threads with their registers.
    pub fn write(
        self,
        crash: &Crash,
        threads: &[(ThreadId, GeneralRegs)],
        memory: &Memory,
    ) -> io::Result<()> {
        let read = |run: &MappedRun, first: u64, count: u64| {
            let op = MemoryOp::Read {
                vmo: run.vmo,
                offset: (run.page + first) * PAGE_SIZE,
                length: (count * PAGE_SIZE) as usize,
            };
            match memory.perform(&op) {
                MemoryResult::Bytes(bytes) => Some(bytes),
                _ => None,
            }
        };
        let mut out = BufWriter::new(self.file.as_file());
        write(&mut out, crash, threads, read)?;
        out.flush()?;
        drop(out);
        self.file.persist(self.path)?;
        Ok(())
    }
}

/// One piece of memory in the file.
struct Segment<'a> {
    run: &'a MappedRun,
    offset: u64,
}

fn write(
    out: &mut (impl Write + Seek),
    crash: &Crash,
    threads: &[(ThreadId, GeneralRegs)],
    read: impl Fn(&MappedRun, u64, u64) -> Option<Vec<u8>>,
) -> io::Result<()> {
    let notes = notes(crash, threads);
    let present = crash.present.iter().take(MAX_SEGMENTS);
    let count = present.len() as u64 + 1;
    let notes_at = HEADER + PROGRAM_HEADER * count;
    let mut offset = (notes_at + notes.len() as u64).next_multiple_of(PAGE_SIZE);
    let segments: Vec<Segment<'_>> = present
        .map(|run| {
            let segment = Segment { run, offset };
            offset += run.length;
            segment
        })
        .collect();
    out.write_all(&header(count))?;
    out.write_all(&program_header(
        elf::PT_NOTE.0,
        0,
        notes_at,
        0,
        notes.len() as u64,
    ))?;
    for Segment { run, offset } in &segments {
        let flags = 4 | u32::from(run.write) << 1 | u32::from(run.execute);
        out.write_all(&program_header(
            elf::PT_LOAD.0,
            flags,
            *offset,
            run.address,
            run.length,
        ))?;
    }
    out.write_all(&notes)?;
    for Segment { run, offset } in &segments {
        copy(out, run, *offset, &read)?;
    }
    Ok(())
}

/// Copies the pages of a run; one that went in the meantime becomes a hole of the file.
fn copy(
    out: &mut (impl Write + Seek),
    run: &MappedRun,
    offset: u64,
    read: &impl Fn(&MappedRun, u64, u64) -> Option<Vec<u8>>,
) -> io::Result<()> {
    let pages = run.length / PAGE_SIZE;
    let mut put = |page: u64, bytes: &[u8]| {
        out.seek(SeekFrom::Start(offset + page * PAGE_SIZE))?;
        out.write_all(bytes)
    };
    for first in (0..pages).step_by(COPY as usize) {
        let count = COPY.min(pages - first);
        if let Some(bytes) = read(run, first, count) {
            put(first, &bytes)?;
            continue;
        }
        for page in first..first + count {
            let bytes = read(run, page, 1).unwrap_or_else(|| vec![0; PAGE_SIZE as usize]);
            put(page, &bytes)?;
        }
    }
    Ok(())
}

fn header(program_headers: u64) -> Vec<u8> {
    let mut header = vec![0x7F, b'E', b'L', b'F', 2, 1, 1];
    header.resize(16, 0);
    header.extend(4u16.to_le_bytes()); // ET_CORE
    header.extend(62u16.to_le_bytes()); // EM_X86_64
    header.extend(1u32.to_le_bytes());
    for word in [0, HEADER, 0] {
        header.extend(word.to_le_bytes()); // entry, program headers, sections
    }
    header.extend(0u32.to_le_bytes());
    for half in [
        HEADER as u16,
        PROGRAM_HEADER as u16,
        program_headers as u16,
        64,
        0,
        0,
    ] {
        header.extend(half.to_le_bytes());
    }
    header
}

fn program_header(kind: u32, flags: u32, offset: u64, address: u64, length: u64) -> Vec<u8> {
    let in_memory = if address == 0 { 0 } else { length };
    let align = if address == 0 { 4 } else { PAGE_SIZE };
    let mut header = Vec::new();
    header.extend(kind.to_le_bytes());
    header.extend(flags.to_le_bytes());
    for word in [offset, address, 0, length, in_memory, align] {
        header.extend(word.to_le_bytes());
    }
    header
}

fn notes(crash: &Crash, threads: &[(ThreadId, GeneralRegs)]) -> Vec<u8> {
    let (signal, address) = crash.signal();
    let mut notes = Vec::new();
    // Its segment bases are where those of the other threads are.
    let saved = threads.iter().find(|(thread, _)| *thread == crash.thread);
    let bases = saved.map_or_else(GeneralRegs::default, |(_, registers)| *registers);
    let registers = GeneralRegs {
        fs_base: bases.fs_base,
        gs_base: bases.gs_base,
        ..crash.registers.unwrap_or(bases)
    };
    note(
        &mut notes,
        elf::NT_PRSTATUS.0,
        &status(crash.thread, signal, &registers),
    );
    note(&mut notes, elf::NT_PRPSINFO.0, &process(&crash.program));
    let mut info = vec![0; 128];
    put(&mut info, 0, &signal.to_le_bytes());
    put(&mut info, 16, &address.to_le_bytes());
    note(&mut notes, elf::NT_SIGINFO.0, &info);
    for (thread, registers) in threads.iter().filter(|(thread, _)| *thread != crash.thread) {
        note(
            &mut notes,
            elf::NT_PRSTATUS.0,
            &status(*thread, signal, registers),
        );
    }
    notes
}

fn note(notes: &mut Vec<u8>, kind: u32, content: &[u8]) {
    notes.extend(5u32.to_le_bytes());
    notes.extend((content.len() as u32).to_le_bytes());
    notes.extend(kind.to_le_bytes());
    notes.extend(b"CORE\0\0\0\0");
    notes.extend(content);
    notes.resize(notes.len().next_multiple_of(4), 0);
}

fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = record.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// `struct elf_prstatus`: signal, thread, registers in the order of `struct user_regs_struct`.
fn status(thread: ThreadId, signal: i32, r: &GeneralRegs) -> Vec<u8> {
    const REGISTERS: usize = 112;
    let (user_cs, user_ss) = (protocol::boot::USER_CS, protocol::boot::USER_SS);
    let words = [
        r.r15,
        r.r14,
        r.r13,
        r.r12,
        r.rbp,
        r.rbx,
        r.r11,
        r.r10,
        r.r9,
        r.r8,
        r.rax,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        u64::MAX,
        r.rip,
        user_cs.into(),
        r.rflags,
        r.rsp,
        user_ss.into(),
        r.fs_base,
        r.gs_base,
        user_ss.into(),
        user_ss.into(),
        0,
        0,
    ];
    let mut status = vec![0; 336];
    put(&mut status, 0, &signal.to_le_bytes());
    put(&mut status, 12, &(signal as i16).to_le_bytes());
    put(&mut status, 32, &(thread.0 as i32).to_le_bytes());
    for (at, word) in (REGISTERS..).step_by(8).zip(words) {
        put(&mut status, at, &word.to_le_bytes());
    }
    status
}

/// `struct elf_prpsinfo`: the name.
fn process(name: &str) -> Vec<u8> {
    let mut info = vec![0; 136];
    let bytes = name.as_bytes();
    put(&mut info, 40, bytes.get(..15).unwrap_or(bytes));
    put(&mut info, 56, bytes.get(..79).unwrap_or(bytes));
    info
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use object::{Object as _, ObjectSegment as _};
    use zircon::{Access, ExceptionKind, VmoId};

    use super::*;

    fn run(address: u64, page: u64, pages: u64) -> MappedRun {
        MappedRun {
            address,
            length: pages * PAGE_SIZE,
            vmo: VmoId(7),
            page,
            write: true,
            execute: false,
        }
    }

    fn core(present: Vec<MappedRun>, read: impl Fn(u64) -> bool) -> Vec<u8> {
        let crash = Crash {
            program: "a name that is longer than fits".into(),
            thread: ThreadId(1027),
            kind: ExceptionKind::PageFault {
                address: 0xABC,
                access: Access::Write,
                status: protocol::Status::NOT_FOUND,
                vmo: None,
            },
            registers: Some(GeneralRegs {
                rip: 0x40_1000,
                ..GeneralRegs::default()
            }),
            present,
        };
        let other = (
            ThreadId(1030),
            GeneralRegs {
                rip: 0x40_2000,
                ..GeneralRegs::default()
            },
        );
        let mut file = Cursor::new(Vec::new());
        write(&mut file, &crash, &[other], |run, first, count| {
            let pages = run.page + first..run.page + first + count;
            let there = pages.clone().all(&read);
            there.then(|| {
                pages
                    .flat_map(|page| [page as u8; PAGE_SIZE as usize])
                    .collect()
            })
        })
        .unwrap();
        file.into_inner()
    }

    #[test]
    fn pages_are_where_the_headers_say() {
        let bytes = core(
            vec![run(0x40_0000, 3, 2), run(0x7000_0000, 100, 70)],
            |_| true,
        );
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let segments: Vec<_> = file.segments().collect();
        assert_eq!(segments.len(), 2);
        for (segment, (address, page, pages)) in segments
            .iter()
            .zip([(0x40_0000, 3, 2), (0x7000_0000, 100, 70)])
        {
            assert_eq!(segment.address(), address);
            let expected: Vec<u8> = (page..page + pages)
                .flat_map(|page| [page as u8; 4096])
                .collect();
            assert_eq!(segment.data().unwrap(), expected);
        }
    }

    #[test]
    fn a_page_that_went_reads_as_zeros_and_moves_nothing() {
        let bytes = core(vec![run(0x40_0000, 1, 3)], |page| page != 2);
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let data = file.segments().next().unwrap().data().unwrap();
        let firsts: Vec<u8> = data.chunks(4096).map(|page| page[0]).collect();
        assert_eq!(firsts, [1, 0, 3]);
    }

    #[test]
    fn a_crash_without_pages_is_a_core_still() {
        let bytes = core(Vec::new(), |_| true);
        assert!(object::File::parse(bytes.as_slice()).is_ok());
        let many: Vec<_> = (0..MAX_SEGMENTS as u64 + 5)
            .map(|n| run(n << 13, n, 1))
            .collect();
        let bytes = core(many, |_| true);
        let file = object::File::parse(bytes.as_slice()).unwrap();
        assert_eq!(file.segments().count(), MAX_SEGMENTS);
    }
}
