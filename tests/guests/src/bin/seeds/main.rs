//! `seeds [FILTER]`: each sentence and each error of the documents of `zx_vmo_create`, `zx_pager_create_vmo` and
//! `zx_pager_supply_pages` that a program can provoke, one named case each.
//!
//! `seeds policy-denied` is for a run under a job policy that denies new VMOs. It starts no thread and maps nothing,
//! because both need VMOs.
//!
//! Where newer behaviour supersedes a document, the case says so and tests the newer.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod info;
mod pager_create_vmo;
mod pager_supply_pages;
mod pager_vmo_errors;
mod policy;
mod supply_errors;
mod vmo_create;
mod vmo_rights;
mod zero_children;

use test_guests::Runner;
use zx::Startup;

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    let filter = startup.arg(1).unwrap_or("");
    if filter == "policy-denied" {
        let mut runner = Runner::new("");
        runner.cases(policy::CASES);
        return runner.finish();
    }
    let mut runner = Runner::new(filter);
    for cases in [
        vmo_create::CASES,
        vmo_rights::CASES,
        zero_children::CASES,
        info::CASES,
        pager_create_vmo::CASES,
        pager_vmo_errors::CASES,
        pager_supply_pages::CASES,
        supply_errors::CASES,
    ] {
        runner.cases(cases);
    }
    runner.finish()
}
