//! What happens on a Rust panic: the message, then the end of the process.

/// Exit code of a program that panicked.
#[cfg(target_os = "none")]
const PANIC_EXIT_CODE: i64 = 101;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::println!("{info}");
    crate::Process::exit(PANIC_EXIT_CODE)
}
