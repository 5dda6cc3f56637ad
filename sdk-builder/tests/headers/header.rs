//! One header file while it is made: its text, and what a compiler must see in it.

use std::fmt::{Display, Write as _};

/// A header.
pub struct Header {
    /// As in `#include`.
    pub path: &'static str,
    body: String,
    /// Names and values of the constants.
    pub constants: Vec<(String, i128)>,
    /// Expressions of sizes and offsets, and their values.
    pub layouts: Vec<(String, usize)>,
}

impl Header {
    pub fn new(path: &'static str, includes: &[&str]) -> Self {
        let mut body = String::new();
        for include in includes {
            let _ = writeln!(body, "#include <{include}>");
        }
        Header {
            path,
            body,
            constants: Vec::new(),
            layouts: Vec::new(),
        }
    }

    /// C as it is.
    pub fn verbatim(&mut self, text: impl Display) -> &mut Self {
        let _ = write!(self.body, "\n{text}\n");
        self
    }

    /// A constant of a C type.
    pub fn constant(&mut self, name: impl Into<String>, kind: &str, value: impl Into<i128>) {
        let (name, value) = (name.into(), value.into());
        let literal = match value {
            _ if kind == "zx_status_t" => format!("{value}"),
            _ => format!("{value:#x}u"),
        };
        let suffix = if value > u32::MAX.into() { "l" } else { "" };
        let _ = writeln!(self.body, "#define {name} (({kind}){literal}{suffix})");
        self.constants.push((name, value));
    }

    /// Every named flag; a name for which there is none in C is left out.
    pub fn flags<F>(&mut self, kind: &str, c_name: impl Fn(&str) -> Option<String>)
    where
        F: bitflags::Flags,
        F::Bits: Into<i128>,
    {
        self.verbatim("").trim();
        for flag in F::FLAGS {
            if let Some(name) = c_name(flag.name()) {
                self.constant(name, kind, flag.value().bits().into());
            }
        }
    }

    /// The names that numbers below 64 have in an enumeration of Rust.
    pub fn numbers<E: std::fmt::Debug>(
        &mut self,
        prefix: &str,
        kind: &str,
        from: fn(u32) -> Option<E>,
    ) {
        self.verbatim("").trim();
        for number in 0..64u32 {
            if let Some(named) = from(number) {
                let name = screaming(&format!("{named:?}"));
                self.constant(format!("{prefix}{name}"), kind, number);
            }
        }
    }

    fn trim(&mut self) {
        self.body.truncate(self.body.trim_end().len());
        self.body.push_str("\n\n");
    }

    /// The file.
    pub fn text(&self) -> String {
        let guard = self.path.replace(['/', '.'], "_").to_uppercase() + "_";
        let body = self.body.trim_end();
        format!("#ifndef {guard}\n#define {guard}\n\n{body}\n\n#endif\n")
    }
}

/// `NewVmo` as `NEW_VMO`.
pub fn screaming(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// Constants of Rust under their own names with a prefix.
#[macro_export]
macro_rules! constants {
    ($header:ident, $kind:literal, $prefix:literal, $module:ident { $($name:ident)* }) => {
        $($header.constant(concat!($prefix, stringify!($name)), $kind, $module::$name as i128);)*
    };
}
