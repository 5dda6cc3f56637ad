//! What this host's KVM offers: looked at once, as data, for the start of a VM and for `zvmm doctor`.

use std::{arch::x86_64::__cpuid, io, io::ErrorKind};

use kvm_bindings::{
    CpuId, KVM_API_VERSION, KVM_MAX_CPUID_ENTRIES, KVM_SYNC_X86_REGS, kvm_cpuid_entry2,
};
use kvm_ioctls::{Cap, Kvm};

use super::error::MachineError;
use crate::check::Check;

/// The KVM device.
pub const DEVICE: &str = "/dev/kvm";

/// How the host runs ring 0 of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostClass {
    /// VMX or SVM: natively.
    Hardware,
    /// A KVM without either: by emulating instructions, which costs about a microsecond each.
    Software,
}

/// What the machine is built on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFacts {
    /// Hardware or software KVM.
    pub class: HostClass,
    /// Bits of a guest-physical address: the arena ends at most at 2 to this power.
    pub address_bits: u32,
    /// Bit n set: guest page tables may use pages of 2^n bytes (12, 21, 30).
    pub page_sizes: u32,
}

/// Capabilities that zvmm cannot do without: what KVM must return at least, and what it is for.
const NEEDED: [(Cap, &str, i32, &str); 6] = [
    (
        Cap::UserMemory,
        "KVM_CAP_USER_MEMORY",
        1,
        "guest memory from user space",
    ),
    (
        Cap::SyncRegs,
        "KVM_CAP_SYNC_REGS",
        KVM_SYNC_X86_REGS as i32,
        "registers in the shared page",
    ),
    (
        Cap::ImmediateExit,
        "KVM_CAP_IMMEDIATE_EXIT",
        1,
        "stopping a vCPU without a race",
    ),
    (
        Cap::NrMemslots,
        "KVM_CAP_NR_MEMSLOTS",
        32,
        "RAM and one slot a GiB of VMO memory",
    ),
    (Cap::MaxVcpus, "KVM_CAP_MAX_VCPUS", 1, "vCPUs"),
    (
        Cap::ExtCpuid,
        "KVM_CAP_EXT_CPUID",
        1,
        "choosing what CPUID reports",
    ),
];

const NEWER_KERNEL: &str = "use a host kernel of Linux 5.10 or newer with KVM enabled";

/// Looks at everything the machine needs of the host. Changes nothing.
pub fn probe() -> Vec<Check> {
    match Kvm::new() {
        Ok(kvm) => {
            let mut checks = vec![passed("KVM device", format!("{DEVICE} can be opened"))];
            checks.extend(examine(kvm.get_api_version(), |cap| {
                kvm.check_extension_int(cap)
            }));
            checks.push(match host_facts(&kvm) {
                Ok((facts, _)) => passed("host", describe(facts)),
                Err(error) => failed("host", error.to_string(), NEWER_KERNEL),
            });
            checks
        }
        Err(error) => {
            let error = io::Error::from(error);
            vec![failed(
                "KVM device",
                format!("{DEVICE}: {error}"),
                device_remedy(error.kind()),
            )]
        }
    }
}

/// Opens KVM and makes sure that it has what is needed; with the CPUID that it supports.
pub(super) fn open() -> Result<(Kvm, HostFacts, CpuId), MachineError> {
    let kvm = Kvm::new().map_err(|error| {
        let source = io::Error::from(error);
        let remedy = device_remedy(source.kind());
        MachineError::Device { source, remedy }
    })?;
    let checks = examine(kvm.get_api_version(), |cap| kvm.check_extension_int(cap));
    if let Some(Check {
        name,
        found,
        remedy,
        ..
    }) = checks.into_iter().find(|check| !check.ok)
    {
        return Err(MachineError::Unsupported {
            name,
            found,
            remedy,
        });
    }
    let (facts, cpuid) = host_facts(&kvm)?;
    Ok((kvm, facts, cpuid))
}

/// The checks that need an open device, on what it answers.
fn examine(api_version: i32, extension: impl Fn(Cap) -> i32) -> Vec<Check> {
    let version = format!("version {api_version}");
    let mut checks = vec![if api_version == KVM_API_VERSION as i32 {
        passed("KVM API", version)
    } else {
        failed("KVM API", version, NEWER_KERNEL)
    }];
    for (cap, name, least, purpose) in NEEDED {
        let value = extension(cap);
        let enough = if name == "KVM_CAP_SYNC_REGS" {
            value & least != 0
        } else {
            value >= least
        };
        let found = format!("{value} ({purpose})");
        checks.push(if enough {
            passed(name, found)
        } else {
            failed(name, found, NEWER_KERNEL)
        });
    }
    checks
}

