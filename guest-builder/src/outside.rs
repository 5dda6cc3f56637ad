//! Cargo for a package outside the workspace, whose own configuration names the target and the linker script.

use std::{env, ffi::OsString, process::Command};

use crate::{
    TARGET, Toolchain,
    compile::{CORE_FROM_SOURCE, set_environment},
    toolchain::{Core, Linker},
};

/// The toolchain's cargo with `args`, and with what it needs besides to compile for the target.
pub fn cargo(toolchain: &Toolchain, args: &[OsString]) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    set_environment(&mut command, toolchain);
    // The user's, not that of a cargo that runs this.
    if let Some(dir) = env::var_os("CARGO_TARGET_DIR") {
        command.env("CARGO_TARGET_DIR", dir);
    }
    if toolchain.core == Core::FromSource {
        command.args(CORE_FROM_SOURCE);
    }
    if toolchain.linker == Linker::Ld {
        let flags = r#"["-Clinker=ld", "-Clinker-flavor=ld"]"#;
        command.arg("--config");
        command.arg(format!("target.{TARGET}.rustflags={flags}"));
    }
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::command_line;

    fn line(core: Core, linker: Linker) -> String {
        let toolchain = Toolchain {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            core,
            linker,
        };
        command_line(&cargo(&toolchain, &["build".into(), "--release".into()]))
    }

    #[test]
    fn a_toolchain_with_the_target_needs_nothing_else() {
        let line = line(Core::Prebuilt, Linker::RustLld);
        assert_eq!(line, "/usr/bin/cargo build --release");
    }

    #[test]
    fn core_from_source_and_the_systems_linker_come_before_the_subcommand() {
        let line = line(Core::FromSource, Linker::Ld);
        assert_eq!(
            line,
            "/usr/bin/cargo -Zbuild-std=core,alloc,compiler_builtins \
             -Zbuild-std-features=compiler-builtins-mem --config \
             target.x86_64-unknown-none.rustflags=[\"-Clinker=ld\", \"-Clinker-flavor=ld\"] build --release"
        );
    }
}
