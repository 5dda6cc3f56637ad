//! The command of the host's compiler that makes a program: its flags, headers, library.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use super::Error;

/// The language of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// C.
    C,
    /// C++.
    Cpp,
}

/// Flags before the user's, which may change them.
const DEFAULTS: [&str; 1] = ["-g"];

const CPP_DEFAULTS: [&str; 1] = ["-std=gnu++17"];

/// Flags behind the user's: what programs must be like (docs/abi.md).
const FLAGS: [&str; 5] = [
    "-nostdinc",
    "-fno-pie",
    "-fno-stack-protector",
    "-mno-avx",
    "-ftls-model=local-exec",
];

/// Deprecated parts of libstdc++ have its algorithms ask for the host's C library.
const CPP_FLAGS: [&str; 3] = [
    "-fno-exceptions",
    "-fno-rtti",
    "-D_GLIBCXX_USE_DEPRECATED=0",
];

const LINK_FLAGS: [&str; 6] = [
    "-nostdlib",
    "-static",
    "-Wl,-zmax-page-size=4096",
    "-Wl,-znorelro",
    "-Wl,--build-id=none",
    "-Wl,--gc-sections",
];

/// Arguments after which nothing is linked.
const NO_LINK: [&str; 7] = ["-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-r"];

/// Ends of the names of C++ sources.
const CPP_SUFFIXES: [&str; 6] = ["cpp", "cc", "cxx", "C", "c++", "cp"];

impl Language {
    /// C++ if a source's name says so.
    pub fn of(args: &[OsString]) -> Self {
        let suffix = |arg: &OsString| Path::new(arg).extension().map(OsStr::to_owned);
        let cpp = args
            .iter()
            .filter_map(suffix)
            .any(|suffix| CPP_SUFFIXES.iter().any(|known| suffix == *known));
        if cpp { Language::Cpp } else { Language::C }
    }

    /// The command that compiles: what the variable says, else the first of these names that is there.
    fn compiler(self) -> Result<Vec<OsString>, Error> {
        let (variable, names) = match self {
            Language::C => ("CC", ["cc", "gcc", "clang"]),
            Language::Cpp => ("CXX", ["c++", "g++", "clang++"]),
        };
        if let Some(words) = named(&env::var_os(variable).unwrap_or_default()) {
            return Ok(words);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let is_there = |name: &&str| env::split_paths(&path).any(|dir| dir.join(name).is_file());
        let found = names.into_iter().find(|name| is_there(name));
        found
            .map(|name| vec![name.into()])
            .ok_or(Error::NoCompiler {
                variable,
                names: match self {
                    Language::C => "gcc or clang",
                    Language::Cpp => "g++ or clang++",
                },
            })
    }
}

/// The words of a variable that names a compiler. Build tools that are told to call `zvmm cc` put that there themselves; then
/// it says nothing.
fn named(value: &OsStr) -> Option<Vec<OsString>> {
    let words = value.as_bytes().split(u8::is_ascii_whitespace);
    let words = words.filter(|word| !word.is_empty());
    let words: Vec<OsString> = words.map(|word| OsStr::from_bytes(word).into()).collect();
    let name = Path::new(words.first()?).file_name();
    (name != Some(OsStr::new("zvmm"))).then_some(words)
}

/// Runs the compiler with these arguments of the user's, and returns how it ended. Messages are its own.
///
/// # Errors
///
/// There is no compiler, or it does not run.
pub fn run(language: Language, sdk: &Path, args: &[OsString]) -> Result<ExitStatus, Error> {
    let compiler = language.compiler()?;
    let failed = |source| Error::Compiler {
        compiler: compiler.join(OsStr::new(" ")).into(),
        source,
    };
    let headers = header_folders(command(&compiler), language).map_err(failed)?;
    command(&compiler)
        .args(arguments(language, sdk, &headers, args))
        .status()
        .map_err(failed)
}

fn command(words: &[OsString]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new("cc"), OsString::as_os_str));
    command.args(words);
    command
}

/// All arguments of the compiler.
fn arguments(
    language: Language,
    sdk: &Path,
    headers: &[PathBuf],
    args: &[OsString],
) -> Vec<OsString> {
    let lib = sdk.join("c/lib");
    // clang would warn of flags that nothing needs.
    let (links, compiles) = (links(args), !only_links(args));
    let mut all: Vec<OsString> = Vec::new();
    if compiles {
        all.extend(DEFAULTS.map(OsString::from));
    }
    if compiles && language == Language::Cpp {
        all.extend(CPP_DEFAULTS.map(OsString::from));
    }
    if links {
        all.push(lib.join("crt0.o").into());
    }
    all.extend(args.iter().cloned());
    if compiles {
        all.extend(compile_flags(language, sdk, headers));
    }
    if links {
        all.extend(LINK_FLAGS.map(OsString::from));
        let mut script = OsString::from("-Wl,-T,");
        script.push(lib.join("program.ld"));
        // Behind -x, libraries would be taken for sources.
        let none = ["-x".into(), "none".into()];
        all.extend([script].into_iter().chain(none));
        all.extend([lib.join("libzx.a").into(), "-lgcc".into()]);
    }
    all
}

