//! One vCPU: entering the guest, its registers, interrupt injection.
//!
//! A vCPU is used by one thread. Between two calls of [`Vcpu::run`] it is out of the guest: then its registers and its
//! [`Area`] may be read and changed. General registers travel through the page that KVM shares (KVM_CAP_SYNC_REGS) and cost
//! no system call; segment bases and the rest are fetched on demand.

mod switch;

use std::os::fd::{AsRawFd, BorrowedFd};

use kvm_bindings::{KVMIO, Msrs, kvm_interrupt, kvm_regs, kvm_sregs};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd, VmFd};
use protocol::boot::{
    BOOT_ROOT, KERNEL_BASE, MAILBOX_VECTOR, PANIC_RUST, PageFaultFrame, RAM_SIZE,
};
use vmm_sys_util::{errno, ioctl::ioctl_with_ref, ioctl_iow_nr};

use super::{
    area::{Area, area_base},
    boot,
    error::MachineError,
    exit::{Exit, ExitReport, KernelCode, RawExit},
    image::KernelImage,
    kick::KickHandle,
    ram::Ram,
};

pub use switch::Left;

ioctl_iow_nr!(KVM_INTERRUPT, KVMIO, 0x86, kvm_interrupt);

/// Carry flag: in the answer to a system call it says "drain the mailbox".
const CARRY: u64 = 1;

/// Most bytes of a guest kernel's panic message that are shown.
const MAX_PANIC_MESSAGE: u64 = 1024;

/// What became of an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Injection {
    /// The guest takes it as soon as it is entered.
    Done,
    /// The guest cannot take it now. [`Exit::InterruptWindow`] will come; inject again then.
    PutOff,
}

/// Bases of the fs and gs segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SegmentBases {
    /// Of fs.
    pub fs: u64,
    /// Of gs.
    pub gs: u64,
}

/// A page fault of the guest's own tables.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PageFault {
    /// What could not be reached.
    pub address: u64,
    /// Of the processor (SDM vol. 3, 5.7): bit 0 is clear if an entry was not present.
    pub error_code: u64,
    /// Whether a program met it.
    pub in_ring_3: bool,
    /// Registers at the instruction.
    pub registers: kvm_regs,
}

/// A vCPU.
#[derive(Debug)]
pub struct Vcpu {
    index: u32,
    fd: VcpuFd,
    ram: Ram,
    area: Area,
    kick: KickHandle,
    code: KernelCode,
    /// Address of the kernel's way back to ring 3.
    iretq: u64,
}

