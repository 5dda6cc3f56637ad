//! The floor: the least that a fault or a call can cost on this host.
//!
//! A VM in ring 3 with nothing around it: no guest kernel but three instructions, no objects, no decoding, and its host knows which page
//! comes next. What zvmm needs beyond the figures of this program is zvmm's own. It shares no code with the machine and the memory
//! that it is the measure of.
//!
//! ```text
//! guest-physical    0 .. 2 MiB   code, addresses and results; ring 3's, at the same virtual addresses
//!               2 MiB .. 4 MiB   tables, stub, stacks; ring 0's
//!               1 GiB ..         the window: a memfd registered with userfaultfd, absent at first
//! ```

pub mod guest;
mod pages;
pub mod service;
mod switch;
mod writes;

use std::fs::File;
use std::io;

use kvm_bindings::{
    CpuId, Msrs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use crate::processor;
use guest::{CALL, Code, DONE};
pub use pages::{Memory, Source, Window};
pub use writes::{Region, Writes};

/// Where the window begins, guest-physical and virtual.
pub const WINDOW: u64 = 1 << 30;

const RAM: u64 = 4 << 20;
const CODE: u64 = 0x1000;
/// Where addresses to touch lie; one area a vCPU.
const ADDRESSES: u64 = 0x1_0000;
const AREA: u64 = 0xF_0000;
/// Results follow the addresses in the area.
const RESULTS: u64 = 0xA_0000;
/// Most touches or calls of one run.
pub const MAX_COUNT: u64 = RESULTS / 8;

const SYSTEM: u64 = 2 << 20;
const PML4: u64 = SYSTEM;
const PDPT: u64 = SYSTEM + 0x1000;
const RAM_DIRECTORY: u64 = SYSTEM + 0x2000;
const WINDOW_DIRECTORY: u64 = SYSTEM + 0x3000;
const IDT: u64 = SYSTEM + 0x4000;
const STUB: u64 = SYSTEM + 0x5000;
/// One page a vCPU: GDT at +0, TSS at +0x80, the kernel stack below its end.
const VCPUS: u64 = SYSTEM + 0x1_0000;

const LEAF: u64 = 0xE3; // large, dirty, accessed, writable, present
const TABLE: u64 = 0x27; // accessed, user, writable, present
const USER: u64 = 4;

const KERNEL_CS: u16 = 0x10;
const USER_SS: u16 = 0x2B;
const USER_CS: u16 = 0x33;
const TSS: u16 = 0x38;
/// Where the TSS says which ports ring 3 may use: the first 64, which are the bits that are zero.
const PERMISSIONS: u16 = 0x68;
const TSS_SIZE: u64 = PERMISSIONS as u64 + 8 + 1;

/// What the guest wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The next page.
    Fault,
    /// A call.
    Call,
}

/// One vCPU and what it runs next.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    index: u64,
}

/// A VM with nothing around it.
#[derive(Debug)]
pub struct Floor {
    // Dropped in this order: the VM before the memory that it uses.
    vcpus: Vec<Vcpu>,
    _vm: VmFd,
    ram: Memory,
    window: Window,
}

impl Floor {
    /// A VM of `cpus` vCPUs and a window of `pages` pages, see [`Window::new`].
    ///
    /// # Errors
    /// What the host refused.
    pub fn new(cpus: u64, pages: u64, watched: bool) -> io::Result<Floor> {
        Floor::with_window(cpus, Window::new(pages, watched)?)
    }

