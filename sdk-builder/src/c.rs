//! The C part of the SDK: headers and the linker script as they are, library and start file compiled by the host's C compiler.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::tree::Tree;

/// Adds `c/include`, `c/lib` and `c/cmake` from `source`, the folder `programs/c`.
pub(crate) fn add(tree: &mut Tree, source: &Path, out_dir: &Path) -> Result<()> {
    tree.add_dir("c/include", &source.join("include"))?;
    tree.add_dir("c/cmake", &source.join("cmake"))?;
    tree.add_file("c/lib/program.ld", &source.join("program.ld"))?;

    let out = out_dir.join("libzx");
    fs::create_dir_all(&out).with_context(|| format!("could not make {}", out.display()))?;
    let (start, library) = sources(&source.join("src"))?;
    let objects = compiler(source, &out)
        .file(start)
        .try_compile_intermediates()
        .context(NO_COMPILER)?;
    for object in objects {
        tree.add_file("c/lib/crt0.o", &object)?;
    }
    compiler(source, &out)
        .files(library)
        .try_compile("zx")
        .context(NO_COMPILER)?;
    tree.add_file("c/lib/libzx.a", &out.join("libzx.a"))
}

const NO_COMPILER: &str = "the C library of the SDK needs a C compiler and ar (Debian: apt-get install gcc binutils; CC names \
                           another one)";

/// The start file, and the sources of the library in the order of their names.
fn sources(folder: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let failed = || format!("could not list {}", folder.display());
    let mut library = Vec::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension().is_some_and(|is| is == "c" || is == "S") {
            library.push(path);
        }
    }
    library.sort();
    let start = folder.join("crt0.S");
    library.retain(|path| *path != start);
    Ok((start, library))
}

/// The host's C compiler, set up for code that runs in a guest.
fn compiler(source: &Path, out: &Path) -> cc::Build {
    // Freestanding code is the same for every target of the host; with this one no cross compiler is looked for.
    let host = std::env::var("HOST").unwrap_or_default();
    let mut build = cc::Build::new();
    build
        .cargo_metadata(false)
        .target(&host)
        .host(&host)
        .out_dir(out)
        .include(source.join("include"))
        .std("c11")
        .opt_level(2)
        .debug(false)
        .pic(false)
        .warnings_into_errors(true)
        .extra_warnings(true);
    for flag in FLAGS {
        build.flag(flag);
    }
    build
}

/// No AVX, as in all programs; no calls of the host's C library, its stack protector included.
const FLAGS: [&str; 7] = [
    "-ffreestanding",
    "-fno-builtin",
    "-fno-stack-protector",
    "-fno-pie",
    "-fcf-protection=none",
    "-mno-avx",
    "-ffunction-sections",
];
