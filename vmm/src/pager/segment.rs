//! Serves one segment of an ELF image: a piece of the image, zeros around it.
//!
//! ```text
//! VMO:   0        lead            lead + file_size             lead + memory_size
//!        | zeros  | bytes of the image at file_offset | zeros (bss)  |
//! ```
//! `lead` is the segment's address within its first page. What the image holds before and after the segment's bytes
//! does not show. Pages of zeros alone are answered without touching the image.

use std::sync::Arc;

use protocol::PAGE_SIZE;

use super::{ByteSource, HostPager, ReadError, Wait};

/// Where a segment's bytes are; all in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLayout {
    /// Zeros before the segment, less than a page.
    pub lead: u64,
    /// Where the segment's bytes start in the image.
    pub file_offset: u64,
    /// Bytes taken from the image.
    pub file_size: u64,
    /// Bytes of the segment, zeros at its end included.
    pub memory_size: u64,
}

/// Why a layout is no segment of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The image ends before the segment does.
    #[error(
        "the segment's {file_size} bytes at {file_offset} lie outside the image of {length} bytes"
    )]
    OutsideImage {
        /// Offset in the image.
        file_offset: u64,
        /// Bytes.
        file_size: u64,
        /// Bytes of the image.
        length: u64,
    },
    /// More bytes in the image than in memory.
    #[error("the segment has {file_size} bytes in the image but only {memory_size} in memory")]
    LargerThanMemory {
        /// Bytes in the image.
        file_size: u64,
        /// Bytes in memory.
        memory_size: u64,
    },
    /// The lead is a page or more, or the sizes overflow.
    #[error("the segment's size or place in its first page is absurd")]
    Absurd,
}

/// A pager for one segment of an image.
#[derive(Debug)]
pub struct SegmentPager {
    source: Arc<dyn ByteSource>,
    layout: SegmentLayout,
}

impl SegmentPager {
    /// Serves the segment that `layout` finds in `source`.
    pub fn new(source: Arc<dyn ByteSource>, layout: SegmentLayout) -> Result<Self, SegmentError> {
        let SegmentLayout {
            lead,
            file_offset,
            file_size,
            memory_size,
        } = layout;
        if lead >= PAGE_SIZE || lead.checked_add(memory_size).is_none() {
            return Err(SegmentError::Absurd);
        }
        if file_size > memory_size {
            return Err(SegmentError::LargerThanMemory {
                file_size,
                memory_size,
            });
        }
        let length = source.length();
        if file_offset
            .checked_add(file_size)
            .is_none_or(|end| end > length)
        {
            return Err(SegmentError::OutsideImage {
                file_offset,
                file_size,
                length,
            });
        }
        Ok(SegmentPager { source, layout })
    }

    /// The part of `[offset, offset + length)` that comes from the image, counted from the start of the VMO.
    fn image_part(&self, offset: u64, length: usize) -> Option<(u64, u64)> {
        let SegmentLayout {
            lead, file_size, ..
        } = self.layout;
        let start = offset.max(lead);
        let end = offset
            .saturating_add(length as u64)
            .min(lead.saturating_add(file_size));
        (start < end).then_some((start, end))
    }
}

impl HostPager for SegmentPager {
    fn size(&self) -> u64 {
        self.layout.lead.saturating_add(self.layout.memory_size)
    }

    fn read(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError> {
        buffer.fill(0);
        let Some((start, end)) = self.image_part(offset, buffer.len()) else {
            return Ok(());
        };
        // Both lie inside the buffer, and start is at or after the lead.
        let within = (start - offset) as usize..(end - offset) as usize;
        let at = self
            .layout
            .file_offset
            .saturating_add(start - self.layout.lead);
        match buffer.get_mut(within) {
            Some(bytes) => self.source.read_bytes(at, bytes, wait),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::Status;

    use super::*;
    use crate::pager::ImagePager;

    static IMAGE: [u8; 20_000] = {
        let mut bytes = [0; 20_000];
        let mut at = 0;
        while at < bytes.len() {
            bytes[at] = (at % 251) as u8 + 1;
            at += 1;
        }
        bytes
    };

    fn image() -> Arc<dyn ByteSource> {
        Arc::new(ImagePager::new("image", &IMAGE))
    }

    /// A source that must not be asked.
    #[derive(Debug)]
    struct Untouchable;

    impl ByteSource for Untouchable {
        fn length(&self) -> u64 {
            4096
        }

        fn read_bytes(&self, _: u64, _: &mut [u8], _: Wait) -> Result<(), ReadError> {
            Err(ReadError::Failed {
                status: Status::INTERNAL,
                reason: "asked".into(),
            })
        }
    }

    #[test]
    fn bss_needs_no_image() {
        let layout = SegmentLayout {
            lead: 0,
            file_offset: 0,
            file_size: 4096,
            memory_size: 12288,
        };
        let pager = SegmentPager::new(Arc::new(Untouchable), layout).unwrap();
        let mut pages = [0xff; 8192];
        pager.read(4096, &mut pages, Wait::Never).unwrap();
        assert!(pages.iter().all(|&byte| byte == 0));
        assert!(pager.read(0, &mut pages, Wait::Never).is_err());
    }

    #[test]
    fn absurd_layouts_are_refused() {
        let layout = SegmentLayout {
            lead: 0,
            file_offset: 0,
            file_size: 10,
            memory_size: 20,
        };
        let refused = |layout| SegmentPager::new(image(), layout).unwrap_err();
        assert!(matches!(
            refused(SegmentLayout {
                file_offset: 19_991,
                ..layout
            }),
            SegmentError::OutsideImage { .. }
        ));
        assert!(matches!(
            refused(SegmentLayout {
                file_offset: u64::MAX,
                ..layout
            }),
            SegmentError::OutsideImage { .. }
        ));
        assert!(matches!(
            refused(SegmentLayout {
                memory_size: 9,
                ..layout
            }),
            SegmentError::LargerThanMemory { .. }
        ));
        assert_eq!(
            refused(SegmentLayout {
                lead: 4096,
                ..layout
            }),
            SegmentError::Absurd
        );
        assert_eq!(
            refused(SegmentLayout {
                lead: 1,
                memory_size: u64::MAX,
                ..layout
            }),
            SegmentError::Absurd
        );
    }

    proptest! {
        #[test]
        fn every_page_is_what_the_drawing_says(
            lead in 0u64..4096,
            file_offset in 0u64..10_000,
            file_size in 0u64..10_000,
            bss in 0u64..10_000,
            first in 0u64..6,
            count in 1usize..4,
        ) {
            let layout = SegmentLayout { lead, file_offset, file_size, memory_size: file_size + bss };
            let pager = SegmentPager::new(image(), layout).unwrap();
            let mut pages = vec![0xff; count * 4096];
            pager.read(first * 4096, &mut pages, Wait::Never).unwrap();
            for (at, &byte) in pages.iter().enumerate() {
                let position = first * 4096 + at as u64;
                let expected = if position < lead || position >= lead + file_size {
                    0
                } else {
                    IMAGE[(file_offset + position - lead) as usize]
                };
                prop_assert_eq!(byte, expected, "at {}", position);
            }
        }
    }
}