    /// A VM of `cpus` vCPUs and this window.
    ///
    /// # Errors
    /// What the host refused.
    pub fn with_window(cpus: u64, window: Window) -> io::Result<Floor> {
        let kvm = Kvm::new()?;
        let vm = kvm.create_vm()?;
        let cpuid = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
        let ram = Memory::anonymous(RAM)?;
        for (slot, gpa, memory) in [(0, 0, &ram), (1, WINDOW, window.memory())] {
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: gpa,
                memory_size: memory.length(),
                userspace_addr: memory.address(),
            };
            // SAFETY: the memory stays mapped until the VM is gone.
            unsafe { vm.set_user_memory_region(region) }?;
        }
        let floor = Floor {
            vcpus: Vec::new(),
            _vm: vm,
            ram,
            window,
        };
        floor.prepare();
        let vcpus = (0..cpus)
            .map(|index| floor.vcpu(index, &cpuid))
            .collect::<io::Result<_>>()?;
        Ok(Floor { vcpus, ..floor })
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Tables, gates and stub.
    fn prepare(&self) {
        let write = |gpa, value| self.ram.write(gpa, value);
        write(PML4, PDPT | TABLE);
        write(PDPT, RAM_DIRECTORY | TABLE);
        write(PDPT + 8, WINDOW_DIRECTORY | TABLE);
        write(RAM_DIRECTORY, LEAF | USER);
        write(RAM_DIRECTORY + 8, SYSTEM | LEAF);
        for large in 0..512 {
            write(
                WINDOW_DIRECTORY + 8 * large,
                (WINDOW + (large << 21)) | LEAF | USER,
            );
        }
        let gate =
            (STUB & 0xFFFF) | u64::from(KERNEL_CS) << 16 | 0x8E << 40 | (STUB >> 16 & 0xFFFF) << 48;
        write(IDT + 16 * 14, gate);
        self.ram.write_bytes(STUB, guest::stub().bytes());
    }

    fn vcpu(&self, index: u64, cpuid: &CpuId) -> io::Result<Vcpu> {
        let fd = self._vm.create_vcpu(index)?;
        fd.set_cpuid2(cpuid)?;
        let gdt = VCPUS + 0x1000 * index;
        let tss = gdt + 0x80;
        let descriptors = [
            (KERNEL_CS, 0x00AF_9B00_0000_FFFF),
            (KERNEL_CS + 8, 0x00CF_9300_0000_FFFF),
            (USER_SS & !7, 0x00CF_F300_0000_FFFF),
            (USER_CS & !7, 0x00AF_FB00_0000_FFFF),
            (TSS, (TSS_SIZE - 1) | (tss & 0xFF_FFFF) << 16 | 0x8B << 40),
        ];
        for (selector, descriptor) in descriptors {
            self.ram.write(gdt + u64::from(selector), descriptor);
        }
        self.ram.write_bytes(tss + 4, &(gdt + 0x1000).to_le_bytes());
        self.ram.write_bytes(tss + 0x66, &PERMISSIONS.to_le_bytes());
        // Its last byte has all bits set, as it has to.
        self.ram.write_bytes(tss + TSS_SIZE - 1, &[0xFF]);
        let segment = |selector: u16, kind: u8| kvm_segment {
            limit: 0xFFFF_FFFF,
            selector,
            type_: kind,
            present: 1,
            dpl: 3,
            db: u8::from(kind == 3),
            s: 1,
            l: u8::from(kind == 11),
            g: 1,
            ..kvm_segment::default()
        };
        let mut sregs = fd.get_sregs()?;
        sregs.cs = segment(USER_CS, 11);
        for data in [
            &mut sregs.ss,
            &mut sregs.ds,
            &mut sregs.es,
            &mut sregs.fs,
            &mut sregs.gs,
        ] {
            *data = segment(USER_SS, 3);
        }
        sregs.tr = kvm_segment {
            base: tss,
            limit: TSS_SIZE as u32 - 1,
            selector: TSS,
            type_: 11,
            present: 1,
            ..kvm_segment::default()
        };
        sregs.gdt = kvm_dtable {
            base: gdt,
            limit: 0x47,
            ..kvm_dtable::default()
        };
        sregs.idt = kvm_dtable {
            base: IDT,
            limit: 16 * 33 - 1,
            ..kvm_dtable::default()
        };
        sregs.cr0 = 0x8001_0033;
        sregs.cr3 = PML4;
        sregs.cr4 = 0x620;
        sregs.efer = 0xD01;
        fd.set_sregs(&sregs)?;
        let entry = |index, data| kvm_msr_entry {
            index,
            data,
            ..kvm_msr_entry::default()
        };
        let landing = guest::landing().bytes().len() as u64;
        let star = 0x23u64 << 48 | u64::from(KERNEL_CS) << 32;
        let msrs = [
            entry(0xC000_0081, star),
            entry(0xC000_0082, STUB + landing),
            entry(0xC000_0084, 0),
        ];
        let msrs =
            Msrs::from_entries(&msrs).map_err(|error| io::Error::other(format!("{error:?}")))?;
        fd.set_msrs(&msrs)?;
        Ok(Vcpu { fd, index })
    }

