//! Job policies: what they say, who sets them, and what becomes of a call that meets one.
//!
//! A job takes its policy over from its parent, and may change it until it has children. A call that makes an object asks
//! [`Kernel::enforce`] at its place in the order of checks; a call that ends with BAD_HANDLE or WRONG_TYPE is asked about at
//! its end, wherever it found out. An exception waits for the end of the call that raised it, as the call's result has to be
//! there for whoever handles the exception ([`Kernel::raise_policy`]).

use protocol::policy::{
    JOB_POL_ABSOLUTE, JOB_POL_BASIC_V1, JOB_POL_BASIC_V2, JOB_POL_RELATIVE, OVERRIDE_ALLOW,
    OVERRIDE_DENY, POLICY_MAX, PolicyBasicV1, PolicyBasicV2,
};
use protocol::{PolicyAction, PolicyCode, PolicyCondition, RawHandle, Rights, Status};

use crate::ids::{JobId, ProcessId, ThreadId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{OK, StepResult};
use crate::user::AfterCopyIn;

/// Return code of a process that a policy killed (`ZX_TASK_RETCODE_POLICY_KILL`).
pub const POLICY_KILL: i64 = -1026;

/// What the processes of a job may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobPolicy {
    /// By condition.
    entries: [Entry; POLICY_MAX as usize],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    action: PolicyAction,
    /// Neither this job nor one below may change it.
    fixed: bool,
}

impl Default for JobPolicy {
    /// Everything is allowed, and everything may be changed.
    fn default() -> Self {
        let entry = Entry {
            action: PolicyAction::Allow,
            fixed: false,
        };
        JobPolicy {
            entries: [entry; POLICY_MAX as usize],
        }
    }
}

impl JobPolicy {
    /// What is done about a condition.
    pub fn action(&self, condition: PolicyCondition) -> PolicyAction {
        let entry = self.entries.get(condition as usize);
        entry.map_or(PolicyAction::Deny, |entry| entry.action)
    }

    /// Fixes the action for a condition, for NEW_ANY those for all conditions it stands for, whatever it was.
    pub fn fix(&mut self, condition: PolicyCondition, action: PolicyAction) {
        for condition in stands_for(condition) {
            if let Some(entry) = self.entries.get_mut(condition as usize) {
                *entry = Entry {
                    action,
                    fixed: true,
                };
            }
        }
    }

    /// The policy with more entries, in their order. The last one for a condition that may be changed decides. NEW_ANY
    /// sets what it stands for, and fixes it only after all other entries, so that they can make exceptions.
    fn with(mut self, absolute: bool, entries: &[PolicyBasicV2]) -> Result<JobPolicy, Status> {
        let mut fix_new = false;
        for entry in entries {
            let action = PolicyAction::from_raw(entry.action).ok_or(Status::NOT_SUPPORTED)?;
            if !matches!(entry.flags, OVERRIDE_ALLOW | OVERRIDE_DENY) {
                return Err(Status::INVALID_ARGS);
            }
            let condition = PolicyCondition::from_raw(entry.condition);
            let condition = condition.ok_or(Status::NOT_SUPPORTED)?;
            let mut fixed = entry.flags == OVERRIDE_DENY;
            if condition == PolicyCondition::NewAny {
                fix_new = fixed;
                fixed = false;
            }
            for condition in stands_for(condition) {
                self.set(absolute, condition, Entry { action, fixed })?;
            }
        }
        if fix_new {
            for condition in stands_for(PolicyCondition::NewAny) {
                if let Some(entry) = self.entries.get_mut(condition as usize) {
                    entry.fixed = true;
                }
            }
        }
        Ok(self)
    }

    /// A fixed entry stays as it is: to ask for the very same is fine, for something else ALREADY_EXISTS if `absolute`.
    fn set(
        &mut self,
        absolute: bool,
        condition: PolicyCondition,
        new: Entry,
    ) -> Result<(), Status> {
        let entry = self.entries.get_mut(condition as usize);
        let entry = entry.ok_or(Status::NOT_SUPPORTED)?;
        if !entry.fixed {
            *entry = new;
        } else if absolute && *entry != new {
            return Err(Status::ALREADY_EXISTS);
        }
        Ok(())
    }
}

