//! `cargo xtask coverage`: which lines of the object core its tests reach.
//!
//! The tests are built with the compiler's own instrumentation. The counters they leave are read with the LLVM tools of the
//! very toolchain that built them: the format changes from one LLVM to the next, so that a system's own tools will not do.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::shell::{Workspace, announce, line, run};

/// Random scripts and registers of an instrumented run: enough to reach what they reach at all.
const CASES: &str = "3000";

/// Counts of each line of a file that has code.
type Lines = BTreeMap<u64, u64>;

/// Runs the core's tests and prints, by file, the share of lines they reach and those they do not.
pub(crate) fn coverage(workspace: &Workspace) -> Result<ExitCode> {
    let profdata = tool("llvm-profdata")?;
    let cov = tool("llvm-cov")?;
    let target = workspace.root().join("target/coverage");
    let counters = target.join("counters");
    if counters.exists() {
        fs::remove_dir_all(&counters).context("could not remove counters of the last run")?;
    }
    let programs = build(workspace, &target)?;
    for program in &programs {
        let mut command = Command::new(program);
        command
            .current_dir(workspace.root().join("zircon"))
            .env("LLVM_PROFILE_FILE", counters.join("%p-%m.profraw"))
            .env("ZVMM_CASES", CASES);
        run(&mut command)?;
    }
    let merged = target.join("zircon.profdata");
    run(Command::new(profdata)
        .args(["merge", "--sparse", "-o"])
        .args([&merged, &counters]))?;
    let mut export = Command::new(cov);
    export.args(["export", "--format=lcov", "--instr-profile"]);
    export.arg(&merged);
    for program in &programs {
        export.arg("--object").arg(program);
    }
    let source = workspace.root().join("zircon/src");
    let files = files(&text(&mut export)?, &source);
    if files.is_empty() {
        bail!("the counters tell of no file in {}", source.display());
    }
    print!("{}", report(&files));
    Ok(ExitCode::SUCCESS)
}

/// A tool of the toolchain's own LLVM, fetched if it is not there yet.
fn tool(name: &str) -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = text(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let version = text(Command::new(&rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say for which host it is")?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib").join(host);
    let path = libraries.join("bin").join(name);
    if !path.exists() {
        run(Command::new("rustup").args(["component", "add", "llvm-tools"]))
            .with_context(|| format!("{name} of the toolchain's own LLVM is needed"))?;
    }
    Ok(path)
}

/// Builds the core's tests with counters; says where they are.
fn build(workspace: &Workspace, target: &Path) -> Result<Vec<PathBuf>> {
    let arguments = ["test", "-p", "zircon", "--no-run", "--message-format=json"];
    let mut command = workspace.cargo(&arguments);
    command
        .env("RUSTFLAGS", "-C instrument-coverage")
        .env("CARGO_TARGET_DIR", target);
    let messages = text(&mut command)?;
    let programs = messages.lines().filter_map(|message| {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    Ok(programs.collect())
}

/// Runs a command for what it prints.
fn text(command: &mut Command) -> Result<String> {
    let line = line(command);
    announce(&line);
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` prints no text"))
}

/// The files below `source` of an LCOV report, by their path there.
fn files(lcov: &str, source: &Path) -> BTreeMap<String, Lines> {
    let mut files: BTreeMap<String, Lines> = BTreeMap::new();
    let mut file = None;
    for record in lcov.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            let path = Path::new(path).strip_prefix(source).ok();
            file = path.map(|path| path.to_string_lossy().into_owned());
        } else if let (Some(file), Some(counts)) = (&file, record.strip_prefix("DA:")) {
            let mut counts = counts.split(',').map(str::parse::<u64>);
            if let (Some(Ok(line)), Some(Ok(count))) = (counts.next(), counts.next()) {
                *files
                    .entry(file.clone())
                    .or_default()
                    .entry(line)
                    .or_default() += count;
            }
        }
    }
    files
}

/// A line for each file, the lines not reached among it, and the sum.
fn report(files: &BTreeMap<String, Lines>) -> String {
    let mut out = String::new();
    let mut sum = (0, 0);
    for (file, lines) in files {
        let missed: Vec<u64> = lines
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(line, _)| *line)
            .collect();
        let (all, reached) = (lines.len(), lines.len() - missed.len());
        sum = (sum.0 + reached, sum.1 + all);
        out += &format!("{} {file}: {}\n", share(reached, all), runs(&missed));
    }
    out + &format!(
        "{} in all: {} of {} lines\n",
        share(sum.0, sum.1),
        sum.0,
        sum.1
    )
}

fn share(reached: usize, all: usize) -> String {
    format!("{:6.2} %", reached as f64 * 100.0 / all.max(1) as f64)
}

/// Ascending numbers, runs of them as first-last.
fn runs(numbers: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let texts = runs.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_each_line_once() {
        let lcov = "SF:/w/zircon/src/a.rs\nDA:1,3\nDA:2,0\nDA:3,0\nend_of_record\n\
                    SF:/w/zircon/src/a.rs\nDA:2,1\nDA:5,0\nend_of_record\n\
                    SF:/w/protocol/src/b.rs\nDA:1,0\nend_of_record\n";
        let files = files(lcov, Path::new("/w/zircon/src"));
        assert_eq!(
            report(&files),
            " 50.00 % a.rs: 3 5\n 50.00 % in all: 2 of 4 lines\n"
        );
    }

    #[test]
    fn numbers_in_a_row_become_runs() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 10]), "1-3 7 9-10");
        assert_eq!(runs(&[]), "");
    }
}
