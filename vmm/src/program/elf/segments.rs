//! From program headers to segments that can be mapped page by page.

use object::{
    LittleEndian as LE,
    elf::{self, ProgramHeader64},
};
use protocol::{PAGE_SIZE, USER_BASE, USER_END};

use super::{Problem, Segment};

/// The loadable segments of an image of `length` bytes, in ascending order, no two on one page.
pub fn collect(headers: &[ProgramHeader64<LE>], length: u64) -> Result<Vec<Segment>, Problem> {
    let mut segments = Vec::new();
    for header in headers
        .iter()
        .filter(|header| header.p_type.get(LE) == elf::PT_LOAD)
    {
        segments.extend(segment(header, length)?);
    }
    if segments.is_empty() {
        return Err(Problem::NothingToLoad);
    }
    segments.sort_by_key(|segment| segment.va);
    let mut separate: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments {
        match separate.last_mut() {
            Some(below) if below.pages().end > segment.pages().start => join(below, segment)?,
            _ => separate.push(segment),
        }
    }
    Ok(separate)
}

/// One loadable segment, `None` if it takes no memory.
fn segment(header: &ProgramHeader64<LE>, length: u64) -> Result<Option<Segment>, Problem> {
    let flags = header.p_flags.get(LE).0;
    let segment = Segment {
        va: header.p_vaddr.get(LE),
        file_offset: header.p_offset.get(LE),
        file_size: header.p_filesz.get(LE),
        mem_size: header.p_memsz.get(LE),
        write: flags & elf::PF_W.0 != 0,
        execute: flags & elf::PF_X.0 != 0,
    };
    let Segment {
        va,
        file_offset,
        file_size,
        mem_size,
        ..
    } = segment;
    if file_size > mem_size {
        return Err(Problem::FileExceedsMemory {
            va,
            file_size,
            mem_size,
        });
    }
    if mem_size == 0 {
        return Ok(None);
    }
    if flags & (elf::PF_R.0 | elf::PF_W.0 | elf::PF_X.0) == 0 {
        return Err(Problem::NoAccess { va });
    }
    if va < USER_BASE || va.checked_add(mem_size).is_none_or(|end| end > USER_END) {
        return Err(Problem::OutsideUserRange { va, mem_size });
    }
    if file_size > 0 {
        if file_offset
            .checked_add(file_size)
            .is_none_or(|end| end > length)
        {
            return Err(Problem::BeyondFile {
                va,
                file_offset,
                file_size,
                length,
            });
        }
        if file_offset % PAGE_SIZE != va % PAGE_SIZE {
            return Err(Problem::Misaligned { va, file_offset });
        }
    }
    Ok(Some(segment))
}

/// Adds to `below` the segment that begins on its last page. One mapping must hold both: with the
/// same permissions, and, unless the upper one is all zeros, with one stretch of the file behind
/// them.
fn join(below: &mut Segment, above: Segment) -> Result<(), Problem> {
    let (first, second) = (below.va, above.va);
    if below.range().end > above.va {
        return Err(Problem::Overlap { first, second });
    }
    let permissions = |segment: &Segment| (segment.write, segment.execute);
    if permissions(below) != permissions(&above) {
        return Err(Problem::SharedPage { first, second });
    }
    let gap = above.va - below.va;
    if above.file_size > 0 {
        let stretch = |segment: &Segment| segment.va.wrapping_sub(segment.file_offset);
        if stretch(below) != stretch(&above) || below.mem_size > below.file_size {
            return Err(Problem::SharedPage { first, second });
        }
        below.file_size = gap + above.file_size;
    }
    below.mem_size = gap + above.mem_size;
    Ok(())
}
