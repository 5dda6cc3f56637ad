//! `zx_object_get_info` on address spaces: VMARs, and the mappings of a process.

/// Topic: [`InfoVmar`].
pub const TOPIC_VMAR: u32 = 7;
/// Topic: [`InfoMaps`] records, cut and counted in pages: see [`InfoMaps::to_bytes_v1`].
pub const TOPIC_PROCESS_MAPS_V1: u32 = 13;
/// Topic: [`InfoMaps`] records, cut and counted in pages: see [`InfoMaps::to_bytes_v2`].
pub const TOPIC_PROCESS_MAPS_V2: u32 = 0x1000_000D;
/// Topic: [`InfoMaps`] records.
pub const TOPIC_PROCESS_MAPS: u32 = 0x2000_000D;

/// [`InfoMaps::kind`]: the address space.
pub const MAPS_TYPE_ASPACE: u32 = 1;
/// [`InfoMaps::kind`]: a VMAR.
pub const MAPS_TYPE_VMAR: u32 = 2;
/// [`InfoMaps::kind`]: a mapping.
pub const MAPS_TYPE_MAPPING: u32 = 3;

/// `zx_info_vmar_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoVmar {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
}

/// `zx_info_maps_t`: a node of the tree of an address space, in depth-first order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoMaps {
    /// Name, with a NUL: a mapping has its VMO's.
    pub name: [u8; 32],
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// 0 the address space, 1 the root VMAR, 2 what lies in that, and so on.
    pub depth: u64,
    /// One of `MAPS_TYPE_*`.
    pub kind: u32,
    /// Zero.
    pub padding: u32,
    /// Of a mapping; zero otherwise.
    pub mapping: InfoMapsMapping,
}

/// `zx_info_maps_mapping_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoMapsMapping {
    /// The PERM_* bits in force.
    pub mmu_flags: u32,
    /// Zero.
    pub padding: u32,
    /// Id of the VMO.
    pub vmo_koid: u64,
    /// Byte offset of the mapping in it.
    pub vmo_offset: u64,
    /// Bytes of committed pages of the part that is mapped.
    pub committed_bytes: u64,
    /// Committed plus compressed bytes (equal to committed here).
    pub populated_bytes: u64,
    /// Committed bytes not shared with others.
    pub committed_private_bytes: u64,
    /// Populated bytes not shared with others.
    pub populated_private_bytes: u64,
    /// Committed bytes, each divided by its sharers.
    pub committed_scaled_bytes: u64,
    /// Populated bytes, each divided by its sharers.
    pub populated_scaled_bytes: u64,
    /// Fraction of a byte left over in `committed_scaled_bytes`.
    pub committed_fractional_scaled_bytes: u64,
    /// Fraction of a byte left over in `populated_scaled_bytes`.
    pub populated_fractional_scaled_bytes: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<InfoVmar>() == 16, "zx_info_vmar_t is 16 bytes");
    assert!(size_of::<InfoMaps>() == 152, "zx_info_maps_t is 152 bytes");
    assert!(offset_of!(InfoMaps, kind) == 56, "the type at 56");
    assert!(offset_of!(InfoMaps, mapping) == 64, "the union at 64");
    assert!(
        offset_of!(InfoMapsMapping, committed_bytes) == 24,
        "the older versions have pages here"
    );
};

impl InfoVmar {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 16] {
        (u128::from(self.len) << 64 | u128::from(self.base)).to_le_bytes()
    }
}

impl InfoMaps {
    /// The whole record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 152] {
        let mapping = &self.mapping;
        self.with_counts([
            mapping.committed_bytes,
            mapping.populated_bytes,
            mapping.committed_private_bytes,
            mapping.populated_private_bytes,
            mapping.committed_scaled_bytes,
            mapping.populated_scaled_bytes,
            mapping.committed_fractional_scaled_bytes,
            mapping.populated_fractional_scaled_bytes,
        ])
    }

    /// The second version: after the offset, committed and populated pages.
    pub fn to_bytes_v2(&self) -> [u8; 104] {
        let pages = |bytes| bytes / crate::PAGE_SIZE;
        let mapping = &self.mapping;
        self.with_counts([
            pages(mapping.committed_bytes),
            pages(mapping.populated_bytes),
        ])
    }

    /// The first version: after the offset, committed pages.
    pub fn to_bytes_v1(&self) -> [u8; 96] {
        self.with_counts([self.mapping.committed_bytes / crate::PAGE_SIZE])
    }

    fn with_counts<const COUNTS: usize, const SIZE: usize>(
        &self,
        counts: [u64; COUNTS],
    ) -> [u8; SIZE] {
        const { assert!(SIZE == 88 + 8 * COUNTS, "counts from byte 88 on") };
        let mapping = &self.mapping;
        let mut out = [0; SIZE];
        let head = [
            self.base,
            self.size,
            self.depth,
            self.kind.into(),
            mapping.mmu_flags.into(),
            mapping.vmo_koid,
            mapping.vmo_offset,
        ];
        let words = head.into_iter().chain(counts);
        let (name, rest) = out.split_at_mut(self.name.len());
        name.copy_from_slice(&self.name);
        for (slot, word) in rest.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}
