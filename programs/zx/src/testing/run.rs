//! One test: its process is started, watched, and killed with all that it has started itself.

use core::fmt;

use protocol::exception::state;
use protocol::{Signals, Status};

use crate::{
    AsHandleRef, Exception, Job, Task, Unowned, WaitItem, object_wait_many, startup, time,
};

use super::image::{Image, Started};
use super::{Crash, Test, child};

/// What became of a test.
#[derive(Debug)]
pub(super) enum Verdict {
    Passed,
    Failed(Reason),
}

/// Why a test failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// It ended with this code.
    Exited(i64),
    /// It was not over after so many milliseconds.
    TimeLimit(i64),
    /// It crashed at an instruction, with nothing or something else announced.
    Crashed {
        crash: Crash,
        at: u64,
        announced: Option<Crash>,
    },
    /// It had announced a crash, and ended with this code.
    NoCrash { announced: Crash, code: i64 },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Exited(code) => write!(f, "it ended with code {code}"),
            Reason::TimeLimit(millis) => write!(f, "it was not over after {millis} ms"),
            Reason::Crashed {
                crash,
                at,
                announced,
            } => {
                write!(f, "it crashed: {crash}, rip {at:#x}")?;
                match announced {
                    Some(announced) => write!(f, "; announced was {announced}"),
                    None => Ok(()),
                }
            }
            Reason::NoCrash { announced, code } => {
                write!(f, "it ended with code {code}; announced was {announced}")
            }
        }
    }
}

/// Runs a test.
///
/// # Errors
/// What kept its process from starting, or from being watched.
pub(super) fn verdict(image: &Image, index: usize, test: &Test) -> Result<Verdict, Status> {
    let program = startup().and_then(|startup| startup.handle("job"));
    let program = Unowned::<Job>::from_raw(program.unwrap_or(0));
    let job = program.create_child_job()?;
    let deadline = time::after_millis(test.limit_millis);
    let started = image.start(&job, test.name, &index.to_le_bytes())?;
    let reason = watch(&started, deadline, test);
    job.kill()?;
    started
        .process
        .wait_handle(Signals::TASK_TERMINATED, time::TIME_INFINITE)?;
    Ok(match reason? {
        None => Verdict::Passed,
        Some(reason) => Verdict::Failed(reason),
    })
}

/// Waits for the end of a test, however it comes. Nothing: it passed.
fn watch(started: &Started, deadline: i64, test: &Test) -> Result<Option<Reason>, Status> {
    let mut items = [
        WaitItem::new(&started.exceptions, Signals::CHANNEL_READABLE),
        WaitItem::new(&started.process, Signals::TASK_TERMINATED),
    ];
    match object_wait_many(&mut items, deadline) {
        Err(Status::TIMED_OUT) => return Ok(Some(Reason::TimeLimit(test.limit_millis))),
        other => other?,
    };
    let announced = child::announced(&started.channel);
    // A crash comes before the end that it brings.
    if let Ok((_, exception)) = Exception::read(&started.exceptions) {
        let thread = exception.get_thread()?;
        // So that nobody else handles or reports it when it is closed here.
        exception.set_exception_state(state::THREAD_EXIT)?;
        let crash = Crash::from_report(&thread.exception_report()?);
        if announced == Some(crash) {
            return Ok(None);
        }
        return Ok(Some(Reason::Crashed {
            crash,
            at: thread.read_state_general_regs()?.rip,
            announced,
        }));
    }
    let code = started.process.info()?.return_code;
    Ok(match announced {
        Some(announced) => Some(Reason::NoCrash { announced, code }),
        None if code == 0 => None,
        None => Some(Reason::Exited(code)),
    })
}
