//! The `zvmm` command.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use vmm::{
    cli::{self, Host},
    observe,
};

fn main() -> ExitCode {
    observe::mark_main();
    cli::init_logging();
    let host = Host {
        // For the lead: `vmm::guest_image::programs()`.
        programs: &[],
        // For the lead: `&|config| vmm::vm::run(config).map_err(Into::into)`.
        run: &|_config| Err("not built yet".into()),
        // For the lead: the checks of `vmm::machine` and `vmm::memory`.
        checks: &Vec::new,
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
