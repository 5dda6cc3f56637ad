//! `zx_status_t`: the result of every system call.

/// A Zircon status: zero is success, failures are negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Status(pub i32);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Status = Status($value);)*

            /// The Zircon name (`ZX_ERR_IO`), or `None` for a number that has none.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    0 => Some("ZX_OK"),
                    $($value => Some(concat!("ZX_ERR_", stringify!($name))),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// A bug in the VMM showed itself; nothing the caller did explains it.
    INTERNAL = -1,
    /// The operation is not implemented for this object or option.
    NOT_SUPPORTED = -2,
    /// A table or address space is full.
    NO_RESOURCES = -3,
    /// Not enough memory.
    NO_MEMORY = -4,
    /// An argument is invalid.
    INVALID_ARGS = -10,
    /// The handle value names no handle of the caller.
    BAD_HANDLE = -11,
    /// The handle names an object of another type.
    WRONG_TYPE = -12,
    /// No such system call.
    BAD_SYSCALL = -13,
    /// A range is not within the object.
    OUT_OF_RANGE = -14,
    /// The caller's buffer is too small.
    BUFFER_TOO_SMALL = -15,
    /// The object's state does not admit the operation.
    BAD_STATE = -20,
    /// The deadline passed.
    TIMED_OUT = -21,
    /// Nothing there yet; wait.
    SHOULD_WAIT = -22,
    /// The wait was abandoned.
    CANCELED = -23,
    /// The other end is gone.
    PEER_CLOSED = -24,
    /// The thing asked for is not there.
    NOT_FOUND = -25,
    /// It is there already.
    ALREADY_EXISTS = -26,
    /// Bound to something else already.
    ALREADY_BOUND = -27,
    /// The object does not offer this at present.
    UNAVAILABLE = -28,
    /// Rights or policy forbid it.
    ACCESS_DENIED = -30,
    /// The pager could not read or write its backing store.
    IO = -40,
    /// The device refused.
    IO_REFUSED = -41,
    /// The data failed an integrity check.
    IO_DATA_INTEGRITY = -42,
    /// The data is lost.
    IO_DATA_LOSS = -43,
    /// The backing store is full.
    NO_SPACE = -54,
}

impl Status {
    /// Success.
    pub const OK: Status = Status(0);

    /// `Ok` for a status of zero or more, else the status as the error.
    pub const fn ok(self) -> Result<(), Status> {
        if self.0 >= 0 { Ok(()) } else { Err(self) }
    }

    /// As it travels in rax: sign-extended to 64 bits.
    pub const fn to_register(self) -> u64 {
        self.0 as i64 as u64
    }

    /// The status in the low half of a result register.
    pub const fn from_register(value: u64) -> Status {
        Status(value as u32 as i32)
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

impl core::fmt::Debug for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Status {}
