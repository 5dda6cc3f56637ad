//! Jobs and their policies.

use protocol::policy::{JOB_POL_ABSOLUTE, JOB_POL_BASIC_V2, JOB_POL_RELATIVE, PolicyBasicV2};
use protocol::{PolicyAction, PolicyCondition, Status};

use crate::handle::{created, object};
use crate::{AsHandleRef, sys};

object! {
    /// A job.
    Job
}

/// What becomes of entries that a job's policy does not let be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum JobPolicyOption {
    /// They are passed over.
    Relative = JOB_POL_RELATIVE,
    /// They fail the call.
    Absolute = JOB_POL_ABSOLUTE,
}

/// An entry of a job's policy.
pub fn policy_entry(condition: PolicyCondition, action: PolicyAction, flags: u32) -> PolicyBasicV2 {
    PolicyBasicV2 {
        condition: condition as u32,
        action: action as u32,
        flags,
    }
}

impl Job {
    /// `zx_job_create`: a job below this one.
    pub fn create_child_job(&self) -> Result<Job, Status> {
        let parent = self.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::job_create(parent, 0, out) }).map(Job)
    }

    /// `zx_job_set_policy(ZX_JOB_POL_BASIC_V2)`.
    pub fn set_policy(
        &self,
        option: JobPolicyOption,
        entries: &[PolicyBasicV2],
    ) -> Result<(), Status> {
        let (policy, count) = (entries.as_ptr() as u64, entries.len() as u32);
        let (job, options) = (self.raw_handle(), option as u32);
        // SAFETY: the call only reads the entries.
        unsafe { sys::job_set_policy(job, options, JOB_POL_BASIC_V2, policy, count).ok() }
    }
}