/// What sources are compiled with.
fn compile_flags(language: Language, sdk: &Path, headers: &[PathBuf]) -> Vec<OsString> {
    let include = sdk.join("c/include");
    let mut flags: Vec<OsString> = FLAGS.map(OsString::from).into();
    if language == Language::Cpp {
        flags.extend(CPP_FLAGS.map(OsString::from));
    }
    flags.extend(["-include".into(), include.join("zx/freestanding.h").into()]);
    for folder in [include].iter().chain(headers) {
        flags.extend(["-isystem".into(), folder.into()]);
    }
    flags
}

/// Whether all inputs are objects and archives.
fn only_links(args: &[OsString]) -> bool {
    let before = [OsString::new()];
    let mut inputs = args
        .iter()
        .zip(before.iter().chain(args))
        .filter(|(arg, before)| *before != "-o" && !arg.to_string_lossy().starts_with('-'))
        .map(|(arg, _)| Path::new(arg).extension().unwrap_or_default());
    inputs.all(|suffix| ["o", "obj", "a"].iter().any(|known| suffix == *known))
}

/// Whether a program is linked: there is something to link, and no argument ends the work before.
fn links(args: &[OsString]) -> bool {
    let is_input = |arg: &OsString| !arg.to_string_lossy().starts_with('-');
    args.iter().any(is_input)
        && !args
            .iter()
            .any(|arg| NO_LINK.iter().any(|stop| arg == stop))
}

/// Folders of the compiler's own headers (`stdint.h`, and those of C++), in its order; the host's C library is not
/// among them.
fn header_folders(mut compiler: Command, language: Language) -> io::Result<Vec<PathBuf>> {
    let kind = match language {
        Language::C => "c",
        Language::Cpp => "c++",
    };
    let output = compiler
        .args(["-x", kind, "-E", "-v", "/dev/null"])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    Ok(own_folders(&String::from_utf8_lossy(&output.stderr)))
}

/// The folders of a compiler's `-v` that belong to the compiler.
fn own_folders(text: &str) -> Vec<PathBuf> {
    let list = text
        .lines()
        .skip_while(|line| !line.starts_with("#include <...>"))
        .skip(1)
        .take_while(|line| line.starts_with(' '));
    let own = list.map(str::trim).filter(|folder| {
        folder.contains("/c++") || folder.contains("/gcc/") || folder.contains("/clang/")
    });
    own.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_language_is_that_of_the_sources() {
        assert_eq!(Language::of(&os(&["a.c", "-o", "a"])), Language::C);
        assert_eq!(Language::of(&os(&["-O2", "dir.cpp/a.cc"])), Language::Cpp);
        assert_eq!(Language::of(&os(&["a.o", "b.cpp"])), Language::Cpp);
        assert_eq!(Language::of(&os(&[])), Language::C);
    }

    #[test]
    fn a_variable_may_have_words_but_not_zvmm_itself() {
        let named = |value: &str| named(OsStr::new(value));
        assert_eq!(
            named("ccache gcc -m64"),
            Some(os(&["ccache", "gcc", "-m64"]))
        );
        for nothing in ["", " ", "zvmm cc", "/usr/bin/zvmm"] {
            assert_eq!(named(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn it_links_when_there_is_something_to_link() {
        assert!(links(&os(&["a.c"])));
        assert!(links(&os(&["-O2", "a.o", "-o", "a"])));
        for args in [&["-c", "a.c"][..], &["--version"], &["-E", "a.c"], &[]] {
            assert!(!links(&os(args)), "{args:?}");
        }
    }

    #[test]
    fn objects_alone_are_only_linked() {
        for args in [&["a.o", "-o", "a"][..], &["-O2", "a.o", "b.obj", "c.a"]] {
            assert!(only_links(&os(args)), "{args:?}");
        }
        for args in [&["a.c", "b.o"][..], &["-E", "a.h"], &["-x", "c", "odd"]] {
            assert!(!only_links(&os(args)), "{args:?}");
        }
    }

    #[test]
    fn what_must_be_comes_behind_what_the_user_says() {
        let args = os(&["a.c", "-march=native"]);
        let all = arguments(Language::C, Path::new("/sdk"), &["/own".into()], &args);
        let at = |arg: &str| all.iter().position(|is| is == arg).unwrap();
        assert!(at("-g") < at("-march=native") && at("-march=native") < at("-mno-avx"));
        assert!(at("/sdk/c/include") < at("/own"));
        assert!(at("a.c") < at("/sdk/c/lib/libzx.a"));
        assert!(!all.contains(&"-fno-rtti".into()) && !all.contains(&"-std=gnu++17".into()));
    }

    #[test]
    fn only_the_compilers_own_headers() {
        let text = "ignoring x\n#include \"...\" search starts here:\n#include <...> search starts here:\n \
                    /usr/include/c++/12\n /usr/lib/gcc/x86_64-linux-gnu/12/include\n /usr/local/include\n \
                    /usr/include/x86_64-linux-gnu\n /usr/include\nEnd of search list.\n /usr/lib/gcc/later\n";
        let expected = [
            "/usr/include/c++/12",
            "/usr/lib/gcc/x86_64-linux-gnu/12/include",
        ];
        assert_eq!(own_folders(text), expected.map(PathBuf::from));
    }
}
