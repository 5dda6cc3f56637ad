//! Instructions that ring 3 must not execute. The registers hold values that would do harm if they were executed.

use core::arch::asm;

/// An instruction: its name, whether the processor may let it pass without effect, and the instruction.
type Instruction = (&'static str, bool, fn());

macro_rules! instructions {
    ($($name:literal $harmless:literal [$($line:literal),+];)*) => {
        const INSTRUCTIONS: &[Instruction] = &[$(($name, $harmless, || {
            // SAFETY: none; the instruction must end the process, and does not come back from what it would break.
            unsafe { asm!($($line,)+ inout("rax") 0u64 => _, out("rcx") _, out("rdx") _, out("r8") _) }
        }),)*];
    };
}

instructions! {
    "cli" false ["cli"];
    "sti" false ["sti"];
    "hlt" false ["hlt"];
    "in al, 0x5A" false ["in al, 0x5A"];
    "in eax, 0x5A" false ["in eax, 0x5A"];
    "out 0x5A, al" false ["mov al, 2", "out 0x5A, al"];
    "out 0x5A, ax" false ["out 0x5A, ax"];
    "out 0x5A, eax" false ["out 0x5A, eax"];
    "out dx, eax" false ["mov edx, 0x5A", "out dx, eax"];
    "out 0x80, al" false ["out 0x80, al"];
    "in al, dx of the serial port" false ["mov edx, 0x3F8", "in al, dx"];
    "insb" false ["mov edx, 0x5A", "push rdi", "mov rdi, rsp", "insb", "pop rdi"];
    "outsb" false ["mov edx, 0x5A", "push rsi", "mov rsi, rsp", "outsb", "pop rsi"];
    "rep outsd" false ["mov edx, 0x5A", "mov ecx, 2", "push rsi", "mov rsi, rsp", "rep outsd", "pop rsi"];
    "lgdt" false ["push 0", "push 0", "lgdt [rsp]", "pop rax", "pop rax"];
    "lidt" false ["push 0", "push 0", "lidt [rsp]", "pop rax", "pop rax"];
    "lldt" false ["mov eax, 0x40", "lldt ax"];
    "ltr" false ["mov eax, 0x40", "ltr ax"];
    "mov rax, cr0" false ["mov rax, cr0"];
    "mov cr0, rax" false ["mov eax, 0x80010033", "mov cr0, rax"];
    "mov rax, cr2" false ["mov rax, cr2"];
    "mov cr2, rax" false ["mov cr2, rax"];
    "mov rax, cr3" false ["mov rax, cr3"];
    "mov cr3, rax" false ["mov eax, 0x2000", "mov cr3, rax"];
    "mov cr4, rax" false ["mov cr4, rax"];
    "mov rax, cr8" false ["mov rax, cr8"];
    "mov cr8, rax" false ["mov eax, 15", "mov cr8, rax"];
    "mov rax, dr7" false ["mov rax, dr7"];
    "mov dr7, rax" false ["mov eax, 0x401", "mov dr7, rax"];
    "mov dr0, rax" false ["mov dr0, rax"];
    "rdmsr" false ["mov ecx, 0xC0000082", "rdmsr"];
    "wrmsr of LSTAR" false ["mov ecx, 0xC0000082", "mov eax, 0x400000", "xor edx, edx", "wrmsr"];
    "wrmsr of EFER" false ["mov ecx, 0xC0000080", "xor edx, edx", "wrmsr"];
    "rdpmc" true ["xor ecx, ecx", "rdpmc"];
    "invlpg" false ["invlpg [rsp]"];
    "invpcid" false ["push 0", "push 0", "mov eax, 2", "invpcid rax, [rsp]", "pop rax", "pop rax"];
    "invd" false ["invd"];
    "wbinvd" false ["wbinvd"];
    "clts" false ["clts"];
    "lmsw" false ["lmsw ax"];
    "swapgs" false ["swapgs"];
    "sysretq" false ["lea rcx, [rip + 4f]", "mov r8, r11", "sysretq", "4:", "mov r11, r8"];
    "sysexit" false ["lea rdx, [rip + 4f]", "mov rcx, rsp", "sysexit", "4:"];
    "sysenter" false ["sysenter"];
    "iretq to the kernel's code segment" false ["mov r8, rsp", "push 0x18", "push r8", "pushfq", "push 0x10", "lea rax, [rip + 4f]", "push rax", "iretq", "4:", "mov rsp, r8"];
    "iretq with IOPL 3" true ["mov r8, rsp", "mov eax, ss", "push rax", "push r8", "pushfq", "or qword ptr [rsp], 0x3000", "mov eax, cs", "push rax", "lea rax, [rip + 4f]", "push rax", "iretq", "4:", "mov rsp, r8"];
    "popfq with IOPL 3 and IF clear" true ["pushfq", "or qword ptr [rsp], 0x3000", "and qword ptr [rsp], ~0x200", "popfq"];
    "retfq to the kernel's code segment" false ["mov r8, rsp", "push 0x10", "lea rax, [rip + 4f]", "push rax", "retfq", "4:", "mov rsp, r8"];
    "mov ss, kernel data" false ["mov eax, 0x18", "mov ss, ax"];
    "mov ds, kernel data" false ["mov eax, 0x18", "mov ds, ax"];
    "mov ds, a selector beyond the table" false ["mov eax, 0xFFF8", "mov ds, ax"];
    "xsetbv" false ["xor ecx, ecx", "mov eax, 7", "xor edx, edx", "xsetbv"];
    "vmcall" true ["mov eax, 2", "vmcall"];
    "vmmcall" true ["mov eax, 2", "vmmcall"];
    "vmxoff" false ["vmxoff"];
    "vmlaunch" false ["vmlaunch"];
    "vmrun" false [".byte 0x0F, 0x01, 0xD8"];
    "stgi" false [".byte 0x0F, 0x01, 0xDC"];
    "rsm" false ["rsm"];
    "monitor" false ["mov rax, rsp", "xor ecx, ecx", "xor edx, edx", "monitor"];
    "mwait" false ["xor ecx, ecx", "mwait"];
    "clac" false ["clac"];
    "stac" false ["stac"];
    "int 0x20" false ["int 0x20"];
    "int 0x80" false ["int 0x80"];
    "int 14" false ["int 14"];
    "int 8" false ["int 8"];
    "int 2" false ["int 2"];
    "int1" false [".byte 0xF1"];
}

/// Executes the `index`-th instruction; the exit code if that comes back.
pub fn execute(index: u64) -> i32 {
    let instruction = usize::try_from(index)
        .ok()
        .and_then(|index| INSTRUCTIONS.get(index));
    let Some((name, harmless, execute)) = instruction else {
        return crate::NO_SUCH_VARIANT;
    };
    zx::println!("privileged {index}: {name}");
    execute();
    if *harmless {
        zx::println!("privileged {index}: passed without effect");
        0
    } else {
        crate::survived(name)
    }
}
