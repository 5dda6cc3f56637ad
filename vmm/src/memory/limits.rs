//! Limits of the process that storage runs into, raised once at start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits after raising; `None`: unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Open files. Each VMO that was touched needs one.
    pub open_files: Option<u64>,
    /// Bytes in a file. A memfd that may not grow fails its VMO, and the kernel sends SIGXFSZ,
    /// which ends the process.
    pub file_size: Option<u64>,
    /// Bytes of address space. It bounds the arena.
    pub address_space: Option<u64>,
}

/// Raises the soft limits on open files, file size and address space to the hard ones. To be called
/// once, before the first [`super::Memory`]; a limit that cannot be raised stays.
pub fn raise_limits() -> Limits {
    Limits {
        open_files: raise("open files", Resource::Nofile),
        file_size: raise("file size", Resource::Fsize),
        address_space: raise("address space", Resource::As),
    }
}

fn raise(name: &str, resource: Resource) -> Option<u64> {
    let limit = getrlimit(resource);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(resource, raised) {
        Ok(()) => limit.maximum,
        Err(errno) => {
            log::warn!("cannot raise the limit on {name} to its hard value: {errno}");
            limit.current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limits_reach_the_hard_ones() {
        let limits = raise_limits();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.current), (now.maximum, limits.open_files));
        assert_eq!(raise_limits(), limits);
    }
}
