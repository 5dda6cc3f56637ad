//! The CPUID that the guest sees: what this host has, less what a guest without XSAVE, APIC and FSGSBASE cannot use.
//!
//! Bits are those of Intel SDM vol. 2 (CPUID) and AMD APM vol. 3 (appendix E).

use kvm_bindings::kvm_cpuid_entry2;

const ECX1_CLEARED: u32 = bits(&[
    3,  // MONITOR
    5,  // VMX
    12, // FMA
    15, // PDCM
    17, // PCID
    21, // x2APIC
    24, // TSC deadline
    26, // XSAVE
    27, // OSXSAVE
    28, // AVX
    29, // F16C
]);
const EBX7_CLEARED: u32 = bits(&[
    0,  // FSGSBASE
    2,  // SGX
    4,  // HLE
    5,  // AVX2
    10, // INVPCID
    11, // RTM
    14, // MPX
    16, 17, 21, 26, 27, 28, 30, 31, // AVX-512
    25, // processor trace
]);
const ECX7_CLEARED: u32 = bits(&[
    1, 6, 11, 12, 14, // AVX-512
    3, 4, // protection keys
    5, // UMWAIT
    7, // shadow stacks
    9, 10, // VAES, VPCLMULQDQ
    16, // LA57
    30, // SGX
]);
const EDX7_CLEARED: u32 = bits(&[
    2, 3, 8, 23, // AVX-512
    20, // indirect branch tracking
    22, 24, 25, // AMX
    5,  // user interrupts
]);
const EXTENDED_ECX_CLEARED: u32 = bits(&[
    2, // SVM
    11, 16, // XOP, FMA4
    15, // LWP
    29, // MONITORX
]);

const fn bits(numbers: &[u32]) -> u32 {
    let mut mask = 0;
    let mut rest = numbers;
    while let [first, tail @ ..] = rest {
        mask |= 1 << *first;
        rest = tail;
    }
    mask
}

/// Turns what KVM supports into what vCPU `index` of `cpus` reports.
pub(super) fn restrict(entries: &mut [kvm_cpuid_entry2], index: u32, cpus: u32) {
    for entry in entries {
        match (entry.function, entry.index) {
            (1, _) => {
                entry.ecx &= !ECX1_CLEARED;
                entry.ebx = entry.ebx & 0xFFFF | cpus << 16 | index << 24;
            }
            (7, 0) => {
                entry.eax = 0;
                entry.ebx &= !EBX7_CLEARED;
                entry.ecx &= !ECX7_CLEARED;
                entry.edx &= !EDX7_CLEARED;
            }
            (0xB | 0x1F, _) => entry.edx = index,
            // Further feature leaves, performance counters, XSAVE, trace, AMX, KVM's paravirtual interfaces.
            (7 | 0xA | 0xD | 0x14 | 0x19 | 0x1D | 0x1E | 0x24 | 0x4000_0001, _) => {
                (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
            }
            (0x8000_0001, _) => entry.ecx &= !EXTENDED_ECX_CLEARED,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(function: u32, index: u32) -> kvm_cpuid_entry2 {
        let all = u32::MAX;
        kvm_cpuid_entry2 {
            function,
            index,
            eax: all,
            ebx: all,
            ecx: all,
            edx: all,
            ..Default::default()
        }
    }

    #[test]
    fn what_the_guest_cannot_use_is_gone() {
        let mut entries = [
            full(1, 0),
            full(7, 0),
            full(7, 1),
            full(0xD, 0),
            full(0x8000_0001, 0),
        ];
        restrict(&mut entries, 0, 1);
        let [one, seven, seven_one, xsave, extended] = entries;
        assert_eq!(one.ecx >> 26 & 7, 0, "XSAVE, OSXSAVE, AVX");
        assert_eq!(one.ecx >> 23 & 1, 1, "popcnt stays");
        assert_eq!(seven.ebx & 1 << 5 | seven.ebx & 1, 0, "AVX2, FSGSBASE");
        assert_eq!((seven_one.eax, xsave.eax, xsave.ebx), (0, 0, 0));
        assert_eq!(extended.edx, u32::MAX);
    }

    #[test]
    fn each_vcpu_has_its_own_number() {
        let mut entries = [full(1, 0), full(0xB, 0)];
        restrict(&mut entries, 3, 4);
        assert_eq!(entries[0].ebx >> 16, 3 << 8 | 4);
        assert_eq!(entries[1].edx, 3);
    }
}
