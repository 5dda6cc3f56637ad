//! The state in which a vCPU starts: 64-bit mode, page tables, descriptor tables and MSRs all prepared, so that the
//! guest kernel's first instruction is an ordinary call, and a thread can begin in ring 3 without one.
//!
//! ```text
//! DESCRIPTORS + 0        boot page tables: PML4, PDPT, PD, PT of the first 2 MiB     (TABLES pages)
//!             + 0x4000   IDT, one for all vCPUs
//!             + 0x5000   one page a vCPU: GDT at +0, TSS at +0x80
//! ```
//! The kernel's half maps guest RAM once, at [`KERNEL_BASE`], for the supervisor only: code read-only and executable,
//! everything else not executable, descriptor tables read-only.

use kvm_bindings::{kvm_dtable, kvm_msr_entry, kvm_segment, kvm_sregs};
use protocol::{
    ABI_VERSION,
    boot::{
        BOOT_PAGE, BOOT_ROOT, BootPage, DESCRIPTORS, IMAGE_BASE, KERNEL_BASE, KERNEL_CS, KERNEL_SS,
        RAM_SIZE, TSS_SELECTOR, USER_CS, USER_SS, USER_STAR, VCPU_AREAS, VECTORS,
    },
    vcpu::{CONTEXTS, NO_THREAD, STACK_TOP, ThreadContext, VcpuArea},
};

use super::{
    area::area_base,
    caps::{HostClass, HostFacts},
    error::MachineError,
    image::KernelImage,
    ram::Ram,
};

const PML4: u64 = BOOT_ROOT;
const PDPT: u64 = PML4 + 0x1000;
const DIRECTORY: u64 = PML4 + 0x2000;
const FIRST_TABLE: u64 = PML4 + 0x3000;
const IDT: u64 = PML4 + 0x4000;
const GDTS: u64 = PML4 + 0x5000;
const TSS_OFFSET: u64 = 0x80;
const TSS_SIZE: u64 = 104;
const GDT_SIZE: u64 = TSS_SELECTOR as u64 + 16;

const _: () = assert!(GDTS + 0x1000 * protocol::boot::MAX_VCPUS as u64 <= DESCRIPTORS.end);

// Page-table entries (Intel SDM vol. 3, 5.5). Accessed and dirty are set beforehand.
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const TABLE: u64 = PRESENT | WRITABLE | ACCESSED;

/// Entry 511 of every root: the kernel's half. Supervisor only.
pub const KERNEL_ROOT_ENTRY: u64 = PDPT | TABLE;

/// Fills in everything that all vCPUs share.
pub(super) fn prepare(
    ram: &Ram,
    image: &KernelImage<'_>,
    host: &HostFacts,
    cpus: u32,
    arena: (u64, u64),
) -> Result<(), MachineError> {
    image.load(ram)?;
    page_tables(ram, image)?;
    interrupt_table(ram, image, host.class)?;
    let (arena_base, arena_size) = arena;
    let page = BootPage {
        abi_version: ABI_VERSION,
        host_class: match host.class {
            HostClass::Hardware => 0,
            HostClass::Software => 1,
        },
        vcpus: cpus,
        page_sizes: host.page_sizes,
        arena_base,
        arena_size,
    };
    ram.write(BOOT_PAGE, &page)
}

