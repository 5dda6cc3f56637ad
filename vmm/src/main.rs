//! The `zvmm` command.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use vmm::{
    check::Check,
    cli::{self, Host},
    observe,
};

fn main() -> ExitCode {
    observe::mark_main();
    cli::init_logging();
    let host = Host {
        programs: vmm::guest_image::programs(),
        run: &|config| vmm::vm::run(config).map_err(Into::into),
        bench: &|config, tell| vmm::bench::run(config, tell).map_err(Into::into),
        checks: &checks,
    };
    let exit = cli::main(
        std::env::args_os(),
        &host,
        &mut io::stdout(),
        &mut io::stderr(),
    );
    let _ = io::stdout().flush();
    ExitCode::from(exit.code())
}

/// What the machine and its memory need of this host.
fn checks() -> Vec<Check> {
    let mut checks = vmm::machine::caps::probe();
    checks.extend(vmm::memory::probe());
    checks
}
