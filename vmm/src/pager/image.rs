//! Serves an image that lies in the VMM's own memory: a built-in program, or what the VMM has made.

use std::borrow::Cow;

use super::{ByteSource, HostPager, ReadError, Wait, outside, read_pages};

/// Bytes under a name.
pub struct ImagePager {
    name: &'static str,
    bytes: Cow<'static, [u8]>,
}

impl ImagePager {
    /// Serves `bytes`; `name` is for reports.
    pub fn new(name: &'static str, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        let bytes = bytes.into();
        ImagePager { name, bytes }
    }
}

impl std::fmt::Debug for ImagePager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImagePager({}, {} bytes)", self.name, self.bytes.len())
    }
}

impl ByteSource for ImagePager {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_bytes(&self, offset: u64, buffer: &mut [u8], _wait: Wait) -> Result<(), ReadError> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.bytes.get(offset..)?.get(..buffer.len()));
        let Some(found) = found else {
            return Err(outside(&self.name, offset, buffer.len(), self.length()));
        };
        buffer.copy_from_slice(found);
        Ok(())
    }
}

impl HostPager for ImagePager {
    fn size(&self) -> u64 {
        self.length()
    }

    fn read(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError> {
        read_pages(self, offset, buffer, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImagePager {
        ImagePager::new("sum", b"hello".as_slice())
    }

    #[test]
    fn pages_are_the_bytes_then_zeros() {
        let mut pages = [0xff; 8192];
        image().read(0, &mut pages, Wait::Never).unwrap();
        assert_eq!(&pages[..5], b"hello");
        assert!(pages[5..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn bytes_outside_are_refused() {
        let error = image().read_bytes(3, &mut [0; 3], Wait::Never).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sum: 3 bytes at 3 lie outside its 5 bytes (ZX_ERR_OUT_OF_RANGE)"
        );
        assert!(
            image()
                .read_bytes(u64::MAX, &mut [0; 1], Wait::Never)
                .is_err()
        );
    }
}