fn page_tables(ram: &Ram, image: &KernelImage<'_>) -> Result<(), MachineError> {
    let index = |shift: u32| 8 * ((KERNEL_BASE >> shift) & 0x1FF);
    ram.write_u64(PML4 + index(39), KERNEL_ROOT_ENTRY)?;
    ram.write_u64(PDPT + index(30), DIRECTORY | TABLE)?;
    let data = PRESENT | WRITABLE | ACCESSED | DIRTY | NO_EXECUTE;
    ram.write_u64(DIRECTORY + index(21), FIRST_TABLE | TABLE)?;
    for large in 1..RAM_SIZE >> 21 {
        ram.write_u64(
            DIRECTORY + index(21) + 8 * large,
            (large << 21) | LARGE | data,
        )?;
    }
    for page in (0..VCPU_AREAS).step_by(4096) {
        let entry = match image.access(KERNEL_BASE + page) {
            Some(access) => {
                let write = if access.write { WRITABLE | DIRTY } else { 0 };
                let no_execute = if access.execute { 0 } else { NO_EXECUTE };
                PRESENT | ACCESSED | write | no_execute
            }
            None if page < IMAGE_BASE => PRESENT | ACCESSED | NO_EXECUTE,
            None => continue,
        };
        ram.write_u64(FIRST_TABLE + 8 * (page >> 12), page | entry)?;
    }
    Ok(())
}

fn interrupt_table(
    ram: &Ram,
    image: &KernelImage<'_>,
    class: HostClass,
) -> Result<(), MachineError> {
    let header = image.header();
    for (vector, &stub) in header.vectors.iter().enumerate() {
        let address = match (vector, class) {
            (14, HostClass::Software) => header.landing,
            _ => stub,
        };
        // int3 and into are a program's to execute. A double fault gets a stack that surely works.
        let privilege = if matches!(vector, 3 | 4) { 3 } else { 0 };
        let stack = u64::from(vector == 8);
        let [low, high] = gate(address, privilege, stack);
        let gpa = IDT + 16 * vector as u64;
        ram.write_u64(gpa, low)?;
        ram.write_u64(gpa + 8, high)?;
    }
    Ok(())
}

/// An interrupt gate (SDM vol. 3, 7.14.1).
fn gate(address: u64, privilege: u64, stack: u64) -> [u64; 2] {
    let selector = u64::from(KERNEL_CS) << 16;
    let attributes = (0x8E | privilege << 5) << 40;
    let low =
        (address & 0xFFFF) | selector | stack << 32 | attributes | (address >> 16 & 0xFFFF) << 48;
    [low, address >> 32]
}

/// Fills in one vCPU's GDT, TSS and area.
pub(super) fn prepare_vcpu(ram: &Ram, index: u32) -> Result<(), MachineError> {
    let gdt = gdt_base(index);
    // Flat segments; accessed is set beforehand. The 32-bit user code segment that Linux has at 0x20 is left out: from
    // there `syscall` would go to CSTAR.
    let descriptors = [
        (KERNEL_CS, 0x00AF_9B00_0000_FFFF),
        (KERNEL_SS, 0x00CF_9300_0000_FFFF),
        (USER_SS, 0x00CF_F300_0000_FFFF),
        (USER_CS, 0x00AF_FB00_0000_FFFF),
    ];
    for (selector, descriptor) in descriptors {
        ram.write_u64(gdt + u64::from(selector & !7), descriptor)?;
    }
    let tss = KERNEL_BASE + gdt + TSS_OFFSET;
    let low = (TSS_SIZE - 1) | (tss & 0xFF_FFFF) << 16 | 0x8B << 40 | (tss >> 24 & 0xFF) << 56;
    ram.write_u64(gdt + u64::from(TSS_SELECTOR), low)?;
    ram.write_u64(gdt + u64::from(TSS_SELECTOR) + 8, tss >> 32)?;

    let area = KERNEL_BASE + area_base(index);
    // RSP0, IST1, and the I/O bitmap's offset beyond the limit: ring 3 reaches no port (SDM vol. 3, 9.7).
    ram.write_bytes(gdt + TSS_OFFSET + 4, &(area + STACK_TOP).to_le_bytes())?;
    ram.write_bytes(gdt + TSS_OFFSET + 0x24, &(area + CONTEXTS).to_le_bytes())?;
    ram.write_bytes(gdt + TSS_OFFSET + 0x66, &0xFFFFu16.to_le_bytes())?;

    let mut head: VcpuArea = ram.read(area_base(index))?;
    head.stack_top = area + STACK_TOP;
    head.contexts = area + CONTEXTS;
    head.cr3 = BOOT_ROOT;
    head.current_slot = NO_THREAD;
    head.fx_owner = NO_THREAD;
    head.index = index;
    ram.write(area_base(index), &head)
}

