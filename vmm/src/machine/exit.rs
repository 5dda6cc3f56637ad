//! Why a vCPU left the guest, as plain data.
//!
//! KVM's exit becomes a [`RawExit`] (a copy, no descriptor), and that becomes an [`Exit`] by rules that depend only on
//! it, on RIP and on where the kernel's code is. All of this is tested without a VM.

use std::{fmt, ops::Range};

use kvm_bindings::kvm_regs;
use protocol::boot::{HYPERCALL_PORT, ImageHeader, KERNEL_BASE, KernelCall};

/// Why a vCPU left the guest.
#[derive(Clone, PartialEq, Debug)]
pub enum Exit {
    /// A program's system call. All registers are the program's (rcx and r11: where it came from).
    /// Answer with [`super::Vcpu::answer`].
    Syscall,
    /// A call of the guest kernel; arguments in rdi, rsi, rdx, r10, r8.
    KernelCall(KernelCall),
    /// A page fault of the guest's own tables, which the guest kernel only passes on. Look at it with [`super::Vcpu::page_fault`], answer
    /// with [`super::Vcpu::answer_page_fault`].
    PageFault,
    /// The guest kernel has nothing to run until its mailbox is filled.
    Halt,
    /// An instruction of ring 3 touches guest-physical memory that is not there (or not to be written). RIP is at the instruction; it
    /// restarts on the next entry.
    Fault {
        /// The address, if this host's KVM tells it.
        gpa: Option<u64>,
    },
    /// The same, met by KVM's instruction emulator.
    Mmio {
        /// First guest-physical address.
        gpa: u64,
        /// What the instruction does there.
        access: MmioAccess,
    },
    /// Someone kicked this vCPU, or a signal came.
    Interrupted,
    /// The mailbox interrupt, put off before, can be injected now. Told once.
    InterruptWindow,
    /// The guest's CPU gave up (triple fault).
    Shutdown,
    /// Anything else: the VM cannot go on.
    Unexpected(Box<ExitReport>),
}

/// An access that KVM's emulator makes for an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmioAccess {
    /// RIP is at the instruction: it can be restarted after [`super::Vcpu::discard_mmio`].
    Read {
        /// Bytes, at most 8.
        len: usize,
    },
    /// The instruction is done but for this write, which is the VMM's to carry out.
    Write {
        /// What is written.
        data: [u8; 8],
        /// How much of `data`, at most 8.
        len: usize,
    },
}

/// A report of an exit that nobody expects.
#[derive(Clone, PartialEq, Debug)]
pub struct ExitReport {
    /// What happened.
    pub what: String,
    /// The general registers.
    pub registers: kvm_regs,
    /// Bytes at RIP, if RIP is in the kernel's half.
    pub code: Vec<u8>,
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.registers;
        writeln!(f, "{}", self.what)?;
        writeln!(
            f,
            "  rip {:016x}  rflags {:08x}  rsp {:016x}",
            r.rip, r.rflags, r.rsp
        )?;
        writeln!(
            f,
            "  rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}",
            r.rax, r.rbx, r.rcx, r.rdx
        )?;
        writeln!(
            f,
            "  rsi {:016x}  rdi {:016x}  rbp {:016x}  r8  {:016x}",
            r.rsi, r.rdi, r.rbp, r.r8
        )?;
        writeln!(
            f,
            "  r9  {:016x}  r10 {:016x}  r11 {:016x}  r12 {:016x}",
            r.r9, r.r10, r.r11, r.r12
        )?;
        write!(
            f,
            "  r13 {:016x}  r14 {:016x}  r15 {:016x}",
            r.r13, r.r14, r.r15
        )?;
        if !self.code.is_empty() {
            write!(f, "\n  at rip:")?;
            self.code
                .iter()
                .try_for_each(|byte| write!(f, " {byte:02x}"))?;
        }
        Ok(())
    }
}

/// What KVM said, copied out of the shared page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RawExit {
    Out {
        port: u16,
        len: usize,
        al: u8,
    },
    In {
        port: u16,
    },
    Halt,
    MmioRead {
        gpa: u64,
        len: usize,
    },
    MmioWrite {
        gpa: u64,
        data: [u8; 8],
        len: usize,
    },
    MemoryFault {
        gpa: u64,
    },
    /// KVM_RUN failed with EFAULT and nothing more.
    Efault,
    Interrupted,
    InterruptWindow,
    Shutdown,
    Internal {
        suberror: u32,
        data: Vec<u64>,
    },
    Other(String),
}

