//! How zvmm exits: one place for all codes.

/// An exit of zvmm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The program's own exit code (its low 8 bits), or zvmm did what it was asked.
    Program(u8),
    /// The command line makes no sense.
    Usage,
    /// The host lacks something or refused it.
    Host,
    /// The guest kernel failed.
    GuestKernel,
    /// The program was killed by an exception.
    Exception,
    /// The time limit passed.
    TimedOut,
    /// An external page-fault handler failed.
    HandlerFailure,
    /// Ctrl-C.
    Interrupted,
    /// gdb's `kill`.
    Killed,
}

/// The codes, as `--help` shows them.
pub(super) const HELP: &str = "\
Exit codes:
  0-255  the program's own (the low 8 bits; --stats=json has the whole value)
  120    the command line makes no sense
  121    the host lacks something or refused it (try 'zvmm doctor')
  122    the guest kernel failed
  123    the program was killed by an exception
  124    the time limit (--timeout) passed
  125    an external page-fault handler failed
  130    interrupted (Ctrl-C)
  137    killed by gdb";

impl Exit {
    /// The code for the shell.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Program(code) => code,
            Exit::Usage => 120,
            Exit::Host => 121,
            Exit::GuestKernel => 122,
            Exit::Exception => 123,
            Exit::TimedOut => 124,
            Exit::HandlerFailure => 125,
            Exit::Interrupted => 130,
            Exit::Killed => 137,
        }
    }

    /// The exit for a program's own code: its low 8 bits, as Unix does it.
    pub const fn of_program(code: i64) -> Self {
        Exit::Program((code & 0xff) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_code() {
        for exit in [
            Exit::Usage,
            Exit::Host,
            Exit::GuestKernel,
            Exit::Exception,
            Exit::TimedOut,
            Exit::HandlerFailure,
            Exit::Interrupted,
            Exit::Killed,
        ] {
            assert!(
                HELP.contains(&format!("\n  {}    ", exit.code())),
                "{exit:?}"
            );
        }
    }

    #[test]
    fn a_program_has_eight_bits() {
        for (code, expected) in [
            (0, 0),
            (7, 7),
            (255, 255),
            (256, 0),
            (-1, 255),
            (i64::MIN, 0),
        ] {
            assert_eq!(Exit::of_program(code).code(), expected);
        }
    }
}