fn gdt_base(index: u32) -> u64 {
    GDTS + 0x1000 * u64::from(index)
}

/// A flat segment: code (kind 11) or data (kind 3).
fn segment(selector: u16, kind: u8, dpl: u8) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0xFFFF_FFFF,
        selector,
        type_: kind,
        present: 1,
        dpl,
        db: u8::from(kind == 3),
        s: 1,
        l: u8::from(kind == 11),
        g: 1,
        avl: 0,
        unusable: 0,
        padding: 0,
    }
}

/// The special registers of a thread in ring 3, laid over those at start.
pub(super) fn ring_3_registers(thread: &ThreadContext, start: kvm_sregs) -> kvm_sregs {
    let user_data = segment(USER_SS, 3, 3);
    let with_base = |base| kvm_segment { base, ..user_data };
    kvm_sregs {
        cs: segment(USER_CS, 11, 3),
        ss: user_data,
        fs: with_base(thread.fs_base),
        gs: with_base(thread.gs_base),
        cr3: thread.cr3,
        ..start
    }
}

/// The special registers at start, laid over what KVM has after a reset.
pub(super) fn special_registers(index: u32, reset: kvm_sregs) -> kvm_sregs {
    let gdt = KERNEL_BASE + gdt_base(index);
    let user_data = segment(USER_SS, 3, 3);
    kvm_sregs {
        cs: segment(KERNEL_CS, 11, 0),
        ss: segment(KERNEL_SS, 3, 0),
        ds: user_data,
        es: user_data,
        fs: user_data,
        gs: kvm_segment {
            base: KERNEL_BASE + area_base(index),
            ..user_data
        },
        tr: kvm_segment {
            base: gdt + TSS_OFFSET,
            limit: TSS_SIZE as u32 - 1,
            selector: TSS_SELECTOR,
            type_: 11,
            present: 1,
            ..Default::default()
        },
        ldt: kvm_segment {
            unusable: 1,
            type_: 2,
            ..Default::default()
        },
        gdt: kvm_dtable {
            base: gdt,
            limit: GDT_SIZE as u16 - 1,
            padding: [0; 3],
        },
        idt: kvm_dtable {
            base: KERNEL_BASE + IDT,
            limit: 16 * VECTORS as u16 - 1,
            padding: [0; 3],
        },
        cr0: 0x8001_0033, // PG WP NE ET MP PE
        cr3: BOOT_ROOT,
        cr4: 0x620,  // OSXMMEXCPT OSFXSR PAE
        efer: 0xD01, // NXE LMA LME SCE
        ..reset
    }
}

const MSR_STAR: u32 = 0xC000_0081;
const MSR_LSTAR: u32 = 0xC000_0082;
const MSR_SYSCALL_MASK: u32 = 0xC000_0084;
const MSR_KERNEL_GS_BASE: u32 = 0xC000_0102;

/// Flags that `syscall` clears: all that a program can set.
const SYSCALL_FLAG_MASK: u64 = 0x25_7FD5;

