//! The package that `zvmm new` writes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files, and their text. `{NAME}` stands for the package's name, `{SDK}` for the folder of the SDK.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    (
        ".cargo/config.toml",
        include_str!("template/config.toml.in"),
    ),
    ("src/main.rs", include_str!("template/main.rs.in")),
    ("README.md", include_str!("template/README.md.in")),
    (".gitignore", include_str!("template/gitignore.in")),
];

/// Names that cargo or the language keeps for itself, and those of the SDK's own crates.
const RESERVED: &str = "abstract alloc as async await become box break build const continue core crate deps do dyn else enum \
                        examples extern false final fn for gen if impl in incremental let loop macro match mod move mut \
                        override priv protocol proc_macro pub ref return self static std struct super test trait true try type \
                        typeof unsafe unsized use virtual where while yield zx zx-macros zx_macros";

/// Why no package was made.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The name is none for a package.
    #[error(
        "'{0}' cannot be the name of a package: take a letter and then letters, digits, '-' and '_', and no word that Rust or \
         cargo uses itself"
    )]
    Name(String),
    /// There is something of this name.
    #[error("there is a '{}' already: take another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// The host does not let it be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// What was being written.
        path: PathBuf,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
}

/// Makes the package `name` in a new folder of that name in `parent`, with `sdk` as the folder of its SDK.
///
/// # Errors
/// See [`TemplateError`]. Nothing is left behind then.
pub fn create(parent: &Path, name: &str, sdk: &Path) -> Result<(), TemplateError> {
    if !is_package_name(name) {
        return Err(TemplateError::Name(name.into()));
    }
    let folder = parent.join(name);
    fs::create_dir(&folder).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => TemplateError::Exists(folder.clone()),
        _ => TemplateError::Write {
            path: folder.clone(),
            source,
        },
    })?;
    let sdk = sdk.display().to_string();
    let written = FILES.iter().try_for_each(|(file, text)| {
        let path = folder.join(file);
        let text = text.replace("{NAME}", name).replace("{SDK}", &sdk);
        write(&path, &text).map_err(|source| TemplateError::Write { path, source })
    });
    if written.is_err() {
        // What cannot be removed either is named by the error.
        let _ = fs::remove_dir_all(&folder);
    }
    written
}

/// Writes a file and the folder that it is in.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

fn is_package_name(name: &str) -> bool {
    let letters = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.len() <= 64
        && name.chars().all(letters)
        && !RESERVED.split_whitespace().any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_package_and_sdk() {
        let parent = tempfile::tempdir().unwrap();
        create(parent.path(), "a-demo", Path::new("/where/the sdk is")).unwrap();
        let read = |file| fs::read_to_string(parent.path().join("a-demo").join(file)).unwrap();
        let manifest = read("Cargo.toml");
        assert!(manifest.contains("name = \"a-demo\""), "{manifest}");
        assert!(
            manifest.contains("path = \"/where/the sdk is/rust/zx\""),
            "{manifest}"
        );
        for (file, _) in FILES {
            let text = read(file);
            assert!(
                !text.contains("{NAME}") && !text.contains("{SDK}"),
                "{text}"
            );
        }
    }

    #[test]
    fn names_that_are_no_packages_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["", "1st", "a b", "a/b", "..", "fn", "zx", "test", "\u{e4}"] {
            let refused = create(parent.path(), name, Path::new("/sdk"));
            assert!(matches!(refused, Err(TemplateError::Name(_))), "{name:?}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("demo"), "mine").unwrap();
        let refused = create(parent.path(), "demo", Path::new("/sdk"));
        assert!(matches!(refused, Err(TemplateError::Exists(_))));
        assert_eq!(fs::read(parent.path().join("demo")).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let refused = create(Path::new("/not/there"), "demo", Path::new("/sdk")).unwrap_err();
        assert_eq!(refused.to_string(), "cannot write /not/there/demo");
    }
}
