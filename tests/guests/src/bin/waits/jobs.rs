//! Jobs, below the job that the program was given, and their policies.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use protocol::policy::{JOB_POL_BASIC_V1, JOB_POL_BASIC_V2, JOB_POL_TIMER_SLACK};
use test_guests::raw::{self, out};
use test_guests::{NOW, Outcome, cases, equal, status};
use zx::{
    AsHandleRef, HandleBased, Job, JobPolicyOption, OVERRIDE_ALLOW, OVERRIDE_DENY, PolicyAction,
    PolicyBasicV2, PolicyCondition, Rights, Signals, Status, Task, Unowned, Vmo, policy_entry,
};

static JOB: AtomicU32 = AtomicU32::new(0);

/// The job that the program belongs to.
pub fn remember(job: Option<zx::RawHandle>) {
    JOB.store(job.unwrap_or(0), Relaxed);
}

fn own() -> Unowned<Job> {
    Unowned::from_raw(JOB.load(Relaxed))
}

const EMPTY: Signals = Signals::JOB_NO_JOBS
    .union(Signals::JOB_NO_PROCESSES)
    .union(Signals::JOB_NO_CHILDREN);

/// The job's signals now.
fn signals(job: &Job) -> Result<Signals, Status> {
    let mut observed = 0u32;
    let at = out(&mut observed);
    match raw::object_wait_one(job.raw_handle(), 0, NOW, at) {
        Status::TIMED_OUT => Ok(Signals::from_bits_retain(observed)),
        status => Err(status),
    }
}

fn create() -> Outcome {
    let job = own().create_child_job()?;
    equal!(job.basic_info()?.rights, Rights::DEFAULT_JOB.bits());
    equal!(signals(&job)?, EMPTY);
    equal!(signals(&own())?, Signals::empty());
    let child = job.create_child_job()?;
    equal!(signals(&job)?, Signals::JOB_NO_PROCESSES);
    drop(child);
    equal!(signals(&job)?, EMPTY);
    drop(job);
    equal!(signals(&own())?, Signals::JOB_NO_JOBS);
    Ok(())
}

fn create_is_limited_in_depth() -> Outcome {
    let mut job = own().create_child_job()?;
    for _ in 1..32 {
        job = job.create_child_job()?;
    }
    equal!(job.create_child_job(), Err(Status::OUT_OF_RANGE));
    drop(job);
    equal!(signals(&own())?, Signals::JOB_NO_JOBS);
    Ok(())
}

fn create_errors() -> Outcome {
    let mut handle = 0u32;
    let at = out(&mut handle);
    let job = own().create_child_job()?;
    let raw = job.raw_handle();
    status!(INVALID_ARGS, raw::job_create(0, 1, at));
    status!(BAD_HANDLE, raw::job_create(0, 0, at));
    let vmo = Vmo::create(0)?;
    status!(WRONG_TYPE, raw::job_create(vmo.raw_handle(), 0, at));
    for address in raw::bad_addresses() {
        status!(INVALID_ARGS, raw::job_create(raw, 0, address));
    }
    equal!(signals(&job)?, EMPTY);
    let weak = job.duplicate_handle(Rights::BASIC)?;
    equal!(weak.create_child_job(), Err(Status::ACCESS_DENIED));
    Ok(())
}

fn info() -> Outcome {
    let job = own().create_child_job()?;
    let child = job.create_child_job()?;
    equal!(job.basic_info()?.related_koid, own().basic_info()?.koid);
    let mut koids = [0; 4];
    equal!(job.children(&mut koids)?, [child.basic_info()?.koid]);
    let process = zx::process_self().basic_info()?;
    equal!(own().processes(&mut koids)?, [process.koid]);
    equal!(process.related_koid, own().basic_info()?.koid);
    equal!(job.info()?.exited, 0);
    job.kill()?;
    equal!(job.info()?.exited, 1);
    equal!(job.info()?.return_code, -1024);
    Ok(())
}