/// The model-specific registers of vCPU `index` at start.
pub(super) fn model_registers(image: &KernelImage<'_>, index: u32) -> [kvm_msr_entry; 4] {
    let model_register = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    [
        model_register(
            MSR_STAR,
            u64::from(USER_STAR) << 48 | u64::from(KERNEL_CS) << 32,
        ),
        model_register(MSR_LSTAR, image.header().syscall_entry),
        model_register(MSR_SYSCALL_MASK, SYSCALL_FLAG_MASK),
        // For a vCPU that begins in ring 3; the kernel loads a thread's before its first `swapgs`.
        model_register(MSR_KERNEL_GS_BASE, KERNEL_BASE + area_base(index)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_image::KERNEL;

    fn host(class: HostClass) -> HostFacts {
        HostFacts {
            class,
            address_bits: 46,
            page_sizes: 1 << 12 | 1 << 21,
        }
    }

    fn prepared(class: HostClass) -> (Ram, KernelImage<'static>) {
        let ram = Ram::new().unwrap();
        let image = KernelImage::parse(KERNEL).unwrap();
        prepare(&ram, &image, &host(class), 1, (1 << 32, 1 << 40)).unwrap();
        prepare_vcpu(&ram, 0).unwrap();
        (ram, image)
    }

    /// Walks the boot page tables.
    fn translate(ram: &Ram, address: u64) -> Option<(u64, u64)> {
        let mut table = BOOT_ROOT;
        for shift in [39, 30, 21, 12] {
            let entry = ram
                .read_u64(table + 8 * (address >> shift & 0x1FF))
                .unwrap();
            if entry & PRESENT == 0 {
                return None;
            }
            let base = entry & 0x000F_FFFF_FFFF_F000;
            if shift == 12 || entry & LARGE != 0 {
                return Some((base | address & ((1 << shift) - 1), entry));
            }
            table = base;
        }
        None
    }

    #[test]
    fn ram_is_mapped_once_and_nothing_else_is() {
        let (ram, image) = prepared(HostClass::Software);
        for gpa in [
            BOOT_PAGE,
            IDT,
            VCPU_AREAS,
            VCPU_AREAS + 0x12_3458,
            RAM_SIZE - 8,
        ] {
            let (to, entry) = translate(&ram, KERNEL_BASE + gpa).unwrap();
            assert_eq!(to, gpa);
            assert_ne!(entry & NO_EXECUTE, 0, "{gpa:#x}");
        }
        assert_eq!(translate(&ram, KERNEL_BASE + RAM_SIZE), None);
        assert_eq!(translate(&ram, 0), None);
        let (to, entry) = translate(&ram, image.header().entry).unwrap();
        assert_eq!(to, image.header().entry - KERNEL_BASE);
        assert_eq!(entry & (NO_EXECUTE | WRITABLE), 0);
        assert_eq!(translate(&ram, KERNEL_BASE + GDTS).unwrap().1 & WRITABLE, 0);
    }

    #[test]
    fn the_page_fault_gate_depends_on_the_host() {
        let gate_address = |ram: &Ram, vector: u64| {
            let low = ram.read_u64(IDT + 16 * vector).unwrap();
            let high = ram.read_u64(IDT + 16 * vector + 8).unwrap();
            low & 0xFFFF | low >> 48 << 16 | high << 32
        };
        let (ram, image) = prepared(HostClass::Software);
        assert_eq!(gate_address(&ram, 14), image.header().landing);
        assert_eq!(gate_address(&ram, 32), image.header().vectors[32]);
        let (ram, image) = prepared(HostClass::Hardware);
        assert_eq!(gate_address(&ram, 14), image.header().vectors[14]);
    }

    #[test]
    fn only_int3_and_into_are_open_to_programs() {
        let (ram, _) = prepared(HostClass::Hardware);
        for vector in 0..VECTORS as u64 {
            let dpl = ram.read_u64(IDT + 16 * vector).unwrap() >> 45 & 3;
            assert_eq!(
                dpl,
                if matches!(vector, 3 | 4) { 3 } else { 0 },
                "vector {vector}"
            );
        }
    }

    #[test]
    fn the_selectors_fit_syscall_and_sysret() {
        assert_eq!(KERNEL_SS, KERNEL_CS + 8);
        assert_eq!(USER_SS, USER_STAR + 8);
        assert_eq!(USER_CS, USER_STAR + 16);
    }
}
