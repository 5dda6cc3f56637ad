//! `syscalls.h` and the stubs: the prototype of every system call, and the instructions that make it.

use std::fmt::Write as _;

use protocol::syscall::SyscallNumber;

/// Name, arguments of the C prototype. Arguments that are pointers to what a call only reads are const, as in Zircon.
const CALLS: &str = "\
clock_get_monotonic(void)
nanosleep(zx_time_t deadline)
debug_write(const char *buffer, size_t buffer_size)
handle_close(zx_handle_t handle)
handle_close_many(const zx_handle_t *handles, size_t num_handles)
handle_duplicate(zx_handle_t handle, zx_rights_t rights, zx_handle_t *out)
handle_replace(zx_handle_t handle, zx_rights_t rights, zx_handle_t *out)
object_wait_one(zx_handle_t handle, zx_signals_t signals, zx_time_t deadline, zx_signals_t *observed)
object_wait_async(zx_handle_t handle, zx_handle_t port, uint64_t key, zx_signals_t signals, uint32_t options)
object_signal(zx_handle_t handle, uint32_t clear_mask, uint32_t set_mask)
object_get_info(zx_handle_t handle, uint32_t topic, void *buffer, size_t buffer_size, size_t *actual, size_t *avail)
object_get_property(zx_handle_t handle, uint32_t property, void *value, size_t value_size)
object_set_property(zx_handle_t handle, uint32_t property, const void *value, size_t value_size)
vmo_create(uint64_t size, uint32_t options, zx_handle_t *out)
vmo_read(zx_handle_t handle, void *buffer, uint64_t offset, size_t buffer_size)
vmo_write(zx_handle_t handle, const void *buffer, uint64_t offset, size_t buffer_size)
vmo_get_size(zx_handle_t handle, uint64_t *size)
vmo_set_size(zx_handle_t handle, uint64_t size)
vmo_create_child(zx_handle_t handle, uint32_t options, uint64_t offset, uint64_t size, zx_handle_t *out)
pager_create(uint32_t options, zx_handle_t *out)
pager_create_vmo(zx_handle_t pager, uint32_t options, zx_handle_t port, uint64_t key, uint64_t size, zx_handle_t *out)
pager_detach_vmo(zx_handle_t pager, zx_handle_t vmo)
pager_supply_pages(zx_handle_t pager, zx_handle_t pager_vmo, uint64_t offset, uint64_t length, zx_handle_t aux_vmo, uint64_t aux_offset)
port_create(uint32_t options, zx_handle_t *out)
port_queue(zx_handle_t handle, const zx_port_packet_t *packet)
port_wait(zx_handle_t handle, zx_time_t deadline, zx_port_packet_t *packet)
vmar_map(zx_handle_t handle, zx_vm_option_t options, uint64_t vmar_offset, zx_handle_t vmo, uint64_t vmo_offset, uint64_t len, zx_vaddr_t *mapped_addr)
vmar_unmap(zx_handle_t handle, zx_vaddr_t addr, uint64_t len)
vmar_protect(zx_handle_t handle, zx_vm_option_t options, zx_vaddr_t addr, uint64_t len)
thread_create(zx_handle_t process, const char *name, size_t name_size, uint32_t options, zx_handle_t *out)
thread_start(zx_handle_t handle, zx_vaddr_t thread_entry, zx_vaddr_t stack, uintptr_t arg1, uintptr_t arg2)
thread_exit(void)
process_exit(int64_t retcode)
futex_wait(const zx_futex_t *value_ptr, zx_futex_t current_value, zx_handle_t new_futex_owner, zx_time_t deadline)
futex_wake(const zx_futex_t *value_ptr, uint32_t wake_count)
object_wait_many(zx_wait_item_t *items, size_t num_items, zx_time_t deadline)
object_signal_peer(zx_handle_t handle, uint32_t clear_mask, uint32_t set_mask)
port_cancel(zx_handle_t handle, zx_handle_t source, uint64_t key)
port_cancel_key(zx_handle_t handle, uint32_t options, uint64_t key)
event_create(uint32_t options, zx_handle_t *out)
channel_create(uint32_t options, zx_handle_t *out0, zx_handle_t *out1)
channel_read(zx_handle_t handle, uint32_t options, void *bytes, zx_handle_t *handles, uint32_t num_bytes, uint32_t num_handles, uint32_t *actual_bytes, uint32_t *actual_handles)
channel_write(zx_handle_t handle, uint32_t options, const void *bytes, uint32_t num_bytes, const zx_handle_t *handles, uint32_t num_handles)
job_create(zx_handle_t parent_job, uint32_t options, zx_handle_t *out)
job_set_policy(zx_handle_t handle, uint32_t options, uint32_t topic, const void *policy, uint32_t policy_size)
process_create(zx_handle_t job, const char *name, size_t name_size, uint32_t options, zx_handle_t *proc_handle, zx_handle_t *vmar_handle)
process_start(zx_handle_t handle, zx_handle_t thread, zx_vaddr_t entry, zx_vaddr_t stack, zx_handle_t arg1, uintptr_t arg2)
task_kill(zx_handle_t handle)
task_suspend(zx_handle_t handle, zx_handle_t *token)
task_create_exception_channel(zx_handle_t handle, uint32_t options, zx_handle_t *out)
exception_get_thread(zx_handle_t handle, zx_handle_t *out)
exception_get_process(zx_handle_t handle, zx_handle_t *out)
thread_read_state(zx_handle_t handle, uint32_t kind, void *buffer, size_t buffer_size)
thread_write_state(zx_handle_t handle, uint32_t kind, const void *buffer, size_t buffer_size)
vmo_get_stream_size(zx_handle_t handle, uint64_t *size)
vmo_set_stream_size(zx_handle_t handle, uint64_t size)
vmo_op_range(zx_handle_t handle, uint32_t op, uint64_t offset, uint64_t size, void *buffer, size_t buffer_size)
vmo_create_contiguous(zx_handle_t bti, size_t size, uint32_t alignment_log2, zx_handle_t *out)
vmo_create_physical(zx_handle_t resource, zx_paddr_t paddr, size_t size, zx_handle_t *out)
vmo_replace_as_executable(zx_handle_t handle, zx_handle_t vmex, zx_handle_t *out)
vmo_set_cache_policy(zx_handle_t handle, uint32_t cache_policy)
vmo_transfer_data(zx_handle_t dst_vmo, uint32_t options, uint64_t offset, uint64_t length, zx_handle_t src_vmo, uint64_t src_offset)
pager_op_range(zx_handle_t pager, uint32_t op, zx_handle_t pager_vmo, uint64_t offset, uint64_t length, uint64_t data)
pager_query_dirty_ranges(zx_handle_t pager, zx_handle_t pager_vmo, uint64_t offset, uint64_t length, void *buffer, size_t buffer_size, size_t *actual, size_t *avail)
pager_query_vmo_stats(zx_handle_t pager, zx_handle_t pager_vmo, uint32_t options, void *buffer, size_t buffer_size)
vmar_allocate(zx_handle_t parent_vmar, zx_vm_option_t options, uint64_t offset, uint64_t size, zx_handle_t *child_vmar, zx_vaddr_t *child_addr)
vmar_destroy(zx_handle_t handle)
vmar_op_range(zx_handle_t handle, uint32_t op, zx_vaddr_t address, uint64_t size, void *buffer, size_t buffer_size)
iommu_create(zx_handle_t resource, uint32_t type, const void *desc, size_t desc_size, zx_handle_t *out)
bti_create(zx_handle_t iommu, uint32_t options, uint64_t bti_id, zx_handle_t *out)
bti_pin(zx_handle_t handle, uint32_t options, zx_handle_t vmo, uint64_t offset, uint64_t size, zx_paddr_t *addrs, size_t num_addrs, zx_handle_t *pmt)
bti_release_quarantine(zx_handle_t handle)
pmt_unpin(zx_handle_t handle)
";

