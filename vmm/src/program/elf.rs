//! Reads an ELF image as far as it takes to run it: which parts of the file go to which addresses,
//! and where to start.
//!
//! Accepted is what a linker makes of a program that needs nobody's help: 64-bit x86-64, statically
//! linked, at fixed addresses within the user half. Everything else is refused with the reason and
//! the remedy. Nothing is loaded here: only the two header tables are read, and pages follow on
//! demand.
//!
//! The image is not trusted. What [`parse`] returns holds, whatever the bytes were: segments are in
//! ascending order, no two share a page, all are within `USER_BASE..USER_END` and, as far as they
//! are backed, within the file, address and file offset are congruent modulo the page size, and the
//! entry point is in an executable segment.

mod error;
mod segments;
#[cfg(test)]
mod tests;

use std::{fs::File, ops::Range, path::Path};

use object::{
    LittleEndian as LE, ReadCache, ReadRef,
    elf::{self, FileHeader64, ProgramHeader64},
};

pub use error::{ElfError, Problem};

/// Most program headers that are looked at; linkers write about ten.
pub const MAX_HEADERS: u16 = 128;

/// Largest stack that an image may ask for.
pub const MAX_STACK: u64 = 1 << 30;

/// What there is to know of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// Address of the first instruction.
    pub entry: u64,
    /// What is mapped, in ascending order of addresses; no two segments share a page.
    pub segments: Vec<Segment>,
    /// Bytes of stack that the image asks for (`-z stack-size`), if it does.
    pub stack_size: Option<u64>,
}

/// A part of the image: readable memory whose first bytes come from the file and whose rest is
/// zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// First address; congruent to `file_offset` modulo the page size if `file_size` is not zero.
    pub va: u64,
    /// Where its bytes are in the file.
    pub file_offset: u64,
    /// Bytes that come from the file.
    pub file_size: u64,
    /// Bytes in memory, at least `file_size` and at least 1.
    pub mem_size: u64,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

impl Segment {
    /// The addresses of the segment.
    pub fn range(&self) -> Range<u64> {
        self.va..self.va.saturating_add(self.mem_size)
    }

    /// The whole pages that the segment touches.
    pub fn pages(&self) -> Range<u64> {
        let Range { start, end } = self.range();
        let mask = protocol::PAGE_SIZE - 1;
        start & !mask..end.saturating_add(mask) & !mask
    }
}

/// Opens a program's file and reads its headers.
pub fn open(path: &Path) -> Result<(File, Image), ElfError> {
    let name = path.display().to_string();
    let failed = |problem| ElfError {
        program: name.clone(),
        problem,
    };
    // Asked before the file is opened: to open a FIFO would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| failed(error.into()))?;
    if metadata.is_dir() {
        return Err(failed(Problem::Directory));
    }
    if !metadata.is_file() {
        return Err(failed(Problem::NotAFile));
    }
    let file = File::open(path).map_err(|error| failed(error.into()))?;
    let image = parse(&name, &ReadCache::new(&file))?;
    Ok((file, image))
}

/// Reads the headers of the image `data`; `name` is what errors call it.
pub fn parse<'data>(name: &str, data: impl ReadRef<'data>) -> Result<Image, ElfError> {
    image(data).map_err(|problem| ElfError {
        program: name.to_owned(),
        problem,
    })
}

fn image<'data>(data: impl ReadRef<'data>) -> Result<Image, Problem> {
    let length = data.len().map_err(|()| Problem::ReadFailed)?;
    let header = file_header(data, length)?;
    let headers = program_headers(header, data, length)?;
    let has = |kind| headers.iter().any(|header| header.p_type.get(LE) == kind);
    if has(elf::PT_INTERP) {
        return Err(Problem::Dynamic);
    }
    let segments = segments::collect(headers, length)?;
    let entry = header.e_entry.get(LE);
    if !segments
        .iter()
        .any(|segment| segment.execute && segment.range().contains(&entry))
    {
        return Err(Problem::Entry { entry });
    }
    Ok(Image {
        entry,
        segments,
        stack_size: stack_size(headers)?,
    })
}

/// The file header, of the one kind that can be run.
fn file_header<'data>(
    data: impl ReadRef<'data>,
    length: u64,
) -> Result<&'data FileHeader64<LE>, Problem> {
    if length == 0 {
        return Err(Problem::Empty);
    }
    let magic = length.min(elf::ELFMAG.len() as u64);
    let magic = data
        .read_bytes_at(0, magic)
        .map_err(|()| Problem::ReadFailed)?;
    if magic != elf::ELFMAG.as_slice() {
        return Err(Problem::NotElf);
    }
    if length < size_of::<FileHeader64<LE>>() as u64 {
        return Err(Problem::Truncated);
    }
    // The identification says how the rest is to be read, so it is looked at first; it is the same
    // in 32-bit headers.
    let header: &FileHeader64<LE> = data.read_at(0).map_err(|()| Problem::ReadFailed)?;
    let ident = &header.e_ident;
    match ident.class {
        elf::ELFCLASS64 => {}
        elf::ELFCLASS32 => return Err(Problem::Bits32),
        _ => return Err(Problem::Malformed("its class is neither 32-bit nor 64-bit")),
    }
    match ident.data {
        elf::ELFDATA2LSB => {}
        elf::ELFDATA2MSB => return Err(Problem::BigEndian),
        _ => {
            return Err(Problem::Malformed(
                "its byte order is neither little nor big endian",
            ));
        }
    }
    match header.e_machine.get(LE) {
        elf::EM_X86_64 => {}
        machine => return Err(Problem::Machine { machine: machine.0 }),
    }
    match header.e_type.get(LE) {
        elf::ET_EXEC => Ok(header),
        elf::ET_DYN => Err(Problem::PositionIndependent),
        elf::ET_REL => Err(Problem::ObjectFile),
        elf::ET_CORE => Err(Problem::CoreDump),
        _ => Err(Problem::Malformed("its type is not that of a program")),
    }
}

fn program_headers<'data>(
    header: &FileHeader64<LE>,
    data: impl ReadRef<'data>,
    length: u64,
) -> Result<&'data [ProgramHeader64<LE>], Problem> {
    const SIZE: u16 = size_of::<ProgramHeader64<LE>>() as u16;
    let count = header.e_phnum.get(LE);
    if count == 0 {
        return Err(Problem::NothingToLoad);
    }
    if count > MAX_HEADERS {
        return Err(Problem::TooManyHeaders { count });
    }
    if header.e_phentsize.get(LE) != SIZE {
        return Err(Problem::Malformed(
            "its program headers have an unknown size",
        ));
    }
    let offset = header.e_phoff.get(LE);
    let end = offset.checked_add(u64::from(count) * u64::from(SIZE));
    if end.is_none_or(|end| end > length) {
        return Err(Problem::Truncated);
    }
    data.read_slice_at(offset, usize::from(count))
        .map_err(|()| Problem::ReadFailed)
}

fn stack_size(headers: &[ProgramHeader64<LE>]) -> Result<Option<u64>, Problem> {
    let stack = headers
        .iter()
        .find(|header| header.p_type.get(LE) == elf::PT_GNU_STACK);
    match stack.map_or(0, |header| header.p_memsz.get(LE)) {
        0 => Ok(None),
        size if size <= MAX_STACK => Ok(Some(size)),
        size => Err(Problem::Stack { size }),
    }
}
