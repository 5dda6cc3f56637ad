//! `zx_job_set_policy`, and calls that meet a policy.

use protocol::policy::{
    JOB_POL_ABSOLUTE, JOB_POL_BASIC_V1, JOB_POL_BASIC_V2, JOB_POL_RELATIVE, JOB_POL_TIMER_SLACK,
    OVERRIDE_ALLOW, OVERRIDE_DENY,
};
use protocol::syscall::SyscallNumber as N;
use protocol::{PolicyCode, PortPacket};
use zircon::{EXCEPTION_KILL, ExceptionKind, POLICY_KILL};

use super::*;
use crate::common::{NOWHERE, Outcome};

const NEW_VMO: u32 = PolicyCondition::NewVmo as u32;
const NEW_PORT: u32 = PolicyCondition::NewPort as u32;
const NEW_ANY: u32 = PolicyCondition::NewAny as u32;
const ALLOW: u32 = PolicyAction::Allow as u32;
const DENY: u32 = PolicyAction::Deny as u32;
const KILL: u32 = PolicyAction::Kill as u32;

#[test]
fn job_set_policy_rows() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.main.job_handle, m.vmo(1));
    let job = m.job_create(root).unwrap();
    let lawless = m.without(job, Rights::SET_POLICY);
    let at = m.alloc(12 * 20);
    let (v1, v2) = (u64::from(JOB_POL_BASIC_V1), u64::from(JOB_POL_BASIC_V2));
    let slack = u64::from(JOB_POL_TIMER_SLACK);
    for (job, options, topic, policy, count, status) in [
        (BAD, 0, slack, at, 1, Status::INVALID_ARGS),
        (BAD, 0, 77, at, 1, Status::INVALID_ARGS),
        (BAD, 2, v2, at, 1, Status::INVALID_ARGS),
        (BAD, 0, v2, 0, 1, Status::INVALID_ARGS),
        (BAD, 0, v2, at, 0, Status::INVALID_ARGS),
        (BAD, 0, v2, NOWHERE, 1, Status::INVALID_ARGS),
        (BAD, 0, v2, at, 1, Status::BAD_HANDLE),
        (vmo, 0, v2, at, 1, Status::WRONG_TYPE),
        (lawless, 0, v2, at, 18, Status::ACCESS_DENIED),
        (root, 0, v2, at, 18, Status::BAD_STATE),
        (job, 0, v2, at, 18, Status::OUT_OF_RANGE),
        (job, 1, v1, at, u64::from(u32::MAX), Status::OUT_OF_RANGE),
        (job, 0, v2, at, 17, Status::OK),
        (job, 1, v1, at, 17, Status::OK),
    ] {
        let args = [job.into(), options, topic, policy, count];
        assert_eq!(m.call(N::JobSetPolicy, &args), status, "{args:x?}");
    }
}

#[test]
fn job_set_policy_entries() {
    let mut m = TestMachine::new();
    let job = m.job_create(m.main.job_handle).unwrap();
    for (entry, status) in [
        ((17, 5, 2), Status::NOT_SUPPORTED),
        ((17, ALLOW, 2), Status::INVALID_ARGS),
        ((17, ALLOW, OVERRIDE_DENY), Status::NOT_SUPPORTED),
        ((NEW_VMO, 5, OVERRIDE_DENY), Status::NOT_SUPPORTED),
        ((NEW_ANY, DENY, 2), Status::INVALID_ARGS),
    ] {
        for options in [JOB_POL_RELATIVE, JOB_POL_ABSOLUTE] {
            let entries = [(NEW_VMO, KILL, OVERRIDE_DENY), entry];
            assert_eq!(
                m.job_set_policy(job, options, &entries),
                Err(status),
                "{entry:?}"
            );
        }
    }
    let other = [(NEW_VMO, DENY, OVERRIDE_DENY)];
    m.job_set_policy(job, JOB_POL_ABSOLUTE, &other)
        .expect("a call that fails changes nothing");
}