struct Call {
    number: SyscallNumber,
    name: &'static str,
    args: &'static str,
}

impl Call {
    fn args(&self) -> Vec<&'static str> {
        match self.args {
            "void" => Vec::new(),
            args => args.split(", ").collect(),
        }
    }

    /// It does not return.
    fn ends(&self) -> bool {
        matches!(self.name, "thread_exit" | "process_exit")
    }
}

/// Every call, in the order of the numbers.
fn calls() -> Vec<Call> {
    let lines: Vec<&str> = CALLS.split_terminator('\n').collect();
    assert_eq!(lines.len(), SyscallNumber::ALL.len());
    let call = |(line, number): (&&'static str, &SyscallNumber)| {
        let (name, args) = line.split_once('(').unwrap();
        assert_eq!(name, number.name());
        let args = args.strip_suffix(')').unwrap();
        Call {
            number: *number,
            name,
            args,
        }
    };
    lines.iter().zip(SyscallNumber::ALL).map(call).collect()
}

/// `zircon/syscalls.h`.
pub fn prototypes() -> String {
    let mut out = String::from(
        "#ifndef ZIRCON_SYSCALLS_H_\n#define ZIRCON_SYSCALLS_H_\n\n\
         #include <zircon/syscalls/port.h>\n#include <zircon/types.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
    );
    for call in calls() {
        let (name, args) = (call.name, call.args);
        let result = match name {
            "clock_get_monotonic" => "zx_time_t ",
            _ if call.ends() => "__attribute__((__noreturn__)) void ",
            _ => "zx_status_t ",
        };
        let _ = writeln!(out, "{result}zx_{name}({args});");
    }
    out.push_str(
        "\n/* Bytes in a page. */\nstatic inline uint32_t zx_system_get_page_size(void)\n{\n    return ZX_PAGE_SIZE;\n}\n\n\
         /* The time that is `nanoseconds` from now. */\nstatic inline zx_time_t zx_deadline_after(zx_duration_t nanoseconds)\n\
         {\n    zx_time_t now = zx_clock_get_monotonic();\n    \
         return nanoseconds > ZX_TIME_INFINITE - now ? ZX_TIME_INFINITE : now + nanoseconds;\n}\n\n\
         #ifdef __cplusplus\n}\n#endif\n\n#endif\n",
    );
    out
}

