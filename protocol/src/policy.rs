//! Job policies: conditions, actions, and the codes of policy exceptions.

/// `ZX_JOB_POL_RELATIVE`: entries that the job's policy does not let be changed are passed over.
pub const JOB_POL_RELATIVE: u32 = 0;
/// `ZX_JOB_POL_ABSOLUTE`: such entries fail the call.
pub const JOB_POL_ABSOLUTE: u32 = 1;
/// `ZX_JOB_POL_BASIC_V1`: entries of (condition, action).
pub const JOB_POL_BASIC_V1: u32 = 0;
/// `ZX_JOB_POL_TIMER_SLACK`.
pub const JOB_POL_TIMER_SLACK: u32 = 1;
/// `ZX_JOB_POL_BASIC_V2`: entries of (condition, action, override).
pub const JOB_POL_BASIC_V2: u32 = 0x0100_0000;
/// `ZX_POL_OVERRIDE_ALLOW`: jobs below may change the entry.
pub const OVERRIDE_ALLOW: u32 = 0;
/// `ZX_POL_OVERRIDE_DENY`: the entry is fixed for the job and all below.
pub const OVERRIDE_DENY: u32 = 1;

/// One entry of `zx_job_set_policy(ZX_JOB_POL_BASIC_V1)`: `zx_policy_basic_v1_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PolicyBasicV1 {
    /// A [`PolicyCondition`] as a number.
    pub condition: u32,
    /// A [`PolicyAction`] as a number.
    pub action: u32,
}

/// One entry of `zx_job_set_policy(ZX_JOB_POL_BASIC_V2)`: `zx_policy_basic_v2_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PolicyBasicV2 {
    /// A [`PolicyCondition`] as a number.
    pub condition: u32,
    /// A [`PolicyAction`] as a number.
    pub action: u32,
    /// [`OVERRIDE_ALLOW`] or [`OVERRIDE_DENY`].
    pub flags: u32,
}

const _: () = assert!(
    size_of::<PolicyBasicV1>() == 8 && size_of::<PolicyBasicV2>() == 12,
    "entries stand in an array without gaps"
);

macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $number:literal $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// All of them, in the order of the numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The one with this number.
            pub const fn from_raw(number: u32) -> Option<Self> {
                match number {
                    $($number => Some($name::$variant),)*
                    _ => None,
                }
            }

            /// Its name, as reports and the command line have it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
    };
}

numbers! {
    /// `ZX_POL_*`: what a policy decides on.
    PolicyCondition {
        /// A call is given a handle value that names nothing.
        0 BadHandle "bad-handle",
        /// A call is given a handle to an object of the wrong type.
        1 WrongObject "wrong-object",
        /// A mapping that is writable and executable at once.
        2 VmarWx "vmar-wx",
        /// All of those that begin with "new".
        3 NewAny "new-any",
        /// A VMO is made.
        4 NewVmo "new-vmo",
        /// A channel is made.
        5 NewChannel "new-channel",
        /// An event is made.
        6 NewEvent "new-event",
        /// A pair of events is made.
        7 NewEventPair "new-eventpair",
        /// A port is made.
        8 NewPort "new-port",
        /// A socket is made.
        9 NewSocket "new-socket",
        /// A FIFO is made.
        10 NewFifo "new-fifo",
        /// A timer is made.
        11 NewTimer "new-timer",
        /// A process is made.
        12 NewProcess "new-process",
        /// A profile is made.
        13 NewProfile "new-profile",
        /// A pager is made.
        14 NewPager "new-pager",
        /// A VMO is made executable without a resource that permits it.
        15 AmbientMarkVmoExec "ambient-mark-vmo-exec",
        /// An I/O buffer is made.
        16 NewIob "new-iob",
    }
}

/// `ZX_POL_MAX`: one more than the largest condition.
pub const POLICY_MAX: u32 = 17;

const _: () = assert!(
    PolicyCondition::ALL.len() == POLICY_MAX as usize,
    "conditions are dense: policies are indexed by them"
);

impl PolicyCondition {
    /// Whether [`PolicyCondition::NewAny`] stands for it.
    pub const fn is_new_object(self) -> bool {
        !matches!(
            self,
            PolicyCondition::BadHandle
                | PolicyCondition::WrongObject
                | PolicyCondition::VmarWx
                | PolicyCondition::NewAny
                | PolicyCondition::AmbientMarkVmoExec
        )
    }
}

numbers! {
    /// `ZX_POL_ACTION_*`: what a policy does about it.
    PolicyAction {
        /// The call goes on.
        0 Allow "allow",
        /// The call gets ACCESS_DENIED.
        1 Deny "deny",
        /// The call goes on, and its thread gets an exception at its end.
        2 AllowException "allow-exception",
        /// The call gets ACCESS_DENIED, and its thread an exception.
        3 DenyException "deny-exception",
        /// The process is killed.
        4 Kill "kill",
    }
}

/// `ZX_EXCP_POLICY_CODE_*`: why a thread gets a policy exception.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyCode {
    /// A condition whose action says so.
    Condition(PolicyCondition),
    /// A channel's peer does not take its messages.
    ChannelFullWrite,
    /// A port is full.
    PortTooManyPackets,
    /// Very many waits will queue a packet in one port.
    PortTooManyObservers,
}

impl PolicyCode {
    /// The number: `synth_code` of the exception.
    pub const fn number(self) -> u32 {
        match self {
            PolicyCode::Condition(PolicyCondition::NewIob) => 21,
            PolicyCode::Condition(condition) => condition as u32,
            PolicyCode::ChannelFullWrite => 16,
            PolicyCode::PortTooManyPackets => 17,
            PolicyCode::PortTooManyObservers => 19,
        }
    }

    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            PolicyCode::Condition(condition) => condition.name(),
            PolicyCode::ChannelFullWrite => "channel-full-write",
            PolicyCode::PortTooManyPackets => "port-too-many-packets",
            PolicyCode::PortTooManyObservers => "port-too-many-observers",
        }
    }
}
