//! One thing that `zvmm doctor` looked at.

use std::fmt;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// zvmm runs, but worse than it could.
    Warn,
    /// zvmm cannot run.
    Fail,
}

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a few words.
    pub name: String,
    /// How it came out.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if there is nothing to do.
    pub remedy: String,
}

impl Check {
    /// Everything in order.
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Check {
            name: name.into(),
            grade: Grade::Ok,
            found: found.into(),
            remedy: String::new(),
        }
    }

    /// Not as it should be, though zvmm runs.
    pub fn warn(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Check {
            grade: Grade::Warn,
            remedy: remedy.into(),
            ..Check::ok(name, found)
        }
    }

    /// zvmm cannot run like this.
    pub fn fail(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Check {
            grade: Grade::Fail,
            remedy: remedy.into(),
            ..Check::ok(name, found)
        }
    }

    /// `ok` if `good`, else `bad` with the remedy.
    pub fn unless(
        good: bool,
        bad: Grade,
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        if good {
            Check::ok(name, found)
        } else {
            Check {
                grade: bad,
                remedy: remedy.into(),
                ..Check::ok(name, found)
            }
        }
    }
}

impl fmt::Display for Check {
    /// One line, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        write!(f, "{grade:<5} {:<24} {}", self.name, self.found)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_one_line() {
        assert_eq!(
            Check::ok("kernel", "6.18").to_string(),
            "ok    kernel                   6.18"
        );
        assert_eq!(
            Check::fail("/dev/kvm", "missing", "enable virtualisation").to_string(),
            "FAIL  /dev/kvm                 missing; enable virtualisation"
        );
        assert_eq!(
            Check::unless(false, Grade::Warn, "files", "256", "raise ulimit -n").to_string(),
            "warn  files                    256; raise ulimit -n"
        );
    }
}
