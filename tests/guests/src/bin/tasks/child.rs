//! Child processes: their code, and how they are made.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use test_guests::Failure;
use zx::{
    AsHandleRef, Handle, Job, PAGE_SIZE, Process, Signals, Status, Thread, Unowned, VmOptions,
    Vmar, Vmo,
};

static JOB: AtomicU32 = AtomicU32::new(0);
static EXEC: AtomicU32 = AtomicU32::new(0);

/// Keeps what children are made of.
pub fn remember(job: Option<u32>, exec: Option<u32>) {
    JOB.store(job.unwrap_or(0), Relaxed);
    EXEC.store(exec.unwrap_or(0), Relaxed);
}

/// The program's job.
pub fn job() -> Unowned<Job> {
    Unowned::from_raw(JOB.load(Relaxed))
}

// What children do. rdi is the handle they are given, rsi the argument; the numbers of calls are those of
// `protocol::syscall`.
core::arch::global_asm!(
    ".pushsection .rodata.child, \"a\"",
    ".globl child_code, child_code_end",
    "child_code:",
    // +0: exits with the argument.
    "mov rdi, rsi",
    "mov eax, 32",
    "syscall",
    "ud2",
    // +32: writes the argument, 8 bytes, to the channel that it is given; exits with what that returned.
    ".balign 32, 0x90",
    "push rsi",
    "mov rdx, rsp",
    "xor esi, esi",
    "mov r10d, 8",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "mov eax, 42",
    "syscall",
    "movsxd rdi, eax",
    "mov eax, 32",
    "syscall",
    "ud2",
    // +96: spins.
    ".balign 32, 0x90",
    "1: pause",
    "jmp 1b",
    // +128: loads from the argument; exits with what it found.
    ".balign 32, 0x90",
    "mov rdi, [rsi]",
    "mov eax, 32",
    "syscall",
    "ud2",
    // +160: sleeps for ever.
    ".balign 32, 0x90",
    "mov rdi, 0x7FFFFFFFFFFFFFFF",
    "mov eax, 1",
    "syscall",
    "ud2",
    "child_code_end:",
    ".popsection",
);

unsafe extern "C" {
    static child_code: u8;
    static child_code_end: u8;
}

/// What a child does: the offset of its code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    /// It exits with its argument.
    Exit = 0,
    /// It writes its argument to its channel.
    Send = 32,
    /// It spins.
    Spin = 96,
    /// It exits with the word at its argument.
    Load = 128,
    /// It sleeps for ever.
    Sleep = 160,
}

/// A child process that has not been started.
#[derive(Debug)]
pub struct Child {
    pub process: Process,
    pub vmar: Vmar,
    pub thread: Thread,
    code: usize,
    stack: usize,
}

impl Child {
    /// Makes a child of a job.
    pub fn new(job: &Job) -> Result<Child, Failure> {
        let (process, vmar) = job.create_child_process("child")?;
        let exec = Unowned::<Vmo>::from_raw(EXEC.load(Relaxed));
        // SAFETY: two symbols around the code above.
        let code = unsafe {
            let (start, end) = (&raw const child_code, &raw const child_code_end);
            core::slice::from_raw_parts(start, end as usize - start as usize)
        };
        exec.write(code, 0)?;
        let (read, write) = (VmOptions::PERM_READ, VmOptions::PERM_WRITE);
        let executable = read | VmOptions::PERM_EXECUTE;
        let stack = Vmo::create(PAGE_SIZE)?;
        // SAFETY: the address space is the child's; nothing of this program lives there.
        let (code, stack) = unsafe {
            let code = vmar.map(0, &exec, 0, PAGE_SIZE, executable)?;
            (code, vmar.map(0, &stack, 0, PAGE_SIZE, read | write)?)
        };
        let thread = process.create_thread("main")?;
        Ok(Child {
            process,
            vmar,
            thread,
            code,
            stack,
        })
    }

    /// Starts it with a handle and an argument.
    pub fn start(&self, does: Does, handle: Handle, argument: usize) -> Result<(), Status> {
        let (entry, top) = (self.code + does as usize, self.stack + PAGE_SIZE as usize);
        // SAFETY: the entry is code that is made for it.
        unsafe {
            self.process
                .start(&self.thread, entry, top, handle, argument)
        }
    }

    /// A child that does this, started.
    pub fn running(does: Does, argument: usize) -> Result<Child, Failure> {
        let child = Child::new(&job())?;
        child.start(does, Handle::from_raw(0), argument)?;
        Ok(child)
    }

    /// An address of its stack.
    pub fn stack(&self) -> usize {
        self.stack
    }

    /// Its return code, once it has ended.
    pub fn return_code(&self) -> Result<i64, Failure> {
        self.process
            .wait_handle(Signals::TASK_TERMINATED, test_guests::soon())?;
        Ok(self.process.info()?.return_code)
    }
}
