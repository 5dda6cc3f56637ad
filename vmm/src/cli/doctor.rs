//! `zvmm doctor`: what this host offers. The machine as such is looked at here; devices, rights and capabilities by those
//! who use them.

use std::{fmt::Write as _, fs, io::Write, path::Path, thread};

use super::{Exit, Failure, Host, print};
use crate::check::Check;

/// Oldest kernel that has all zvmm makes use of (`PAGEMAP_SCAN`, asynchronous write protection).
const KERNEL: (u32, u32) = (6, 7);

/// Least memory for a VM: guest RAM, the VMM and some pages of a program.
const MEMORY: u64 = 64 << 20;

/// `zvmm doctor`.
pub(super) fn doctor(host: &Host<'_>, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut checks = vec![
        kernel(),
        processors(),
        memory(),
        group_limit(),
        overcommit(),
    ];
    checks.extend((host.checks)());
    let mut text = String::new();
    for check in &checks {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{check}");
    }
    let failed = checks.iter().filter(|check| !check.passes()).count();
    let _ = match failed {
        0 => writeln!(text, "zvmm can run here."),
        1 => writeln!(text, "zvmm cannot run here: 1 check failed."),
        _ => writeln!(text, "zvmm cannot run here: {failed} checks failed."),
    };
    print(out, &text)?;
    Ok(if failed == 0 {
        Exit::Program(0)
    } else {
        Exit::Host
    })
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().into()
}

fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease");
    let new_enough = version(&release).is_some_and(|version| version >= KERNEL);
    let remedy = format!(
        "use Linux {}.{} or newer; where a vendor's older kernel has what is needed, the checks below pass",
        KERNEL.0, KERNEL.1
    );
    Check::advised("kernel", new_enough, format!("Linux {release}"), &remedy)
}

/// The first two numbers of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn processors() -> Check {
    match thread::available_parallelism() {
        Ok(count) => Check::advised("processors", true, count.to_string(), ""),
        Err(error) => Check::advised(
            "processors",
            false,
            error.to_string(),
            "mount /proc and /sys",
        ),
    }
}

fn memory() -> Check {
    let available = available_memory(&read("/proc/meminfo"));
    let found = available.map_or("unknown".into(), |bytes| format!("{} MiB", bytes >> 20));
    let enough = available.is_none_or(|bytes| bytes >= MEMORY);
    let remedy = format!("a VM needs {} MiB: free some", MEMORY >> 20);
    Check::required("available memory", enough, found, &remedy)
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The lowest memory limit of this process's control groups (version 2).
fn group_limit() -> Check {
    let groups = read("/proc/self/cgroup");
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(own.unwrap_or(""));
    let limits = own
        .ancestors()
        .take_while(|folder| folder.starts_with(root));
    let lowest = limits
        .filter_map(|folder| read(folder.join("memory.max")).parse::<u64>().ok())
        .min();
    let found = lowest.map_or("none".into(), |bytes| format!("{} MiB", bytes >> 20));
    let enough = lowest.is_none_or(|bytes| bytes >= MEMORY);
    let remedy = format!("a VM needs {} MiB: raise memory.max", MEMORY >> 20);
    Check::required("memory limit of the control group", enough, found, &remedy)
}

fn overcommit() -> Check {
    let mode = read("/proc/sys/vm/overcommit_memory");
    let found = match mode.as_str() {
        "0" => "heuristic",
        "1" => "always",
        "2" => "never",
        _ => "unknown",
    };
    let remedy = "large VMOs may be refused although most of their pages are never touched: set \
                  vm.overcommit_memory=0";
    Check::advised("overcommit of memory", mode != "2", found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doctor_with(checks: &dyn Fn() -> Vec<Check>) -> (Exit, String) {
        let host = Host {
            programs: &[],
            run: &|_| Err("no VM here".into()),
            bench: &|_, _| Err("no VM here".into()),
            checks,
        };
        let mut out = Vec::new();
        let exit = doctor(&host, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_warning_is_no_failure() {
        let (exit, text) =
            doctor_with(&|| vec![Check::advised("thing", false, "slow", "buy a new one")]);
        assert_eq!(exit, Exit::Program(0), "{text}");
        assert!(text.contains("warn  thing: slow; buy a new one\n"));
        assert!(text.ends_with("zvmm can run here.\n"));
    }

    #[test]
    fn a_failure_is_a_failure() {
        let (exit, text) =
            doctor_with(&|| vec![Check::required("/dev/kvm", false, "absent", "get it")]);
        assert_eq!(exit, Exit::Host);
        assert!(text.contains("FAIL  /dev/kvm: absent; get it\n"));
        assert!(text.ends_with("zvmm cannot run here: 1 check failed.\n"));
    }

    #[test]
    fn kernel_releases() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("6.7-rc1"), Some((6, 7)));
        assert_eq!(version(""), None);
        assert!(version("6.10").unwrap() > KERNEL);
        assert!(version("5.19").unwrap() < KERNEL);
    }

    #[test]
    fn meminfo() {
        let text = "MemTotal:  200 kB\nMemAvailable:     100 kB\n";
        assert_eq!(available_memory(text), Some(102_400));
        assert_eq!(available_memory(""), None);
    }
}
