//! Programs that cannot be loaded, and hosts that lack something: one paragraph with the remedy.

use std::{fs, process::Command};

use crate::{Running, Said, needs_kvm, programs, zvmm};

#[test]
fn files_that_are_no_programs() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = programs::elf(programs::exit());
    let spoiled = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let directory = folder.path().to_str().unwrap().to_owned();
    for (program, part, remedy) in [
        (
            put("text", b"#!/bin/sh\n"),
            "it is not an ELF program",
            "build it for x86-64",
        ),
        (put("empty", b""), "it is empty", "build the program again"),
        (put("short", &good[..100]), "", "copy or build it again"),
        (put("aarch64", &spoiled(18, 183)), "", "x86-64"),
        (put("i386", &spoiled(4, 1)), "32-bit", "x86-64"),
        (
            put("pie", &spoiled(16, 3)),
            "position independent",
            "-no-pie",
        ),
        (put("absurd", &spoiled(0x78 - 56 + 0x28 + 5, 0xFF)), "", ""),
        (
            directory,
            "is a directory, not a file",
            "Name a file inside it.",
        ),
    ] {
        let said = zvmm([&program]);
        said.refused(
            121,
            &["zvmm: cannot load the program: ", &program, part, remedy],
        );
    }
    let under_a_file = put("file", b"x") + "/program";
    zvmm([&under_a_file]).refused(120, &["there is no program", "neither a file nor built in"]);
    let vmo = format!("data=file:{under_a_file}");
    zvmm(["--vmo", &vmo, "hello"]).refused(121, &["cannot serve the VMO 'data'", &under_a_file]);
}

#[test]
fn more_vcpus_than_there_can_be() {
    needs_kvm!();
    for cpus in ["9999", "4294967295"] {
        let said = zvmm(["--cpus", cpus, "hello"]);
        said.refused(121, &[&format!("{cpus} vCPUs asked for"), "can have 1 to "]);
    }
    zvmm(["--cpus=-1", "hello"]).refused(120, &["--cpus"]);
}

/// `zvmm run hello` from a shell script in mounts of its own, where `"$0"` is zvmm; `None` if that cannot be done here.
fn without(script: &str) -> Option<Said> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_zvmm")]);
    let said = Running::spawn(&mut command).end();
    if said.err.starts_with("zvmm: ") || said.code == Some(0) {
        return Some(said);
    }
    eprintln!("skipped: {script}: {}", said.err);
    None
}

/// Whether this user may take things away.
fn may_unshare() -> bool {
    let tried = Command::new("unshare").args(["--mount", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("skipped: this user cannot make a mount namespace");
    }
    may
}

#[test]
fn no_kvm_device() {
    if !may_unshare() {
        return;
    }
    if let Some(said) = without(r#"mount -t tmpfs none /dev && exec "$0" run hello"#) {
        said.refused(
            121,
            &[
                "cannot open /dev/kvm",
                "load the kvm_intel or kvm_amd module",
            ],
        );
    }
    if let Some(said) = without(r#"mount --bind /dev/null /dev/kvm && exec "$0" run hello"#) {
        said.refused(121, &["KVM", "zvmm doctor"]);
    }
}

#[test]
fn no_right_to_userfaultfd() {
    needs_kvm!();
    if !may_unshare() {
        return;
    }
    let unprivileged = fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd");
    if unprivileged.is_ok_and(|value| value.trim() == "1") {
        eprintln!("skipped: everybody has the right here");
        return;
    }
    // Root's right comes from this capability; the device would give it as well.
    let script = r#"
        { test ! -e /dev/userfaultfd || mount --bind /dev/null /dev/userfaultfd; } &&
        exec setpriv --bounding-set -sys_ptrace "$0" run hello"#;
    if let Some(said) = without(script) {
        said.refused(
            121,
            &[
                "userfaultfd",
                "CAP_SYS_PTRACE",
                "vm.unprivileged_userfaultfd=1",
            ],
        );
    }
}
