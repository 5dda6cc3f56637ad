//! The inner cargo's command line and environment.

use std::collections::BTreeMap;

use super::*;

fn toolchain(core: Core, linker: Linker) -> Toolchain {
    Toolchain {
        cargo: "/usr/bin/cargo".into(),
        rustc: "/usr/bin/rustc".into(),
        core,
        linker,
    }
}

fn environment(command: &Command) -> BTreeMap<String, String> {
    let set = command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    set.map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
    .collect()
}

#[test]
fn variables_about_the_outer_build_are_dropped() {
    let dropped = [
        "CARGO",
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_FEATURE_X",
        "CARGO_MANIFEST_DIR",
        "CARGO_PKG_NAME",
        "CARGO_PROFILE_GUEST_DEBUG",
        "CARGO_TARGET_DIR",
        "LD_LIBRARY_PATH",
        "OUT_DIR",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ];
    for name in dropped {
        assert!(!inherited(OsStr::new(name)), "{name}");
    }
}

#[test]
fn variables_about_the_machine_stay() {
    let shared = [
        "CARGO_HOME",
        "CARGO_HTTP_PROXY",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_OFFLINE",
        "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
        "CARGO_TERM_COLOR",
        "HOME",
        "HTTPS_PROXY",
        "PATH",
        "RUSTUP_HOME",
    ];
    for name in shared {
        assert!(inherited(OsStr::new(name)), "{name}");
    }
}

#[test]
fn nightly_features_are_switched_on_only_to_compile_core() {
    let workspace = Path::new("/src/zvmm");
    let prebuilt = inner_cargo(
        workspace,
        &toolchain(Core::Prebuilt, Linker::RustLld),
        "build",
    );
    assert!(!environment(&prebuilt).contains_key("RUSTC_BOOTSTRAP"));
    assert!(!command_line(&prebuilt).contains("-Z"));

    let source = inner_cargo(workspace, &toolchain(Core::FromSource, Linker::Ld), "build");
    assert_eq!(
        environment(&source)
            .get("RUSTC_BOOTSTRAP")
            .map(String::as_str),
        Some("1")
    );
    assert!(command_line(&source).contains("-Zbuild-std=core,alloc,compiler_builtins"));
}

#[test]
fn the_linker_is_named_only_when_it_is_not_the_targets_own() {
    let flags = |linker| {
        let flags = rustflags(Path::new("/src/zvmm"), &toolchain(Core::Prebuilt, linker));
        flags.to_string_lossy().into_owned()
    };
    assert!(!flags(Linker::RustLld).contains("-Clinker"));
    assert!(flags(Linker::Ld).contains("-Clinker=ld\x1f-Clinker-flavor=ld"));
    assert!(flags(Linker::Ld).contains("--remap-path-prefix=/src/zvmm=/zvmm"));
}

#[test]
fn the_inner_cargo_shares_no_directory_with_the_outer_one() {
    let command = inner_cargo(
        Path::new("/src/zvmm"),
        &toolchain(Core::Prebuilt, Linker::Ld),
        "build",
    );
    let build_dir = environment(&command)
        .get("CARGO_BUILD_BUILD_DIR")
        .cloned()
        .unwrap();
    assert!(build_dir.ends_with("/guest"), "{build_dir}");
    assert!(command_line(&command).contains(&format!("--target-dir {build_dir}")));
}

#[test]
fn binaries_are_found_where_cargo_finds_them() {
    let dir = env::temp_dir().join(format!("guest-builder-{}", std::process::id()));
    fs::create_dir_all(dir.join("src/bin/large")).unwrap();
    for file in [
        "src/main.rs",
        "src/bin/small.rs",
        "src/bin/large/main.rs",
        "src/bin/notes.md",
    ] {
        fs::write(dir.join(file), "").unwrap();
    }
    let found = binaries(&dir, "package");
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(found.unwrap(), ["large", "package", "small"]);
}
