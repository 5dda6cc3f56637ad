//! Accesses relative to the fs and gs bases.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::ground::Ground;
use crate::machine::{MARKED, Registers, run};
use test_guests::Outcome;
use zx::{Status, Thread, Unowned};

/// Handle of the thread that runs the cases.
static THREAD: AtomicU32 = AtomicU32::new(0);

/// Tells the module the thread's handle.
pub fn remember(thread: Option<zx::RawHandle>) {
    THREAD.store(thread.unwrap_or(0), Relaxed);
}

fn thread() -> Unowned<Thread> {
    Unowned::from_raw(THREAD.load(Relaxed))
}

/// Sets both bases, runs, and clears them again.
fn with_bases(fs: u64, gs: u64, run: impl FnOnce() -> Registers) -> Result<Registers, Status> {
    thread().set_fs_base(fs as usize)?;
    thread().set_gs_base(gs as usize)?;
    let after = run();
    thread().set_fs_base(0)?;
    thread().set_gs_base(0)?;
    Ok(after)
}

fn fs_and_gs_load(ground: &Ground) -> Outcome {
    let (fs, gs) = (ground.at(2, 0), ground.at(5, 0));
    let before = Registers { rbx: 3, ..MARKED };
    let after = with_bases(fs, gs, || {
        run!(
            before,
            "mov rax, fs:[rbx - 6]",
            "mov rdx, gs:[8]",
            "mov ecx, gs:[rbx - 5]"
        )
    })?;
    after.expect(Registers {
        rax: ground.initial(fs - 3),
        rdx: ground.initial(gs + 8),
        rcx: ground.initial(gs - 2) & 0xFFFF_FFFF,
        ..before
    })
}

fn fs_and_gs_store(ground: &Ground) -> Outcome {
    let (fs, gs) = (ground.at(2, 0), ground.at(5, 0));
    let before = Registers {
        rbx: 0x10,
        ..MARKED
    };
    let after = with_bases(fs, gs, || {
        run!(
            before,
            "mov fs:[rbx - 0x13], rax",
            "add qword ptr gs:[rbx], rcx"
        )
    })?;
    after.expect(before)?;
    let sum = ground.initial(gs + 0x10).wrapping_add(before.rcx);
    ground.expect(&[
        (fs - 3, &before.rax.to_le_bytes()),
        (gs + 0x10, &sum.to_le_bytes()),
    ])
}

/// The source of movs may have a segment; its destination never does.
fn fs_movs(ground: &Ground) -> Outcome {
    let (fs, to) = (ground.at(2, 0), ground.at(5, -3));
    let before = Registers {
        rsi: 0x20,
        rdi: to,
        rcx: 8,
        ..MARKED
    };
    let after = with_bases(fs, 0, || run!(before, ".byte 0x64", "rep movsb"))?;
    after.expect(Registers {
        rsi: 0x28,
        rdi: to + 8,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &ground.initial(fs + 0x20).to_le_bytes())])
}

/// xlat with a gs base.
fn gs_xlat(ground: &Ground) -> Outcome {
    let gs = ground.at(2, -100);
    let before = Registers {
        rax: 150,
        rbx: 10,
        ..MARKED
    };
    let after = with_bases(0, gs, || run!(before, ".byte 0x65", "xlatb"))?;
    after.expect(Registers {
        rax: u64::from(ground.byte(gs + 160)),
        ..before
    })
}

/// A base with a 32-bit address: only the offset wraps, not the sum.
fn fs_with_32_bit_address(ground: &Ground) -> Outcome {
    let fs = ground.at(2, 0);
    let before = Registers {
        rbx: 0xDEAD_BEEF_0000_0010,
        ..MARKED
    };
    let after = with_bases(fs, 0, || run!(before, "mov rax, fs:[ebx]"))?;
    after.expect(Registers {
        rax: ground.initial(fs + 0x10),
        ..before
    })
}

crate::table! {
    Load: fs_and_gs_load gs_xlat fs_with_32_bit_address;
    Store: fs_and_gs_store fs_movs;
}