impl Vcpu {
    pub(super) fn new(
        vm: &VmFd,
        ram: &Ram,
        image: &KernelImage<'_>,
        cpuid: &kvm_bindings::CpuId,
        index: u32,
    ) -> Result<Self, MachineError> {
        let mut fd = vm
            .create_vcpu(index.into())
            .map_err(MachineError::kvm("create a vCPU"))?;
        fd.set_cpuid2(cpuid)
            .map_err(MachineError::kvm("set CPUID"))?;
        boot::prepare_vcpu(ram, index)?;
        let reset = fd
            .get_sregs()
            .map_err(MachineError::kvm("read special registers"))?;
        fd.set_sregs(&boot::special_registers(index, reset))
            .map_err(MachineError::kvm("set special registers"))?;
        let entries = boot::model_registers(image, index);
        let msrs = Msrs::from_entries(&entries).map_err(|_| MachineError::Kvm {
            doing: "list model-specific registers",
            source: std::io::ErrorKind::OutOfMemory.into(),
        })?;
        let set = fd
            .set_msrs(&msrs)
            .map_err(MachineError::kvm("set model-specific registers"))?;
        if set != entries.len() {
            return Err(MachineError::Kvm {
                doing: "set all model-specific registers",
                source: std::io::ErrorKind::Unsupported.into(),
            });
        }
        let area = KERNEL_BASE + area_base(index);
        let registers = kvm_regs {
            rip: image.header().entry,
            rsp: area + protocol::vcpu::STACK_TOP,
            rdi: area,
            rflags: 2,
            ..Default::default()
        };
        fd.set_regs(&registers)
            .map_err(MachineError::kvm("set registers"))?;
        fd.set_sync_valid_reg(SyncReg::Register);
        // SAFETY: the descriptor is open; the borrow ends with this statement.
        let kick = KickHandle::new(unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) })?;
        let code = KernelCode::new(image.header(), image.code());
        Ok(Self {
            index,
            fd,
            ram: ram.clone(),
            area: Area::new(ram.clone(), index),
            kick,
            code,
            iretq: image.header().iretq,
        })
    }

    /// Number of this vCPU.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its area in guest RAM.
    pub fn area(&self) -> &Area {
        &self.area
    }

    /// What takes it out of the guest.
    pub fn kick_handle(&self) -> KickHandle {
        self.kick.clone()
    }

    /// Enters the guest with the registers as they are now, until it exits.
    ///
    /// # Errors
    /// [`MachineError::Kvm`] if KVM cannot run the vCPU at all.
    pub fn run(&mut self) -> Result<Exit, MachineError> {
        self.kick.enter();
        let result = self.fd.run().map(RawExit::from);
        self.kick.leave();
        let raw = match result {
            Ok(RawExit::Internal { .. }) => self.internal_error(),
            Ok(raw) => raw,
            Err(error) => match error.errno() {
                libc::EINTR | libc::EAGAIN => RawExit::Interrupted,
                libc::EFAULT => RawExit::Efault,
                _ => return Err(MachineError::kvm("run a vCPU")(error)),
            },
        };
        match raw {
            RawExit::Interrupted => self.kick.acknowledge(),
            RawExit::InterruptWindow => self.fd.get_kvm_run().request_interrupt_window = 0,
            _ => {}
        }
        let rip = self.registers().rip;
        let exit = self.code.classify(raw, rip);
        Ok(exit.unwrap_or_else(|what| Exit::Unexpected(Box::new(self.report(what)))))
    }

    /// What is to be told of a vCPU that cannot go on: registers, and the kernel's code at RIP.
    pub fn report(&mut self, what: impl Into<String>) -> ExitReport {
        let registers = *self.registers();
        let mut code = vec![0; 16];
        let readable = registers
            .rip
            .checked_sub(KERNEL_BASE)
            .is_some_and(|gpa| gpa < RAM_SIZE - 16 && self.ram.read_bytes(gpa, &mut code).is_ok());
        if !readable {
            code.clear();
        }
        ExitReport {
            what: what.into(),
            registers,
            code,
        }
    }

    /// The report of a [`KernelCall::Panic`](protocol::boot::KernelCall::Panic) that has just been made.
    pub fn panic_report(&mut self) -> ExitReport {
        let &kvm_regs {
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            ..
        } = self.registers();
        if rdi != PANIC_RUST {
            return self.report(format!(
                "exception {rdi} in the guest kernel (error code {rsi:#x}, CR2 {rdx:#x}, RIP {r10:#x}, RSP {r8:#x})"
            ));
        }
        let mut text = vec![0; rdx.min(MAX_PANIC_MESSAGE) as usize];
        let text = match self
            .ram
            .read_bytes(rsi.wrapping_sub(KERNEL_BASE), &mut text)
        {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(_) => format!("(no message at {rsi:#x})"),
        };
        self.report(format!("the guest kernel panicked: {text}"))
    }

    /// The general registers, as of the last exit or as changed since.
    pub fn registers(&mut self) -> &kvm_regs {
        &self.fd.sync_regs_mut().regs
    }

    /// The general registers, to be changed: the guest goes on with them.
    pub fn registers_mut(&mut self) -> &mut kvm_regs {
        self.fd.set_sync_dirty_reg(SyncReg::Register);
        &mut self.fd.sync_regs_mut().regs
    }

    /// Answers a system call: rax, and whether the guest kernel must drain the mailbox before it returns to a program.
    pub fn answer(&mut self, rax: u64, drain_mailbox: bool) {
        let registers = self.registers_mut();
        registers.rax = rax;
        registers.rflags = registers.rflags & !CARRY | u64::from(drain_mailbox);
    }

    /// The page fault of [`Exit::PageFault`].
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`]: the guest kernel's stack is nowhere.
    pub fn page_fault(&mut self) -> Result<PageFault, MachineError> {
        let registers = *self.registers();
        let frame: PageFaultFrame = self.ram.read(registers.rsp.wrapping_sub(KERNEL_BASE))?;
        Ok(PageFault {
            address: registers.rax,
            error_code: frame.error_code,
            in_ring_3: frame.cs & 3 == 3,
            registers: kvm_regs {
                rax: frame.rax,
                rip: frame.rip,
                rflags: frame.rflags,
                rsp: frame.rsp,
                ..registers
            },
        })
    }

    /// Answers a page fault: the instruction can be tried again at once, or the guest kernel tells of an exception.
    pub fn answer_page_fault(&mut self, again: bool) {
        let registers = self.registers_mut();
        registers.rflags = registers.rflags & !CARRY | u64::from(!again);
    }

    /// The special registers.
    ///
    /// # Errors
    /// [`MachineError::Kvm`].
    pub fn special_registers(&self) -> Result<kvm_sregs, MachineError> {
        self.fd
            .get_sregs()
            .map_err(MachineError::kvm("read special registers"))
    }

    /// The fs and gs bases of the running program (in ring 3 and at a system call).
    ///
    /// # Errors
    /// [`MachineError::Kvm`].
    pub fn segment_bases(&self) -> Result<SegmentBases, MachineError> {
        let registers = self.special_registers()?;
        Ok(SegmentBases {
            fs: registers.fs.base,
            gs: registers.gs.base,
        })
    }

    /// Sets the fs and gs bases of the running program. For a switch to survive, the thread's context must have them, too.
    ///
    /// # Errors
    /// [`MachineError::Kvm`].
    pub fn set_segment_bases(&mut self, bases: SegmentBases) -> Result<(), MachineError> {
        let mut registers = self.special_registers()?;
        registers.fs.base = bases.fs;
        registers.gs.base = bases.gs;
        self.fd
            .set_sregs(&registers)
            .map_err(MachineError::kvm("set segment bases"))
    }

    /// Injects the mailbox interrupt, or has the guest exit as soon as it can take it.
    ///
    /// A program that faults right behind `mov ss` would hold interrupts off for as long as it faults, so the shadow of that
    /// instruction is lifted.
    ///
    /// # Errors
    /// [`MachineError::Kvm`].
    pub fn inject_mailbox(&mut self) -> Result<Injection, MachineError> {
        if !self.is_ready_for_interrupt() && !self.lift_interrupt_shadow()? {
            self.fd.get_kvm_run().request_interrupt_window = 1;
            return Ok(Injection::PutOff);
        }
        self.fd.get_kvm_run().request_interrupt_window = 0;
        let interrupt = kvm_interrupt {
            irq: MAILBOX_VECTOR.into(),
        };
        // SAFETY: the request reads one `kvm_interrupt`, and the descriptor is that of a vCPU.
        let result = unsafe { ioctl_with_ref(&self.fd, KVM_INTERRUPT(), &interrupt) };
        if result != 0 {
            return Err(MachineError::kvm("inject an interrupt")(
                errno::Error::last(),
            ));
        }
        Ok(Injection::Done)
    }

    /// Abandons the instruction that led to [`Exit::Mmio`] with a read, so that it starts again on the next entry. The next
    /// [`Vcpu::run`] may return `Interrupted` at once.
    ///
    /// KVM insists on finishing the instruction, with made-up data. Meanwhile no user memory is mapped, so that what it
    /// writes goes nowhere (`add [page end], 1` would be half done otherwise), and then all registers are put back.
    ///
    /// # Errors
    /// [`MachineError::Kvm`].
    pub fn discard_mmio(&mut self) -> Result<(), MachineError> {
        let registers = *self.registers();
        let special = self.special_registers()?;
        self.set_special_registers(&kvm_sregs {
            cr3: BOOT_ROOT,
            ..special
        })?;
        loop {
            self.kick.exit_at_once();
            match self.fd.run().map(RawExit::from) {
                // The instruction's next piece.
                Ok(RawExit::MmioRead { .. } | RawExit::MmioWrite { .. }) => {}
                Ok(_) => break,
                Err(error) if error.errno() == libc::EINTR => break,
                Err(error) => return Err(MachineError::kvm("finish an instruction")(error)),
            }
        }
        *self.registers_mut() = registers;
        self.set_special_registers(&special)?;
        self.drop_exception()
    }

    /// Finishes the instruction that led to [`Exit::Mmio`] with a write: what it writes besides, piece by piece. The next
    /// [`Vcpu::run`] may return `Interrupted` at once.
    ///
    /// # Errors
    /// [`MachineError::Kvm`].
    pub fn finish_mmio(&mut self) -> Result<Vec<(u64, Vec<u8>)>, MachineError> {
        let mut writes = Vec::new();
        loop {
            self.kick.exit_at_once();
            match self.fd.run().map(RawExit::from) {
                Ok(RawExit::MmioWrite { gpa, data, len }) => {
                    writes.push((gpa, data.get(..len).unwrap_or_default().to_vec()));
                }
                Ok(_) => return Ok(writes),
                Err(error) if error.errno() == libc::EINTR => return Ok(writes),
                Err(error) => return Err(MachineError::kvm("finish an instruction")(error)),
            }
        }
    }

    fn set_special_registers(&self, registers: &kvm_sregs) -> Result<(), MachineError> {
        self.fd
            .set_sregs(registers)
            .map_err(MachineError::kvm("set special registers"))
    }

    /// Takes back an exception that waits to be delivered.
    fn drop_exception(&mut self) -> Result<(), MachineError> {
        let doing = "take back an exception";
        let mut events = self
            .fd
            .get_vcpu_events()
            .map_err(MachineError::kvm(doing))?;
        if events.exception.injected | events.exception.pending == 0 {
            return Ok(());
        }
        events.exception = Default::default();
        self.fd
            .set_vcpu_events(&events)
            .map_err(MachineError::kvm(doing))
    }

    fn is_ready_for_interrupt(&mut self) -> bool {
        let run = self.fd.get_kvm_run();
        run.ready_for_interrupt_injection != 0 && run.if_flag != 0
    }

    /// Ends the one-instruction delay of interrupts behind `mov ss`; `false` if something else holds interrupts off.
    fn lift_interrupt_shadow(&mut self) -> Result<bool, MachineError> {
        if self.fd.get_kvm_run().if_flag == 0 || self.registers().rip >= KERNEL_BASE {
            return Ok(false);
        }
        let doing = "read and set pending events";
        let mut events = self
            .fd
            .get_vcpu_events()
            .map_err(MachineError::kvm(doing))?;
        let pending =
            events.exception.injected | events.exception.pending | events.interrupt.injected;
        if events.interrupt.shadow == 0 || pending != 0 {
            return Ok(false);
        }
        events.interrupt.shadow = 0;
        self.fd
            .set_vcpu_events(&events)
            .map_err(MachineError::kvm(doing))?;
        Ok(true)
    }

    fn internal_error(&mut self) -> RawExit {
        let run = self.fd.get_kvm_run();
        // SAFETY: with this exit reason KVM fills in `internal`; any bytes are a valid value of it.
        let internal = unsafe { run.__bindgen_anon_1.internal };
        let data = internal
            .data
            .iter()
            .take(internal.ndata as usize)
            .copied()
            .collect();
        RawExit::Internal {
            suberror: internal.suberror,
            data,
        }
    }
}

impl From<VcpuExit<'_>> for RawExit {
    fn from(exit: VcpuExit<'_>) -> Self {
        match exit {
            VcpuExit::IoOut(port, data) => RawExit::Out {
                port,
                len: data.len(),
                al: data.first().copied().unwrap_or_default(),
            },
            VcpuExit::IoIn(port, _) => RawExit::In { port },
            VcpuExit::Hlt => RawExit::Halt,
            VcpuExit::MmioRead(gpa, data) => RawExit::MmioRead {
                gpa,
                len: data.len(),
            },
            VcpuExit::MmioWrite(gpa, written) => {
                let mut data = [0; 8];
                data.iter_mut()
                    .zip(written)
                    .for_each(|(to, from)| *to = *from);
                RawExit::MmioWrite {
                    gpa,
                    data,
                    len: written.len(),
                }
            }
            VcpuExit::MemoryFault { gpa, .. } => RawExit::MemoryFault { gpa },
            VcpuExit::Intr => RawExit::Interrupted,
            VcpuExit::IrqWindowOpen => RawExit::InterruptWindow,
            VcpuExit::Shutdown => RawExit::Shutdown,
            VcpuExit::InternalError => RawExit::Internal {
                suberror: 0,
                data: Vec::new(),
            },
            other => RawExit::Other(format!("KVM exit {other:?}")),
        }
    }
}
