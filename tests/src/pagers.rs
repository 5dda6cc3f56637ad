//! A pager that a test scripts.

use std::fmt;

use vmm::pager::{HostPager, ReadError, Wait};

/// What answers a read.
type Answer = Box<dyn Fn(u64, &mut [u8], Wait) -> Result<(), ReadError> + Send + Sync>;

/// A pager of a given size whose reads are a function of the test.
pub struct Scripted {
    size: u64,
    answer: Answer,
}

impl Scripted {
    /// A pager of `size` bytes.
    pub fn new(
        size: u64,
        answer: impl Fn(u64, &mut [u8], Wait) -> Result<(), ReadError> + Send + Sync + 'static,
    ) -> Self {
        let answer = Box::new(answer);
        Scripted { size, answer }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl HostPager for Scripted {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError> {
        (self.answer)(offset, buffer, wait)
    }
}
