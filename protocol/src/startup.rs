//! The start-up page: what a program finds at the address in rdi when its first thread starts.
//!
//! ```text
//! +0                 StartupHeader
//! +handles_offset    handle_count x StartupHandle
//! +args_offset       arg_count NUL-terminated strings, back to back; the first is the program's name
//! ```
//! The pages are mapped read-only.

use crate::MAX_NAME_LEN;

/// Version of the start-up page's layout.
pub const STARTUP_VERSION: u32 = 1;

/// The head of the start-up page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct StartupHeader {
    /// [`STARTUP_VERSION`].
    pub version: u32,
    /// Bytes used, from the header's first to the last string's NUL.
    pub size: u32,
    /// Number of handles.
    pub handle_count: u32,
    /// Byte offset of the first [`StartupHandle`].
    pub handles_offset: u32,
    /// Number of argument strings.
    pub arg_count: u32,
    /// Byte offset of the first argument string.
    pub args_offset: u32,
}

const _: () = assert!(
    size_of::<StartupHeader>() == 24,
    "StartupHeader is 24 bytes"
);

/// One named handle given to the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct StartupHandle {
    /// Name, NUL-padded. `vmar`, `process`, `thread` and `job` are always there.
    pub name: [u8; MAX_NAME_LEN],
    /// Handle value.
    pub handle: u32,
    /// `zx_obj_type_t`.
    pub object_type: u32,
}

const _: () = assert!(
    size_of::<StartupHandle>() == 40,
    "StartupHandle is 40 bytes"
);

/// `name` NUL-padded to the length of a name, or `None` if it does not fit with its NUL.
pub fn handle_name(name: &str) -> Option<[u8; MAX_NAME_LEN]> {
    let mut out = [0; MAX_NAME_LEN];
    if name.len() >= MAX_NAME_LEN {
        return None;
    }
    out.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(out)
}