/// Where the kernel's code is: decides which port writes are hypercalls.
#[derive(Clone, Debug)]
pub(super) struct KernelCode {
    syscall_out: Range<u64>,
    code: Vec<Range<u64>>,
}

impl KernelCode {
    pub(super) fn new(header: &ImageHeader, code: Vec<Range<u64>>) -> Self {
        Self {
            syscall_out: header.syscall_out..header.syscall_out_end,
            code,
        }
    }

    /// Whether RIP, seen at an exit caused by `out`, belongs to an instruction in `range`: KVM shows the instruction
    /// itself or the one after it.
    fn is_out_in(range: &Range<u64>, rip: u64) -> bool {
        (range.start..=range.end).contains(&rip)
    }

    /// Decides what an exit means. Ring 3 cannot execute in the kernel's half, so RIP there means ring 0.
    ///
    /// # Errors
    /// A description of an exit that has no meaning here.
    pub(super) fn classify(&self, raw: RawExit, rip: u64) -> Result<Exit, String> {
        let ring_3 = rip < KERNEL_BASE;
        match raw {
            RawExit::Out {
                port: HYPERCALL_PORT,
                len: 4,
                ..
            } if Self::is_out_in(&self.syscall_out, rip) => Ok(Exit::Syscall),
            RawExit::Out {
                port: HYPERCALL_PORT,
                len: 1,
                al,
            } if self.code.iter().any(|range| Self::is_out_in(range, rip)) => {
                KernelCall::from_register(al)
                    .map(Exit::KernelCall)
                    .ok_or_else(|| format!("the guest kernel made call {al}, which does not exist"))
            }
            RawExit::Out {
                port: HYPERCALL_PORT,
                len: 2,
                ..
            } if self.code.iter().any(|range| Self::is_out_in(range, rip)) => Ok(Exit::PageFault),
            RawExit::Out { port, len, .. } => Err(format!(
                "port write of {len} bytes to {port:#x} from {rip:#x}"
            )),
            RawExit::In { port } => Err(format!("port read of {port:#x} from {rip:#x}")),
            RawExit::Halt if ring_3 => Err(format!("hlt in ring 3 at {rip:#x}")),
            RawExit::Halt => Ok(Exit::Halt),
            RawExit::MemoryFault { gpa } if ring_3 => Ok(Exit::Fault { gpa: Some(gpa) }),
            RawExit::Efault if ring_3 => Ok(Exit::Fault { gpa: None }),
            RawExit::MmioRead { gpa, len } if ring_3 => Ok(Exit::Mmio {
                gpa,
                access: MmioAccess::Read { len },
            }),
            RawExit::MmioWrite { gpa, data, len } if ring_3 => Ok(Exit::Mmio {
                gpa,
                access: MmioAccess::Write { data, len },
            }),
            RawExit::MemoryFault { gpa }
            | RawExit::MmioRead { gpa, .. }
            | RawExit::MmioWrite { gpa, .. } => {
                Err(format!("the guest kernel touched guest-physical {gpa:#x}"))
            }
            RawExit::Efault => Err("the guest kernel touched memory that is not there".into()),
            RawExit::Interrupted => Ok(Exit::Interrupted),
            RawExit::InterruptWindow => Ok(Exit::InterruptWindow),
            RawExit::Shutdown => Ok(Exit::Shutdown),
            RawExit::Internal { suberror: 1, data } => Err(format!(
                "KVM could not emulate an instruction (data {data:x?})"
            )),
            RawExit::Internal { suberror, data } => {
                Err(format!("KVM internal error {suberror} (data {data:x?})"))
            }
            RawExit::Other(what) => Err(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u64 = KERNEL_BASE + 0x10_1000;
    const OUT: u64 = TEXT + 0x24;

    fn code() -> KernelCode {
        KernelCode {
            syscall_out: OUT..OUT + 2,
            code: vec![TEXT..TEXT + 0x1000, TEXT + 0x2000..TEXT + 0x2100],
        }
    }

    fn out(len: usize, al: u8) -> RawExit {
        RawExit::Out {
            port: HYPERCALL_PORT,
            len,
            al,
        }
    }

    #[test]
    fn a_system_call_is_the_one_out_instruction_seen_before_or_after() {
        for rip in [OUT, OUT + 2] {
            assert_eq!(code().classify(out(4, 0), rip), Ok(Exit::Syscall));
        }
        for rip in [OUT - 1, OUT + 3, 0x20_0000, 0] {
            assert!(code().classify(out(4, 0), rip).is_err(), "{rip:#x}");
        }
    }

    #[test]
    fn page_faults_come_from_the_kernels_code() {
        assert_eq!(code().classify(out(2, 0), TEXT + 9), Ok(Exit::PageFault));
        assert!(code().classify(out(2, 0), 0x20_0000).is_err());
        assert!(code().classify(out(2, 0), TEXT - 1).is_err());
    }

    #[test]
    fn kernel_calls_come_from_the_kernels_code() {
        let call = |rip, al| code().classify(out(1, al), rip);
        assert_eq!(
            call(TEXT + 0x80, 2),
            Ok(Exit::KernelCall(KernelCall::Flushed))
        );
        assert!(call(TEXT + 0x80, 99).unwrap_err().contains("call 99"));
        assert!(call(0x20_0000, 2).is_err(), "ring 3");
        assert!(
            call(KERNEL_BASE + 0x20_0000, 2).is_err(),
            "data of the kernel"
        );
    }

    #[test]
    fn other_ports_and_widths_are_no_hypercalls() {
        let raw = RawExit::Out {
            port: 0x80,
            len: 4,
            al: 0,
        };
        assert!(code().classify(raw, OUT).unwrap_err().contains("0x80"));
        assert!(code().classify(out(8, 1), OUT).is_err());
        assert!(
            code()
                .classify(
                    RawExit::In {
                        port: HYPERCALL_PORT
                    },
                    OUT
                )
                .is_err()
        );
    }

    #[test]
    fn faults_of_ring_3_are_ordinary_and_those_of_ring_0_are_not() {
        let user = 0x40_0000;
        let classify = |raw, rip| code().classify(raw, rip);
        assert_eq!(
            classify(RawExit::Efault, user),
            Ok(Exit::Fault { gpa: None })
        );
        let told = RawExit::MemoryFault { gpa: 0x1_0000_0000 };
        assert_eq!(
            classify(told.clone(), user),
            Ok(Exit::Fault {
                gpa: Some(0x1_0000_0000)
            })
        );
        let access = MmioAccess::Read { len: 8 };
        let read = RawExit::MmioRead {
            gpa: 0x1_0000_0000,
            len: 8,
        };
        assert_eq!(
            classify(read.clone(), user),
            Ok(Exit::Mmio {
                gpa: 0x1_0000_0000,
                access
            })
        );
        for raw in [RawExit::Efault, told, read] {
            assert!(
                classify(raw, TEXT)
                    .unwrap_err()
                    .contains("guest kernel touched")
            );
        }
    }

    #[test]
    fn a_halt_is_the_kernels() {
        assert_eq!(code().classify(RawExit::Halt, TEXT + 9), Ok(Exit::Halt));
        assert!(code().classify(RawExit::Halt, 0x40_0000).is_err());
    }

    #[test]
    fn emulation_failures_are_reported_with_their_data() {
        let raw = RawExit::Internal {
            suberror: 1,
            data: vec![0xABC],
        };
        assert!(code().classify(raw, TEXT).unwrap_err().contains("abc"));
    }

    #[test]
    fn a_report_shows_registers_and_code() {
        let registers = kvm_regs {
            rip: 0xFFFF_FFFF_8010_1000,
            r15: 0x77,
            ..Default::default()
        };
        let report = ExitReport {
            what: "triple fault".into(),
            registers,
            code: vec![0x0F, 0x0B],
        };
        let text = report.to_string();
        assert!(text.starts_with("triple fault\n"));
        assert!(text.contains("rip ffffffff80101000") && text.ends_with("at rip: 0f 0b"));
    }
}
