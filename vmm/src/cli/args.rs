//! The arguments, as clap reads them.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
};

use protocol::{PolicyAction, PolicyCondition};

use super::{
    exit, stats,
    values::{self, GdbOption, VmoOption},
};
use crate::config::{FaultDelivery, Grant, SupplyPolicy};

/// Runs a program in a KVM guest whose memory is Zircon VMOs
#[derive(Debug, Parser)]
#[command(
    name = "zvmm",
    bin_name = "zvmm",
    version,
    after_help = exit::HELP,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a program in a VM
    Run(Box<RunArgs>),
    /// Check what this host offers; one line each, with the remedy
    Doctor,
    /// Measure faults and calls beside the least that they can cost on this host
    Bench(BenchArgs),
    /// List the built-in programs
    Programs,
    /// Say where the SDK is: what programs in C, C++ and Rust are written with
    Sdk {
        /// Print the folder
        #[arg(long, required = true)]
        path: bool,
    },
    /// Compile a program in C: calls gcc or clang (or $CC) with what programs need
    #[command(disable_help_flag = true)]
    Cc {
        /// The compiler's arguments, as `prog.c -o prog`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<OsString>,
    },
    /// Compile a program in C++, without exceptions and RTTI: calls g++ or clang++ (or $CXX)
    #[command(name = "c++", disable_help_flag = true)]
    Cpp {
        /// The compiler's arguments, as `prog.cpp -o prog`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<OsString>,
    },
    /// Write a package for a program in Rust to a new folder
    New {
        /// Name of the package and of the folder
        name: String,
    },
    /// Run a cargo that can compile for the guest, with any arguments
    ///
    /// It is the cargo of the toolchain in PATH or of /usr/bin, whichever has the target x86_64-unknown-none or the sources of
    /// `core`; these are then compiled, too.
    #[command(disable_help_flag = true)]
    Cargo {
        /// What cargo is told
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
#[command(
    override_usage = "zvmm run [OPTIONS] PROGRAM [[--] ARGS...]",
    after_help = exit::HELP
)]
pub(super) struct RunArgs {
    /// Give the program a VMO, as a start-up handle of this name (1 to 31 bytes). May be repeated.
    ///
    /// SOURCE is `file:PATH` for the content of a file, read when it is touched, or `zero:SIZE` for zeros. A file is
    /// read-only (`file:PATH,ro`, the default) or a private copy: with `file:PATH,cow` the program may write, and the file
    /// stays as it is.
    #[arg(
        long,
        value_name = "NAME=SOURCE",
        value_parser = OsStringValueParser::new().try_map(values::vmo)
    )]
    pub vmo: Vec<VmoOption>,

    /// Give the program a resource, as a start-up handle of that name. May be repeated.
    ///
    /// `vmex` permits executable VMOs, `iommu` making IOMMUs (for pinning and contiguous VMOs), and `mmio:SIZE` physical VMOs
    /// over a range of guest-physical memory, which zx_object_get_info tells.
    #[arg(long, value_name = "vmex|iommu|mmio:SIZE", value_parser = values::grant)]
    pub grant: Vec<Grant>,

    /// vCPUs
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::cpus)]
    pub cpus: u32,

    /// Limit on the pages of all VMOs together, as 512M or 4GiB [default: what the host has]
    ///
    /// At the limit pages that a pager can supply again go, and discardable VMOs that nobody has locked. When nothing can go, what
    /// needs a page gets ZX_ERR_NO_MEMORY.
    #[arg(long, value_name = "SIZE", value_parser = values::memory)]
    pub memory: Option<u64>,

    /// Stop the run after this long, as 500ms, 5s or 2m
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub timeout: Option<Duration>,

    /// Policy of the program's job, as new-vmo=deny, which makes zx_vmo_create fail. May be repeated; the last one counts.
    ///
    /// NAME is bad-handle, wrong-object, ambient-mark-vmo-exec, new-vmo, new-channel, new-event, new-port, new-process, new-pager,
    /// or new-any for all that begin with "new" (other names of Zircon's conditions are taken, and never met). ACTION is allow (for
    /// all that is not named), deny, allow-exception, deny-exception or kill.
    #[arg(long, value_name = "NAME=ACTION", value_parser = values::policy)]
    pub policy: Vec<(PolicyCondition, PolicyAction)>,

    /// Answer every request for pages of a --vmo this much later, as 50us: latency of a memory far away
    #[arg(long, value_name = "TIME", value_parser = values::delay)]
    pub fault_delay: Option<Duration>,

    /// How faults at pages of a --vmo are told: exit or event, which is for comparison
    ///
    /// With `exit` the vCPU leaves the guest. With `event` it sleeps in the host's kernel and a thread answers, for files that the program
    /// cannot write to (`ro`) while --fault-delay is not given; what that thread cannot have at once is told by an exit all the same.
    /// VMOs that a pager in the guest answers for always use exits: the vCPU that is to run the pager must not sleep.
    #[arg(long, value_name = "exit|event", default_value = "exit", value_parser = values::fault_delivery)]
    pub fault_delivery: FaultDelivery,

    /// If an exception kills the program, write an ELF core of it there, for `gdb PROGRAM PATH`
    ///
    /// It has the pages that were there; pagers are asked for nothing.
    #[arg(long, value_name = "PATH")]
    pub core: Option<PathBuf>,

    /// Wait for gdb before the program's first instruction: at a port of 127.0.0.1 (0: any free one), or at a socket in the file system
    ///
    /// `gdb PROGRAM -ex 'target remote :PORT'` attaches. When gdb leaves, the program goes on; another gdb may attach at any time.
    #[arg(long, value_name = "PORT|unix:PATH", value_parser = OsStringValueParser::new().try_map(values::gdb))]
    pub gdb: Option<GdbOption>,

    /// Write every exit, fault, request, supply and system call there, for https://ui.perfetto.dev
    #[arg(long, value_name = "PATH")]
    pub trace: Option<PathBuf>,

    /// Write a page (HTML) there that shows which pages came when and why, and which came for nothing; costs some time
    #[arg(long, value_name = "PATH")]
    pub heatmap: Option<PathBuf>,

    /// How much is supplied at a fault from files: adaptive (by what is read in sequence), fixed:N (pages) or none
    #[arg(long, value_name = "POLICY", default_value = "adaptive", value_parser = values::supply_policy)]
    pub supply_policy: SupplyPolicy,

    /// Show figures of the run: a table on standard error, or (`--stats=json PATH`) JSON in a file
    #[arg(
        long,
        value_name = "json PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "table",
        value_parser = OsStringValueParser::new().try_map(stats::parse)
    )]
    pub stats: Option<StatsOption>,

    /// A built-in program (see `zvmm programs`) or the path of a static ELF, then its arguments.
    ///
    /// A built-in program wins over a file of the same name in the current folder: write ./NAME for the file.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Fewer touches and rounds: shows that everything works, and little more
    #[arg(long)]
    pub quick: bool,

    /// Rounds of each figure: floor, zvmm, zvmm, floor [default: 9, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: Option<u16>,

    /// Write every sample and the ratios into this file, as JSON
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Write a page with the distributions into this file, as HTML
    #[arg(long, value_name = "PATH")]
    pub plot: Option<PathBuf>,

    /// Numbers of the figures to measure [default: all]
    #[arg(value_name = "FIGURE")]
    pub figures: Vec<u32>,
}

