//! Who called whom, by the program's own unwind tables and frame pointers, with the names in its symbol table and debug information.
//!
//! Stacks are what the program left: anything may be in them. Only pages that are there are read, and a trace has at most [`DEPTH`] frames.

use std::borrow::Cow;
use std::fmt::Write as _;

use addr2line::gimli::{self, EndianSlice, RunTimeEndian};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder as _};
use object::{Object as _, ObjectSection as _};
use protocol::GeneralRegs;

/// Most frames of a trace.
const DEPTH: usize = 32;

/// The lines of a trace: number, function and where in the sources, as far as the image tells. `read` reads a word of the stack.
pub(crate) fn backtrace(
    image: &[u8],
    registers: &GeneralRegs,
    mut read: impl FnMut(u64) -> Option<u64>,
) -> String {
    let Ok(file) = object::File::parse(image) else {
        return String::new();
    };
    let names = Names::of(&file);
    let mut text = String::new();
    for (number, address) in frames(&file, registers, &mut read).into_iter().enumerate() {
        let label = if number == 0 { "backtrace" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{label:<11}{number:<3}{}",
            names.of_address(address)
        );
    }
    text
}

/// The addresses of the calls on the stack, innermost first.
fn frames(
    file: &object::File<'_>,
    registers: &GeneralRegs,
    read: &mut impl FnMut(u64) -> Option<u64>,
) -> Vec<u64> {
    let mut unwinder = UnwinderX86_64::new();
    let section = |name: &str| {
        let section = file.section_by_name(name)?;
        let data = section.uncompressed_data().ok()?.into_owned();
        Some((section.address()..section.address() + section.size(), data))
    };
    if let Some((text, code)) = section(".text") {
        let (eh_frame_svma, eh_frame) = section(".eh_frame").unzip();
        let sections = ExplicitModuleSectionInfo {
            text_svma: Some(text.clone()),
            text: Some(code),
            eh_frame_svma,
            eh_frame,
            ..ExplicitModuleSectionInfo::default()
        };
        unwinder.add_module(Module::new("program".into(), text, 0, sections));
    }
    let mut cache = CacheX86_64::new();
    let start = UnwindRegsX86_64::new(registers.rip, registers.rsp, registers.rbp);
    let mut read = |address| read(address).ok_or(());
    let mut walk = unwinder.iter_frames(registers.rip, start, &mut cache, &mut read);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = walk.next() {
        found.push(frame.address_for_lookup());
        if found.len() == DEPTH {
            break;
        }
    }
    found
}

/// The names of an image.
struct Names<'a> {
    symbols: object::SymbolMap<object::SymbolMapName<'a>>,
    lines: Option<addr2line::Context<EndianSlice<'a, RunTimeEndian>>>,
}

impl<'a> Names<'a> {
    fn of(file: &'a object::File<'a>) -> Self {
        let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
            // Compressed sections are left alone: the toolchains that zvmm comes with write none.
            let data = file.section_by_name(id.name()).and_then(|section| {
                match section.uncompressed_data() {
                    Ok(Cow::Borrowed(data)) => Some(data),
                    _ => None,
                }
            });
            Ok(EndianSlice::new(
                data.unwrap_or_default(),
                RunTimeEndian::Little,
            ))
        };
        let dwarf = gimli::Dwarf::load(load);
        Names {
            symbols: file.symbol_map(),
            lines: dwarf
                .ok()
                .and_then(|dwarf| addr2line::Context::from_dwarf(dwarf).ok()),
        }
    }

    /// `function (file:line)`, inlined ones first; a symbol, if there is no more to know; the bare address otherwise.
    fn of_address(&self, address: u64) -> String {
        let mut parts = Vec::new();
        let frames = self
            .lines
            .as_ref()
            .and_then(|lines| lines.find_frames(address).skip_all_loads().ok());
        if let Some(mut frames) = frames {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|function| function.demangle().ok());
                let Some(name) = name else { continue };
                let place = frame
                    .location
                    .and_then(|place| Some((place.file?, place.line?)));
                parts.push(match place {
                    Some((file, line)) => format!("{name} ({file}:{line})"),
                    None => name.into_owned(),
                });
            }
        }
        if parts.is_empty() {
            let symbol = self
                .symbols
                .containing(address)
                .map(|symbol| addr2line::demangle_auto(symbol.name().into(), None));
            parts.push(symbol.map_or("?".into(), Cow::into_owned));
        }
        format!("{address:#x} {}", parts.join(" in "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guest_image;

    fn program() -> &'static [u8] {
        guest_image::programs()[0].1
    }

    fn entry() -> u64 {
        object::File::parse(program()).unwrap().entry()
    }

    #[test]
    fn what_is_no_image_has_no_trace() {
        for image in [&b""[..], b"\x7fELF", &program()[..4096], &[0xFF; 9000]] {
            let trace = backtrace(image, &GeneralRegs::default(), |_| Some(0));
            assert!(trace.lines().count() <= 2, "{trace}");
        }
    }

    #[test]
    fn the_innermost_frame_is_there_without_a_stack() {
        let registers = GeneralRegs {
            rip: entry(),
            rsp: 0x1000,
            ..GeneralRegs::default()
        };
        let trace = backtrace(program(), &registers, |_| None);
        assert!(
            trace.starts_with("\nbacktrace  0  0x") && trace.contains("_start"),
            "{trace}"
        );
    }

    proptest! {
        /// Stacks that lead anywhere, round in circles or nowhere.
        #[test]
        fn any_stack_will_do(words in prop::collection::vec(any::<u64>(), 1..8), rip in any::<u64>(), rsp in any::<u64>(), rbp in any::<u64>(), inside in any::<bool>()) {
            let rip = if inside { entry() + rip % 4096 } else { rip };
            let registers = GeneralRegs { rip, rsp, rbp, ..GeneralRegs::default() };
            let trace = backtrace(program(), &registers, |address| {
                let word = words[(address / 8) as usize % words.len()];
                (word % 7 != 0).then_some(if word % 2 == 0 { entry() + word % 4096 } else { word })
            });
            prop_assert!(trace.lines().count() <= DEPTH + 1, "{trace}");
        }
    }
}
