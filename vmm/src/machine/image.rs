//! The guest kernel's ELF image: parsed, checked against this VMM, copied into guest RAM.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{
    Endianness, elf,
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};
use protocol::{
    ABI_VERSION,
    boot::{
        IMAGE_BASE, IMAGE_HEADER_SECTION, IMAGE_MAGIC, ImageHeader, KERNEL_BASE, VCPU_AREAS,
        VECTORS,
    },
};

use super::{error::MachineError, ram::Ram};

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImageError {
    /// Not a 64-bit ELF file, or a broken one.
    #[error("not a valid 64-bit ELF file: {0}")]
    Elf(String),
    /// Another machine's or kind of file.
    #[error("not a statically linked x86-64 executable (type {kind}, machine {machine})")]
    Kind {
        /// `e_type`.
        kind: u16,
        /// `e_machine`.
        machine: u16,
    },
    /// The header section is missing or too short.
    #[error("no section {IMAGE_HEADER_SECTION} with a header: this is not a zvmm guest kernel")]
    NoHeader,
    /// The header does not begin with the magic number.
    #[error("section {IMAGE_HEADER_SECTION} begins with {0:#x}: this is not a zvmm guest kernel")]
    Magic(u64),
    /// Kernel and VMM were built from different versions of `protocol`.
    #[error(
        "it speaks ABI version {image}, this zvmm speaks {ABI_VERSION}; build both from the same source"
    )]
    Abi {
        /// The image's version.
        image: u32,
    },
    /// A segment is not where guest kernels are.
    #[error("segment {start:#x}..{end:#x} is outside {:#x}..{:#x}", IMAGE.start, IMAGE.end)]
    Segment {
        /// First address.
        start: u64,
        /// End address.
        end: u64,
    },
    /// The header names an address that is not code of the image.
    #[error("the header names {0:#x}, which is not in an executable segment")]
    Address(u64),
}

/// Where a kernel image may be, as virtual addresses.
const IMAGE: Range<u64> = KERNEL_BASE + IMAGE_BASE..KERNEL_BASE + VCPU_AREAS;

/// What a segment may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Access {
    pub(super) write: bool,
    pub(super) execute: bool,
}

#[derive(Debug)]
struct Segment<'a> {
    addresses: Range<u64>,
    access: Access,
    bytes: &'a [u8],
}

/// A kernel image that fits this VMM.
#[derive(Debug)]
pub struct KernelImage<'a> {
    header: ImageHeader,
    segments: Vec<Segment<'a>>,
}

impl<'a> KernelImage<'a> {
    /// Parses and checks an ELF file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        let broken = |error: object::Error| ImageError::Elf(error.to_string());
        let elf_header = elf::FileHeader64::<Endianness>::parse(file).map_err(broken)?;
        let endian = elf_header.endian().map_err(broken)?;
        let (kind, machine) = (elf_header.e_type(endian), elf_header.e_machine(endian));
        if kind != elf::ET_EXEC || machine != elf::EM_X86_64 {
            return Err(ImageError::Kind {
                kind: kind.0,
                machine: machine.0,
            });
        }
        let sections = elf_header.sections(endian, file).map_err(broken)?;
        let (_, section) = sections
            .section_by_name(endian, IMAGE_HEADER_SECTION.as_bytes())
            .ok_or(ImageError::NoHeader)?;
        let header = parse_header(section.data(endian, file).map_err(broken)?)?;

        let mut segments = Vec::new();
        for program_header in elf_header.program_headers(endian, file).map_err(broken)? {
            if program_header.p_type(endian) != elf::PT_LOAD {
                continue;
            }
            let start = program_header.p_vaddr(endian);
            let end = start.saturating_add(program_header.p_memsz(endian));
            if start < IMAGE.start || end > IMAGE.end || start > end {
                return Err(ImageError::Segment { start, end });
            }
            let bytes = program_header
                .data(endian, file)
                .map_err(|()| ImageError::Elf(format!("segment {start:#x} exceeds the file")))?;
            if bytes.len() as u64 > end - start {
                return Err(ImageError::Elf(format!(
                    "segment {start:#x} exceeds its memory"
                )));
            }
            let flags = program_header.p_flags(endian);
            let access = Access {
                write: flags.0 & elf::PF_W.0 != 0,
                execute: flags.0 & elf::PF_X.0 != 0,
            };
            segments.push(Segment {
                addresses: start..end,
                access,
                bytes,
            });
        }
        let image = Self { header, segments };
        let named = [
            header.entry,
            header.syscall_entry,
            header.syscall_out,
            header.landing,
            header.iretq,
        ];
        for address in named.into_iter().chain(header.vectors) {
            if !image.is_code(address) {
                return Err(ImageError::Address(address));
            }
        }
        Ok(image)
    }

    /// The header.
    pub fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// Instructions from an address of the kernel's code on until it leaves for ring 3, with no conditional jump taken; `None` if that is
    /// not to be seen.
    pub fn instructions_to_return(&self, from: u64) -> Option<usize> {
        let holds = |segment: &&Segment<'_>| segment.addresses.contains(&from);
        let segment = self.segments.iter().find(holds)?;
        let bytes = segment
            .bytes
            .get((from - segment.addresses.start) as usize..)?;
        let decoder = Decoder::with_ip(64, bytes, from, DecoderOptions::NONE);
        for (before, instruction) in decoder.into_iter().enumerate() {
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::ConditionalBranch => {}
                FlowControl::Return => return Some(before + 1),
                _ => return None,
            }
        }
        None
    }

    /// Addresses of the kernel's code.
    pub(super) fn code(&self) -> Vec<Range<u64>> {
        let code = self
            .segments
            .iter()
            .filter(|segment| segment.access.execute);
        code.map(|segment| segment.addresses.clone()).collect()
    }

    /// What the page at the virtual address `page` may be used for: all that its segments may.
    pub(super) fn access(&self, page: u64) -> Option<Access> {
        let overlapping = self.segments.iter().filter(|segment| {
            segment.addresses.start < page + 4096 && page < segment.addresses.end
        });
        overlapping
            .map(|segment| segment.access)
            .reduce(|a, b| Access {
                write: a.write || b.write,
                execute: a.execute || b.execute,
            })
    }

    /// Copies the segments into (zeroed) guest RAM.
    pub(super) fn load(&self, ram: &Ram) -> Result<(), MachineError> {
        for segment in &self.segments {
            ram.write_bytes(segment.addresses.start - KERNEL_BASE, segment.bytes)?;
        }
        Ok(())
    }

    fn is_code(&self, address: u64) -> bool {
        let mut code = self
            .segments
            .iter()
            .filter(|segment| segment.access.execute);
        code.any(|segment| segment.addresses.contains(&address))
    }
}

