//! The developer's commands. `cargo xtask --help` lists them; what CI runs is `cargo xtask ci`, nothing more.
#![forbid(unsafe_code)]

mod ci;
mod coverage;
mod guests;
mod run;
mod shell;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use shell::Workspace;

/// Sets this machine up and runs, tests or installs zvmm.
///
/// Every command first makes sure that a toolchain for the guest target is there. If there is none it is installed:
/// by rustup, or from Debian's packages when this is root or sudo does not ask. When neither works, the commands to
/// type are printed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hash a real file inside a guest, page by page, and compare with the host's hash
    Run,
    /// Run all tests and print the counts
    ///
    /// Tests that boot a guest need /dev/kvm and fail without it. ZVMM_SKIP_KVM=1 skips them.
    Test {
        /// Arguments for `cargo test`, such as a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check formatting, lints and documentation, then run all tests: what CI does
    Ci,
    /// Measure faults and calls beside the least that they can cost here: `zvmm bench`
    Bench {
        /// Arguments of `zvmm bench`, such as --json PATH
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure which lines of the object core its tests reach
    Coverage,
    /// Build the guest kernel, the built-in programs and the test guests, and say where they are
    Guests,
    /// Install zvmm, one file with everything inside, into cargo's bin directory
    Install,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = Workspace::find().and_then(|workspace| match arguments.command {
        Command::Run => run::run(&workspace),
        Command::Test { arguments } => test::test(&workspace, &arguments),
        Command::Ci => ci::ci(&workspace),
        Command::Bench { arguments } => run::bench(&workspace, &arguments),
        Command::Coverage => coverage::coverage(&workspace),
        Command::Guests => guests::build(&workspace),
        Command::Install => guests::install(&workspace),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
