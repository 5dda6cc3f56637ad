//! `hostile MODE [ARGUMENT...]`: programs that do what they must not.
//!
//! Most modes end in the exception that kills the process. A program that survives what should have killed it says so and
//! exits with 1; an index beyond the last variant exits with 99, so that a caller can count up.
//!
//! | mode | what it does | end |
//! |---|---|---|
//! | `privileged N` | executes the N-th privileged instruction | killed; 0 for the few that may do nothing |
//! | `random SEED` | jumps into random bytes (needs the start-up VMO `exec`) | killed, or any code |
//! | `syscalls SEED COUNT` | random registers to the system calls | 0 |
//! | `spin [COUNT]` | one thread spins for ever, another counts milliseconds | 0 |
//! | `long-call` | a `zx_vmo_read` onto itself, one byte further, of a GiB | 0, after hours |
//! | `entry-jump ADDRESS N` | jumps to the kernel's entry with the N-th hostile rcx and r11 | killed, or 0 |
//! | `port` | writes to the hypercall port | killed |
//! | `stack`, `null`, `wild`, `wild-jump`, `kernel-read`, `kernel-write`, `kernel-jump`, `exec-data`, `write-text`, `divide`, `int3`, `ud2`, `single-step` | one fault each | killed |
#![cfg_attr(target_os = "none", no_std, no_main)]

mod entry;
mod faults;
mod privileged;
mod random;
mod spin;
mod syscalls;

use zx::Startup;

zx::entry!(run);

/// Exit code for an index beyond the last variant.
const NO_SUCH_VARIANT: i32 = 99;

fn run(startup: &Startup<'_>) -> i32 {
    let mode = startup.arg(1).unwrap_or("");
    let number = |at: usize| startup.arg(at).and_then(programs::number);
    match (mode, number(2), number(3)) {
        ("privileged", Some(index), _) => privileged::execute(index),
        ("random", Some(seed), _) => random::jump(startup, seed),
        ("syscalls", Some(seed), Some(count)) => syscalls::call(startup, seed, count),
        ("spin", count, _) => spin::spin(count.unwrap_or(50)),
        ("long-call", ..) => spin::long_call(),
        ("entry-jump", Some(address), Some(index)) => entry::jump(address, index),
        _ => match faults::MODES.iter().find(|(name, _)| *name == mode) {
            Some((name, fault)) => {
                fault();
                survived(name)
            }
            None => {
                zx::println!("hostile: no mode is called so, or an argument is missing: {mode}");
                2
            }
        },
    }
}

/// What a program says that should be dead.
fn survived(name: &str) -> i32 {
    zx::println!("hostile: {name} did nothing");
    1
}