/// The conditions that an entry for `condition` is about.
fn stands_for(condition: PolicyCondition) -> impl Iterator<Item = PolicyCondition> {
    let all = PolicyCondition::ALL.iter().copied();
    all.filter(move |&other| match condition {
        PolicyCondition::NewAny => other.is_new_object(),
        condition => other == condition,
    })
}

/// Entries as they stand in the program's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyEntries {
    job: RawHandle,
    absolute: bool,
    /// Entries have flags (BASIC_V2).
    flags: bool,
    count: u32,
}

impl PolicyEntries {
    fn size(self) -> usize {
        match self.flags {
            true => size_of::<PolicyBasicV2>(),
            false => size_of::<PolicyBasicV1>(),
        }
    }

    /// Entries of the older kind are fixed.
    fn parse(self, bytes: &[u8]) -> Vec<PolicyBasicV2> {
        let parse = |entry: &[u8]| {
            let mut words = entry
                .as_chunks()
                .0
                .iter()
                .map(|word| u32::from_le_bytes(*word));
            let mut next = || words.next().unwrap_or(OVERRIDE_DENY);
            PolicyBasicV2 {
                condition: next(),
                action: next(),
                flags: next(),
            }
        };
        bytes.chunks_exact(self.size()).map(parse).collect()
    }
}