    /// Runs `code` on every vCPU at once, `count` times each, and hands what the guest wants to `serve` (with the number of its vCPU and how
    /// many came before). Vcpu n touches the pages that `pages` gives for it. Returns cycles, for each vCPU.
    ///
    /// # Errors
    /// An exit that means nothing here, or an error of `serve`.
    pub fn run(
        &mut self,
        code: Code,
        count: u64,
        pages: &[Vec<u64>],
        serve: &(dyn Fn(&Window, usize, u64, Event) -> io::Result<()> + Sync),
    ) -> io::Result<Vec<Vec<u32>>> {
        if count > MAX_COUNT {
            return Err(io::Error::other(format!(
                "{count} is more than {MAX_COUNT}"
            )));
        }
        self.ram.write_bytes(CODE, code.bytes());
        for (vcpu, pages) in self.vcpus.iter().zip(pages) {
            for (at, page) in (ADDRESSES + vcpu.index * AREA..).step_by(8).zip(pages) {
                self.ram.write(at, WINDOW + (page << 12));
            }
        }
        let (ram, window) = (&self.ram, &self.window);
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .vcpus
                .iter_mut()
                .map(|vcpu| {
                    scope.spawn(move || {
                        let index = vcpu.index as usize;
                        processor::pin(index);
                        vcpu.run(count, |number, event| serve(window, index, number, event))?;
                        Ok(vcpu.results(ram, count))
                    })
                })
                .collect();
            let ended = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a thread of the floor panicked")))
            });
            ended.collect()
        })
    }
}

impl Vcpu {
    fn run(
        &mut self,
        count: u64,
        mut serve: impl FnMut(u64, Event) -> io::Result<()>,
    ) -> io::Result<()> {
        let area = ADDRESSES + self.index * AREA;
        self.fd.set_regs(&kvm_regs {
            rip: CODE,
            rdi: area,
            rsi: count,
            r10: area + RESULTS,
            rflags: 2,
            ..kvm_regs::default()
        })?;
        let mut number = 0;
        loop {
            let event = match self.fd.run() {
                Ok(VcpuExit::IoOut(CALL, _)) => Event::Call,
                Ok(VcpuExit::IoOut(DONE, _)) => return Ok(()),
                Ok(other) => {
                    return Err(io::Error::other(format!(
                        "the floor's guest left with {other:?}"
                    )));
                }
                Err(error) if error.errno() == libc::EFAULT => Event::Fault,
                Err(error) if error.errno() == libc::EINTR => continue,
                Err(error) => return Err(error.into()),
            };
            serve(number, event)?;
            number += 1;
        }
    }

    fn results(&self, ram: &Memory, count: u64) -> Vec<u32> {
        let first = ADDRESSES + self.index * AREA + RESULTS;
        (0..count).map(|at| ram.read_u32(first + 4 * at)).collect()
    }
}

/// A file of the host, mapped, to copy pages from.
///
/// # Errors
/// What the host refused.
pub fn source(file: &File) -> io::Result<Source> {
    Source::of_file(file)
}