#[test]
fn job_set_policy_fixed_entries_already_exist() {
    let mut m = TestMachine::new();
    let job = m.job_create(m.main.job_handle).unwrap();
    let deny = [(NEW_VMO, DENY, OVERRIDE_DENY)];
    let open = [(NEW_PORT, DENY, OVERRIDE_ALLOW)];
    m.job_set_policy(job, JOB_POL_ABSOLUTE, &deny).unwrap();
    m.job_set_policy(job, JOB_POL_ABSOLUTE, &open).unwrap();
    m.job_set_policy(job, JOB_POL_ABSOLUTE, &deny)
        .expect("the very same");
    let child = m.job_create(job).unwrap();
    assert_eq!(
        m.job_set_policy(job, JOB_POL_RELATIVE, &open),
        Err(Status::BAD_STATE),
        "it has a child"
    );
    let other = [(NEW_VMO, ALLOW, OVERRIDE_DENY)];
    assert_eq!(
        m.job_set_policy(child, JOB_POL_ABSOLUTE, &other),
        Err(Status::ALREADY_EXISTS),
        "children inherit"
    );
    assert_eq!(m.job_set_policy(child, JOB_POL_RELATIVE, &other), Ok(()));
    let changed = [(NEW_PORT, ALLOW, OVERRIDE_DENY)];
    assert_eq!(m.job_set_policy(child, JOB_POL_ABSOLUTE, &changed), Ok(()));
}

/// Entries of the first version are fixed.
#[test]
fn job_set_policy_basic_v1_entries_are_fixed() {
    let mut m = TestMachine::new();
    let job = m.job_create(m.main.job_handle).unwrap();
    let at = m.alloc(16);
    let words = [NEW_VMO, DENY, NEW_PORT, KILL];
    m.poke(at, &words.map(u32::to_le_bytes).concat());
    let topic = u64::from(JOB_POL_BASIC_V1);
    let args = [job.into(), 1, topic, at, 2];
    assert_eq!(m.call(N::JobSetPolicy, &args), Status::OK);
    for (condition, action) in [(NEW_VMO, ALLOW), (NEW_PORT, DENY)] {
        let other = [(condition, action, OVERRIDE_DENY)];
        assert_eq!(
            m.job_set_policy(job, JOB_POL_ABSOLUTE, &other),
            Err(Status::ALREADY_EXISTS)
        );
    }
}

/// The calls that make something, what they make, and arguments that are wrong otherwise.
const MAKERS: [(N, PolicyCondition, &[u64]); 6] = [
    (N::VmoCreate, PolicyCondition::NewVmo, &[u64::MAX, 77, 0]),
    (
        N::PagerCreateVmo,
        PolicyCondition::NewVmo,
        &[0, 77, 0, 0, u64::MAX, 0],
    ),
    (N::PortCreate, PolicyCondition::NewPort, &[77, 0]),
    (N::PagerCreate, PolicyCondition::NewPager, &[0, 0]),
    (N::EventCreate, PolicyCondition::NewEvent, &[0, 0]),
    (N::ChannelCreate, PolicyCondition::NewChannel, &[0, 0, 0]),
];

#[test]
fn policy_deny_access_denied() {
    for (number, condition, args) in MAKERS {
        for deny in [condition, PolicyCondition::NewAny] {
            let mut m = TestMachine::with_policy(policy(deny, PolicyAction::Deny));
            assert_eq!(
                m.call(number, args),
                Status::ACCESS_DENIED,
                "{}",
                number.name()
            );
        }
        let mut m = TestMachine::with_policy(policy(condition, PolicyAction::Allow));
        assert_ne!(m.call(number, args), Status::ACCESS_DENIED);
    }
}

/// Pagers, events and channels look at their options first, ports and VMOs at the policy.
#[test]
fn policy_comes_after_the_options_of_some_calls() {
    for number in [N::PagerCreate, N::EventCreate, N::ChannelCreate] {
        let deny = policy(PolicyCondition::NewAny, PolicyAction::Kill);
        let mut m = TestMachine::with_policy(deny);
        assert_eq!(m.call(number, &[1, 0, 0]), Status::INVALID_ARGS);
    }
}

#[test]
fn policy_kill_ends_the_process() {
    for (number, condition, args) in MAKERS {
        let mut m = TestMachine::with_policy(policy(condition, PolicyAction::Kill));
        assert_eq!(m.call_on(m.main.thread, number, args), Outcome::Gone);
        assert_eq!(m.processes_ended, [(m.main.process, POLICY_KILL)]);
        assert!(m.exceptions.is_empty(), "it is no exception");
    }
}