fn passed(name: &str, found: String) -> Check {
    Check::required(name, true, found, "")
}

fn failed(name: &str, found: String, remedy: &str) -> Check {
    Check::required(name, false, found, remedy)
}

fn device_remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => {
            "enable virtualisation in the firmware and load the kvm_intel or kvm_amd module; in a VM or container, \
             have nested virtualisation enabled and the device passed in"
        }
        ErrorKind::PermissionDenied => {
            "add your user to the group that owns the device (often `kvm`) and log in again"
        }
        _ => "see whether another hypervisor is in use and what the kernel log says",
    }
}

/// How this host runs ring 0 of guests.
pub fn host_class() -> HostClass {
    match host_has_virtualisation() {
        true => HostClass::Hardware,
        false => HostClass::Software,
    }
}

/// Learns the host class and what KVM's CPUID offers. Asking for that is slow where the host is a guest itself: once is enough.
fn host_facts(kvm: &Kvm) -> Result<(HostFacts, CpuId), MachineError> {
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(MachineError::kvm("list the supported CPUID"))?;
    Ok((facts_from(cpuid.as_slice(), host_class()), cpuid))
}

/// CPUID 1 ECX bit 5 is VMX, 8000_0001h ECX bit 2 is SVM.
fn host_has_virtualisation() -> bool {
    let vmx = __cpuid(1).ecx & 1 << 5 != 0;
    let svm = __cpuid(0x8000_0000).eax >= 0x8000_0001 && __cpuid(0x8000_0001).ecx & 1 << 2 != 0;
    vmx || svm
}

fn facts_from(cpuid: &[kvm_cpuid_entry2], class: HostClass) -> HostFacts {
    let leaf = |function| cpuid.iter().find(|entry| entry.function == function);
    // 8000_0008h EAX: bits 7-0 physical address bits, bits 23-16 those of a guest if they differ (0: they do not).
    let sizes = leaf(0x8000_0008).map_or(36, |entry| entry.eax);
    let (own, guest) = (sizes & 0xFF, sizes >> 16 & 0xFF);
    let gigabyte_pages = leaf(0x8000_0001).is_some_and(|entry| entry.edx & 1 << 26 != 0);
    HostFacts {
        class,
        address_bits: if guest == 0 { own } else { own.min(guest) },
        page_sizes: 1 << 12 | 1 << 21 | u32::from(gigabyte_pages) << 30,
    }
}

fn describe(facts: HostFacts) -> String {
    let class = match facts.class {
        HostClass::Hardware => "hardware KVM",
        HostClass::Software => "software KVM (no vmx or svm: ring 0 of the guest is emulated)",
    };
    let large = if facts.page_sizes >> 30 != 0 {
        "4 KiB, 2 MiB, 1 GiB"
    } else {
        "4 KiB, 2 MiB"
    };
    format!(
        "{class}, {} address bits, pages of {large}",
        facts.address_bits
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kvm_with_everything_passes() {
        let checks = examine(12, |_| 1024 | 7);
        assert_eq!(checks.len(), 1 + NEEDED.len());
        assert!(
            checks
                .iter()
                .all(|check| check.ok && check.remedy.is_empty())
        );
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let checks = examine(11, |cap| {
            if cap as u32 == Cap::SyncRegs as u32 {
                6
            } else {
                512
            }
        });
        let failed: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
        assert_eq!(failed.len(), 2);
        assert_eq!(failed[0].name, "KVM API");
        assert_eq!(failed[1].name, "KVM_CAP_SYNC_REGS");
        assert!(failed[1].remedy.contains("host kernel"));
    }

    #[test]
    fn facts_come_from_cpuid() {
        let leaf = |function, eax, edx| kvm_cpuid_entry2 {
            function,
            eax,
            edx,
            ..Default::default()
        };
        let facts = facts_from(
            &[leaf(0x8000_0008, 0x2E, 0), leaf(0x8000_0001, 0, 1 << 26)],
            HostClass::Hardware,
        );
        assert_eq!(facts.address_bits, 46);
        assert_eq!(facts.page_sizes, 1 << 12 | 1 << 21 | 1 << 30);
        let facts = facts_from(&[leaf(0x8000_0008, 0x0030_0034, 0)], HostClass::Software);
        assert_eq!((facts.address_bits, facts.class), (48, HostClass::Software));
        assert_eq!(facts.page_sizes, 1 << 12 | 1 << 21);
    }

    #[test]
    fn a_missing_device_is_told_from_a_forbidden_one() {
        assert!(device_remedy(ErrorKind::NotFound).contains("module"));
        assert!(device_remedy(ErrorKind::PermissionDenied).contains("group"));
    }
}
