//! The memory of the VMM itself, read from `/proc/self/smaps`.
//!
//! The rule, mapping by mapping:
//! - memfds and the guest's RAM are the guest's: not counted;
//! - mappings of files are code and constants, which the host shares and can drop: of these only the pages that the
//!   process has made its own (relocated data, written variables) count;
//! - all else (heap, stacks, buffers, descriptors' rings) counts with its proportional set size.

use std::ops::Range;

/// Bytes of memory of this process, and its largest resident set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OwnMemory {
    /// Proportional set size without guest memory and file-backed code.
    pub own: u64,
    /// Largest resident set so far, guest memory included as far as it is mapped.
    pub peak_resident: u64,
}

/// Measures this process; `guest_ram` is where guest RAM is mapped. Zeros if `/proc` is not there.
pub(super) fn measure(guest_ram: &Range<u64>) -> OwnMemory {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    OwnMemory {
        own: own_bytes(&read("/proc/self/smaps"), guest_ram),
        peak_resident: read("/proc/self/status")
            .lines()
            .find_map(|line| kib_field(line, "VmHWM:"))
            .unwrap_or(0),
    }
}

/// Which part of a mapping counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Nothing,
    OwnPages,
    All,
}

fn own_bytes(smaps: &str, guest_ram: &Range<u64>) -> u64 {
    let mut share = Share::Nothing;
    let mut total = 0u64;
    for line in smaps.lines() {
        if let Some((range, name)) = mapping(line) {
            share = share_of(range, name, guest_ram);
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

fn share_of(range: Range<u64>, name: &str, guest_ram: &Range<u64>) -> Share {
    let in_ram = range.start < guest_ram.end && guest_ram.start < range.end;
    if in_ram || name.starts_with("/memfd:") || matches!(name, "[vdso]" | "[vvar]" | "[vsyscall]") {
        Share::Nothing
    } else if name.starts_with('/') && !name.starts_with("/dev/zero") {
        Share::OwnPages
    } else {
        Share::All
    }
}

/// The head of a mapping, `start-end permissions offset device inode [name]`.
fn mapping(line: &str) -> Option<(Range<u64>, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
    let mut name = rest;
    for _ in 0..4 {
        name = name
            .trim_start()
            .split_once(' ')
            .map_or("", |(_, rest)| rest);
    }
    Some((range, name.trim_start()))
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
7f0000000000-7f0001000000 rw-p 00000000 00:00 0 
Pss:               16000 kB
Anonymous:         16000 kB
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
        let ram = 0x7f00_0000_0000..0x7f00_0100_0000;
        assert_eq!(own_bytes(SMAPS, &ram), (4 + 100 + 4 + 20) * 1024);
        assert_eq!(own_bytes(SMAPS, &(0..0)), (4 + 100 + 16000 + 4 + 20) * 1024);
    }

    #[test]
    fn names_may_hold_blanks() {
        let (range, name) = mapping("10-20 r--p 00000000 fe:00 24    /a b/c (deleted)").unwrap();
        assert_eq!((range, name), (0x10..0x20, "/a b/c (deleted)"));
        assert_eq!(mapping("Pss_Dirty:             0 kB"), None);
        assert_eq!(mapping("VmFlags: rd-x wr mr"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = measure(&(0..0));
        assert!(memory.own > 0 && memory.peak_resident > 0, "{memory:?}");
    }
}