/// Reads the header and checks that it is meant for this VMM.
fn parse_header(bytes: &[u8]) -> Result<ImageHeader, ImageError> {
    let mut words = bytes
        .chunks_exact(8)
        .map_while(|chunk| Some(u64::from_le_bytes(chunk.try_into().ok()?)));
    let mut next = || words.next().ok_or(ImageError::NoHeader);
    let magic = next()?;
    if magic != IMAGE_MAGIC {
        return Err(ImageError::Magic(magic));
    }
    let abi_version = next()? as u32;
    if abi_version != ABI_VERSION {
        return Err(ImageError::Abi { image: abi_version });
    }
    let (entry, syscall_entry, syscall_out, syscall_out_end) = (next()?, next()?, next()?, next()?);
    let mut vectors = [0; VECTORS];
    for vector in &mut vectors {
        *vector = next()?;
    }
    Ok(ImageHeader {
        magic,
        abi_version,
        reserved: 0,
        entry,
        syscall_entry,
        syscall_out,
        syscall_out_end,
        vectors,
        landing: next()?,
        iretq: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_image::KERNEL;

    fn header_at(file: &[u8]) -> usize {
        let magic = IMAGE_MAGIC.to_le_bytes();
        file.windows(8).position(|window| window == magic).unwrap()
    }

    #[test]
    fn the_built_in_kernel_is_accepted() {
        let image = KernelImage::parse(KERNEL).unwrap();
        let header = image.header();
        assert_eq!(
            header.syscall_out_end - header.syscall_out,
            2,
            "out imm8, eax"
        );
        assert!(header.landing < header.syscall_entry);
        let text = image.access(header.entry & !0xFFF).unwrap();
        assert_eq!(
            text,
            Access {
                write: false,
                execute: true
            }
        );
        assert!(
            image
                .segments
                .iter()
                .all(|s| !(s.access.write && s.access.execute))
        );
    }

    #[test]
    fn a_call_that_is_answered_at_once_takes_few_instructions() {
        let image = KernelImage::parse(KERNEL).unwrap();
        let header = image.header();
        let count = |from| image.instructions_to_return(from);
        // `out`, `jc`, `sysretq`; before them the landing's three.
        assert_eq!(count(header.syscall_entry), Some(3));
        assert_eq!(count(header.landing), Some(6));
        assert_eq!(count(header.entry), None, "it calls");
        assert_eq!(count(0), None);
    }

    #[test]
    fn loading_copies_the_header_to_its_address() {
        let ram = Ram::new().unwrap();
        KernelImage::parse(KERNEL).unwrap().load(&ram).unwrap();
        assert_eq!(ram.read_u64(IMAGE_BASE).unwrap(), IMAGE_MAGIC);
    }

    #[test]
    fn another_abi_is_refused_with_both_versions() {
        let mut file = KERNEL.to_vec();
        let at = header_at(&file);
        file[at + 8] = 99;
        let error = KernelImage::parse(&file).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "it speaks ABI version 99, this zvmm speaks {ABI_VERSION}; build both from the same source"
            )
        );
    }

    #[test]
    fn a_wrong_magic_number_and_wild_addresses_are_refused() {
        let mut file = KERNEL.to_vec();
        let at = header_at(&file);
        file[at + 16..at + 24].copy_from_slice(&0xFFFF_FFFF_8000_0000u64.to_le_bytes());
        assert_eq!(
            KernelImage::parse(&file).unwrap_err(),
            ImageError::Address(KERNEL_BASE)
        );
        file[at] ^= 1;
        assert!(matches!(
            KernelImage::parse(&file).unwrap_err(),
            ImageError::Magic(_)
        ));
    }

    #[test]
    fn files_that_are_no_kernel_are_refused() {
        assert!(matches!(
            KernelImage::parse(b"#!/bin/sh"),
            Err(ImageError::Elf(_))
        ));
        assert!(matches!(
            KernelImage::parse(&KERNEL[..200]),
            Err(ImageError::Elf(_))
        ));
        let mut file = KERNEL.to_vec();
        file[16] = 3;
        assert_eq!(
            KernelImage::parse(&file).unwrap_err(),
            ImageError::Kind {
                kind: 3,
                machine: 62
            }
        );
    }
}