impl Kernel {
    /// Topic, options, the pointer and the count, the entries, the job, its state, what the entries say: in this order.
    pub(crate) fn sys_job_set_policy(
        &mut self,
        caller: Caller,
        job: RawHandle,
        options: u32,
        topic: u32,
        policy: u64,
        count: u32,
    ) -> Begin {
        let flags = match topic {
            JOB_POL_BASIC_V1 => false,
            JOB_POL_BASIC_V2 => true,
            _ => return Err(Status::INVALID_ARGS),
        };
        let absolute = match options {
            JOB_POL_RELATIVE => false,
            JOB_POL_ABSOLUTE => true,
            _ => return Err(Status::INVALID_ARGS),
        };
        if policy == 0 || count == 0 {
            return Err(Status::INVALID_ARGS);
        }
        let entries = PolicyEntries {
            job,
            absolute,
            flags,
            count,
        };
        // More of them are refused without a look.
        let length = u64::from(count.min(POLICY_MAX)) * entries.size() as u64;
        let then = AfterCopyIn::JobSetPolicy(entries);
        let body = self.copy_in(caller.process, caller.thread, policy, length, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_job_set_policy`.
    pub(crate) fn set_policy(
        &mut self,
        process: ProcessId,
        entries: PolicyEntries,
        bytes: &[u8],
    ) -> StepResult {
        let (id, _) = self.typed::<JobId>(process, entries.job, Rights::SET_POLICY)?;
        let job = self.jobs.get_mut(&id).ok_or(Status::INTERNAL)?;
        if job.has_children() {
            return Err(Status::BAD_STATE);
        }
        if entries.count > POLICY_MAX {
            return Err(Status::OUT_OF_RANGE);
        }
        job.policy = job.policy.with(entries.absolute, &entries.parse(bytes))?;
        OK
    }

    /// What the policy of the caller's job says about something the caller is about to do.
    pub(crate) fn enforce(
        &mut self,
        caller: Caller,
        condition: PolicyCondition,
    ) -> Result<(), Status> {
        match self.policy_action(caller.process, condition) {
            PolicyAction::Allow => Ok(()),
            PolicyAction::Deny => Err(Status::ACCESS_DENIED),
            PolicyAction::AllowException => {
                self.raise_policy(caller.thread, PolicyCode::Condition(condition));
                Ok(())
            }
            PolicyAction::DenyException => {
                self.raise_policy(caller.thread, PolicyCode::Condition(condition));
                Err(Status::ACCESS_DENIED)
            }
            PolicyAction::Kill => {
                self.end_process(caller.process, POLICY_KILL);
                Err(Status::ACCESS_DENIED)
            }
        }
    }

    fn policy_action(&self, process: ProcessId, condition: PolicyCondition) -> PolicyAction {
        let job = self.processes.get(&process).map(|process| process.job);
        let job = job.and_then(|job| self.jobs.get(&job));
        job.map_or(PolicyAction::Allow, |job| job.policy.action(condition))
    }

    /// A call of `thread` ended with `status`: what the policy says about a handle that was wrong. It fails in any case.
    pub(crate) fn enforce_at_end(&mut self, thread: ThreadId, status: Status) {
        let condition = match status {
            Status::BAD_HANDLE => PolicyCondition::BadHandle,
            Status::WRONG_TYPE => PolicyCondition::WrongObject,
            _ => return,
        };
        if let Some(process) = self.process_of_live(thread) {
            let _ = self.enforce(Caller { process, thread }, condition);
        }
    }

    /// The thread gets `ZX_EXCP_POLICY_ERROR` at the end of the system call it is in; the first one counts.
    pub(crate) fn raise_policy(&mut self, thread: ThreadId, code: PolicyCode) {
        if let Some(thread) = self.threads.get_mut(&thread) {
            thread.policy_exception.get_or_insert(code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(condition: PolicyCondition, action: PolicyAction, flags: u32) -> PolicyBasicV2 {
        PolicyBasicV2 {
            condition: condition as u32,
            action: action as u32,
            flags,
        }
    }

    use PolicyAction::{Allow, Deny, Kill};
    use PolicyCondition::{BadHandle, NewAny, NewPort, NewVmo};

    #[test]
    fn new_any_is_fixed_after_all_other_entries() {
        let entries = [
            entry(NewAny, Deny, OVERRIDE_DENY),
            entry(NewVmo, Allow, OVERRIDE_DENY),
        ];
        let policy = JobPolicy::default().with(true, &entries).unwrap();
        assert_eq!(policy.action(NewVmo), Allow);
        assert_eq!(policy.action(NewPort), Deny);
        assert_eq!(policy.action(BadHandle), Allow);
        let again = [entry(NewPort, Allow, OVERRIDE_DENY)];
        assert_eq!(policy.with(true, &again), Err(Status::ALREADY_EXISTS));
        assert_eq!(policy.with(false, &again), Ok(policy));
    }

    #[test]
    fn new_any_that_may_be_overridden_can_be() {
        let entries = [entry(NewAny, Deny, OVERRIDE_ALLOW)];
        let policy = JobPolicy::default().with(true, &entries).unwrap();
        let more = [entry(NewPort, Kill, OVERRIDE_ALLOW)];
        let policy = policy.with(true, &more).unwrap();
        assert_eq!(policy.action(NewPort), Kill);
        assert_eq!(policy.action(NewVmo), Deny);
    }

    #[test]
    fn a_fixed_entry_may_be_asked_for_again() {
        let entries = [entry(NewVmo, Deny, OVERRIDE_DENY)];
        let policy = JobPolicy::default().with(true, &entries).unwrap();
        assert_eq!(policy.with(true, &entries), Ok(policy));
        for other in [
            entry(NewVmo, Deny, OVERRIDE_ALLOW),
            entry(NewVmo, Kill, OVERRIDE_DENY),
            entry(NewAny, Deny, OVERRIDE_DENY),
        ] {
            assert_eq!(policy.with(true, &[other]), Err(Status::ALREADY_EXISTS));
        }
    }

    #[test]
    fn fixing_from_outside_covers_all_that_new_any_stands_for() {
        let mut policy = JobPolicy::default();
        policy.fix(NewAny, Deny);
        policy.fix(NewVmo, Allow);
        assert_eq!(policy.action(NewPort), Deny);
        assert_eq!(policy.action(NewVmo), Allow);
    }
}