/// What becomes of the figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StatsOption {
    /// A table on standard error.
    Table,
    /// JSON in this file.
    Json(PathBuf),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(args: &[&str]) -> Result<RunArgs, clap::Error> {
        let all = ["zvmm", "run"]
            .iter()
            .chain(args)
            .map(OsString::from)
            .collect();
        match Cli::try_parse_from(stats::join_path(all))?.command {
            Command::Run(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let args = run(&["hello"]).unwrap();
        assert_eq!(
            (args.cpus, args.memory, args.timeout, args.policy),
            (1, None, None, Vec::new())
        );
        assert!(args.vmo.is_empty() && args.stats.is_none());
        assert_eq!(args.program, ["hello"]);
    }

    #[test]
    fn everything_after_the_program_is_the_programs() {
        let args = run(&["--cpus", "2", "sum", "--cpus", "3", "--stats=json", "-x"]).unwrap();
        assert_eq!(args.cpus, 2);
        assert_eq!(args.program, ["sum", "--cpus", "3", "--stats=json", "-x"]);
        assert!(run(&["--bogus", "sum"]).is_err());
        assert_eq!(run(&["--", "sum", "a"]).unwrap().program, ["sum", "a"]);
    }

    #[test]
    fn stats_in_all_spellings() {
        let stats = |args: &[&str]| {
            let args = run(args).unwrap();
            assert_eq!(args.program, ["sum"]);
            args.stats.unwrap()
        };
        let json = StatsOption::Json("out.json".into());
        assert_eq!(stats(&["--stats", "sum"]), StatsOption::Table);
        assert_eq!(stats(&["--stats=table", "sum"]), StatsOption::Table);
        assert_eq!(stats(&["--stats=json", "out.json", "sum"]), json);
        assert_eq!(stats(&["--stats=json:out.json", "sum"]), json);
        assert_eq!(
            stats(&[
                "--memory",
                "1G",
                "--stats=json",
                "out.json",
                "--cpus=1",
                "sum"
            ]),
            json
        );
    }

    #[test]
    fn help_reads_well() {
        let help = Cli::command()
            .find_subcommand_mut("run")
            .unwrap()
            .render_help()
            .to_string();
        for part in [
            "zvmm run [OPTIONS] PROGRAM [[--] ARGS...]",
            "--vmo <NAME=SOURCE>",
            "--cpus <N>",
            "--grant <vmex|iommu|mmio:SIZE>",
            "--memory <SIZE>",
            "--timeout <TIME>",
            "--policy <NAME=ACTION>",
            "--gdb <PORT|unix:PATH>",
            "--trace <PATH>",
            "--heatmap <PATH>",
            "--stats[=<json PATH>]",
            "  123    the program was killed by an exception",
        ] {
            assert!(help.contains(part), "no {part:?} in\n{help}");
        }
    }
}
