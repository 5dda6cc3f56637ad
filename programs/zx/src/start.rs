//! Program start: from the first instruction to the program's own function, and what it is given.
//!
//! `_start` (from [`#[zx::main]`](macro@crate::main)) gets the address of the start-up page in rdi and a 16-byte aligned stack.

use core::mem::{offset_of, size_of};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use alloc::collections::BTreeSet;
use protocol::{RawHandle, STARTUP_VERSION, StartupHandle, StartupHeader};

use crate::main_function::Main;
use crate::sync::Mutex;
use crate::{HandleBased, Process, vmar};

/// Exit code of a program that was given no start-up page it understands.
const START_FAILURE_EXIT_CODE: i64 = 102;

/// A start-up page that this program does not understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartupError {
    /// The page has this layout version, another than [`STARTUP_VERSION`].
    Version(u32),
    /// A count or an offset points outside the page.
    Malformed,
}

/// What the program was given: its arguments and named handles.
#[derive(Clone, Copy, Debug)]
pub struct Startup<'a> {
    bytes: &'a [u8],
    handles: &'a [u8],
    args: &'a [u8],
    arg_count: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*field))
}

impl<'a> Startup<'a> {
    /// Reads a start-up page out of its bytes; more bytes than the page uses do no harm.
    ///
    /// # Errors
    /// See [`StartupError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, StartupError> {
        let field = |at: usize| u32_at(bytes, at).ok_or(StartupError::Malformed);
        let version = field(offset_of!(StartupHeader, version))?;
        if version != STARTUP_VERSION {
            return Err(StartupError::Version(version));
        }
        let size = field(offset_of!(StartupHeader, size))? as usize;
        let count = field(offset_of!(StartupHeader, handle_count))? as usize;
        let handles_offset = field(offset_of!(StartupHeader, handles_offset))? as usize;
        let arg_count = field(offset_of!(StartupHeader, arg_count))? as usize;
        let args_offset = field(offset_of!(StartupHeader, args_offset))? as usize;
        let parts = || {
            let bytes = bytes.get(..size)?;
            let length = count.checked_mul(size_of::<StartupHandle>())?;
            let handles = bytes.get(handles_offset..handles_offset.checked_add(length)?)?;
            Some((bytes, handles, bytes.get(args_offset..)?))
        };
        let (bytes, handles, args) = parts().ok_or(StartupError::Malformed)?;
        Ok(Startup {
            bytes,
            handles,
            args,
            arg_count,
        })
    }

    /// The whole page.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The arguments; the first is the program's name. One that is not UTF-8 reads as "?".
    pub fn args(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.args
            .split(|&byte| byte == 0)
            .take(self.arg_count)
            .map(|arg| core::str::from_utf8(arg).unwrap_or("?"))
    }

    /// Argument `n`; 0 is the program's name.
    pub fn arg(&self, n: usize) -> Option<&'a str> {
        self.args().nth(n)
    }

    /// The named handles, in the order given.
    pub fn handles(&self) -> impl Iterator<Item = (&'a str, RawHandle)> + use<'a> {
        self.handles
            .chunks_exact(size_of::<StartupHandle>())
            .filter_map(|record| {
                let name = record.split(|&byte| byte == 0).next()?;
                let handle = u32_at(record, offset_of!(StartupHandle, handle))?;
                Some((core::str::from_utf8(name).ok()?, handle))
            })
    }

    /// The handle called `name`.
    pub fn handle(&self, name: &str) -> Option<RawHandle> {
        self.handles()
            .find(|(candidate, _)| *candidate == name)
            .map(|(_, handle)| handle)
    }
}

/// Where the start-up page is; set once by [`run`], before the program's own code runs.
static PAGE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Start-up handles that have an owner.
static TAKEN: Mutex<BTreeSet<RawHandle>> = Mutex::new(BTreeSet::new());

