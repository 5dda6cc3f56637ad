//! One thing that `zvmm doctor` looked at.

use std::fmt;

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a few words.
    pub name: String,
    /// It is as it should be.
    pub ok: bool,
    /// Without it no VM runs.
    pub required: bool,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if there is nothing to do.
    pub remedy: String,
}

impl Check {
    /// A check without which no VM runs; `remedy` is dropped if it is `ok`.
    pub fn required(name: &str, ok: bool, found: impl Into<String>, remedy: &str) -> Self {
        let remedy = if ok { String::new() } else { remedy.into() };
        Check {
            name: name.into(),
            ok,
            required: true,
            found: found.into(),
            remedy,
        }
    }

    /// A check that only makes VMs better.
    pub fn advised(name: &str, ok: bool, found: impl Into<String>, remedy: &str) -> Self {
        Check {
            required: false,
            ..Check::required(name, ok, found, remedy)
        }
    }

    /// Whether a VM can run as far as this check tells.
    pub fn passes(&self) -> bool {
        self.ok || !self.required
    }
}

impl fmt::Display for Check {
    /// One line, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match (self.ok, self.required) {
            (true, _) => "ok",
            (false, true) => "FAIL",
            (false, false) => "warn",
        };
        write!(f, "{grade:<5} {}: {}", self.name, self.found)?;
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
        let line = |check: Check| (check.to_string(), check.passes());
        assert_eq!(
            line(Check::required("kernel", true, "6.18", "unused")),
            ("ok    kernel: 6.18".into(), true)
        );
        assert_eq!(
            line(Check::required(
                "/dev/kvm",
                false,
                "absent",
                "enable virtualisation"
            )),
            (
                "FAIL  /dev/kvm: absent; enable virtualisation".into(),
                false
            )
        );
        assert_eq!(
            line(Check::advised("files", false, "256", "raise ulimit -n")),
            ("warn  files: 256; raise ulimit -n".into(), true)
        );
    }
}
