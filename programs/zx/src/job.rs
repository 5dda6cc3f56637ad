//! Jobs and their policies.

use protocol::info::{InfoJob, TOPIC_JOB, TOPIC_JOB_CHILDREN, TOPIC_JOB_PROCESSES};
use protocol::policy::{JOB_POL_ABSOLUTE, JOB_POL_BASIC_V2, JOB_POL_RELATIVE, PolicyBasicV2};
use protocol::{Koid, PolicyAction, PolicyCondition, RawHandle, Status};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, HandleBased, Process, Vmar, sys};

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

    /// `zx_object_get_info(ZX_INFO_JOB)`.
    pub fn info(&self) -> Result<InfoJob, Status> {
        let mut info = InfoJob::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoJob>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), TOPIC_JOB, buffer, size, 0, 0).ok()? };
        Ok(info)
    }

    /// The ids of its child jobs, as many as `koids` has room for.
    pub fn children<'a>(&self, koids: &'a mut [Koid]) -> Result<&'a [Koid], Status> {
        self.koids(TOPIC_JOB_CHILDREN, koids)
    }

    /// The ids of its processes, as many as `koids` has room for.
    pub fn processes<'a>(&self, koids: &'a mut [Koid]) -> Result<&'a [Koid], Status> {
        self.koids(TOPIC_JOB_PROCESSES, koids)
    }

    fn koids<'a>(&self, topic: u32, koids: &'a mut [Koid]) -> Result<&'a [Koid], Status> {
        let (buffer, size) = (koids.as_mut_ptr() as u64, size_of_val(koids) as u64);
        let mut actual = 0u64;
        let (job, out) = (self.raw_handle(), address_of(&mut actual));
        // SAFETY: the ids and the count outlive the call.
        unsafe { sys::object_get_info(job, topic, buffer, size, out, 0).ok()? };
        Ok(koids.get(..actual as usize).unwrap_or(koids))
    }

    /// `zx_process_create`: a process of this job, and its root VMAR.
    pub fn create_child_process(&self, name: &str) -> Result<(Process, Vmar), Status> {
        let mut raw: [RawHandle; 2] = [0; 2];
        let [process, vmar] = &mut raw;
        let (process, vmar) = (address_of(process), address_of(vmar));
        let (job, length) = (self.raw_handle(), name.len() as u64);
        let name = name.as_ptr() as u64;
        // SAFETY: the call reads the name; both out-pointers are valid.
        unsafe { sys::process_create(job, name, length, 0, process, vmar).ok()? };
        let [process, vmar] = raw;
        Ok((Process::from_raw(process), Vmar::from_raw(vmar)))
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