#[test]
fn policy_exceptions_are_raised_on_the_thread() {
    let actions = [PolicyAction::AllowException, PolicyAction::DenyException];
    for (number, condition, args) in MAKERS {
        for action in actions {
            let mut m = TestMachine::with_policy(policy(condition, action));
            assert_eq!(m.call_on(m.main.thread, number, args), Outcome::Gone);
            assert_eq!(raised(&m), [PolicyCode::Condition(condition)]);
            assert_eq!(m.processes_ended, [(m.main.process, EXCEPTION_KILL)]);
        }
    }
}

/// The codes of the policy exceptions that were raised.
fn raised(m: &TestMachine) -> Vec<PolicyCode> {
    let code = |exception: &zircon::Exception| match exception.kind {
        ExceptionKind::Policy(code) => code,
        ref other => panic!("{other:?}"),
    };
    m.exceptions.iter().map(code).collect()
}

/// The exception comes when the call is over, with its effects, however long that takes.
#[test]
fn policy_exceptions_wait_for_the_end_of_the_call() {
    let action = PolicyAction::AllowException;
    let mut m = TestMachine::with_policy(policy(PolicyCondition::NewEvent, action));
    m.order = crate::common::Order::Held;
    let out = m.alloc(4);
    let token = m.begin(m.main.thread, N::EventCreate, &[0, out]);
    assert!(m.exceptions.is_empty() && m.is_blocked(token));
    m.settle();
    assert_eq!(
        raised(&m),
        [PolicyCode::Condition(PolicyCondition::NewEvent)]
    );
}

/// A call with a bad handle, or one to a port where a VMO is wanted; both stand in the program's memory, too.
fn mistaken(m: &mut TestMachine, condition: PolicyCondition) -> Vec<(N, Vec<u64>)> {
    let (port, at) = (u64::from(m.port_create()), m.alloc(12));
    m.poke(at, &[BAD.to_le_bytes(), [0; 4], [0; 4]].concat());
    match condition {
        PolicyCondition::BadHandle => vec![
            (N::HandleClose, vec![BAD.into()]),
            (N::HandleCloseMany, vec![at, 1]),
            (N::ObjectWaitMany, vec![at, 1, 0]),
            (N::PortQueue, vec![BAD.into(), at]),
        ],
        _ => vec![
            (N::VmoGetSize, vec![port, at]),
            (N::ObjectGetInfo, vec![port, 0x17, at, 104, 0, 0]),
        ],
    }
}

#[test]
fn policy_bad_handle_and_wrong_object() {
    let actions = [
        (PolicyAction::Kill, POLICY_KILL),
        (PolicyAction::DenyException, EXCEPTION_KILL),
        (PolicyAction::AllowException, EXCEPTION_KILL),
    ];
    for condition in [PolicyCondition::BadHandle, PolicyCondition::WrongObject] {
        let count = mistaken(&mut TestMachine::new(), condition).len();
        for (n, (action, code)) in (0..count).flat_map(|n| actions.map(|action| (n, action))) {
            let mut m = TestMachine::with_policy(policy(condition, action));
            let (number, args) = mistaken(&mut m, condition).remove(n);
            let outcome = m.call_on(m.main.thread, number, &args);
            assert_eq!(outcome, Outcome::Gone, "{} {action:?}", number.name());
            assert_eq!(m.processes_ended, [(m.main.process, code)]);
        }
    }
}

/// ALLOW and DENY mean the same for a bad handle; to ask whether a handle is valid is no mistake.
#[test]
fn policy_bad_handle_of_a_question() {
    for action in [PolicyAction::Allow, PolicyAction::Deny] {
        let mut m = TestMachine::with_policy(policy(PolicyCondition::BadHandle, action));
        assert_eq!(m.handle_close(BAD), Err(Status::BAD_HANDLE));
    }
    let kill = policy(PolicyCondition::BadHandle, PolicyAction::Kill);
    let mut m = TestMachine::with_policy(kill);
    let valid = [BAD.into(), 1, 0, 0, 0, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &valid), Status::BAD_HANDLE);
    assert_eq!(m.handle_close(0), Ok(()), "nor is it to close no handle");
}

