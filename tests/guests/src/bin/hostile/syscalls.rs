//! Random registers to the system calls, biased to values that get past the first checks.
//!
//! Left out: calls that end the process or the thread. Kept harmless to this program itself, so that it gets through all
//! its calls: deadlines lie in the past, output goes to a scratch mapping far from everything else, and what is unmapped
//! or protected is scratch.

use programs::Random;
use protocol::syscall::{MAX_ARGS, SyscallNumber};
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, Pager, Port, Startup, Status, VmOptions, Vmo, VmoOptions,
    time, vmar_root_self,
};

/// Where the scratch mapping lies: nothing else comes near it by itself.
const SCRATCH: u64 = 0x3000_0000_0000;

/// Pages of scratch, absent until a call touches them.
const SCRATCH_PAGES: u64 = 16;

/// Objects that the calls work on.
const OBJECTS: usize = 10;

/// Makes `count` calls; prints how many succeeded.
pub fn call(startup: &Startup<'_>, seed: u64, count: u64) -> i32 {
    let mut caller = match Caller::new(startup, seed) {
        Ok(caller) => caller,
        Err(status) => {
            zx::println!("hostile: syscalls: {status}");
            return 2;
        }
    };
    let succeeded = (0..count).filter(|_| caller.call_once()).count();
    zx::println!("syscalls: {count} calls, {succeeded} succeeded");
    0
}

struct Caller {
    random: Random,
    /// Handle values; some are closed by the calls and stay here.
    handles: [u32; OBJECTS],
    /// The VMOs, whose handles are renewed now and then.
    made: u64,
}

impl Caller {
    fn new(startup: &Startup<'_>, seed: u64) -> Result<Self, Status> {
        let scratch = Vmo::create(SCRATCH_PAGES * PAGE_SIZE)?;
        let options = VmOptions::PERM_READ | VmOptions::PERM_WRITE | VmOptions::SPECIFIC;
        let (offset, length) = (SCRATCH - protocol::USER_BASE, SCRATCH_PAGES * PAGE_SIZE);
        // SAFETY: SPECIFIC replaces nothing.
        unsafe {
            let base = vmar_root_self().map(offset, &scratch, 0, length, options)?;
            Mapping::adopt(base, length as usize).leak();
        }
        let named = |name| startup.handle(name).unwrap_or(0);
        let mut caller = Caller {
            random: Random::new(seed),
            handles: [0; OBJECTS],
            made: 0,
        };
        let fixed = [
            named("vmar"),
            named("process"),
            named("thread"),
            named("job"),
        ];
        for (slot, handle) in caller.handles.iter_mut().zip(fixed) {
            *slot = handle;
        }
        caller.renew()?;
        Ok(caller)
    }

    /// Fresh objects for the calls to use up.
    fn renew(&mut self) -> Result<(), Status> {
        use zx::HandleBased;
        let fresh = [
            Vmo::create(4 * PAGE_SIZE)?.into_raw(),
            Vmo::create_with_opts(VmoOptions::RESIZABLE, PAGE_SIZE)?.into_raw(),
            Vmo::create_with_opts(VmoOptions::UNBOUNDED, 0)?.into_raw(),
            Port::create()?.into_raw(),
            Pager::create()?.into_raw(),
            self.detached()?.into_raw(),
        ];
        for (slot, handle) in self
            .handles
            .iter_mut()
            .skip(OBJECTS - fresh.len())
            .zip(fresh)
        {
            let _ = zx::Handle::from_raw(core::mem::replace(slot, handle));
        }
        Ok(())
    }

    /// A pager's VMO that keeps nobody waiting.
    fn detached(&self) -> Result<Vmo, Status> {
        let (pager, port) = (Pager::create()?, Port::create()?);
        let vmo = pager.create_vmo(VmoOptions::empty(), &port, 1, 4 * PAGE_SIZE)?;
        pager.detach_vmo(&vmo)?;
        vmo.basic_info()?;
        Ok(vmo)
    }

    /// One call; whether it succeeded.
    fn call_once(&mut self) -> bool {
        self.made += 1;
        if self.made % 64 == 0 {
            let _ = self.renew();
        }
        let calls = SyscallNumber::ALL;
        let index = self.random.below(calls.len() as u64) as usize;
        let Some(number) = calls.get(index).copied() else {
            return false;
        };
        let mut args = [0; MAX_ARGS];
        for arg in &mut args {
            *arg = self.value();
        }
        match number {
            SyscallNumber::ProcessExit | SyscallNumber::ThreadExit | SyscallNumber::TaskKill => {
                return false;
            }
            SyscallNumber::Nanosleep => args[0] = self.past(),
            SyscallNumber::ObjectWaitOne | SyscallNumber::ObjectWaitMany => args[2] = self.past(),
            SyscallNumber::PortWait => args[1] = self.past(),
            SyscallNumber::FutexWait => args[3] = self.past(),
            SyscallNumber::DebugWrite => {
                args[1] = self.random.below(2) * u64::from(args[0] >= 1 << 47)
            }
            SyscallNumber::VmarUnmap => (args[1], args[2]) = self.scratch_range(),
            SyscallNumber::VmarProtect | SyscallNumber::VmarOpRange => {
                (args[2], args[3]) = self.scratch_range();
            }
            SyscallNumber::VmarMap => args[1] &= !u64::from(VmOptions::SPECIFIC_OVERWRITE.bits()),
            SyscallNumber::HandleClose | SyscallNumber::HandleReplace => {
                args[0] = self.handle(OBJECTS / 2);
            }
            SyscallNumber::HandleCloseMany
            | SyscallNumber::VmoCreate
            | SyscallNumber::PagerCreate
            | SyscallNumber::PortCreate
            | SyscallNumber::FutexWake => {}
            _ if self.random.below(4) != 0 => args[0] = self.handle(0),
            _ => {}
        }
        // SAFETY: pointers are bad, random, or point to scratch, where no Rust value lives.
        let answer = unsafe { zx::sys::syscall(number as u64, args) };
        Status::from_register(answer) == Status::OK
    }

    /// A deadline that never makes a call wait.
    fn past(&mut self) -> u64 {
        match self.random.below(3) {
            0 => 0,
            1 => time::TIME_INFINITE_PAST as u64,
            _ => time::now() as u64,
        }
    }

    /// One of the handles from `first` on.
    fn handle(&mut self, first: usize) -> u64 {
        let index = first + self.random.below((OBJECTS - first) as u64) as usize;
        self.handles.get(index).copied().unwrap_or(0).into()
    }

    /// A part of the scratch mapping.
    fn scratch_range(&mut self) -> (u64, u64) {
        let page = self.random.below(SCRATCH_PAGES);
        (
            SCRATCH + page * PAGE_SIZE,
            self.random.below(SCRATCH_PAGES - page + 1) * PAGE_SIZE,
        )
    }

    /// A value of any kind.
    fn value(&mut self) -> u64 {
        match self.random.below(10) {
            0 | 1 => self.handle(0),
            2 | 3 => SCRATCH + self.random.below(SCRATCH_PAGES * PAGE_SIZE),
            4 => self.random.below(16) * PAGE_SIZE,
            5 => self.random.below(64),
            // Between these bits lie the addresses of this program.
            6 => 1 << ((47 + self.random.below(37)) % 64),
            7 => protocol::boot::KERNEL_BASE + self.random.below(1 << 24),
            8 => 0u64.wrapping_sub(self.random.below(3)),
            _ => self.random.next_u64(),
        }
    }
}
