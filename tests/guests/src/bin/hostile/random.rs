//! Jumps into random bytes.

use core::arch::asm;
use programs::Random;
use zx::{Mapping, Process, Startup, Status, Unowned, VmOptions, Vmo, time};

/// How long the bytes may run: some end in a loop.
const RUN_MILLIS: i64 = 300;

/// Fills the start-up VMO `exec` with bytes that `seed` stands for, and jumps there.
pub fn jump(startup: &Startup<'_>, seed: u64) -> i32 {
    let Some(exec) = startup.handle("exec") else {
        zx::println!("hostile: random needs the start-up VMO exec");
        return 2;
    };
    match prepare(&Unowned::from_raw(exec), seed) {
        Ok(code) => {
            zx::println!("random {seed}: jumping");
            // SAFETY: none; whatever the bytes do, it stays in this process.
            unsafe { asm!("call {}", in(reg) code.base(), clobber_abi("sysv64")) }
            0
        }
        Err(status) => {
            zx::println!("hostile: random: {status}");
            2
        }
    }
}

fn prepare(exec: &Vmo, seed: u64) -> Result<Mapping, Status> {
    let options = VmOptions::PERM_READ | VmOptions::PERM_WRITE | VmOptions::PERM_EXECUTE;
    let code = Mapping::new(exec, 0, exec.get_size()? as usize, options)?;
    let mut random = Random::new(seed);
    for at in (0..code.len()).step_by(8) {
        code.set_word(at, random.next_u64())?;
    }
    let deadline = time::after_millis(RUN_MILLIS);
    zx::thread::spawn("watch", move || {
        let _ = time::sleep_until(deadline);
        Process::exit(0)
    })?;
    Ok(code)
}
