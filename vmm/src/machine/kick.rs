//! Taking a vCPU out of the guest from another thread, without a race.
//!
//! ```text
//! kicker                                vCPU thread
//! 1 immediate_exit = 1                  a in_guest = its thread id
//! 2 in_guest? then signal that thread   b KVM_RUN: looks at immediate_exit, then enters the guest
//!                                       c in_guest = 0
//! ```
//! If 2 sees no thread, a comes after 1, and KVM sees the flag in b. If it sees one, the signal ends b - or finds the
//! thread before or after it, where the flag, which stays set until an exit was reported as interrupted, does the work.
//! A signal that comes late may interrupt another system call of the vCPU's thread with EINTR.

use std::{
    io,
    os::fd::AsFd,
    ptr::NonNull,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, AtomicU8, Ordering},
    },
};

use kvm_bindings::kvm_run;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use super::error::MachineError;

const PAGE: usize = 4096;

/// The flag of one vCPU and who runs it.
#[derive(Debug)]
struct Shared {
    /// This handle's own mapping of the page that KVM and the vCPU share; only `immediate_exit` is used.
    page: NonNull<u8>,
    /// Thread id of the thread that is in (or about to enter) the guest, else 0.
    in_guest: AtomicI32,
}

// SAFETY: the mapping belongs to this value until it is dropped, and only its atomic byte is accessed.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn immediate_exit(&self) -> &AtomicU8 {
        let offset = std::mem::offset_of!(kvm_run, immediate_exit);
        // SAFETY: the byte is inside the mapping, which lives as long as `self`. KVM only reads it, and in this process it
        // is accessed through this mapping alone, always as an atomic.
        unsafe { AtomicU8::from_ptr(self.page.as_ptr().add(offset)) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, unmapped nowhere else, and no reference into it is left.
        let unmapped = unsafe { munmap(self.page.as_ptr().cast(), PAGE) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Takes one vCPU out of the guest. Any thread may use it, at any time, also when the vCPU is gone.
#[derive(Clone, Debug)]
pub struct KickHandle(Arc<Shared>);

impl KickHandle {
    /// For the vCPU with the descriptor `vcpu`. Installs the signal handler of the process at first use.
    pub(super) fn new(vcpu: impl AsFd) -> Result<Self, MachineError> {
        install_handler()?;
        // SAFETY: a new mapping at an address of the kernel's choice, of the page that KVM shares for this vCPU.
        let page = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap(
                std::ptr::null_mut(),
                PAGE,
                access,
                MapFlags::SHARED,
                vcpu,
                0,
            )
        };
        let refused = |source| MachineError::Kvm {
            doing: "share a vCPU's page",
            source,
        };
        let page = page.map_err(|errno| refused(errno.into()))?;
        let page = NonNull::new(page.cast()).ok_or_else(|| refused(io::ErrorKind::Other.into()))?;
        Ok(Self(Arc::new(Shared {
            page,
            in_guest: AtomicI32::new(0),
        })))
    }

    /// Makes the vCPU's current or next [`super::Vcpu::run`] return, with `Interrupted` unless it has another reason;
    /// then the one after it returns `Interrupted`.
    pub fn kick(&self) {
        self.0.immediate_exit().store(1, Ordering::SeqCst);
        let thread = self.0.in_guest.load(Ordering::SeqCst);
        if thread != 0 {
            // SAFETY: sends a signal whose handler does nothing. Should the thread be gone, there is none to receive it,
            // or one of this process that gets the same handler.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGRTMIN()) };
        }
    }

    /// The calling thread is about to enter the guest.
    pub(super) fn enter(&self) {
        self.0.in_guest.store(thread_id(), Ordering::SeqCst);
    }

    /// It is back.
    pub(super) fn leave(&self) {
        self.0.in_guest.store(0, Ordering::SeqCst);
    }

    /// The kick is about to be reported; what led to it is visible to the caller afterwards.
    pub(super) fn acknowledge(&self) {
        self.0.immediate_exit().store(0, Ordering::SeqCst);
    }

    /// Makes the next KVM_RUN finish what is pending and come back at once.
    pub(super) fn exit_at_once(&self) {
        self.0.immediate_exit().store(1, Ordering::SeqCst);
    }
}

fn thread_id() -> i32 {
    thread_local!(static ID: i32 = rustix::thread::gettid().as_raw_pid());
    ID.with(|id| *id)
}

extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Installs the handler once; without SA_RESTART, so that the signal ends KVM_RUN.
fn install_handler() -> Result<(), MachineError> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        register_signal_handler(SIGRTMIN(), on_kick).map_err(|error| error.errno())
    });
    installed.map_err(|errno| MachineError::Signal {
        source: io::Error::from_raw_os_error(errno),
    })
}
