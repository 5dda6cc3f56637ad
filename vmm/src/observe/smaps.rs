//! The memory of the VMM itself, read from a process's `smaps` and `status`.
//!
//! The rule, mapping by mapping:
//! - memfds are the guest's, its RAM and its VMOs: not counted;
//! - mappings of files are code and constants, which the host shares and can drop: of these only the pages that the
//!   process has made its own (relocated data, written variables) count;
//! - all else (heap, stacks, buffers, descriptors' rings) counts with its proportional set size.

/// Bytes of memory of this process, and its largest resident set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OwnMemory {
    /// Proportional set size without guest memory and file-backed code.
    pub own: u64,
    /// The host's page tables of the process, those for guest memory included.
    pub page_tables: u64,
    /// Largest resident set so far, guest memory included as far as it is mapped.
    pub peak_resident: u64,
}

/// Measures a process: its number, or `self`. Zeros if `/proc` does not tell.
pub(crate) fn measure(process: &str) -> OwnMemory {
    let read = |file| std::fs::read_to_string(format!("/proc/{process}/{file}"));
    let status = read("status").unwrap_or_default();
    let field = |name| status.lines().find_map(|line| kib_field(line, name));
    OwnMemory {
        own: own_bytes(&read("smaps").unwrap_or_default()),
        page_tables: field("VmPTE:").unwrap_or(0),
        peak_resident: field("VmHWM:").unwrap_or(0),
    }
}

/// Which part of a mapping counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Nothing,
    OwnPages,
    All,
}

fn own_bytes(smaps: &str) -> u64 {
    let mut share = Share::Nothing;
    let mut total = 0u64;
    for line in smaps.lines() {
        if let Some(name) = mapping(line) {
            share = share_of(name);
            continue;
        }
        let field = match share {
            Share::Nothing => continue,
            Share::OwnPages => "Anonymous:",
            Share::All => "Pss:",
        };
        total = total.saturating_add(kib_field(line, field).unwrap_or(0));
    }
    total
}

fn share_of(name: &str) -> Share {
    if name.starts_with("/memfd:") || matches!(name, "[vdso]" | "[vvar]" | "[vsyscall]") {
        Share::Nothing
    } else if name.starts_with('/') && !name.starts_with("/dev/zero") {
        Share::OwnPages
    } else {
        Share::All
    }
}

/// The name in the head of a mapping, `start-end permissions offset device inode [name]`.
fn mapping(line: &str) -> Option<&str> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    for address in [start, end] {
        u64::from_str_radix(address, 16).ok()?;
    }
    let mut name = rest;
    for _ in 0..4 {
        name = name
            .trim_start()
            .split_once(' ')
            .map_or("", |(_, rest)| rest);
    }
    Some(name.trim_start())
}

/// `field      12 kB` in bytes.
fn kib_field(line: &str, field: &str) -> Option<u64> {
    let value = line.strip_prefix(field)?.trim().strip_suffix("kB")?;
    value.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
5611f9e5c000-5611f9e5e000 r--p 00000000 fe:00 247030                     /usr/bin/zvmm
Pss:                   8 kB
Pss_Dirty:             0 kB
Anonymous:             0 kB
5611f9e63000-5611f9e66000 rw-p 00007000 fe:00 247030                     /usr/bin/zvmm
Pss:                  12 kB
Anonymous:             4 kB
5611fa000000-5611fa100000 rw-p 00000000 00:00 0                          [heap]
Pss:                 100 kB
Anonymous:           100 kB
7f0000000000-7f0001000000 rw-s 00000000 00:01 2050                       /memfd:zvmm-ram (deleted)
Pss:               16000 kB
Anonymous:             0 kB
7f0002000000-7f0003000000 rw-s 00000000 00:01 2051                       /memfd:data (deleted)
Pss:                5000 kB
Anonymous:             0 kB
7f0004000000-7f0004001000 rw-s 00000000 00:0e 1053                       anon_inode:kvm-vcpu:0
Pss:                   4 kB
Anonymous:             0 kB
7f0005000000-7f0005001000 r-xp 00000000 00:00 0                          [vdso]
Pss:                   1 kB
7f0006000000-7f0006001000 rw-p 00000000 00:00 0 
Pss:                  20 kB
Anonymous:            20 kB
VmFlags: rd wr mr mw me ac 
";

    #[test]
    fn the_rule_holds() {
        assert_eq!(own_bytes(SMAPS), (4 + 100 + 4 + 20) * 1024);
    }

    #[test]
    fn names_may_hold_blanks() {
        let name = mapping("10-20 r--p 00000000 fe:00 24    /a b/c (deleted)");
        assert_eq!(name, Some("/a b/c (deleted)"));
        assert_eq!(mapping("Pss_Dirty:             0 kB"), None);
        assert_eq!(mapping("VmFlags: rd-x wr mr"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = measure("self");
        let all = [memory.own, memory.page_tables, memory.peak_resident];
        assert!(all.iter().all(|bytes| *bytes > 0), "{memory:?}");
        assert_eq!(measure("no process"), OwnMemory::default());
    }
}