fn kill() -> Outcome {
    let job = own().create_child_job()?;
    let child = job.create_child_job()?;
    job.kill()?;
    for killed in [&job, &child] {
        equal!(signals(killed)?, EMPTY | Signals::JOB_TERMINATED);
        equal!(killed.create_child_job(), Err(Status::BAD_STATE));
    }
    let tame = job.duplicate_handle(Rights::BASIC)?;
    equal!(tame.kill(), Err(Status::ACCESS_DENIED));
    status!(BAD_HANDLE, raw::task_kill(0));
    Ok(())
}

fn set_policy_errors() -> Outcome {
    let job = own().create_child_job()?;
    let (j, own) = (job.raw_handle(), own().raw_handle());
    let lawless = job.duplicate_handle(Rights::BASIC)?;
    let vmo = Vmo::create(0)?;
    let mut entries = [PolicyBasicV2::default(); 18];
    let (at, v2) = (out(&mut entries), JOB_POL_BASIC_V2);
    status!(
        INVALID_ARGS,
        raw::job_set_policy(0, 0, JOB_POL_TIMER_SLACK, at, 1)
    );
    status!(INVALID_ARGS, raw::job_set_policy(0, 2, v2, at, 1));
    status!(INVALID_ARGS, raw::job_set_policy(0, 0, v2, 0, 1));
    status!(INVALID_ARGS, raw::job_set_policy(0, 0, v2, at, 0));
    status!(INVALID_ARGS, raw::job_set_policy(0, 0, v2, 0x1000, 1));
    status!(BAD_HANDLE, raw::job_set_policy(0, 0, v2, at, 1));
    status!(
        WRONG_TYPE,
        raw::job_set_policy(vmo.raw_handle(), 0, v2, at, 1)
    );
    status!(
        ACCESS_DENIED,
        raw::job_set_policy(lawless.raw_handle(), 0, v2, at, 18)
    );
    status!(BAD_STATE, raw::job_set_policy(own, 0, v2, at, 18));
    status!(OUT_OF_RANGE, raw::job_set_policy(j, 0, v2, at, 18));
    status!(OK, raw::job_set_policy(j, 1, JOB_POL_BASIC_V1, at, 17));
    for (condition, action, flags, status) in [
        (0, 5, OVERRIDE_DENY, Status::NOT_SUPPORTED),
        (17, 0, OVERRIDE_DENY, Status::NOT_SUPPORTED),
        (17, 0, 2, Status::INVALID_ARGS),
    ] {
        let entry = PolicyBasicV2 {
            condition,
            action,
            flags,
        };
        let set = job.set_policy(JobPolicyOption::Absolute, &[entry]);
        equal!(set, Err(status));
    }
    Ok(())
}

fn set_policy_is_inherited() -> Outcome {
    use JobPolicyOption::{Absolute, Relative};
    use PolicyAction::{Allow, Deny};
    use PolicyCondition::{NewAny, NewPort, NewVmo};
    let job = own().create_child_job()?;
    let entries = [
        policy_entry(NewAny, Deny, OVERRIDE_ALLOW),
        policy_entry(NewVmo, Deny, OVERRIDE_DENY),
    ];
    job.set_policy(Absolute, &entries)?;
    let child = job.create_child_job()?;
    equal!(job.set_policy(Absolute, &entries), Err(Status::BAD_STATE));
    let allow = [policy_entry(NewVmo, Allow, OVERRIDE_DENY)];
    equal!(
        child.set_policy(Absolute, &allow),
        Err(Status::ALREADY_EXISTS)
    );
    equal!(child.set_policy(Relative, &allow), Ok(()));
    let port = [policy_entry(NewPort, Allow, OVERRIDE_DENY)];
    equal!(child.set_policy(Absolute, &port), Ok(()));
    Ok(())
}

cases! { "jobs":
    create create_is_limited_in_depth create_errors info kill set_policy_errors set_policy_is_inherited
}
