//! One row of the table, and how it is provoked.

use protocol::syscall::{MAX_ARGS, SyscallNumber};
use test_guests::{Failure, Outcome, fail};
use zx::Status;

use crate::world::{Arg, World};

/// A call, an error, and what brings it about.
#[derive(Clone, Copy)]
pub struct Row {
    /// The call.
    pub call: SyscallNumber,
    /// What it returns.
    pub status: Status,
    /// What is wrong.
    pub what: &'static str,
    /// How it shows.
    pub how: How,
}

/// How a row shows.
#[derive(Clone, Copy)]
pub enum How {
    /// The call with these arguments, the others zero.
    Args(&'static [Arg]),
    /// What this does; the status is what the call in question returned.
    Does(fn(&mut World<'_>) -> Result<Status, Failure>),
    /// The same in a run whose `--memory` leaves little.
    Limited(fn(&mut World<'_>) -> Result<Status, Failure>),
    /// This case of another test guest.
    Shown(&'static str),
    /// No program can provoke it, for this reason.
    Cannot(&'static str),
}

impl Row {
    /// Brings the error about and compares it.
    pub fn provoke(&self, world: &mut World<'_>) -> Outcome {
        let found = match self.how {
            How::Args(args) => {
                let mut registers = [0; MAX_ARGS];
                for (register, arg) in registers.iter_mut().zip(args) {
                    *register = world.value(*arg)?;
                }
                world.call(self.call, registers)
            }
            How::Does(does) | How::Limited(does) => does(world)?,
            How::Shown(_) | How::Cannot(_) => return Ok(()),
        };
        match found == self.status {
            true => Ok(()),
            false => fail!("got {found}"),
        }
    }
}

/// Makes a table: `rows! { NAME: Call { STATUS "what is wrong" => how, ... } ... }`.
#[macro_export]
macro_rules! rows {
    ($table:ident: $($call:ident { $($status:ident $what:literal => $how:expr,)* })*) => {
        /// The rows of this module.
        pub const $table: &[$crate::row::Row] = &[$($($crate::row::Row {
            call: protocol::syscall::SyscallNumber::$call,
            status: zx::Status::$status,
            what: $what,
            how: $how,
        },)*)*];
    };
}

/// [`How::Args`] of a list.
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { $crate::row::How::Args(&[$($arg),*]) };
}
