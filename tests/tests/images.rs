//! What images hold, and what becomes of bad ones.

use std::{collections::BTreeSet, fs, time::Duration};

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Mnemonic};
use object::{Object, ObjectSection, SectionKind, read::elf::ElfFile64};
use tests::{Guest, needs_kvm};
use vmm::{config::Program, guest_image, outcome::End};

/// What every x86-64 has, and KVM's instruction emulator knows.
const BASELINE: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CPUID,
    CpuidFeature::CX8,
    CpuidFeature::MSR,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::SYSCALL,
    CpuidFeature::TSC,
    // fxsave64 and fxrstor64.
    CpuidFeature::FXSR,
];

/// Ring 0 is emulated on a software KVM: an instruction beyond these would end the VM there.
#[test]
fn the_guest_kernel_is_baseline_integer_code() {
    let file = ElfFile64::<object::Endianness>::parse(guest_image::KERNEL).unwrap();
    let mut foreign = BTreeSet::new();
    let mut decoded = 0;
    for section in file.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let (data, address) = (section.data().unwrap(), section.address());
        for instruction in Decoder::with_ip(64, data, address, DecoderOptions::NONE).iter() {
            decoded += 1;
            let features = instruction.cpuid_features();
            let known = features.iter().all(|feature| BASELINE.contains(feature));
            let refused = matches!(instruction.mnemonic(), Mnemonic::INVALID | Mnemonic::Vmcall);
            if !known || refused {
                let at = instruction.ip();
                foreign.insert(format!("{at:#x} {:?} {features:?}", instruction.code()));
            }
        }
    }
    assert!(decoded > 500, "{decoded} instructions");
    assert!(foreign.is_empty(), "{foreign:#?}");
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A few changes to an image: mostly in its headers, and mostly to values that mean something there.
fn spoil(image: &mut Vec<u8>, random: &mut Random) {
    const HEADERS: usize = 64 + 6 * 56;
    for _ in 0..=random.below(3) {
        let end = image.len();
        let values = [
            0,
            1,
            4095,
            4096,
            0x40_0000,
            0x7FFF_FFFF_F000,
            1 << 47,
            1 << 63,
            u64::MAX,
        ];
        match random.below(8) {
            0 => image.truncate(random.below(end) + 1),
            1 => image[random.below(end)] ^= 1 << random.below(8),
            2..=4 => image[random.below(HEADERS.min(end))] = random.below(256) as u8,
            _ => {
                let at = random.below(HEADERS.min(end)) & !7;
                let value = values[random.below(values.len())].to_le_bytes();
                if let Some(field) = image.get_mut(at..at + 8) {
                    field.copy_from_slice(&value);
                }
            }
        }
    }
}

/// Refused with a reason, or run to whatever end; the VMM neither panics nor hangs.
#[test]
fn spoiled_programs_are_refused_or_contained() {
    needs_kvm!();
    let hello = guest_image::programs()
        .iter()
        .find(|(name, _)| *name == "hello");
    let (_, hello) = hello.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let mut random = Random(0x5EED);
    let (mut refused, mut ran) = (0, 0);
    for round in 0..400 {
        let mut image = hello.to_vec();
        spoil(&mut image, &mut random);
        fs::write(&path, &image).unwrap();
        let guest = Guest::program(Program::File(path.clone()));
        match guest.timeout(Duration::from_millis(200)).try_run() {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
            Ok(run) => {
                if let End::GuestKernel(_) | End::Interrupted = run.end {
                    run.fail(format_args!("round {round}"));
                }
                ran += 1;
            }
        }
    }
    assert!(refused > 50 && ran > 50, "{refused} refused, {ran} ran");
}