/// The 4098th packet of programs that waits in a port raises the exception; signals and pagers do not count.
#[test]
fn port_full_raises_a_policy_exception() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let (port, vmo) = (m.port_create(), m.vmo(1));
    let at = m.alloc(48);
    m.poke(at, &PortPacket::default().to_bytes());
    for _ in 0..100 {
        m.wait_async(vmo, port, 0, 8, 0).unwrap();
    }
    for _ in 0..4097 {
        assert_eq!(m.call(N::PortQueue, &[port.into(), at]), Status::OK);
    }
    m.wait_async(vmo, port, 0, 8, 0)
        .expect("a full port takes signals");
    let outcome = m.call_on(m.main.thread, N::PortQueue, &[port.into(), at]);
    assert_eq!(outcome, Outcome::Gone);
    assert_eq!(raised(&m), [PolicyCode::PortTooManyPackets]);
}

/// The 50,001st wait that will queue a packet in a port raises the exception.
#[test]
fn very_many_waits_on_a_port_raise_a_policy_exception() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let port = m.port_create();
    let mut event = 0;
    for count in 0..50_000u64 {
        if count % 4096 == 0 {
            event = m.event_create();
        }
        let args = [event.into(), port.into(), count, 8, 0];
        assert_eq!(m.call(N::ObjectWaitAsync, &args), Status::OK);
    }
    let args = [event.into(), port.into(), 0, 8, 0];
    let outcome = m.call_on(m.main.thread, N::ObjectWaitAsync, &args);
    assert_eq!(outcome, Outcome::Gone);
    assert_eq!(raised(&m), [PolicyCode::PortTooManyObservers]);
}

/// A thread with a handler for its exceptions: the thread and the handler's channel.
fn handled(m: &mut TestMachine) -> (zircon::ThreadId, u32) {
    let handle = m.thread_handle();
    let thread = *m.started.last().unwrap();
    (thread, m.exception_channel(handle).unwrap())
}

/// The code of the policy exception that the next message on `channel` is about; its thread goes on behind its call.
fn go_on(m: &mut TestMachine, thread: zircon::ThreadId, channel: u32) -> u32 {
    assert!(m.stopped.contains(&thread), "it waits for the handler");
    let exception = m.channel_read(channel).unwrap().handles[0];
    let out = m.alloc(40);
    let get = [exception.into(), out];
    assert_eq!(m.call(N::ExceptionGetThread, &get), Status::OK);
    let raised = m.peek_u32(out);
    let report = m.info(raised, 0x1000_000B, 40).unwrap();
    let word = |at: usize| u32::from_le_bytes(report[at..at + 4].try_into().unwrap());
    assert_eq!(word(4), 0x8208, "ZX_EXCP_POLICY_ERROR");
    m.poke(out, &1u32.to_le_bytes());
    let handle_it = [exception.into(), 16, out, 4];
    assert_eq!(m.call(N::ObjectSetProperty, &handle_it), Status::OK);
    m.handle_close(exception).unwrap();
    assert!(!m.stopped.contains(&thread), "it goes on");
    word(32)
}

/// Whoever handles the exception finds the call done, or refused, and lets the thread go on.
#[test]
fn policy_exceptions_can_be_handled() {
    for (action, status) in [
        (PolicyAction::AllowException, Status::OK),
        (PolicyAction::DenyException, Status::ACCESS_DENIED),
    ] {
        let mut m = TestMachine::with_policy(policy(PolicyCondition::NewEvent, action));
        let (thread, channel) = handled(&mut m);
        let out = m.alloc(4);
        assert!(m.ends_with(thread, N::EventCreate, &[0, out], status));
        assert_eq!(m.peek_u32(out) != 0, status == Status::OK);
        assert_eq!(
            go_on(&mut m, thread, channel),
            PolicyCondition::NewEvent as u32
        );
        assert!(m.exceptions.is_empty() && m.processes_ended.is_empty());
    }
}

/// With a handler the 4098th packet is SHOULD_WAIT, and so is each one after it until there is room.
#[test]
fn port_queue_should_wait_for_whoever_handles_the_exception() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let (thread, channel) = handled(&mut m);
    let (port, at) = (m.port_create(), m.alloc(48));
    m.poke(at, &PortPacket::default().to_bytes());
    let queue = [port.into(), at];
    for _ in 0..4097 {
        assert!(m.ends_with(thread, N::PortQueue, &queue, Status::OK));
    }
    for _ in 0..2 {
        assert!(m.ends_with(thread, N::PortQueue, &queue, Status::SHOULD_WAIT));
        assert_eq!(go_on(&mut m, thread, channel), 17);
    }
    m.port_poll(port).unwrap();
    assert!(m.ends_with(thread, N::PortQueue, &queue, Status::OK));
}
