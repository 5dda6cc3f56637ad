//! `cargo xtask run`: the program `sum` hashes a file of the host through a pager-owned VMO, and the host hashes it too.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{
    guests,
    shell::{self, Workspace, announce},
};

/// Bytes of the sample file: not a whole number of pages, so that the last one ends in the VMO's zeros.
const SAMPLE_SIZE: u64 = (64 << 20) + 13;

/// Builds zvmm, runs `sum` and compares. Failure: the hashes differ.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    guests::set_up()?;
    shell::run(&mut workspace.cargo(&["build", "--release", "--package", "vmm"]))?;
    let sample = sample(workspace)?;
    let guest = hash_in_guest(workspace, &sample)?;
    let host = hash_on_host(&sample)?;
    println!("guest  {guest}\nhost   {host}");
    if guest == host {
        println!("equal: the guest read {SAMPLE_SIZE} bytes as they are on the host");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("DIFFERENT");
        Ok(ExitCode::FAILURE)
    }
}

/// Builds zvmm and has it measure.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    guests::set_up()?;
    let run = [
        "run",
        "--release",
        "--package",
        "vmm",
        "--bin",
        "zvmm",
        "--",
        "bench",
    ];
    shell::run(workspace.cargo(&run).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// The file to hash; made if it is not there. Its contents are the same on every machine.
fn sample(workspace: &Workspace) -> Result<PathBuf> {
    let dir = workspace.root().join("target");
    let path = dir.join("sample-64m.bin");
    if fs::metadata(&path).is_ok_and(|file| file.len() == SAMPLE_SIZE) {
        return Ok(path);
    }
    announce(&format!("write {} ({SAMPLE_SIZE} bytes)", path.display()));
    let unfinished = dir.join("sample-64m.part");
    let failed = || format!("could not write {}", unfinished.display());
    fs::create_dir_all(&dir).with_context(failed)?;
    let mut file = BufWriter::new(File::create(&unfinished).with_context(failed)?);
    write_sample(&mut file, SAMPLE_SIZE).with_context(failed)?;
    drop(file);
    fs::rename(&unfinished, &path).with_context(failed)?;
    Ok(path)
}

/// Writes pseudo-random bytes (Marsaglia's 64-bit xorshift), so that no two pages are alike.
fn write_sample(file: &mut impl Write, size: u64) -> io::Result<()> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut left = size;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let length = left.min(8);
        file.write_all(bytes.get(..length as usize).unwrap_or(&bytes))?;
        left -= length;
    }
    file.flush()
}

/// Runs the program `sum` on the file and takes the hash out of what it prints.
fn hash_in_guest(workspace: &Workspace, sample: &Path) -> Result<String> {
    let vmo = format!("data=file:{},ro", sample.display());
    let zvmm = ["run", "--stats", "--vmo", &vmo, "sum"];
    announce(&format!("zvmm {}", zvmm.join(" ")));
    let mut command = workspace.cargo(&[
        "run",
        "--quiet",
        "--release",
        "--package",
        "vmm",
        "--bin",
        "zvmm",
        "--",
    ]);
    let mut child = command
        .args(zvmm)
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start zvmm")?;
    let output = child.stdout.take().context("zvmm has no standard output")?;
    let mut hash = None;
    for line in BufReader::new(output).lines() {
        let line = line.context("could not read what zvmm prints")?;
        println!("{line}");
        hash = hash.or_else(|| hash_of_line(&line));
    }
    let status = child.wait().context("could not wait for zvmm")?;
    if !status.success() {
        bail!("zvmm ended with {status}; `cargo run --release -- doctor` checks this machine");
    }
    hash.context("the program `sum` printed no SHA-256")
}

/// The SHA-256 at the start of a line as `sha256sum` prints it.
fn hash_of_line(line: &str) -> Option<String> {
    let word = line.split_whitespace().next()?;
    let is_hash = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| word.to_owned())
}

fn hash_on_host(path: &Path) -> Result<String> {
    let failed = || format!("could not read {}", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer).with_context(failed)?;
        match buffer.get(..length) {
            Some(bytes) if length > 0 => hasher.update(bytes),
            _ => break,
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_same_everywhere() {
        let mut bytes = Vec::new();
        write_sample(&mut bytes, 4099).unwrap();
        assert_eq!(bytes.len(), 4099);
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hash,
            "858858521bb84c3ca6cddccaaacff1edb6ec2631dbe4b113d643df05057249d3"
        );
    }

    #[test]
    fn a_hash_is_told_from_other_output() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(
            hash_of_line(&format!("{hash}  data")).as_deref(),
            Some(hash)
        );
        assert_eq!(hash_of_line("pages supplied   16385"), None);
        assert_eq!(hash_of_line(""), None);
    }
}
