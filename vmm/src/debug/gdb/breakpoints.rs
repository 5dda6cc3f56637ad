//! Breakpoints: an int3 in place of an instruction's first byte.
//!
//! It goes into pages of the program's own: a debugged program's text is written like its data, so nothing reaches the image or another
//! process. gdb never sees it: what is read has the instructions' bytes, what is written goes under it.

use std::collections::BTreeMap;

use protocol::Status;

use crate::hypercall::Vm;

const INT3: u8 = 0xCC;

/// The breakpoints that are set: address to the byte that was there.
#[derive(Debug, Default)]
pub(super) struct Breakpoints(BTreeMap<u64, u8>);

impl Breakpoints {
    pub fn contains(&self, address: u64) -> bool {
        self.0.contains_key(&address)
    }

    /// Sets one; one that is there stays.
    pub fn set(&mut self, vm: &Vm, address: u64) -> Result<(), Status> {
        let mut before = [0];
        if self.contains(address) {
            return Ok(());
        }
        if vm.debug_read(address, &mut before) == 0 {
            return Err(Status::NOT_FOUND);
        }
        vm.debug_write(address, &[INT3])?;
        self.0.insert(address, before[0]);
        Ok(())
    }

    /// Says whether there was one.
    pub fn clear(&mut self, vm: &Vm, address: u64) -> Result<bool, Status> {
        let Some(&before) = self.0.get(&address) else {
            return Ok(false);
        };
        vm.debug_write(address, &[before])?;
        self.0.remove(&address);
        Ok(true)
    }

    /// Removes all; where that is not possible any more, nothing is left to be removed from.
    pub fn clear_all(&mut self, vm: &Vm) {
        for (address, before) in std::mem::take(&mut self.0) {
            if let Err(status) = vm.debug_write(address, &[before]) {
                log::warn!("the breakpoint at {address:#x} stays: {status}");
            }
        }
    }

    /// Puts the bytes that belong there into what was read at an address.
    pub fn hide(&self, address: u64, bytes: &mut [u8]) {
        self.within(address, bytes.len(), |at, before| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = before;
            }
        });
    }

    /// Takes what is to be written at an address: what goes where a breakpoint is waits below it.
    pub fn keep(&mut self, address: u64, bytes: &mut [u8]) {
        let end = address.saturating_add(bytes.len() as u64);
        for (at, before) in self.0.range_mut(address..end) {
            if let Some(byte) = bytes.get_mut((at - address) as usize) {
                *before = std::mem::replace(byte, INT3);
            }
        }
    }

    fn within(&self, address: u64, length: usize, mut each: impl FnMut(usize, u8)) {
        let end = address.saturating_add(length as u64);
        for (at, before) in self.0.range(address..end) {
            each((at - address) as usize, *before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdb_never_sees_them() {
        let mut breakpoints = Breakpoints(BTreeMap::from([(0x1001, 7), (0x1003, 9), (0x1008, 1)]));
        let mut read = [1, INT3, 3, INT3];
        breakpoints.hide(0x1000, &mut read);
        assert_eq!(read, [1, 7, 3, 9]);
        let mut written = [5, 6, 7];
        breakpoints.keep(0x1001, &mut written);
        assert_eq!(written, [INT3, 6, INT3]);
        let mut read = [INT3, 6, INT3];
        breakpoints.hide(0x1001, &mut read);
        assert_eq!(read, [5, 6, 7]);
        breakpoints.hide(u64::MAX, &mut read);
    }
}
