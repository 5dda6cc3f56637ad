//! The guest kernel and the built-in programs: ELF files inside this binary, put there by `build.rs`.
//!
//! `ZVMM_GUEST_KERNEL=PATH` at build time embeds another kernel. Every image begins on a page boundary.

/// An ELF image and the name of its binary.
type Named = (&'static str, &'static [u8]);

static KERNELS: &[Named; 1] = include!(concat!(env!("OUT_DIR"), "/kernel.rs"));

/// The guest kernel's ELF image.
pub static KERNEL: &[u8] = {
    let [(_, image)] = KERNELS;
    image
};

/// Name and ELF image of every built-in program, in the order of their names.
pub fn programs() -> &'static [(&'static str, &'static [u8])] {
    static PROGRAMS: &[Named] = include!(concat!(env!("OUT_DIR"), "/programs.rs"));
    PROGRAMS
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use object::{
        Endianness, elf,
        read::elf::{FileHeader, ProgramHeader},
    };

    use super::*;

    /// Addresses and flags of the segments that take up memory.
    fn segments(image: &[u8]) -> Vec<(Range<u64>, elf::ProgramFlags)> {
        let header = elf::FileHeader64::<Endianness>::parse(image).unwrap();
        let endian = header.endian().unwrap();
        assert_eq!(
            header.e_type(endian),
            elf::ET_EXEC,
            "static, not position-independent"
        );
        assert_eq!(header.e_machine(endian), elf::EM_X86_64);
        let segments = header.program_headers(endian, image).unwrap().iter();
        let segments = segments.inspect(|segment| {
            assert_eq!(
                segment.p_type(endian),
                elf::PT_LOAD,
                "no interpreter, no relocations"
            );
        });
        let segments = segments.map(|segment| {
            let start = segment.p_vaddr(endian);
            (
                start..start + segment.p_memsz(endian),
                segment.p_flags(endian),
            )
        });
        segments
            .filter(|(addresses, _)| !addresses.is_empty())
            .collect()
    }

    /// No segment shares a page with another, and none is writable and executable.
    fn assert_separate(image: &[u8]) {
        assert_eq!(image.as_ptr().align_offset(4096), 0);
        let mut end = 0;
        for (addresses, flags) in segments(image) {
            assert!(
                addresses.start % 4096 == 0 && addresses.start >= end,
                "{addresses:x?}"
            );
            assert_ne!(
                flags & (elf::PF_W | elf::PF_X),
                elf::PF_W | elf::PF_X,
                "{addresses:x?}"
            );
            end = addresses.end.next_multiple_of(4096);
        }
    }

    #[test]
    fn the_kernel_lies_between_its_base_and_the_vcpu_areas() {
        use protocol::boot::{IMAGE_BASE, KERNEL_BASE, VCPU_AREAS};
        assert_separate(KERNEL);
        let segments = segments(KERNEL);
        assert!(
            segments
                .iter()
                .any(|(addresses, _)| addresses.start == KERNEL_BASE + IMAGE_BASE)
        );
        for (addresses, _) in segments {
            assert!(
                addresses.start >= KERNEL_BASE + IMAGE_BASE,
                "{addresses:x?}"
            );
            assert!(addresses.end <= KERNEL_BASE + VCPU_AREAS, "{addresses:x?}");
        }
    }

    #[test]
    fn programs_have_distinct_sorted_names_and_separate_segments() {
        assert!(!programs().is_empty());
        assert!(programs().is_sorted_by(|(a, _), (b, _)| a < b));
        for (name, image) in programs() {
            println!("{name}");
            assert_separate(image);
        }
    }
}
