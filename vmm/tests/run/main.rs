//! `zvmm run` itself, with a VM: exit codes, messages, signals, figures. Needs /dev/kvm.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod bench;
mod ends;
mod heatmap;
mod hosts;
mod programs;
mod rust;
mod stats;
mod trace;

use std::{
    ffi::OsStr,
    io::Read,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the test here if guests are not to be booted.
macro_rules! needs_kvm {
    () => {
        if std::env::var_os("ZVMM_SKIP_KVM").is_some_and(|value| value == "1") {
            eprintln!("skipped: ZVMM_SKIP_KVM is set");
            return;
        }
    };
}
pub(crate) use needs_kvm;

/// What a run left.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Said {
    /// It is one paragraph of zvmm's, with these parts, and this exit code.
    #[track_caller]
    fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        let one = self.err.starts_with("zvmm: ") && self.err.matches('\n').count() == 1;
        assert!(one, "not one paragraph: {}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in {}", self.err);
        }
    }
}

/// A `zvmm run` under way. It is killed when dropped.
struct Running {
    child: Child,
    out: Option<ChildStdout>,
}

impl Running {
    /// Starts `zvmm run ARGS`.
    fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zvmm"));
        Running::spawn(command.arg("run").args(args))
    }

    fn spawn(command: &mut Command) -> Running {
        let mut child = command
            .env_remove("ZVMM_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take();
        Running { child, out }
    }

    /// Waits until it has written this much.
    fn wait_for(&mut self, bytes: usize) -> Vec<u8> {
        let mut out = self.out.take().unwrap();
        let (out, read) = within(move || {
            let mut read = vec![0; bytes];
            out.read_exact(&mut read).unwrap();
            (out, read)
        });
        self.out = Some(out);
        read
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Reads all it writes until it ends.
    fn end(mut self) -> Said {
        let out = self.out.take().unwrap();
        self.finish(Some(out))
    }

    /// Waits for its end while nobody reads what it writes.
    fn end_unread(mut self) -> Said {
        let _held = self.out.take();
        self.finish(None)
    }

    fn finish(&mut self, out: Option<ChildStdout>) -> Said {
        let mut err = self.child.stderr.take().unwrap();
        let (out, err) = within(move || {
            let (mut written, mut said) = (Vec::new(), String::new());
            if let Some(mut out) = out {
                out.read_to_end(&mut written).unwrap();
            }
            err.read_to_string(&mut said).unwrap();
            (written, said)
        });
        // Both ends are closed, or standard error is: it has ended or is about to.
        let code = self.child.wait().unwrap().code();
        Said { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does what must not take long.
#[track_caller]
fn within<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(job()));
    ended
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|error| panic!("zvmm hangs, or its output ended early: {error}"))
}

/// Runs `zvmm run ARGS` to its end.
fn zvmm<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Said {
    Running::start(args).end()
}
