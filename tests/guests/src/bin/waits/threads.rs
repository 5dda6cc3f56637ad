//! Threads, futexes and time.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use test_guests::pages::PAGE;
use test_guests::raw::{self, out};
use test_guests::{NOW, Outcome, cases, check, equal, fail, shortly, soon, status};
use zx::futex::{self, Gate};
use zx::{AsHandleRef, Mapping, ObjectType, PAGE_SIZE, Status, Vmo, process_self, time};

fn clock_goes_forward() -> Outcome {
    let mut last = time::now();
    check!(last > 0);
    for _ in 0..100 {
        let now = time::now();
        check!(now >= last, "{now} comes after {last}");
        last = now;
    }
    Ok(())
}

fn nanosleep() -> Outcome {
    let deadline = shortly();
    time::sleep_until(deadline)?;
    check!(time::now() >= deadline);
    time::sleep_until(NOW)?;
    time::sleep_until(0)?;
    Ok(())
}

/// Others run while one sleeps.
fn sleep_lets_others_run() -> Outcome {
    let thread = zx::thread::spawn("sleeper", || time::sleep_until(soon()))?;
    check!(!thread.finished_by(shortly()));
    Ok(())
}

fn spawn_and_join() -> Outcome {
    let thread = zx::thread::spawn("adder", || 40 + 2)?;
    let info = thread.basic_info()?;
    equal!(info.object_type, ObjectType::Thread as u32);
    equal!(thread.join(soon())?, 42);
    Ok(())
}

/// Many threads one after another: stacks and slots are used again.
fn many_threads_in_turn() -> Outcome {
    for round in 0..600u64 {
        let thread = zx::thread::spawn("turn", move || round * 2)?;
        equal!(thread.join(soon())?, round * 2);
    }
    Ok(())
}

/// Threads that run for long share the processor.
fn spinning_threads_share() -> Outcome {
    static GATES: [Gate; 2] = [const { Gate::new() }; 2];
    static TURNS: AtomicU32 = AtomicU32::new(0);
    const ROUNDS: u32 = 6;
    fn spin(me: u32) -> bool {
        let deadline = soon();
        loop {
            let turn = TURNS.load(Ordering::Acquire);
            if turn >= ROUNDS {
                return true;
            }
            if turn % 2 == me {
                TURNS.store(turn + 1, Ordering::Release);
            }
            if time::now() > deadline {
                return false;
            }
            for _ in 0..10_000 {
                core::hint::spin_loop();
            }
        }
    }
    TURNS.store(0, Ordering::Release);
    let other = zx::thread::spawn("spinner", || {
        GATES[0].open();
        spin(1)
    })?;
    check!(GATES[0].pass(soon()));
    check!(spin(0), "the other thread never had its turn");
    check!(other.join(soon())?);
    Ok(())
}

fn futex_checks_the_word() -> Outcome {
    let word = AtomicU32::new(5);
    equal!(futex::wait(&word, 4, soon()), Err(Status::BAD_STATE));
    let deadline = shortly();
    equal!(futex::wait(&word, 5, deadline), Err(Status::TIMED_OUT));
    check!(time::now() >= deadline);
    futex::wake(&word, u32::MAX)?;
    Ok(())
}

fn futex_errors() -> Outcome {
    let word = AtomicU32::new(0);
    let address = word.as_ptr() as u64;
    status!(INVALID_ARGS, raw::futex_wait(address + 1, 0, 0, NOW));
    status!(INVALID_ARGS, raw::futex_wait(0, 0, 0, NOW));
    status!(INVALID_ARGS, raw::futex_wait(0x1000, 0, 0, NOW));
    status!(
        INVALID_ARGS,
        raw::futex_wait(protocol::boot::KERNEL_BASE, 0, 0, NOW)
    );
    status!(INVALID_ARGS, raw::futex_wake(address + 2, 1));
    Ok(())
}

