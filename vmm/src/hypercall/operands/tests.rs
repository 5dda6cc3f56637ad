//! Each kind of instruction against the accesses that the manuals give for it, and random bytes
//! against the promises.

use proptest::prelude::*;
use protocol::vcpu::register::*;

use super::*;

const RIP: u64 = 0x40_0000;

fn registers() -> Registers {
    let mut registers = Registers {
        rip: RIP,
        fs_base: 0x10_0000,
        gs_base: 0x20_0000,
        ..Registers::default()
    };
    for (register, value) in [
        (RAX, -100i64 as u64),
        (RBX, 0x1_0000),
        (RCX, 3),
        (RSP, 0x7000),
        (RBP, 0x9000),
        (RSI, 0x2_0000),
        (RDI, 0x3_0000),
        (R13, 0x5_0000),
        (R14, 2),
    ] {
        registers.general[register] = value;
    }
    registers
}

/// Accesses to data as text: kind, address, length, "?" if conditional. Checks that the fetch comes
/// first.
fn data(bytes: &[u8], registers: &Registers) -> String {
    let mut decoder = OperandDecoder::new();
    let accesses = match decoder.decode(bytes, registers) {
        Decoded::Accesses(accesses) => accesses,
        Decoded::Unexplained(reason) => return format!("{reason:?}"),
        Decoded::Invalid => return "invalid".into(),
    };
    let (fetch, data) = accesses.split_first().expect("an instruction is fetched");
    assert_eq!(
        *fetch,
        Access {
            address: registers.rip,
            length: bytes.len() as u64,
            kind: AccessKind::Execute,
            conditional: false
        }
    );
    let text = |access: &Access| {
        let kind = match access.kind {
            AccessKind::Read => "r",
            AccessKind::Write => "w",
            AccessKind::Execute => "x",
        };
        let mark = if access.conditional { "?" } else { "" };
        format!("{kind}{mark} {:x}+{}", access.address, access.length)
    };
    data.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn check(table: &[(&str, &[u8], &str)]) {
    for (name, bytes, expected) in table {
        assert_eq!(data(bytes, &registers()), *expected, "{name}");
    }
}

#[test]
fn addressing_forms() {
    check(&[
        (
            "mov eax,[rbx+rcx*4-8]",
            &[0x8b, 0x44, 0x8b, 0xf8],
            "r 10004+4",
        ),
        ("mov [rbx],rax", &[0x48, 0x89, 0x03], "w 10000+8"),
        (
            "mov rax,[r13+r14*8+0x40]",
            &[0x4b, 0x8b, 0x44, 0xf5, 0x40],
            "r 50050+8",
        ),
        (
            "mov rax,[rip+0x1000]",
            &[0x48, 0x8b, 0x05, 0, 0x10, 0, 0],
            "r 401007+8",
        ),
        (
            "mov eax,fs:[0x28]",
            &[0x64, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0],
            "r 100028+4",
        ),
        ("mov gs:[rdi],al", &[0x65, 0x88, 0x07], "w 230000+1"),
        (
            "ds has no base: ds mov eax,[rbx]",
            &[0x3e, 0x8b, 0x03],
            "r 10000+4",
        ),
        ("mov al,[ebx+ecx]", &[0x67, 0x8a, 0x04, 0x0b], "r 10003+1"),
        ("mov al,fs:[ebx]", &[0x64, 0x67, 0x8a, 0x03], "r 110000+1"),
        (
            "movabs al,[moffs64]",
            &[0xa0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
            "r 1122334455667788+1",
        ),
        ("xlat", &[0xd7], "r 1009c+1"),
        ("fs xlat", &[0x64, 0xd7], "r 11009c+1"),
    ]);
}

#[test]
fn the_address_size_cuts_before_the_segment_base_is_added() {
    let mut registers = registers();
    registers.general[RBX] = 0xFFFF_FFFF_FFFF_FFFF;
    assert_eq!(data(&[0x67, 0x8a, 0x04, 0x0b], &registers), "r 2+1");
    registers.fs_base = 0x7FFF_0000_0000;
    assert_eq!(
        data(&[0x64, 0x67, 0x8a, 0x03], &registers),
        "r 7fffffffffff+1"
    );
    // bt [ebx],eax: the displacement by the bit offset is part of the 32-bit sum.
    registers.general[RBX] = 0;
    assert_eq!(data(&[0x67, 0x0f, 0xa3, 0x03], &registers), "r fffffff0+4");
    // Only al counts in xlat.
    registers.general[RAX] = 0xAA11;
    assert_eq!(data(&[0xd7], &registers), "r 11+1");
}

#[test]
fn instructions_that_only_compute_an_address() {
    check(&[
        ("lea rax,[rbx+rcx*8]", &[0x48, 0x8d, 0x04, 0xcb], ""),
        ("nop [rax]", &[0x0f, 0x1f, 0x00], ""),
        ("prefetcht0 [rax]", &[0x0f, 0x18, 0x08], ""),
        ("prefetchw [rbx]", &[0x0f, 0x0d, 0x0b], ""),
        ("cldemote [rbx]", &[0x0f, 0x1c, 0x03], ""),
        ("endbr64", &[0xf3, 0x0f, 0x1e, 0xfa], ""),
        ("jmp rax", &[0xff, 0xe0], ""),
        ("ud2", &[0x0f, 0x0b], ""),
        ("syscall", &[0x0f, 0x05], ""),
        ("outsb is refused", &[0x6e], ""),
        ("rep insb is refused", &[0xf3, 0x6c], ""),
        ("lgdt [rbx] is refused", &[0x0f, 0x01, 0x13], ""),
        ("invlpg [rbx] is refused", &[0x0f, 0x01, 0x3b], ""),
    ]);
}

#[test]
fn read_modify_write_is_a_write() {
    check(&[
        ("add [rbx],rax", &[0x48, 0x01, 0x03], "w 10000+8"),
        ("cmp [rbx],rax", &[0x48, 0x39, 0x03], "r 10000+8"),
        ("inc byte [rbx]", &[0xfe, 0x03], "w 10000+1"),
        (
            "lock add dword [rbx],1",
            &[0xf0, 0x83, 0x03, 0x01],
            "w 10000+4",
        ),
        (
            "lock xadd [rbx],rax",
            &[0xf0, 0x48, 0x0f, 0xc1, 0x03],
            "w 10000+8",
        ),
        ("xchg [rbx],eax", &[0x87, 0x03], "w 10000+4"),
        (
            "lock cmpxchg [rbx],rcx",
            &[0xf0, 0x48, 0x0f, 0xb1, 0x0b],
            "w 10000+8",
        ),
        (
            "lock cmpxchg8b [rbx]",
            &[0xf0, 0x0f, 0xc7, 0x0b],
            "w 10000+8",
        ),
        (
            "lock cmpxchg16b [rbx]",
            &[0xf0, 0x48, 0x0f, 0xc7, 0x0b],
            "w 10000+16",
        ),
        ("shld [rbx],eax,3", &[0x0f, 0xa4, 0x03, 0x03], "w 10000+4"),
        ("sete [rbx]", &[0x0f, 0x94, 0x03], "w 10000+1"),
        ("div dword [rbx]", &[0xf7, 0x33], "r 10000+4"),
        ("cmovz reads in any case", &[0x0f, 0x44, 0x03], "r 10000+4"),
        ("movbe eax,[rbx]", &[0x0f, 0x38, 0xf0, 0x03], "r 10000+4"),
        ("movnti [rbx],eax", &[0x0f, 0xc3, 0x03], "w 10000+4"),
    ]);
}

#[test]
fn stack_instructions() {
    check(&[
        ("push rax", &[0x50], "w 6ff8+8"),
        ("push 1", &[0x6a, 0x01], "w 6ff8+8"),
        ("push word 0x1234", &[0x66, 0x68, 0x34, 0x12], "w 6ffe+2"),
        ("push fs", &[0x0f, 0xa0], "w 6ff8+8"),
        ("push [rbx]", &[0xff, 0x33], "r 10000+8, w 6ff8+8"),
        (
            "push [rsp+8]: the old rsp",
            &[0xff, 0x74, 0x24, 0x08],
            "r 7008+8, w 6ff8+8",
        ),
        ("pop rax", &[0x58], "r 7000+8"),
        ("pop gs", &[0x0f, 0xa9], "r 7000+8"),
        ("pop [rbx]", &[0x8f, 0x03], "r 7000+8, w 10000+8"),
        (
            "pop [rsp+8]: the new rsp",
            &[0x8f, 0x44, 0x24, 0x08],
            "r 7000+8, w 7010+8",
        ),
        (
            "pop [esp+8]",
            &[0x67, 0x8f, 0x44, 0x24, 0x08],
            "r 7000+8, w 7010+8",
        ),
        ("pushf", &[0x9c], "w 6ff8+8"),
        ("popf", &[0x9d], "r 7000+8"),
        ("call rel32", &[0xe8, 0, 0, 0, 0], "w 6ff8+8"),
        ("call rax", &[0xff, 0xd0], "w 6ff8+8"),
        ("call [rbx]", &[0xff, 0x13], "r 10000+8, w 6ff8+8"),
        ("jmp [rbx]", &[0xff, 0x23], "r 10000+8"),
        ("ret", &[0xc3], "r 7000+8"),
        ("rep ret", &[0xf3, 0xc3], "r 7000+8"),
        ("ret 16", &[0xc2, 0x10, 0x00], "r 7000+8"),
        ("retfq", &[0x48, 0xcb], "r 7000+8, r 7008+8"),
        (
            "iretq",
            &[0x48, 0xcf],
            "r 7000+8, r 7008+8, r 7010+8, r 7018+8, r 7020+8",
        ),
        ("leave", &[0xc9], "r 9000+8"),
        ("jmp far [rbx]", &[0xff, 0x2b], "r 10000+6"),
        (
            "call far [rbx]",
            &[0xff, 0x1b],
            "r 10000+6, w 6ffc+4, w 6ff8+4",
        ),
    ]);
}

#[test]
fn enter_reads_the_chain_of_frames_and_probes_the_new_top() {
    check(&[
        ("enter 0,0", &[0xc8, 0, 0, 0], "w 6ff8+8"),
        ("enter 32,0", &[0xc8, 0x20, 0, 0], "w 6ff8+8, w? 6fd8+8"),
        (
            "enter 16,3",
            &[0xc8, 0x10, 0, 0x03],
            "w 6ff8+8, r 8ff8+8, w 6ff0+8, r 8ff0+8, w 6fe8+8, w 6fe0+8, w? 6fd0+8",
        ),
    ]);
    // Nesting is counted modulo 32.
    assert_eq!(data(&[0xc8, 0, 0, 0x20], &registers()), "w 6ff8+8");
    assert_eq!(
        data(&[0xc8, 0, 0, 0xFF], &registers())
            .matches(", ")
            .count(),
        61
    );
}

#[test]
fn string_instructions_touch_the_current_element_first() {
    check(&[
        ("movsb", &[0xa4], "r 20000+1, w 30000+1"),
        ("lodsd", &[0xad], "r 20000+4"),
        (
            "rep movsq",
            &[0xf3, 0x48, 0xa5],
            "r 20000+8, w 30000+8, r? 20008+16, w? 30008+16",
        ),
        (
            "repne is rep here: movsb",
            &[0xf2, 0xa4],
            "r 20000+1, w 30000+1, r? 20001+2, w? 30001+2",
        ),
        (
            "fs rep movsb",
            &[0x64, 0xf3, 0xa4],
            "r 120000+1, w 30000+1, r? 120001+2, w? 30001+2",
        ),
        ("rep stosd", &[0xf3, 0xab], "w 30000+4, w? 30004+8"),
        (
            "rep stosb, 32 bits",
            &[0x67, 0xf3, 0xaa],
            "w 30000+1, w? 30001+2",
        ),
        ("repne scasb", &[0xf2, 0xae], "r 30000+1, r? 30001+2"),
        (
            "repe cmpsw",
            &[0x66, 0xf3, 0xa7],
            "r 20000+2, r 30000+2, r? 20002+4, r? 30002+4",
        ),
        ("rep lodsb", &[0xf3, 0xac], "r 20000+1, r? 20001+2"),
    ]);
}

#[test]
fn string_instructions_heed_count_and_direction() {
    const REP_MOVSQ: &[u8] = &[0xf3, 0x48, 0xa5];
    const REP_STOSB_32: &[u8] = &[0x67, 0xf3, 0xaa];
    let mut registers = registers();
    registers.general[RCX] = 0;
    assert_eq!(data(REP_MOVSQ, &registers), "");
    assert_eq!(data(&[0xf2, 0xae], &registers), "");
    assert_eq!(
        data(&[0xa4], &registers),
        "r 20000+1, w 30000+1",
        "only a prefix makes rcx count"
    );
    registers.general[RCX] = 0xFFFF_FFFF_0000_0000;
    assert_eq!(
        data(REP_STOSB_32, &registers),
        "",
        "ecx counts with 32-bit addresses"
    );
    registers.general[RCX] = 1;
    assert_eq!(data(REP_MOVSQ, &registers), "r 20000+8, w 30000+8");
    registers.general[RCX] = u64::MAX;
    assert_eq!(
        data(REP_MOVSQ, &registers),
        "r 20000+8, w 30000+8, r? 20008+4096, w? 30008+4096",
        "the span is clipped"
    );
    registers.rflags = 1 << 10;
    assert_eq!(
        data(REP_MOVSQ, &registers),
        "r 20000+8, w 30000+8, r? 1f000+4096, w? 2f000+4096",
        "DF: downwards"
    );
}

#[test]
fn bit_tests_with_a_register_offset_reach_far() {
    // rax is -100 in each width: floor(-100 / 32) x 4 = -16, floor(-100 / 64) x 8 = -16, and
    // floor(-100 / 16) x 2 = -14.
    check(&[
        ("bt [rbx],eax", &[0x0f, 0xa3, 0x03], "r fff0+4"),
        ("bts [rbx],rax", &[0x48, 0x0f, 0xab, 0x03], "w fff0+8"),
        ("btr word [rbx],ax", &[0x66, 0x0f, 0xb3, 0x03], "w fff2+2"),
        ("lock btc [rbx],ecx", &[0xf0, 0x0f, 0xbb, 0x0b], "w 10000+4"),
        (
            "bt dword [rbx],35 wraps in the element",
            &[0x0f, 0xba, 0x23, 0x23],
            "r 10000+4",
        ),
    ]);
    let mut registers = registers();
    registers.general[RAX] = i64::MIN as u64;
    assert_eq!(
        data(&[0x48, 0x0f, 0xa3, 0x03], &registers),
        "r f000000000010000+8"
    );
    registers.general[RAX] = 0x7FFF_FFFF;
    assert_eq!(data(&[0x0f, 0xa3, 0x03], &registers), "r 1000fffc+4");
}

#[test]
fn state_areas() {
    check(&[
        ("fxsave [rbx]", &[0x0f, 0xae, 0x03], "w 10000+512"),
        ("fxrstor64 [rbx]", &[0x48, 0x0f, 0xae, 0x0b], "r 10000+512"),
        (
            "xsave [rbx]",
            &[0x0f, 0xae, 0x23],
            "w 10000+576, w? 10240+10432",
        ),
        (
            "xrstor64 [rbx]",
            &[0x48, 0x0f, 0xae, 0x2b],
            "r 10000+576, r? 10240+10432",
        ),
        ("fnsave [rbx]", &[0xdd, 0x33], "w 10000+108"),
        ("fldenv [rbx]", &[0xd9, 0x23], "r 10000+28"),
        ("fld tbyte [rbx]", &[0xdb, 0x2b], "r 10000+10"),
        ("ldmxcsr [rbx]", &[0x0f, 0xae, 0x13], "r 10000+4"),
        ("sgdt [rbx]", &[0x0f, 0x01, 0x03], "w 10000+10"),
        ("clflush [rbx]", &[0x0f, 0xae, 0x3b], "r 10000+1"),
        ("clflushopt [rbx]", &[0x66, 0x0f, 0xae, 0x3b], "r 10000+1"),
        (
            "clzero: rax and -64",
            &[0x0f, 0x01, 0xfc],
            "w ffffffffffffff80+64",
        ),
        ("umonitor rbx", &[0xf3, 0x0f, 0xae, 0xf3], "r 10000+1"),
        ("monitorx", &[0x0f, 0x01, 0xfa], "r ffffffffffffff9c+1"),
        (
            "movdir64b rax,[rbx]",
            &[0x66, 0x0f, 0x38, 0xf8, 0x03],
            "r 10000+64, w ffffffffffffff9c+64",
        ),
    ]);
}

#[test]
fn vector_instructions() {
    check(&[
        ("movups xmm0,[rbx]", &[0x0f, 0x10, 0x03], "r 10000+16"),
        ("movaps [rbx],xmm0", &[0x0f, 0x29, 0x03], "w 10000+16"),
        ("movdqu [rbx],xmm3", &[0xf3, 0x0f, 0x7f, 0x1b], "w 10000+16"),
        ("movss xmm0,[rbx]", &[0xf3, 0x0f, 0x10, 0x03], "r 10000+4"),
        ("movhlps xmm0,xmm1", &[0x0f, 0x12, 0xc1], ""),
        (
            "pinsrb xmm0,[rbx],1",
            &[0x66, 0x0f, 0x3a, 0x20, 0x03, 0x01],
            "r 10000+1",
        ),
        (
            "maskmovdqu xmm0,xmm1",
            &[0x66, 0x0f, 0xf7, 0xc1],
            "w? 30000+16",
        ),
        ("maskmovq mm0,mm1", &[0x0f, 0xf7, 0xc1], "w? 30000+8"),
        (
            "gs maskmovdqu, 32 bits",
            &[0x65, 0x67, 0x66, 0x0f, 0xf7, 0xc1],
            "w? 230000+16",
        ),
        (
            "vmovups ymm0,[rbx]",
            &[0xc5, 0xfc, 0x10, 0x03],
            "r 10000+32",
        ),
        (
            "vmovdqu64 zmm0,[rbx]",
            &[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x03],
            "r 10000+64",
        ),
        (
            "vmovdqu64 [rbx]{k1},zmm0",
            &[0x62, 0xf1, 0xfe, 0x49, 0x7f, 0x03],
            "w? 10000+64",
        ),
        (
            "vaddps zmm0,zmm1,[rbx]{1to16}",
            &[0x62, 0xf1, 0x74, 0x58, 0x58, 0x03],
            "r 10000+4",
        ),
        (
            "vmaskmovps [rbx],ymm1,ymm2",
            &[0xc4, 0xe2, 0x75, 0x2e, 0x13],
            "w? 10000+32",
        ),
        (
            "vpmaskmovd ymm0,ymm1,[rbx]",
            &[0xc4, 0xe2, 0x75, 0x8c, 0x03],
            "r? 10000+32",
        ),
        (
            "vpgatherdd",
            &[0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x8b],
            "VectorAddress",
        ),
        (
            "vpscatterdd",
            &[0x62, 0xf2, 0x7d, 0x49, 0xa0, 0x04, 0x8b],
            "VectorAddress",
        ),
        // VEX is no matter of vectors only: these need no XSAVE.
        (
            "andn eax,ecx,[rbx]",
            &[0xc4, 0xe2, 0x70, 0xf2, 0x03],
            "r 10000+4",
        ),
        ("tileloadd", &[0xc4, 0xe2, 0x7b, 0x4b, 0x04, 0x0b], "Tile"),
    ]);
}

#[test]
fn what_is_no_instruction() {
    check(&[
        ("push es, gone in 64-bit mode", &[0x06, 0x90], "invalid"),
        ("lock on a register", &[0xf0, 0x01, 0xc0], "invalid"),
        ("sixteen prefixes", &[0x66; 16], "invalid"),
    ]);
}

#[test]
fn an_instruction_that_ends_beyond_its_page_asks_for_the_next() {
    let mut decoder = OperandDecoder::new();
    let fetch = |address, length| Access {
        address,
        length,
        kind: AccessKind::Execute,
        conditional: false,
    };
    let mut registers = registers();
    registers.rip = 0x40_0FFE;
    // mov rax,[rip+0x1000], of which two bytes are present, then all.
    let bytes: &[u8] = &[0x48, 0x8b, 0x05, 0, 0x10, 0, 0];
    assert_eq!(
        decoder.decode(&bytes[..2], &registers),
        Decoded::Accesses(&[fetch(0x40_0FFE, 2), fetch(0x40_1000, 1)])
    );
    let Decoded::Accesses([whole, read]) = decoder.decode(bytes, &registers) else {
        panic!("two accesses");
    };
    assert_eq!(*whole, fetch(0x40_0FFE, 7));
    assert_eq!(
        whole.pages().collect::<Vec<_>>(),
        [
            (0x40_0000, AccessKind::Execute),
            (0x40_1000, AccessKind::Execute)
        ]
    );
    assert_eq!(read.address, 0x40_2005);
    assert_eq!(
        decoder.decode(&[], &registers),
        Decoded::Accesses(&[fetch(0x40_0FFE, 1)]),
        "nothing at RIP is present"
    );
}

#[test]
fn pages_of_an_access() {
    let pages = |address, length| {
        Access {
            address,
            length,
            kind: AccessKind::Write,
            conditional: false,
        }
        .pages()
        .map(|(page, _)| page)
        .collect::<Vec<_>>()
    };
    assert_eq!(pages(0x1000, 1), [0x1000]);
    assert_eq!(pages(0x1FFF, 1), [0x1000]);
    assert_eq!(pages(0x1FFF, 2), [0x1000, 0x2000]);
    assert_eq!(pages(0x1000, 4096), [0x1000]);
    assert_eq!(pages(0x1001, 8192), [0x1000, 0x2000, 0x3000]);
    assert_eq!(pages(u64::MAX, 2), [0xFFFF_FFFF_FFFF_F000, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Any bytes with any registers: no panic, an instruction of 1 to 15 bytes, and accesses of
    /// bounded size.
    #[test]
    fn random_bytes_keep_the_promises(
        bytes in prop::collection::vec(any::<u8>(), 0..20),
        general in any::<[u64; 16]>(),
        (rip, rflags, fs_base, gs_base) in any::<(u64, u64, u64, u64)>(),
    ) {
        let registers = Registers { general, rip, rflags, fs_base, gs_base };
        let mut decoder = OperandDecoder::new();
        if let Decoded::Accesses(accesses) = decoder.decode(&bytes, &registers) {
            let fetched: u64 = accesses.iter()
                .filter(|access| access.kind == AccessKind::Execute)
                .map(|access| access.length)
                .sum();
            prop_assert!((1..=15).contains(&fetched));
            prop_assert_eq!(accesses[0].kind, AccessKind::Execute);
            prop_assert_eq!(accesses[0].address, rip);
            for access in accesses {
                prop_assert!(access.length >= 1 && access.length <= 11_008);
                prop_assert!(access.pages().count() <= 4);
            }
        }
    }

    /// A cut instruction never shows anything but its fetch, and is the same instruction once the
    /// rest is there.
    #[test]
    fn every_prefix_of_an_instruction_asks_for_more(
        bytes in prop::collection::vec(any::<u8>(), 15..16),
    ) {
        let registers = registers();
        let mut decoder = OperandDecoder::new();
        let length = match decoder.decode(&bytes, &registers) {
            Decoded::Accesses(accesses) => accesses[0].length as usize,
            _ => return Ok(()),
        };
        for cut in 0..length {
            if let Decoded::Accesses(accesses) = decoder.decode(&bytes[..cut], &registers) {
                prop_assert!(accesses.iter().all(|access| access.kind == AccessKind::Execute));
                prop_assert_eq!(accesses[accesses.len() - 1].address, RIP + cut as u64);
            } else {
                prop_assert!(false, "cut at {} of {:x?}", cut, bytes);
            }
        }
    }
}
