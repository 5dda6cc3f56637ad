#include "numbers.h"

/* A thread begins with rdi = its struct zx_thread, on its own stack. */
    .text
    .globl __zx_thread_entry
    .type __zx_thread_entry, @function
__zx_thread_entry:
    .cfi_startproc
    .cfi_undefined rip
    xorl %ebp, %ebp
    call __zx_thread_run
    ud2
    .cfi_endproc
    .size __zx_thread_entry, . - __zx_thread_entry

/*
 * The end of a thread: rdi = the word of its state, esi = the region of its stack, edx = its handle. Who joins it unmaps the stack and
 * closes both once the word says that it has ended; so from there on the stack is not used. A detached thread does that itself.
 */
    .globl __zx_thread_leave
    .type __zx_thread_leave, @function
__zx_thread_leave:
    movl %esi, %ebx
    movl %edx, %ebp
    movl $THREAD_RUNS, %eax
    movl $THREAD_ENDED, %ecx
    lock cmpxchgl %ecx, (%rdi)
    jne 1f
    movl $-1, %esi
    movl $CALL_FUTEX_WAKE, %eax
    syscall
    jmp 2f
1:  movl %ebx, %edi
    movl $CALL_VMAR_DESTROY, %eax
    syscall
    movl %ebx, %edi
    movl $CALL_HANDLE_CLOSE, %eax
    syscall
    movl %ebp, %edi
    movl $CALL_HANDLE_CLOSE, %eax
    syscall
2:  movl $CALL_THREAD_EXIT, %eax
    syscall
    ud2
    .size __zx_thread_leave, . - __zx_thread_leave
    .section .note.GNU-stack, "", @progbits