/// Wakes no more than were asked for.
fn futex_wake_counts() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    static READY: AtomicU32 = AtomicU32::new(0);
    const COUNT: usize = 4;
    let mut threads = [const { None }; COUNT];
    for slot in &mut threads {
        *slot = Some(zx::thread::spawn("waiter", || {
            READY.fetch_add(1, Ordering::AcqRel);
            let result = futex::wait(&WORD, 0, soon());
            WOKEN.fetch_add(1, Ordering::AcqRel);
            result
        })?);
    }
    let all = |counter: &AtomicU32, count| {
        let deadline = soon();
        while counter.load(Ordering::Acquire) < count {
            if time::now() > deadline {
                return false;
            }
        }
        true
    };
    check!(all(&READY, COUNT as u32));
    // The last of them may be between its mark and its wait.
    for thread in threads.iter().flatten() {
        check!(!thread.finished_by(shortly()));
    }
    futex::wake(&WORD, 1)?;
    check!(all(&WOKEN, 1));
    let _ = futex::wait(&AtomicU32::new(0), 0, shortly());
    equal!(WOKEN.load(Ordering::Acquire), 1);
    futex::wake(&WORD, u32::MAX)?;
    for thread in threads.into_iter().flatten() {
        equal!(thread.join(soon())?, Ok(()));
    }
    Ok(())
}

/// A word on an absent page is a zero.
fn futex_on_an_absent_page() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let mapping = Mapping::read_write(&vmo, 0, 2 * PAGE)?;
    let address = mapping.base() as u64;
    status!(BAD_STATE, raw::futex_wait(address, 1, 0, soon()));
    status!(
        TIMED_OUT,
        raw::futex_wait(address + PAGE_SIZE, 0, 0, shortly())
    );
    Ok(())
}

/// Two threads hand a token back and forth.
fn futex_ping_pong() -> Outcome {
    static GATES: [Gate; 2] = [const { Gate::new() }; 2];
    static SUM: AtomicU64 = AtomicU64::new(0);
    const ROUNDS: u64 = 200;
    let other = zx::thread::spawn("pong", || {
        for _ in 0..ROUNDS {
            if !GATES[0].pass(soon()) {
                return false;
            }
            GATES[0].close();
            SUM.fetch_add(1, Ordering::AcqRel);
            GATES[1].open();
        }
        true
    })?;
    for round in 0..ROUNDS {
        GATES[0].open();
        check!(GATES[1].pass(soon()), "no answer in round {round}");
        GATES[1].close();
    }
    check!(other.join(soon())?);
    equal!(SUM.load(Ordering::Acquire), ROUNDS);
    Ok(())
}

fn thread_errors() -> Outcome {
    let mut handle = 0u32;
    let (name, out) = ("x".as_ptr() as u64, out(&mut handle));
    let vmo = Vmo::create(0)?;
    status!(BAD_HANDLE, raw::thread_create(0, name, 1, 0, out));
    status!(
        WRONG_TYPE,
        raw::thread_create(vmo.raw_handle(), name, 1, 0, out)
    );
    let process = process_self().raw_handle();
    status!(INVALID_ARGS, raw::thread_create(process, name, 1, 1, out));
    let thread = process_self().create_thread("never started")?;
    drop(thread);
    Ok(())
}

/// An unknown number is answered with BAD_SYSCALL.
fn start_twice_bad_state() -> Outcome {
    let thread = zx::thread::spawn("once", || time::sleep_until(shortly()))?;
    let raw = thread.thread().raw_handle();
    status!(
        BAD_STATE,
        raw::thread_start(raw, 0x20_0000, 0x20_0000, 0, 0)
    );
    thread.join(soon())??;
    Ok(())
}

/// There is room for so many threads, those included that have not started. Room that is given back can be used.
fn too_many_no_resources() -> Outcome {
    let mut threads = [const { None }; 2 * 512];
    let mut made = 0;
    for slot in &mut threads {
        match process_self().create_thread("one of many") {
            Ok(thread) => *slot = Some(thread),
            Err(status) => {
                equal!(status, Status::NO_RESOURCES);
                break;
            }
        }
        made += 1;
    }
    check!((400..2 * 512).contains(&made), "{made} threads");
    drop(threads);
    let thread = zx::thread::spawn("another", || 7)?;
    equal!(thread.join(soon())?, 7);
    Ok(())
}

fn unknown_system_calls() -> Outcome {
    let first = protocol::syscall::SyscallNumber::ALL.len() as u64;
    for number in [first, 1000, 1 << 32, u64::MAX] {
        // SAFETY: there is no such call, so nothing happens.
        let answer = unsafe { zx::sys::syscall(number, [0; 8]) };
        if answer != Status::BAD_SYSCALL.to_register() {
            fail!("call {number} gave {answer:#x}");
        }
    }
    Ok(())
}

cases! { "threads":
    clock_goes_forward nanosleep sleep_lets_others_run spawn_and_join many_threads_in_turn
    spinning_threads_share futex_checks_the_word futex_errors futex_wake_counts
    futex_on_an_absent_page futex_ping_pong thread_errors unknown_system_calls start_twice_bad_state too_many_no_resources
}