/// `syscalls.S`.
pub fn stubs() -> String {
    let mut out = String::from(STUBS);
    for call in calls() {
        let count = call.args().len();
        let _ = writeln!(out, "CALL{count} {}, {}", call.name, call.number as u32);
    }
    out.push_str("\n    .section .note.GNU-stack, \"\", @progbits\n");
    out
}

/// C has arguments in rdi, rsi, rdx, rcx, r8, r9 and on the stack; the calls have them in rdi, rsi, rdx, r10, r8, r9, r12, r13.
const STUBS: &str = "
.macro BEGIN name
    .section .text.zx_\\name, \"ax\", @progbits
    .globl zx_\\name
    .type zx_\\name, @function
zx_\\name:
    .cfi_startproc
.endm

.macro ENTER number
    movl $\\number, %eax
    syscall
.endm

.macro DONE name
    ret
    .cfi_endproc
    .size zx_\\name, . - zx_\\name
.endm

.macro CALL3 name, number
    BEGIN \\name
    ENTER \\number
    DONE \\name
.endm

.macro CALL0 name, number
    CALL3 \\name, \\number
.endm

.macro CALL1 name, number
    CALL3 \\name, \\number
.endm

.macro CALL2 name, number
    CALL3 \\name, \\number
.endm

.macro CALL6 name, number
    BEGIN \\name
    movq %rcx, %r10
    ENTER \\number
    DONE \\name
.endm

.macro CALL4 name, number
    CALL6 \\name, \\number
.endm

.macro CALL5 name, number
    CALL6 \\name, \\number
.endm

/* r12 and r13 are the caller's. */
.macro CALL7 name, number
    BEGIN \\name
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    movq 16(%rsp), %r12
    movq %rcx, %r10
    ENTER \\number
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    DONE \\name
.endm

.macro CALL8 name, number
    BEGIN \\name
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    movq 24(%rsp), %r12
    movq 32(%rsp), %r13
    movq %rcx, %r10
    ENTER \\number
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    DONE \\name
.endm

";

/// `(number of arguments, which of them are pointers)` as the comments in `protocol` have it.
fn documented(comment: &str) -> (usize, Vec<usize>) {
    let inside = comment.split_once('(').unwrap().1;
    let inside = inside.split_once(')').unwrap().0;
    let args: Vec<&str> = inside.split(", ").filter(|arg| !arg.is_empty()).collect();
    let pointers = args
        .iter()
        .enumerate()
        .filter(|(_, arg)| arg.ends_with('*'));
    (args.len(), pointers.map(|(at, _)| at).collect())
}

/// Arguments are as many as `protocol` says, and those it calls pointers are.
#[test]
fn prototypes_agree_with_the_protocol() {
    let source = include_str!("../../../protocol/src/syscall.rs");
    let table = source.split_once("\nsyscalls! {").unwrap().1;
    let comments = table
        .lines()
        .filter(|line| line.trim().starts_with("/// `("));
    let calls = calls();
    let mut checked = 0;
    for (comment, call) in comments.zip(&calls) {
        if call.name == "clock_get_monotonic" {
            continue;
        }
        let (count, pointers) = documented(comment);
        let args = call.args();
        assert_eq!(count, args.len(), "{comment}: {}", call.args);
        for at in pointers {
            assert!(args[at].contains('*'), "{comment}: {}", call.args);
        }
        checked += 1;
    }
    assert_eq!(checked, calls.len() - 1);
}
