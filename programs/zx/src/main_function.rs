//! What a program's main function may look like.

use core::fmt::Debug;

use crate::Startup;

/// A function that can be a program: it takes nothing or the [`Startup`], and returns a [`Termination`].
///
/// `Marker` only keeps the two kinds apart.
pub trait Main<Marker> {
    /// Calls it; the exit code.
    fn call(self, startup: &Startup<'_>) -> i32;
}

impl<F: FnOnce() -> T, T: Termination> Main<()> for F {
    fn call(self, _: &Startup<'_>) -> i32 {
        self().report()
    }
}

/// Marks functions that take the [`Startup`].
#[derive(Debug)]
pub struct WithStartup;

impl<F: FnOnce(&Startup<'_>) -> T, T: Termination> Main<WithStartup> for F {
    fn call(self, startup: &Startup<'_>) -> i32 {
        self(startup).report()
    }
}

/// What a main function may return.
pub trait Termination {
    /// The exit code.
    fn report(self) -> i32;
}

impl Termination for () {
    fn report(self) -> i32 {
        0
    }
}

impl Termination for i32 {
    fn report(self) -> i32 {
        self
    }
}

/// An error is printed; the exit code is then 1.
impl<T: Termination, E: Debug> Termination for Result<T, E> {
    fn report(self) -> i32 {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::println!("error: {error:?}");
                1
            }
        }
    }
}

/// What [`crate::entry!`] has the host compile: that the function can be a program.
pub fn check<M>(main: impl Main<M>) {
    let _ = main;
}

/// Makes a function the program, by its path; [`#[zx::main]`](macro@crate::main) calls it.
///
/// On the host the binary compiles to a program that does nothing.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[cfg(target_os = "none")]
        ::core::arch::global_asm!(
            ".globl _start",
            "_start:",
            "xor ebp, ebp",
            "call {begin}",
            "ud2",
            begin = sym zx_begin,
        );

        #[cfg(target_os = "none")]
        unsafe extern "C" fn zx_begin(page: *const u8) -> ! {
            // SAFETY: rdi at the first instruction is the start-up page.
            unsafe { $crate::run(page, $main) }
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            $crate::main_function::check($main);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<M>(main: impl Main<M>) -> i32 {
        main.call(&Startup::parse(&EMPTY).unwrap())
    }

    /// Version 1, 24 bytes, no handles, no strings.
    const EMPTY: [u8; 24] = {
        let mut page = [0; 24];
        page[0] = protocol::STARTUP_VERSION as u8;
        page[4] = 24;
        page[12] = 24;
        page[20] = 24;
        page
    };

    #[test]
    fn main_functions_of_all_kinds_give_their_code() {
        assert_eq!(code(|| ()), 0);
        assert_eq!(code(|| 7), 7);
        assert_eq!(code(|| Ok::<i32, ()>(8)), 8);
        assert_eq!(
            code(|startup: &Startup<'_>| startup.args().count() as i32),
            0
        );
        assert_eq!(code(|_: &Startup<'_>| Ok::<(), ()>(())), 0);
    }
}
