//! Threads on Rust closures, without allocation.
//!
//! The life of a thread: `spawn` maps a stack of its own, puts a `Block` with the closure at its top and starts the
//! thread there; the closure runs and leaves its result in the block; the last instructions use no stack: they set the
//! block's word, wake who waits for it and leave. `join` waits for the word, takes the result and unmaps the stack.
//! A thread that nobody joins keeps its stack.

use core::arch::global_asm;
use core::mem::{align_of, size_of};
use core::sync::atomic::{AtomicU32, Ordering};
use protocol::Status;
use protocol::syscall::SyscallNumber;

use crate::{AsHandleRef, Mapping, Thread, Vmo, futex, process_self};

/// Bytes of a thread's stack.
pub const STACK_SIZE: usize = 64 << 10;

global_asm!(
    // rdi = body, rsi = block, whose first word says "finished".
    ".globl zx_thread_entry",
    "zx_thread_entry:",
    "xor ebp, ebp",
    "mov rbx, rsi",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "mov dword ptr [rbx], 1",
    // From here on the stack may be gone at any time.
    "mov eax, {wake}",
    "mov rdi, rbx",
    "mov esi, -1",
    "syscall",
    "mov eax, {exit}",
    "syscall",
    "ud2",
    wake = const SyscallNumber::FutexWake as u32,
    exit = const SyscallNumber::ThreadExit as u32,
);

unsafe extern "C" {
    fn zx_thread_entry();
}

/// What lies at the top of a thread's stack.
#[repr(C, align(64))]
struct Block<F, T> {
    finished: AtomicU32,
    closure: Option<F>,
    result: Option<T>,
}

unsafe extern "C" fn body<F: FnOnce() -> T, T>(block: *mut Block<F, T>) {
    // SAFETY: `spawn` wrote the block, and until `finished` is set only this thread touches these two fields.
    let (closure, result) = unsafe { (&mut (*block).closure, &mut (*block).result) };
    if let Some(closure) = closure.take() {
        *result = Some(closure());
    }
}

/// A thread that was started and can be waited for.
#[derive(Debug)]
pub struct JoinHandle<T> {
    thread: Thread,
    stack: Option<Mapping>,
    finished: *const AtomicU32,
    result: *mut Option<T>,
}

/// Starts `closure` on a thread of its own.
///
/// # Errors
/// Those of creating and mapping a VMO and of creating a thread; NO_MEMORY if the closure does not fit on the stack.
pub fn spawn<F, T>(name: &str, closure: F) -> Result<JoinHandle<T>, Status>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let vmo = Vmo::create(STACK_SIZE as u64)?;
    let stack = Mapping::read_write(&vmo, 0, STACK_SIZE)?;
    let size = size_of::<Block<F, T>>();
    if size > STACK_SIZE / 2 {
        return Err(Status::NO_MEMORY);
    }
    let top = (stack.base() + STACK_SIZE - size) & !(align_of::<Block<F, T>>() - 1);
    let block = top as *mut Block<F, T>;
    // SAFETY: the block lies inside the new mapping, aligned, and nobody else knows of it.
    unsafe {
        block.write(Block {
            finished: AtomicU32::new(0),
            closure: Some(closure),
            result: None,
        });
    }
    let thread = process_self().create_thread(name)?;
    let body = body::<F, T> as *const () as usize;
    // SAFETY: the entry expects exactly these, on a stack that only the new thread uses; `top` is a multiple of 64.
    unsafe { thread.start(zx_thread_entry as *const () as usize, top, body, top)? };
    // SAFETY: the fields of a block that stays mapped as long as `stack` does.
    let (finished, result) = unsafe { (&raw const (*block).finished, &raw mut (*block).result) };
    Ok(JoinHandle {
        thread,
        stack: Some(stack),
        finished,
        result,
    })
}

impl<T> JoinHandle<T> {
    /// The thread's handle.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits until the closure has returned, or the deadline; tells which.
    pub fn finished_by(&self, deadline: i64) -> bool {
        // SAFETY: the block stays mapped as long as `self.stack` does.
        futex::wait_nonzero(unsafe { &*self.finished }, deadline)
    }

    /// The closure's result.
    ///
    /// # Errors
    /// TIMED_OUT when the closure had not returned by the deadline; its stack then stays for ever.
    pub fn join(mut self, deadline: i64) -> Result<T, Status> {
        if !self.finished_by(deadline) {
            return Err(Status::TIMED_OUT);
        }
        core::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: the thread has finished, so the result is ours alone.
        let result = unsafe { (*self.result).take() };
        drop(self.stack.take());
        result.ok_or(Status::BAD_STATE)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(stack) = self.stack.take() {
            stack.leak();
        }
    }
}

impl<T> AsHandleRef for JoinHandle<T> {
    fn raw_handle(&self) -> protocol::RawHandle {
        self.thread.raw_handle()
    }
}
