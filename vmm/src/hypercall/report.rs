//! The report of an exception that nobody handles.

use protocol::Status;
use zircon::{Exception, ExceptionKind, Kernel, ThreadId};

use super::mailbox::Call;
use super::shared::{Vm, lock};
use super::work::Mine;
use crate::debug::Crash;
use crate::machine::{Registers, in_machine, in_protocol};
use crate::outcome::End;

impl Vm {
    /// An exception that nobody handles: of the program, it is the end of the run.
    pub(super) fn report(
        &self,
        core: &Kernel,
        exception: &Exception,
        mine: Option<Mine<'_>>,
    ) -> Option<String> {
        let own = mine.filter(|mine| mine.thread == Some(exception.thread));
        let registers = match (&exception.registers, own) {
            (Some(registers), _) => Some(in_machine(registers)),
            (None, Some(mine)) => Some(*mine.registers),
            (None, None) => self.parked_registers(exception.thread),
        };
        let mut report = exception.to_string();
        if let ExceptionKind::PageFault {
            vmo: Some((vmo, ..)),
            ..
        } = &exception.kind
            && let Some((_, why)) = lock(&self.pager_failure).take_if(|(failed, _)| failed == vmo)
        {
            report.push_str(&format!("\npager      {why}"));
        }
        let no_memory = matches!(
            exception.kind,
            ExceptionKind::PageFault {
                status: Status::NO_MEMORY,
                ..
            }
        );
        if no_memory && core.room_left() == 0 {
            report.push_str("\nmemory     --memory is used up, and nothing can be reclaimed");
        }
        if let Some(registers) = registers {
            report.push('\n');
            report.push_str(&describe(&registers));
        }
        if exception.process == self.program {
            *lock(&self.crash) = Some(Crash {
                program: exception.process_name.clone(),
                thread: exception.thread,
                kind: exception.kind.clone(),
                registers: registers.map(|registers| in_protocol(&registers)),
                present: exception.present.clone(),
            });
            self.stop(End::Exception(report));
            return None;
        }
        Some(report)
    }

    pub(super) fn parked_registers(&self, thread: ThreadId) -> Option<Registers> {
        let mailbox = self.mailbox(self.vcpu_of(thread)?)?;
        match mailbox.lock().calls.get(&thread)? {
            Call::Parked(_, parked) => Some(parked.registers),
            Call::Open(_, registers) => Some(*registers),
            Call::Answered(_) | Call::Restart(_) => None,
        }
    }
}

/// The general registers, four to a line.
pub(super) fn describe(r: &Registers) -> String {
    let named = [
        ("rip", r.rip),
        ("rsp", r.rsp),
        ("rbp", r.rbp),
        ("flg", r.rflags),
        ("rax", r.rax),
        ("rbx", r.rbx),
        ("rcx", r.rcx),
        ("rdx", r.rdx),
        ("rsi", r.rsi),
        ("rdi", r.rdi),
        ("r8 ", r.r8),
        ("r9 ", r.r9),
        ("r10", r.r10),
        ("r11", r.r11),
        ("r12", r.r12),
        ("r13", r.r13),
        ("r14", r.r14),
        ("r15", r.r15),
    ];
    let lines = named.chunks(4).map(|line| {
        let line: Vec<String> = line
            .iter()
            .map(|(name, value)| format!("{name} {value:016x}"))
            .collect();
        format!("           {}", line.join("  "))
    });
    lines.collect::<Vec<_>>().join("\n")
}
