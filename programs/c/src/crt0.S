/* The first instruction of a program: rdi has the start-up page, rsp a stack that nothing was pushed on. */
    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined rip
    xorl %ebp, %ebp
    call __zx_start
    ud2
    .cfi_endproc
    .size _start, . - _start
    .section .note.GNU-stack, "", @progbits
