//! Instructions whose own bytes lie on absent pages.
//!
//! The start-up VMO `exec` is zero-filled, so what an absent page holds is zeros: either the last bytes of an instruction
//! that began on the page before, or `add [rax], al`, which is what zeros mean.

use crate::ground::{Ground, Source, World};
use crate::machine::{MARKED, Registers, finish, memops_execute};
use test_guests::{Outcome, Runner, equal};
use zx::{Mapping, PAGE_SIZE, RawHandle, Status, Unowned, VmOptions, Vmo};

/// `jmp [rbx + 0]` with a displacement of 32 bits; the last four bytes are zeros.
const JUMP_THROUGH_RBX: [u8; 6] = [0xFF, 0xA3, 0, 0, 0, 0];

/// A part of `exec`, mapped executable at one place and writable at another.
struct Code {
    executable: Mapping,
    writable: Mapping,
}

impl Code {
    /// Pages `first..first + count` of the VMO; each case has its own.
    fn new(exec: &Vmo, first: u64, count: usize) -> Result<Self, Status> {
        let (offset, len) = (first * PAGE_SIZE, count * PAGE_SIZE as usize);
        let options = VmOptions::PERM_READ | VmOptions::PERM_EXECUTE;
        Ok(Code {
            executable: Mapping::new(exec, offset, len, options)?,
            writable: Mapping::read_write(exec, offset, len)?,
        })
    }

    /// Writes instructions at `at`, runs from there, and tells the registers at the end.
    fn run(
        &self,
        at: usize,
        code: &[u8],
        start: usize,
        before: Registers,
    ) -> Result<Registers, Status> {
        self.writable.copy_in(at, code)?;
        let mut registers = before;
        // SAFETY: the code that was written ends by jumping to `memops_finish`.
        unsafe { memops_execute(self.executable.base() + start, &raw mut registers) };
        Ok(registers)
    }
}

/// Runs the cases that need an executable VMO.
pub fn cases(runner: &mut Runner<'_>, world: &World, exec: RawHandle) {
    let exec = Unowned::<Vmo>::from_raw(exec);
    runner.case("code.two_bytes_on_the_page_before", || {
        straddling(&exec, 0, 2)
    });
    runner.case("code.three_bytes_on_the_page_before", || {
        straddling(&exec, 2, 3)
    });
    runner.case("code.last_byte_on_the_next_page", || {
        straddling(&exec, 4, 5)
    });
    runner.case("code.bytes_and_operand_absent", || {
        bytes_and_operand(&exec, world)
    });
    runner.case("code.whole_page_absent", || whole_page(&exec));
}

/// A jump of which the first `present` bytes lie on a present page and the rest, zeros, on an absent one.
fn straddling(exec: &Vmo, first: u64, present: usize) -> Outcome {
    let mut target = finish();
    let area = Code::new(exec, first, 2)?;
    let at = PAGE_SIZE as usize - present;
    let before = Registers {
        rbx: (&raw mut target) as u64,
        ..MARKED
    };
    area.run(
        at,
        JUMP_THROUGH_RBX.get(..present).unwrap_or_default(),
        at,
        before,
    )?
    .expect(before)
}

/// The instruction's last bytes and its operand both lie on absent pages.
fn bytes_and_operand(exec: &Vmo, world: &World) -> Outcome {
    let ground = Ground::new(world, Source::Served, false)?;
    let target = ground.at(2, -3);
    ground.plant(target, &finish().to_le_bytes())?;
    let area = Code::new(exec, 6, 2)?;
    let at = PAGE_SIZE as usize - 3;
    let before = Registers {
        rbx: target,
        ..MARKED
    };
    area.run(
        at,
        JUMP_THROUGH_RBX.get(..3).unwrap_or_default(),
        at,
        before,
    )?
    .expect(before)
}

/// Jumps into an absent page: zeros are `add [rax], al` again and again; the page after it ends the run.
fn whole_page(exec: &Vmo) -> Outcome {
    let mut counter = Counter([0; 256]);
    // al, the lowest byte of the address, is what each of them adds.
    let address = (&raw mut counter.0) as u64 + 3;
    let mut target = finish();
    let area = Code::new(exec, 8, 2)?;
    let page = PAGE_SIZE as usize;
    let before = Registers {
        rax: address,
        rbx: (&raw mut target) as u64,
        ..MARKED
    };
    area.run(page, &JUMP_THROUGH_RBX, page - 2 * 50, before)?
        .expect(before)?;
    equal!(counter.0.get(3).copied(), Some(150));
    Ok(())
}

/// Aligned so that the lowest byte of its address is zero.
#[repr(C, align(256))]
struct Counter([u8; 256]);
