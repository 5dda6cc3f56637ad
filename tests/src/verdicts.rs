//! The verdicts that a test guest prints: `ok NAME`, `FAIL NAME why`, and `N passed, M failed` at the end.

use std::collections::BTreeSet;

/// Names of the cases that passed; there was no other.
#[derive(Debug)]
pub struct Verdicts {
    passed: BTreeSet<String>,
}

impl Verdicts {
    /// Reads a guest's output.
    ///
    /// # Errors
    /// The failed cases; or no last line, or one whose counts differ from the lines before it.
    pub fn parse(output: &str) -> Result<Verdicts, String> {
        let mut passed = BTreeSet::new();
        let mut failed = Vec::new();
        for line in output.lines() {
            if let Some(name) = line.strip_prefix("ok ") {
                if !passed.insert(name.to_owned()) {
                    return Err(format!("two cases are called {name}"));
                }
            } else if let Some(failure) = line.strip_prefix("FAIL ") {
                failed.push(failure);
            }
        }
        if !failed.is_empty() {
            return Err(format!(
                "{} cases failed:\n  {}",
                failed.len(),
                failed.join("\n  ")
            ));
        }
        let expected = format!("{} passed, 0 failed", passed.len());
        match output.lines().last() {
            Some(last) if last == expected => Ok(Verdicts { passed }),
            last => Err(format!("the last line is {last:?}, not {expected:?}")),
        }
    }

    /// Cases that passed.
    pub fn count(&self) -> usize {
        self.passed.len()
    }

    /// Fails unless the cases are these.
    #[track_caller]
    pub fn assert_are<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let expected: BTreeSet<&str> = names.into_iter().collect();
        let passed: BTreeSet<&str> = self.passed.iter().map(String::as_str).collect();
        let list = |names: Vec<&&str>| {
            let names = names.iter().map(|name| format!("\n  {name}"));
            names.collect::<String>()
        };
        let missing = list(expected.difference(&passed).collect());
        let new = list(passed.difference(&expected).collect());
        assert!(
            missing.is_empty() && new.is_empty(),
            "cases that never ran:{missing}\ncases that are not in the list of names:{new}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_add_up_or_are_refused() {
        let verdicts = Verdicts::parse("ok a\nnoise\nok b.c\n2 passed, 0 failed\n").unwrap();
        verdicts.assert_are(["a", "b.c"]);
        for (output, part) in [
            ("", "the last line is None"),
            ("ok a\n", "Some(\"ok a\")"),
            ("ok a\n2 passed, 0 failed\n", "not \"1 passed, 0 failed\""),
            ("ok a\nok a\n2 passed, 0 failed\n", "two cases are called a"),
            (
                "FAIL a: why\n0 passed, 1 failed\n",
                "1 cases failed:\n  a: why",
            ),
        ] {
            let error = Verdicts::parse(output).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
