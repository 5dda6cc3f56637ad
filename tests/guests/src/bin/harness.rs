//! `harness [FILTER]`: what the test runner of the `zx` crate makes of tests of every kind. Half of them are meant to fail.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::format;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use zx::exceptions::kind;
use zx::{AsHandleRef, Job, Mapping, Status, Unowned, Vmo, testing};

zx::tests! {
    passes,
    has_statics_of_its_own,
    has_statics_of_its_own_again,
    has_handles_of_its_own,
    has_threads_and_a_heap,
    crashes_as_announced,
    crashes_as_announced_by_an_instruction,
    fails_an_assertion,
    fails_with_an_error,
    crashes,
    crashes_elsewhere,
    crashes_not_at_all,
    hangs.time_limit_millis(300),
    sleeps.time_limit_millis(300),
    leaves_a_thread_behind,
}

static COUNT: AtomicU32 = AtomicU32::new(5);

fn passes() {
    zx::print!("one ");
    zx::println!("line");
    zx::println!("ok 77 - is no verdict");
}

fn has_statics_of_its_own() {
    assert_eq!(COUNT.fetch_add(1, Relaxed), 5);
}

fn has_statics_of_its_own_again() {
    has_statics_of_its_own();
}

fn has_handles_of_its_own() -> Result<(), Status> {
    let job = zx::take_startup_handle::<Job>("job").ok_or(Status::NOT_FOUND)?;
    let processes = &mut [0; 2];
    let own = zx::process_self().basic_info()?.koid;
    assert_eq!(job.processes(processes)?, [own]);
    let data = zx::startup().and_then(|startup| startup.handle("data"));
    let data = Unowned::<Vmo>::from_raw(data.ok_or(Status::NOT_FOUND)?);
    assert_eq!(data.get_size()?, 4096);
    Ok(())
}

fn has_threads_and_a_heap() -> Result<(), Status> {
    let thread = zx::thread::spawn("formatting", || format!("{}", 42).len())?;
    assert_eq!(thread.join(zx::time::after_millis(5000))?, 2);
    Ok(())
}

fn crashes_as_announced() -> Result<(), Status> {
    let vmo = Vmo::create(4096)?;
    let address = Mapping::read_only(&vmo, 0, 4096)?.base();
    testing::expect_crash(address, Status::NOT_FOUND);
    load(address)
}

fn crashes_as_announced_by_an_instruction() {
    testing::expect_exception(kind::UNDEFINED_INSTRUCTION);
    undefined();
}

fn fails_an_assertion() {
    assert_eq!(1 + 1, 3, "so it was taught");
}

fn fails_with_an_error() -> Result<(), Status> {
    Err(Status::NO_SPACE)
}

fn crashes() -> Result<(), Status> {
    load(0x10)
}

fn crashes_elsewhere() -> Result<(), Status> {
    testing::expect_crash(0x18, Status::NOT_FOUND);
    load(0x10)
}

fn crashes_not_at_all() {
    testing::expect_crash(0x10, Status::NOT_FOUND);
}

fn hangs() {
    loop {
        core::hint::spin_loop();
    }
}

fn sleeps() {
    let _ = zx::time::sleep_until(zx::time::TIME_INFINITE);
}

/// The test is over when it returns, whatever its threads do.
fn leaves_a_thread_behind() -> Result<(), Status> {
    zx::thread::spawn("spinning", hangs).map(|_| ())
}

/// Reads from an address by an instruction that no compiler removes.
fn load(address: usize) -> Result<(), Status> {
    #[cfg(target_os = "none")]
    // SAFETY: the process ends here.
    unsafe {
        core::arch::asm!("mov {}, [{}]", out(reg) _, in(reg) address);
    }
    Err(Status(address as i32))
}

fn undefined() {
    #[cfg(target_os = "none")]
    // SAFETY: the process ends here.
    unsafe {
        core::arch::asm!("ud2");
    }
}
