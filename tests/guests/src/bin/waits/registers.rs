//! What a thread has in its registers while another one runs on its vCPU.

use core::arch::asm;
use core::ops::Range;
use protocol::syscall::SyscallNumber;
use test_guests::{Outcome, Service, cases, check, equal, soon};
use zx::{AsHandleRef, Mapping, PAGE_SIZE, PageRequestCommand, PortPacket, Status};

/// Requests, each of which takes two switches where there is one vCPU.
const PAGES: u64 = 40;

/// x87 and SSE registers: to be loaded, what became of them, and the compiler's.
#[repr(C, align(16))]
struct Fx([[u8; 512]; 3]);

/// Control words and tags; MXCSR; x87 and SSE registers. Where the last x87 instruction was is nobody's business.
const COMPARED: [Range<usize>; 3] = [0..5, 24..28, 32..416];

impl Fx {
    /// Values that tell of `seed`, in all registers.
    fn new(seed: u8) -> Self {
        let mut image = [0; 512];
        // Rounding by the seed; all registers in use.
        image[..5].copy_from_slice(&[0x7F, 3 | (seed & 3) << 2, 0, 0, 0xFF]);
        image[24..28].copy_from_slice(&(0x1F80 | u32::from(seed & 3) << 13).to_le_bytes());
        for (at, byte) in image[32..416].iter_mut().enumerate() {
            *byte = match at {
                // An x87 register: a mantissa with its highest bit, an exponent, six bytes that are nothing.
                ..128 => match at % 16 {
                    ..7 => seed ^ at as u8,
                    7 => seed | 0x80,
                    8 => seed,
                    9 => 0x3F,
                    _ => 0,
                },
                _ => seed.wrapping_mul(7) ^ at as u8,
            };
        }
        Fx([image, [0; 512], [0; 512]])
    }

    fn check(&self) -> Outcome {
        let [loaded, found, _] = &self.0;
        for part in COMPARED {
            equal!(found.get(part.clone()), loaded.get(part));
        }
        Ok(())
    }
}

/// Executes one instruction with full registers, three general ones among them; gives back rax.
macro_rules! with_full_registers {
    ($what:literal, $fx:expr, $rax:expr, $rdi:expr, $rsi:expr, $rdx:expr) => {{
        let image: *mut Fx = $fx;
        let patterns = [0x1212_3434_5656_7878, 0x1414_1414_1414_1414, u64::MAX / 15];
        let [mut a, mut b, mut c] = patterns;
        let (rax, flags): (u64, u64);
        // SAFETY: the instruction touches what the caller says; the registers that the compiler does not know of are put back.
        unsafe {
            asm!(
                "fxsave64 [r8 + 1024]",
                "fxrstor64 [r8]",
                "stc",
                $what,
                "setc r11b",
                "fxsave64 [r8 + 512]",
                "fxrstor64 [r8 + 1024]",
                in("r8") image,
                inlateout("rax") $rax => rax,
                in("rdi") $rdi,
                in("rsi") $rsi,
                in("rdx") $rdx,
                inout("r9") a,
                inout("r14") b,
                inout("r15") c,
                lateout("rcx") _,
                lateout("r11") flags,
                options(nostack),
            );
        }
        equal!([a, b, c], patterns);
        check!(flags & 1 == 1, "the carry flag is lost");
        (*$fx).check()?;
        rax
    }};
}

/// One thread's load waits for a page, the other's system call for its request: neither loses a register.
fn stay() -> Outcome {
    let s = Service::new()?;
    let vmo = s.vmo(1, PAGES)?;
    let mapping = Mapping::read_only(&vmo, 0, (PAGES * PAGE_SIZE) as usize)?;
    let base = mapping.base();
    let reader = zx::thread::spawn("reader", move || -> Outcome {
        for page in 0..PAGES {
            let mut fx = Fx::new(page as u8);
            let address = base + (page * PAGE_SIZE) as usize;
            with_full_registers!("mov al, byte ptr [rdi]", &mut fx, 0u64, address, 0u64, 0u64);
        }
        Ok(())
    })?;
    for page in 0..PAGES {
        let mut fx = Fx::new(!page as u8);
        let mut packet = PortPacket::default();
        let rax = with_full_registers!(
            "syscall",
            &mut fx,
            SyscallNumber::PortWait as u64,
            u64::from(s.port.raw_handle()),
            soon(),
            &raw mut packet
        );
        equal!(Status::from_register(rax), Status::OK);
        equal!(packet.command(), PageRequestCommand::Read as u16);
        check!(packet.offset() == page * PAGE_SIZE);
        s.supply(&vmo, 1, page, 1)?;
    }
    reader.join(soon())?
}

cases! { "registers": stay }
