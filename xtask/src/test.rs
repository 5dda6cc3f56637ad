//! `cargo xtask test`: all tests, and one line with their counts.

use std::{
    env,
    fs::OpenOptions,
    io::{BufRead as _, BufReader},
    ops::AddAssign,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    guests,
    shell::{Workspace, announce, line},
};

/// Runs `cargo test` for the workspace. The last line says how many tests passed, failed and were skipped.
pub(crate) fn test(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    guests::set_up()?;
    look_for_kvm();
    let mut command = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(arguments);
    let line = line(&command);
    announce(&line);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{line}`"))?;
    let output = child
        .stdout
        .take()
        .context("cargo has no standard output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("could not read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts += Counts::of_line(&line);
    }
    let status = child.wait().context("could not wait for cargo")?;
    if !status.success() {
        eprintln!("error: `{line}` ended with {status}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    let good = status.success() && counts.failed == 0;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says in advance why tests that boot a guest are going to fail.
fn look_for_kvm() {
    if env::var_os("ZVMM_SKIP_KVM").is_some() {
        eprintln!("    ZVMM_SKIP_KVM is set: tests that boot a guest are skipped");
    } else if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        eprintln!(
            "    /dev/kvm: {error}; tests that boot a guest will fail (ZVMM_SKIP_KVM=1 skips them)"
        );
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Counts of a line "test result: ok. 14 passed; 0 failed; 1 ignored; ..."; zeros for any other line.
    fn of_line(line: &str) -> Self {
        let mut counts = Self::default();
        let Some((_, numbers)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return counts;
        };
        for part in numbers.split("; ") {
            let Some((number, what)) = part.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            match what {
                "passed" => counts.passed = number,
                "failed" => counts.failed = number,
                "ignored" => counts.skipped = number,
                _ => {}
            }
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn result_lines_are_counted_and_others_are_not() {
        let ok = "test result: ok. 14 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(
            Counts::of_line(ok),
            Counts {
                passed: 14,
                failed: 0,
                skipped: 1
            }
        );
        let failed =
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out";
        assert_eq!(
            Counts::of_line(failed),
            Counts {
                passed: 2,
                failed: 3,
                skipped: 0
            }
        );
        assert_eq!(Counts::of_line("test passed ... ok"), Counts::default());
        assert_eq!(Counts::of_line("3 passed; 1 failed"), Counts::default());
    }
}
