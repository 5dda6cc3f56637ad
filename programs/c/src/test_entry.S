/* The first instruction in the process of a test: rdi = channel, rsi = start-up page. */
    .text
    .globl __zx_test_entry
    .type __zx_test_entry, @function
__zx_test_entry:
    xorl %ebp, %ebp
    movq %rsi, %rbx
    call __zx_test_receive
    movq %rbx, %rdi
    xorl %esi, %esi
    jmp _start
    .size __zx_test_entry, . - __zx_test_entry
    .section .note.GNU-stack, "", @progbits
