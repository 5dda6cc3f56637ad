/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */

.macro BEGIN name
    .section .text.zx_\name, "ax", @progbits
    .globl zx_\name
    .type zx_\name, @function
zx_\name:
    .cfi_startproc
.endm

.macro ENTER number
    movl $\number, %eax
    syscall
.endm

.macro DONE name
    ret
    .cfi_endproc
    .size zx_\name, . - zx_\name
.endm

.macro CALL3 name, number
    BEGIN \name
    ENTER \number
    DONE \name
.endm

.macro CALL0 name, number
    CALL3 \name, \number
.endm

.macro CALL1 name, number
    CALL3 \name, \number
.endm

.macro CALL2 name, number
    CALL3 \name, \number
.endm

.macro CALL6 name, number
    BEGIN \name
    movq %rcx, %r10
    ENTER \number
    DONE \name
.endm

.macro CALL4 name, number
    CALL6 \name, \number
.endm

.macro CALL5 name, number
    CALL6 \name, \number
.endm

/* r12 and r13 are the caller's. */
.macro CALL7 name, number
    BEGIN \name
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    movq 16(%rsp), %r12
    movq %rcx, %r10
    ENTER \number
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    DONE \name
.endm

.macro CALL8 name, number
    BEGIN \name
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    movq 24(%rsp), %r12
    movq 32(%rsp), %r13
    movq %rcx, %r10
    ENTER \number
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    DONE \name
.endm

CALL0 clock_get_monotonic, 0
CALL1 nanosleep, 1
CALL2 debug_write, 2
CALL1 handle_close, 3
CALL2 handle_close_many, 4
CALL3 handle_duplicate, 5
CALL3 handle_replace, 6
CALL4 object_wait_one, 7
CALL5 object_wait_async, 8
CALL3 object_signal, 9
CALL6 object_get_info, 10
CALL4 object_get_property, 11
CALL4 object_set_property, 12
CALL3 vmo_create, 13
CALL4 vmo_read, 14
CALL4 vmo_write, 15
CALL2 vmo_get_size, 16
CALL2 vmo_set_size, 17
CALL5 vmo_create_child, 18
CALL2 pager_create, 19
CALL6 pager_create_vmo, 20
CALL2 pager_detach_vmo, 21
CALL6 pager_supply_pages, 22
CALL2 port_create, 23
CALL2 port_queue, 24
CALL3 port_wait, 25
CALL7 vmar_map, 26
CALL3 vmar_unmap, 27
CALL4 vmar_protect, 28
CALL5 thread_create, 29
CALL5 thread_start, 30
CALL0 thread_exit, 31
CALL1 process_exit, 32
CALL4 futex_wait, 33
CALL2 futex_wake, 34
CALL3 object_wait_many, 35
CALL3 object_signal_peer, 36
CALL3 port_cancel, 37
CALL3 port_cancel_key, 38
CALL2 event_create, 39
CALL3 channel_create, 40
CALL8 channel_read, 41
CALL6 channel_write, 42
CALL3 job_create, 43
CALL5 job_set_policy, 44
CALL6 process_create, 45
CALL6 process_start, 46
CALL1 task_kill, 47
CALL2 task_suspend, 48
CALL3 task_create_exception_channel, 49
CALL2 exception_get_thread, 50
CALL2 exception_get_process, 51
CALL4 thread_read_state, 52
CALL4 thread_write_state, 53
CALL2 vmo_get_stream_size, 54
CALL2 vmo_set_stream_size, 55
CALL6 vmo_op_range, 56
CALL4 vmo_create_contiguous, 57
CALL4 vmo_create_physical, 58
CALL3 vmo_replace_as_executable, 59
CALL2 vmo_set_cache_policy, 60
CALL6 vmo_transfer_data, 61
CALL6 pager_op_range, 62
CALL8 pager_query_dirty_ranges, 63
CALL5 pager_query_vmo_stats, 64
CALL6 vmar_allocate, 65
CALL1 vmar_destroy, 66
CALL6 vmar_op_range, 67
CALL5 iommu_create, 68
CALL4 bti_create, 69
CALL8 bti_pin, 70
CALL1 bti_release_quarantine, 71
CALL1 pmt_unpin, 72

    .section .note.GNU-stack, "", @progbits
