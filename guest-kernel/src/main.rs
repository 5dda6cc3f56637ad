//! The ring-0 kernel of zvmm's guests.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
#[used]
#[unsafe(link_section = ".zvmm.header")]
static MAGIC: u64 = protocol::boot::IMAGE_MAGIC;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_os = "none"))]
fn main() {}
