//! `vmars [FILTER]`: VMARs in VMARs, and mappings that change while other threads use them.
//!
//! `vmars fatal NAME` takes a mapping from under a thread that writes to it, which ends the process: `protect`
//! (ZX_ERR_ACCESS_DENIED), `unmap` and `destroy` (ZX_ERR_NOT_FOUND), `stream` and `resize` (ZX_ERR_OUT_OF_RANGE). It exits with 1 if
//! it survives.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod cases;
mod changes;

use test_guests::Runner;
use zx::Startup;

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    let filter = startup.arg(1).unwrap_or("");
    if filter == "fatal" {
        if let Err(failure) = changes::fatal(startup.arg(2).unwrap_or("")) {
            zx::println!("FAIL {failure}");
        }
        return 1;
    }
    let mut runner = Runner::new(filter);
    runner.cases(cases::CASES);
    runner.cases(changes::CASES);
    runner.finish()
}
