//! What is said when something fails: one paragraph, `zvmm: outermost cause: ...: root. Remedy.`

use std::{error::Error, fmt};

use clap::error::ErrorKind;

use super::{BoxError, exit::Exit, rust::NoToolchain};
use crate::{pager::FileError, sdk};

/// A failure of the command itself (not of what runs in the VM).
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line makes no sense; the whole text.
    Usage(String),
    /// Nothing was asked for: the help text, as it is.
    Nothing(String),
    /// The host lacks something or refused it.
    Host(BoxError),
}

impl Failure {
    pub fn host(error: impl Into<BoxError>) -> Self {
        Failure::Host(error.into())
    }

    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) | Failure::Nothing(_) => Exit::Usage,
            Failure::Host(_) => Exit::Host,
        }
    }
}

impl From<clap::Error> for Failure {
    /// clap writes several paragraphs; their words make one.
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Failure::Nothing(text.trim_end().into());
        }
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let paragraphs = text.split("\n\n").map(|paragraph| {
            let words: Vec<&str> = paragraph.split_whitespace().collect();
            words.join(" ")
        });
        let mut whole = String::new();
        for paragraph in paragraphs.filter(|paragraph| !paragraph.is_empty()) {
            if !whole.is_empty() {
                whole.push_str(if whole.ends_with(['.', ':']) {
                    " "
                } else {
                    ". "
                });
            }
            whole.push_str(&paragraph);
        }
        Failure::Usage(whole)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Nothing(help) => f.write_str(help),
            Failure::Usage(text) => write!(f, "zvmm: {text}"),
            Failure::Host(error) => {
                let error = error.as_ref();
                let chain = chain(error);
                let end = if chain.ends_with('.') { "" } else { "." };
                write!(f, "zvmm: {chain}{end} {}", remedy(error))
            }
        }
    }
}

/// The messages of an error and its sources, outermost first. One that its parent has already told is not repeated.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = error.source();
    }
    text
}

/// The remedy of the first error in the chain that has one of its own.
fn remedy(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(file) = error.downcast_ref::<FileError>() {
            return file.remedy();
        }
        if let Some(sdk) = error.downcast_ref::<sdk::Error>() {
            return sdk.remedy();
        }
        if error.is::<NoToolchain>() {
            return NoToolchain::REMEDY;
        }
        next = error.source();
    }
    "'zvmm doctor' checks what zvmm needs of this host."
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot load the program")]
        File(#[source] FileError),
        #[error("cannot make a VM: {0}")]
        Told(#[source] io::Error),
    }

    #[test]
    fn a_chain_is_one_paragraph_with_the_remedy_of_its_part() {
        let source = io::Error::from_raw_os_error(40);
        let path = "loop".into();
        let failure = Failure::host(Outer::File(FileError::Host { path, source }));
        assert_eq!(
            failure.to_string(),
            "zvmm: cannot load the program: loop cannot be opened: Too many levels of symbolic \
             links (os error 40). Check the path, and that its file system is in order."
        );
        assert_eq!(failure.exit(), Exit::Host);
    }

    #[test]
    fn a_cause_is_told_once() {
        let failure = Failure::host(Outer::Told(io::Error::from_raw_os_error(19)));
        assert_eq!(
            failure.to_string(),
            "zvmm: cannot make a VM: No such device (os error 19). 'zvmm doctor' checks what zvmm \
             needs of this host."
        );
    }
}
