//! What `zvmm doctor` asks about this host's memory: facts as data, each with its remedy.

use std::{fs, io::ErrorKind};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};
use zircon::{MemoryOp, MemoryResult, Pages, Storage, VmoId};

use crate::check::Check;

use super::{
    ArenaGeometry, Memory, MemoryError,
    copy::{self, Short},
    descriptor::{self, OpenedBy, REQUIRED},
    pagemap::Pagemap,
    units::UNIT_BYTES,
};

/// Looks at everything this module needs of the host. Changes nothing.
pub fn probe() -> Vec<Check> {
    let mut checks = vec![device(), unprivileged(), descriptor()];
    checks.extend(features());
    checks.push(pagemap());
    checks.push(faults_as_exits());
    checks.extend([open_files(), file_size(), address_space(), map_count()]);
    checks
}

fn device() -> Check {
    let opened = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/userfaultfd");
    let found = match &opened {
        Ok(_) => "can be opened".into(),
        Err(error) if error.kind() == ErrorKind::NotFound => "absent".into(),
        Err(error) => error.to_string(),
    };
    let remedy = "give the user read and write access to it (a udev rule, or setfacl)";
    Check::advised("/dev/userfaultfd", opened.is_ok(), found, remedy)
}

fn unprivileged() -> Check {
    let value = fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd");
    let found = value.map_or_else(|error| error.to_string(), |text| text.trim().into());
    // Either value is fine where the device can be opened; `descriptor` has the verdict.
    Check::advised("vm.unprivileged_userfaultfd", true, found, "")
}

fn descriptor() -> Check {
    let name = "userfaultfd for faults taken by KVM";
    match descriptor::open() {
        Ok((_, by)) => {
            let found = match by {
                OpenedBy::Device => "opened by way of /dev/userfaultfd",
                OpenedBy::Syscall => "opened by the system call",
            };
            Check::required(name, true, found, "")
        }
        Err(error) => Check::required(name, false, error.to_string(), ACCESS),
    }
}

const ACCESS: &str = "give the user read and write access to /dev/userfaultfd, or run with CAP_SYS_PTRACE, \
                      or set vm.unprivileged_userfaultfd=1";

fn features() -> Vec<Check> {
    let offered = descriptor::offered_features();
    type Make = fn(&str, bool, String, &str) -> Check;
    let check = |make: Make, remedy| {
        let offered = &offered;
        move |(bit, name): &(u32, &str)| {
            let name = format!("userfaultfd feature {name}");
            match offered {
                Ok(bits) => {
                    let there = bits & u64::from(*bit) != 0;
                    let found = if there {
                        "offered"
                    } else {
                        "not offered by this kernel"
                    };
                    make(&name, there, found.into(), remedy)
                }
                Err(_) => make(&name, false, "no descriptor to ask".into(), ACCESS),
            }
        }
    };
    REQUIRED
        .iter()
        .map(check(Check::required, "use Linux 6.7 or newer"))
        .collect()
}

fn pagemap() -> Check {
    let opened = Pagemap::open();
    let found = match &opened {
        Ok(_) => "written pages can be told".into(),
        Err(error) => error.to_string(),
    };
    let remedy = "use Linux 6.7 or newer, with /proc mounted";
    Check::required("scan of /proc/self/pagemap", opened.is_ok(), found, remedy)
}

fn faults_as_exits() -> Check {
    let name = "absent pages are caught, present ones can be read";
    let remedy = "see the userfaultfd checks; a seccomp filter must let process_vm_readv pass";
    let result = try_a_page();
    let found = result.as_ref().err().map_or("yes", String::as_str);
    Check::required(name, result.is_ok(), found, remedy)
}

/// Installs one page, then reads it and its absent neighbour, the way all windows are used.
fn try_a_page() -> Result<(), String> {
    let base = protocol::boot::ARENA_BASE;
    let geometry = ArenaGeometry {
        base,
        end: base + UNIT_BYTES,
    };
    let memory = Memory::new(geometry, Box::new(|_, _, _, _| Ok(()))).map_err(describe)?;
    let vmo = VmoId(0);
    memory.create(vmo, Storage::of(2)).map_err(describe)?;
    let done = memory.perform(&MemoryOp::Zero {
        pages: Pages {
            vmo,
            first: 0,
            count: 1,
        },
        protect: false,
    });
    if done != MemoryResult::Done {
        return Err(format!("a page cannot be installed: {done:?}"));
    }
    let window = memory.window(vmo).map_err(describe)?;
    for (page, expected) in [
        (0, Ok(())),
        (
            1,
            Err(Short {
                done: 0,
                errno: Errno::FAULT,
            }),
        ),
    ] {
        let run = window
            .place_all(page, 1)
            .map_err(describe)?
            .pop()
            .ok_or("no chunk")?;
        let read = copy::read(run.host(), &mut [0; 8]);
        if read != expected {
            return Err(format!("reading page {page} gave {read:?}"));
        }
    }
    Ok(())
}

fn describe(error: MemoryError) -> String {
    error.to_string()
}

fn open_files() -> Check {
    const ENOUGH: u64 = 4096;
    let hard = getrlimit(Resource::Nofile).maximum;
    let found = hard.map_or("unlimited".into(), |limit| format!("hard limit {limit}"));
    let ok = hard.is_none_or(|limit| limit >= ENOUGH);
    let remedy = "each VMO in use needs an open file: raise `ulimit -Hn` to 4096 or more";
    Check::advised("limit on open files", ok, found, remedy)
}

fn file_size() -> Check {
    let hard = getrlimit(Resource::Fsize).maximum;
    let found = hard.map_or("unlimited".into(), |limit| {
        format!("hard limit {limit} bytes")
    });
    let remedy = "VMOs are sparse files in memory: lift the limit (`ulimit -f unlimited`)";
    Check::advised("limit on file size", hard.is_none(), found, remedy)
}

fn address_space() -> Check {
    let hard = getrlimit(Resource::As).maximum;
    let found = hard.map_or("unlimited".into(), |limit| {
        format!("hard limit {limit} bytes")
    });
    let remedy = "the arena is cut down to it: lift the limit (`ulimit -v unlimited`)";
    Check::advised("limit on address space", hard.is_none(), found, remedy)
}

fn map_count() -> Check {
    const ENOUGH: u64 = 65_530;
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let ok = text
        .trim()
        .parse::<u64>()
        .is_ok_and(|count| count >= ENOUGH);
    let remedy = "each chunk, and each run of pages that a clone has of its own, needs mappings: sysctl vm.max_map_count=65530 or more";
    Check::advised("vm.max_map_count", ok, text.trim(), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_passes_what_is_required() {
        let checks = probe();
        for check in &checks {
            assert!(
                check.ok || !check.required,
                "{}: {} - {}",
                check.name,
                check.found,
                check.remedy
            );
            assert_eq!(check.ok, check.remedy.is_empty(), "{}", check.name);
        }
        assert!(
            checks
                .iter()
                .any(|check| check.name == "userfaultfd feature SIGBUS")
        );
        assert_eq!(checks.iter().filter(|check| check.required).count(), 9);
    }
}
