//! The floor of a pager's service in the guest: client and service in ring 3, on one vCPU or on one each, and a kernel that does
//! nothing but switch between them.
//!
//! ```text
//! client                kernel                     host                       service
//! touches a page  ->                               injects the interrupt
//!                       saves, loads or sleeps     wakes the service's vCPU   goes on
//!                                                  copies the page        <-  says SUPPLY
//!                       saves, loads or sleeps     wakes the client's vCPU    says WAIT
//! touches it again
//! ```

use std::io;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};

use kvm_bindings::kvm_regs;
use kvm_ioctls::{VcpuExit, VcpuFd};

use super::guest::{self, CALL, DONE};
use super::switch::{self, CLIENT, END, RIP, SERVICE, SUPPLY, WAIT};
use super::{
    ADDRESSES, CODE, Floor, IDT, KERNEL_CS, RESULTS, STUB, USER_CS, USER_SS, VCPUS, WINDOW, Window,
};

/// The service's code; the client's is at [`CODE`].
const SERVICE_CODE: u64 = CODE + 0x1000;
/// Of the interrupt that stops the client.
const VECTOR: u64 = 32;
/// Flags of ring 3: interrupts are on.
const FLAGS: u64 = 0x202;

// <linux/kvm.h>: _IOW(0xAE, 0x86, struct kvm_interrupt).
const KVM_INTERRUPT: u64 = 0x4004_AE86;

/// Copies the page of a request, which is told by its number.
pub type Supply<'a> = &'a (dyn Fn(&Window, u64) -> io::Result<()> + Sync);

impl Floor {
    /// Has the first vCPU touch `pages` in their order and a service answer: on the second vCPU, if there is one. Returns cycles.
    ///
    /// # Errors
    /// An exit that means nothing here, or an error of `supply`.
    pub fn serve(&mut self, pages: &[u64], supply: Supply<'_>) -> io::Result<Vec<u32>> {
        let apart = self.vcpus.len() > 1;
        self.prepare_service(apart);
        self.ram.write_bytes(CODE, guest::read().bytes());
        for (at, page) in (ADDRESSES..).step_by(8).zip(pages) {
            self.ram.write(at, WINDOW + (page << 12));
        }
        let [client, rest @ ..] = self.vcpus.as_mut_slice() else {
            return Err(io::Error::other("the floor has no vCPU"));
        };
        client.fd.set_regs(&kvm_regs {
            rip: CODE,
            rdi: ADDRESSES,
            rsi: pages.len() as u64,
            r10: ADDRESSES + RESULTS,
            rflags: FLAGS,
            ..kvm_regs::default()
        })?;
        let window = &self.window;
        match rest {
            [] => together(&mut client.fd, window, supply)?,
            [service, ..] => {
                service.fd.set_regs(&kvm_regs {
                    rip: SERVICE_CODE,
                    rflags: FLAGS,
                    ..kvm_regs::default()
                })?;
                let (request, requested) = channel();
                let (answer, answered) = channel();
                std::thread::scope(|scope| {
                    let service = &mut service.fd;
                    let serving =
                        scope.spawn(move || serving(service, window, supply, &requested, &answer));
                    let touched = touching(&mut client.fd, request, &answered);
                    serving.join().unwrap_or_else(|_| Err(panicked()))?;
                    touched
                })?;
            }
        }
        Ok(client.results(&self.ram, pages.len() as u64))
    }

    /// Kernel, gate and the service's first context.
    fn prepare_service(&self, apart: bool) {
        let (kernel, before) = match apart {
            true => (switch::sleep(), switch::sleep_entry()),
            false => (switch::switch(), switch::switch_entry()),
        };
        self.ram.write_bytes(STUB, kernel.bytes());
        let entry = STUB + before.bytes().len() as u64;
        // It has a stack of its own (the first of the TSS): the client's context.
        let gate = (entry & 0xFFFF)
            | u64::from(KERNEL_CS) << 16
            | 1 << 32
            | 0x8E << 40
            | (entry >> 16 & 0xFFFF) << 48;
        self.ram.write(IDT + 16 * VECTOR, gate);
        let tss = VCPUS + 0x80;
        self.ram
            .write_bytes(tss + 0x24, &(CLIENT + END).to_le_bytes());
        self.ram.write_bytes(SERVICE_CODE, switch::serve().bytes());
        let first = [SERVICE_CODE, USER_CS.into(), FLAGS, 0, USER_SS.into()];
        for (at, value) in (SERVICE + RIP..).step_by(8).zip(first) {
            self.ram.write(at, value);
        }
    }
}

/// Client and service on one vCPU.
fn together(fd: &mut VcpuFd, window: &Window, supply: Supply<'_>) -> io::Result<()> {
    let mut number = 0;
    loop {
        match fd.run() {
            Err(error) if error.errno() == libc::EFAULT => interrupt(fd)?,
            Ok(VcpuExit::IoOut(CALL, [SUPPLY])) => {
                supply(window, number)?;
                number += 1;
            }
            Ok(VcpuExit::IoOut(CALL, [WAIT])) => {}
            Ok(VcpuExit::IoOut(DONE, _)) => return Ok(()),
            other => unexpected(other)?,
        }
    }
}

/// The client's vCPU, where the service has another one. `request` is dropped at the end, which ends the service.
fn touching(fd: &mut VcpuFd, request: Sender<()>, answered: &Receiver<()>) -> io::Result<()> {
    loop {
        match fd.run() {
            Err(error) if error.errno() == libc::EFAULT => {
                request.send(()).map_err(|_| ended())?;
                interrupt(fd)?;
            }
            Ok(VcpuExit::Hlt) => answered.recv().map_err(|_| ended())?,
            Ok(VcpuExit::IoOut(DONE, _)) => return Ok(()),
            other => unexpected(other)?,
        }
    }
}

/// The service's vCPU, which begins as if it had just been woken.
fn serving(
    fd: &mut VcpuFd,
    window: &Window,
    supply: Supply<'_>,
    requested: &Receiver<()>,
    answer: &Sender<()>,
) -> io::Result<()> {
    if requested.recv().is_err() {
        return Ok(());
    }
    let mut number = 0;
    loop {
        match fd.run() {
            Ok(VcpuExit::IoOut(CALL, [SUPPLY])) => {
                supply(window, number)?;
                number += 1;
                answer.send(()).map_err(|_| ended())?;
            }
            Ok(VcpuExit::IoOut(CALL, [WAIT])) => {}
            Ok(VcpuExit::Hlt) if requested.recv().is_err() => return Ok(()),
            Ok(VcpuExit::Hlt) => {}
            other => unexpected(other)?,
        }
    }
}

/// Stops ring 3.
fn interrupt(fd: &VcpuFd) -> io::Result<()> {
    let interrupt = kvm_bindings::kvm_interrupt { irq: VECTOR as u32 };
    // SAFETY: the request reads one `kvm_interrupt`, and the descriptor is that of a vCPU.
    match unsafe { libc::ioctl(fd.as_raw_fd(), KVM_INTERRUPT, &raw const interrupt) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Interruptions by signals are nothing; everything else is an error.
fn unexpected(exit: Result<VcpuExit<'_>, kvm_ioctls::Error>) -> io::Result<()> {
    match exit {
        Err(error) if error.errno() == libc::EINTR => Ok(()),
        Err(error) => Err(error.into()),
        Ok(exit) => {
            let what = format!("the floor's guest left with {exit:?}");
            Err(io::Error::other(what))
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the floor's other vCPU has ended")
}

fn panicked() -> io::Error {
    io::Error::other("a thread of the floor panicked")
}
