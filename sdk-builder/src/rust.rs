//! The Rust part of the SDK: the crates that programs depend on, as packages outside a workspace.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::tree::Tree;

/// The crates, and where they are in the workspace.
const CRATES: [(&str, &str); 3] = [
    ("zx", "programs/zx"),
    ("zx-macros", "programs/zx-macros"),
    ("protocol", "protocol"),
];

/// Adds `rust/zx`, `rust/zx-macros` and `rust/protocol`.
pub(crate) fn add(tree: &mut Tree, workspace: &Path) -> Result<()> {
    let root = read(&workspace.join("Cargo.toml"))?;
    let inherited = Inherited::parse(&root);
    tree.add_file("rust/LICENSE", &workspace.join("LICENSE"))?;
    for (name, source) in CRATES {
        let source = workspace.join(source);
        let to = format!("rust/{name}");
        tree.add_dir(&to, &source)?;
        let manifest = source.join("Cargo.toml");
        let alone = inherited
            .standalone(&read(&manifest)?)
            .with_context(|| format!("{} cannot stand alone", manifest.display()))?;
        tree.add(&format!("{to}/Cargo.toml"), alone);
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// What packages inherit from the workspace: by section and key, the text of the value. Each entry is a line of its own.
#[derive(Debug)]
struct Inherited<'a>(BTreeMap<(&'a str, &'a str), &'a str>);

impl<'a> Inherited<'a> {
    fn parse(root: &'a str) -> Self {
        let mut section = "";
        let mut values = BTreeMap::new();
        for line in root.lines() {
            if line.starts_with('[') {
                section = line;
            } else if let Some((key, value)) = line.split_once(" = ") {
                values.insert((section, key), value);
            }
        }
        Inherited(values)
    }

    /// A package's manifest with the values in place of `KEY.workspace = true`, and without the workspace's lints.
    fn standalone(&self, manifest: &str) -> Result<String> {
        let mut alone = String::new();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            if section == "[lints]" {
                continue;
            }
            match line.strip_suffix(".workspace = true") {
                Some(key) => {
                    let value = self.value(section, key)?;
                    alone.push_str(&format!("{key} = {value}\n"));
                }
                None => {
                    alone.push_str(line);
                    alone.push('\n');
                }
            }
        }
        Ok(alone)
    }

    /// A value that a section of a package inherits. Crates of the workspace are found beside each other.
    fn value(&self, section: &str, key: &str) -> Result<String> {
        let from = match section {
            "[package]" => "[workspace.package]",
            _ => "[workspace.dependencies]",
        };
        let value = self
            .0
            .get(&(from, key))
            .with_context(|| format!("{from} has no line `{key} = ...`"))?;
        let known = CRATES.iter().any(|(name, _)| *name == key);
        Ok(if from != "[workspace.package]" && known {
            format!("{{ path = \"../{key}\" }}")
        } else {
            (*value).to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace.package]\nedition = \"2024\"\n[workspace.dependencies]\nprotocol = { path = \"p\" }\n\
                        bitflags = { version = \"2\", default-features = false }\n";

    #[test]
    fn what_is_inherited_stands_in_the_manifest() {
        let manifest = "[package]\nname = \"zx\"\nedition.workspace = true\n[dependencies]\nbitflags.workspace = true\n\
                        protocol.workspace = true\n[lints]\nworkspace = true\n";
        let alone = Inherited::parse(ROOT).standalone(manifest).unwrap();
        assert_eq!(
            alone,
            "[package]\nname = \"zx\"\nedition = \"2024\"\n[dependencies]\n\
             bitflags = { version = \"2\", default-features = false }\nprotocol = { path = \"../protocol\" }\n"
        );
    }

    #[test]
    fn a_value_that_is_not_there_is_named() {
        let manifest = "[dependencies]\nserde.workspace = true\n";
        let error = Inherited::parse(ROOT).standalone(manifest).unwrap_err();
        assert_eq!(
            error.to_string(),
            "[workspace.dependencies] has no line `serde = ...`"
        );
    }
}