/// The start-up page at an address.
///
/// # Safety
/// The page is mapped, readable and never written to.
unsafe fn read(page: *const u8) -> Result<Startup<'static>, StartupError> {
    // SAFETY: as the caller promises; the header says how long the page is.
    Startup::parse(unsafe {
        let header = page.cast::<StartupHeader>().read();
        core::slice::from_raw_parts(page, header.size as usize)
    })
}

/// What the program was given, from anywhere in it.
pub fn startup() -> Option<Startup<'static>> {
    let page = PAGE.load(Relaxed);
    // SAFETY: `run` has set it to the page it was given, which nobody writes to.
    (!page.is_null()).then(|| unsafe { read(page) }.ok())?
}

/// The start-up handle called `name`, with its ownership: whoever asks for it next gets nothing.
pub fn take_startup_handle<T: HandleBased>(name: &str) -> Option<T> {
    let handle = startup()?.handle(name)?;
    TAKEN.lock().insert(handle).then(|| T::from_raw(handle))
}

/// Parses the start-up page, calls `main` and ends the process with its result; what [`crate::entry!`] expands to.
///
/// # Safety
/// `page` is the address of the start-up page that the VMM made.
pub unsafe fn run<M>(page: *const u8, main: impl Main<M>) -> ! {
    // SAFETY: the page is mapped, readable and never written to.
    match unsafe { read(page) } {
        Ok(startup) => {
            let handle = |name| startup.handle(name).unwrap_or(0);
            vmar::remember(handle("vmar"), handle("process"));
            PAGE.store(page.cast_mut(), Relaxed);
            Process::exit(i64::from(main.call(&startup)))
        }
        Err(error) => {
            crate::println!(
                "zx: the start-up page is not version {STARTUP_VERSION} of its layout: {error:?}"
            );
            Process::exit(START_FAILURE_EXIT_CODE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn page(handles: &[(&str, u32)], args: &[&str]) -> Vec<u8> {
        let handles_offset = size_of::<StartupHeader>();
        let args_offset = handles_offset + handles.len() * size_of::<StartupHandle>();
        let size = args_offset + args.iter().map(|arg| arg.len() + 1).sum::<usize>();
        let words = [
            STARTUP_VERSION as usize,
            size,
            handles.len(),
            handles_offset,
            args.len(),
            args_offset,
        ];
        let mut bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| (*word as u32).to_le_bytes())
            .collect();
        for (name, handle) in handles {
            bytes.extend(protocol::startup_handle_name(name).unwrap());
            bytes.extend(handle.to_le_bytes());
            bytes.extend(3u32.to_le_bytes());
        }
        for arg in args {
            bytes.extend(arg.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn handles_are_found_by_name() {
        let bytes = page(&[("vmar", 7), ("data", 11)], &["sum"]);
        let startup = Startup::parse(&bytes).unwrap();
        assert_eq!(startup.handle("data"), Some(11));
        assert_eq!(startup.handle("vmar"), Some(7));
        assert_eq!(startup.handle("dat"), None);
    }

    #[test]
    fn arguments_keep_their_order_and_may_be_empty() {
        let mut bytes = page(&[], &["sum", "", "b c"]);
        bytes.extend([0; 64]);
        let startup = Startup::parse(&bytes).unwrap();
        assert_eq!(startup.args().collect::<Vec<_>>(), ["sum", "", "b c"]);
        assert_eq!(startup.arg(3), None);
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = page(&[], &["x"]);
        bytes[0] = 9;
        assert_eq!(
            Startup::parse(&bytes).unwrap_err(),
            StartupError::Version(9)
        );
    }

    #[test]
    fn counts_and_offsets_outside_the_page_are_refused() {
        for word in 1..6 {
            let mut bytes = page(&[("vmar", 7)], &["x"]);
            bytes[word * 4..word * 4 + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            let parsed = Startup::parse(&bytes);
            // Too many arguments are only fewer than announced.
            assert_eq!(parsed.is_err(), word != 4, "word {word}");
        }
        assert_eq!(Startup::parse(&[]).unwrap_err(), StartupError::Malformed);
    }
}
