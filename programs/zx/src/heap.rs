//! The heap behind the crate `alloc`: dlmalloc, on one VMO.
//!
//! The VMO is as large as the heap may become, is mapped whole at the first allocation, and has pages only where something was written.
//! The allocator moves the end of the part in use as other systems move a program's break; what falls behind the end is
//! decommitted.

#![cfg_attr(
    not(target_os = "none"),
    allow(dead_code, reason = "on the host the system's allocator serves")
)]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use dlmalloc::Dlmalloc;

use crate::sync::Mutex;
use crate::{HandleBased, Mapping, PAGE_SIZE, Status, Unowned, Vmo, VmoOp};

/// Bytes that the heap may grow to. They are addresses, not memory.
const SIZE: usize = 64 << 30;

#[cfg(target_os = "none")]
#[global_allocator]
static HEAP: Heap = Heap(Mutex::new(Dlmalloc::new_with_allocator(Region::new())));

struct Heap(Mutex<Dlmalloc<Region>>);

// SAFETY: the lock gives dlmalloc one caller at a time, and sizes and alignments are passed on as they came.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        unsafe { self.0.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        unsafe { self.0.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller.
        unsafe { self.0.lock().free(at, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (old, align) = (layout.size(), layout.align());
        // SAFETY: passed on to the caller.
        unsafe { self.0.lock().realloc(at, old, align, size) }
    }
}

/// The mapping, and how much of it is in use. Only dlmalloc calls it, under the heap's lock.
struct Region {
    vmo: AtomicU32,
    base: AtomicUsize,
    used: AtomicUsize,
}

impl Region {
    const fn new() -> Self {
        Region {
            vmo: AtomicU32::new(0),
            base: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        }
    }

    /// The heap's first address; makes the VMO the first time.
    fn base(&self) -> Result<usize, Status> {
        if self.base.load(Relaxed) == 0 {
            let vmo = Vmo::create(SIZE as u64)?;
            let mapping = Mapping::read_write(&vmo, 0, SIZE)?;
            self.vmo.store(vmo.into_raw(), Relaxed);
            self.base.store(mapping.leak(), Relaxed);
        }
        Ok(self.base.load(Relaxed))
    }

    /// Takes the last bytes back, if they are the last.
    fn cut(&self, from: usize, to: usize) -> bool {
        let (base, used) = (self.base.load(Relaxed), self.used.load(Relaxed));
        if to != base + used {
            return false;
        }
        let range = (from - base) as u64..used as u64;
        let vmo = Unowned::<Vmo>::from_raw(self.vmo.load(Relaxed));
        if vmo.op_range(VmoOp::Decommit, range).is_err() {
            return false;
        }
        self.used.store(from - base, Relaxed);
        true
    }
}

// SAFETY: regions are parts of one mapping that follow each other, and none is given out twice before it is cut off.
unsafe impl dlmalloc::Allocator for Region {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let used = self.used.load(Relaxed);
        match (self.base(), used.checked_add(size)) {
            (Ok(base), Some(end)) if end <= SIZE => {
                self.used.store(end, Relaxed);
                (ptr::with_exposed_provenance_mut(base + used), size, 0)
            }
            _ => (ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, at: *mut u8, old: usize, new: usize) -> bool {
        self.cut(at.addr() + new, at.addr() + old)
    }

    fn free(&self, at: *mut u8, size: usize) -> bool {
        self.cut(at.addr(), at.addr() + size)
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_SIZE as usize
    }
}
