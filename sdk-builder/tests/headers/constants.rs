//! The headers that consist of numbers: types, statuses, rights, and those of each group of system calls.

use std::fmt::Write as _;

use protocol::{
    MAX_NAME_LEN, PAGE_SHIFT, PolicyAction, PolicyCondition, Rights, Signals, Status,
    TIME_INFINITE, TIME_INFINITE_PAST, exception, info,
    options::{self, *},
    policy, regs,
};

use crate::{
    constants,
    header::{Header, screaming},
};

pub fn headers() -> Vec<Header> {
    vec![types(), errors(), rights(), iommu(), resource()]
}

/// What `types.h` begins with: names for numbers, and times.
const TYPES: &str = "\
typedef uint32_t zx_handle_t;
typedef int32_t zx_status_t;
typedef uint32_t zx_rights_t;
typedef uint32_t zx_signals_t;
typedef uint32_t zx_obj_type_t;
typedef uint32_t zx_vm_option_t;
typedef uint32_t zx_object_info_topic_t;
typedef uint32_t zx_thread_state_t;
typedef uint32_t zx_excp_type_t;
typedef uint64_t zx_koid_t;
typedef uint64_t zx_off_t;
typedef uintptr_t zx_vaddr_t;
typedef uintptr_t zx_paddr_t;
typedef int32_t zx_futex_t;

/* Nanoseconds since the VM started, and of a length of time. */
typedef int64_t zx_time_t;
typedef int64_t zx_duration_t;
typedef zx_time_t zx_instant_mono_t;
typedef zx_duration_t zx_duration_mono_t;

#define ZX_NSEC(n) ((zx_duration_t)(1LL * (n)))
#define ZX_USEC(n) ((zx_duration_t)(1000LL * (n)))
#define ZX_MSEC(n) ((zx_duration_t)(1000000LL * (n)))
#define ZX_SEC(n) ((zx_duration_t)(1000000000LL * (n)))
#define ZX_MIN(n) (ZX_SEC(n) * 60)
#define ZX_HOUR(n) (ZX_MIN(n) * 60)

/* Options of zx_vmar_map and zx_vmar_allocate: the start is a multiple of 2^n, from 10 to 32. */
#define ZX_VM_ALIGN_BASE 24
#define ZX_VM_ALIGN_4KB ((zx_vm_option_t)(12u << ZX_VM_ALIGN_BASE))
#define ZX_VM_ALIGN_64KB ((zx_vm_option_t)(16u << ZX_VM_ALIGN_BASE))
#define ZX_VM_ALIGN_2MB ((zx_vm_option_t)(21u << ZX_VM_ALIGN_BASE))
#define ZX_VM_ALIGN_1GB ((zx_vm_option_t)(30u << ZX_VM_ALIGN_BASE))
";

fn prefixed(prefix: &'static str) -> impl Fn(&str) -> Option<String> {
    move |name| Some(format!("{prefix}{name}"))
}

fn types() -> Header {
    let mut h = Header::new(
        "zircon/types.h",
        &["stddef.h", "stdint.h", "zircon/errors.h", "zircon/rights.h"],
    );
    h.verbatim(TYPES);
    h.constant("ZX_HANDLE_INVALID", "zx_handle_t", 0);
    h.constant("ZX_KOID_INVALID", "zx_koid_t", 0);
    h.constant("ZX_KOID_FIRST", "zx_koid_t", 1024);
    h.constant("ZX_MAX_NAME_LEN", "size_t", MAX_NAME_LEN as i128);
    h.constant("ZX_PAGE_SHIFT", "uint32_t", PAGE_SHIFT);
    h.constant("ZX_PAGE_SIZE", "uint64_t", protocol::PAGE_SIZE as i128);
    const { assert!(TIME_INFINITE == i64::MAX && TIME_INFINITE_PAST == i64::MIN) };
    h.verbatim("#define ZX_TIME_INFINITE INT64_MAX\n#define ZX_TIME_INFINITE_PAST INT64_MIN");
    h.constants
        .push(("ZX_TIME_INFINITE".into(), TIME_INFINITE.into()));
    h.constants
        .push(("ZX_TIME_INFINITE_PAST".into(), TIME_INFINITE_PAST.into()));
    signals(&mut h);
    h.flags::<VmoOptions>("uint32_t", prefixed("ZX_VMO_"));
    h.flags::<ChildOptions>("uint32_t", prefixed("ZX_VMO_CHILD_"));
    h.numbers("ZX_VMO_OP_", "uint32_t", VmoOp::from_number);
    h.numbers("ZX_CACHE_POLICY_", "uint32_t", CachePolicy::from_number);
    h.flags::<VmOptions>("zx_vm_option_t", prefixed("ZX_VM_"));
    h.numbers("ZX_VMAR_OP_", "uint32_t", VmarOp::from_number);
    h.numbers("ZX_PAGER_OP_", "uint32_t", PagerOp::from_number);
    h.flags::<BtiOptions>("uint32_t", prefixed("ZX_BTI_"));
    h.flags::<WaitAsyncOptions>("uint32_t", prefixed("ZX_WAIT_ASYNC_"));
    h.verbatim("");
    h.constant(
        "ZX_CHANNEL_MAX_MSG_BYTES",
        "uint32_t",
        CHANNEL_MAX_BYTES as i128,
    );
    h.constant(
        "ZX_CHANNEL_MAX_MSG_HANDLES",
        "uint32_t",
        CHANNEL_MAX_HANDLES as i128,
    );
    h.constant(
        "ZX_WAIT_MANY_MAX_ITEMS",
        "size_t",
        WAIT_MANY_MAX_ITEMS as i128,
    );
    constants!(h, "uint32_t", "ZX_", options { CHANNEL_READ_MAY_DISCARD PORT_BIND_TO_INTERRUPT });
    crate::records::in_types(&mut h);
    h
}

fn signals(h: &mut Header) {
    h.flags::<Signals>("zx_signals_t", |name| {
        Some(match name {
            "USER_ALL" => "ZX_USER_SIGNAL_ALL".into(),
            "HANDLE_CLOSED" => "ZX_SIGNAL_HANDLE_CLOSED".into(),
            _ => match name.strip_prefix("USER_") {
                Some(number) => format!("ZX_USER_SIGNAL_{number}"),
                None => format!("ZX_{name}"),
            },
        })
    });
    h.constant("ZX_SIGNAL_NONE", "zx_signals_t", 0);
    for task in ["PROCESS", "THREAD"] {
        let bits = Signals::TASK_TERMINATED.bits();
        h.constant(format!("ZX_{task}_TERMINATED"), "zx_signals_t", bits);
    }
}

/// Every status that has a name.
fn statuses() -> impl Iterator<Item = (i32, &'static str)> {
    (-1000..=0)
        .rev()
        .filter_map(|number| Some((number, Status(number).name()?)))
}

fn errors() -> Header {
    let mut h = Header::new("zircon/errors.h", &["stdint.h"]);
    h.verbatim("typedef int32_t zx_status_t;\n");
    for (number, name) in statuses() {
        h.constant(name, "zx_status_t", number);
    }
    h
}

/// `status.c`: names of statuses for messages.
pub fn status_names() -> String {
    let mut out = String::from(
        "#include <zircon/status.h>\n\nconst char *zx_status_get_string(zx_status_t status)\n{\n    switch (status) {\n",
    );
    for (_, name) in statuses() {
        let _ = writeln!(out, "    case {name}:\n        return \"{name}\";");
    }
    out.push_str("    default:\n        return \"(unknown status)\";\n    }\n}\n");
    out
}

fn rights() -> Header {
    let mut h = Header::new("zircon/rights.h", &["stdint.h"]);
    h.verbatim("typedef uint32_t zx_rights_t;\n");
    h.constant("ZX_RIGHT_NONE", "zx_rights_t", 0);
    h.flags::<Rights>("zx_rights_t", |name| match name {
        "BASIC" => Some("ZX_RIGHTS_BASIC".into()),
        // zvmm's own name for what an exception channel's handle has.
        "EXCEPTION_CHANNEL" => None,
        _ => Some(match name.strip_prefix("DEFAULT_") {
            Some(object) => format!("ZX_DEFAULT_{object}_RIGHTS"),
            None => format!("ZX_RIGHT_{name}"),
        }),
    });
    h
}

fn iommu() -> Header {
    let mut h = Header::new("zircon/syscalls/iommu.h", &["zircon/types.h"]);
    h.verbatim("");
    constants!(h, "uint32_t", "ZX_", options { IOMMU_TYPE_STUB });
    h.constant(
        "ZX_IOMMU_MAX_DESC_LEN",
        "size_t",
        IOMMU_MAX_DESC_LEN as i128,
    );
    h
}

fn resource() -> Header {
    use info::InfoResource;
    let mut h = Header::new("zircon/syscalls/resource.h", &["zircon/types.h"]);
    h.verbatim("typedef uint32_t zx_rsrc_kind_t;\n");
    constants!(h, "zx_rsrc_kind_t", "ZX_RSRC_KIND_", InfoResource { MMIO SYSTEM });
    h.constant(
        "ZX_RSRC_SYSTEM_VMEX_BASE",
        "uint64_t",
        InfoResource::SYSTEM_VMEX as i128,
    );
    h.constant(
        "ZX_RSRC_SYSTEM_IOMMU_BASE",
        "uint64_t",
        InfoResource::SYSTEM_IOMMU as i128,
    );
    h
}

/// Numbers of `syscalls/object.h`.
pub fn object(h: &mut Header) {
    use options::property;
    use protocol::maps;
    h.verbatim("");
    for number in 0..64u32 {
        if let Some(object) = crate::records::object_type(number) {
            let name = screaming(&format!("{object:?}"));
            h.constant(format!("ZX_OBJ_TYPE_{name}"), "zx_obj_type_t", number);
        }
    }
    h.verbatim("");
    macro_rules! topics {
        ($module:ident: $($name:ident)*) => {$(
            let name = stringify!($name).replace("TOPIC_", "ZX_INFO_");
            h.constant(name, "zx_object_info_topic_t", $module::$name);
        )*};
    }
    topics!(info: TOPIC_HANDLE_VALID TOPIC_HANDLE_BASIC TOPIC_RESOURCE TOPIC_BTI TOPIC_JOB_CHILDREN TOPIC_JOB_PROCESSES
        TOPIC_HANDLE_COUNT TOPIC_JOB TOPIC_VMO_V1 TOPIC_VMO_V2 TOPIC_VMO_V3 TOPIC_VMO TOPIC_PROCESS_V1 TOPIC_PROCESS
        TOPIC_THREAD TOPIC_THREAD_EXCEPTION_REPORT_V1 TOPIC_THREAD_EXCEPTION_REPORT);
    topics!(maps: TOPIC_VMAR TOPIC_PROCESS_MAPS_V1 TOPIC_PROCESS_MAPS_V2 TOPIC_PROCESS_MAPS);
    h.verbatim("");
    constants!(h, "uint32_t", "ZX_PROP_", property { NAME REGISTER_GS REGISTER_FS EXCEPTION_STATE VMO_CONTENT_SIZE });
    use info::thread_state;
    constants!(h, "zx_thread_state_t", "ZX_THREAD_STATE_", thread_state { NEW RUNNING SUSPENDED DEAD BLOCKED_EXCEPTION
        BLOCKED_SLEEPING BLOCKED_FUTEX BLOCKED_PORT BLOCKED_WAIT_ONE BLOCKED_WAIT_MANY BLOCKED_PAGER });
    use exception::channel_type;
    constants!(h, "uint32_t", "ZX_EXCEPTION_CHANNEL_TYPE_", channel_type { NONE THREAD PROCESS JOB });
    use info::InfoProcess;
    constants!(h, "uint32_t", "ZX_INFO_PROCESS_FLAG_", InfoProcess { STARTED EXITED });
    constants!(h, "uint32_t", "ZX_INFO_", maps { MAPS_TYPE_ASPACE MAPS_TYPE_VMAR MAPS_TYPE_MAPPING });
    h.flags::<info::VmoInfoFlags>("uint32_t", prefixed("ZX_INFO_VMO_"));
}

/// Numbers of `syscalls/exception.h`.
pub fn exceptions(h: &mut Header) {
    use exception::{kind, state};
    h.verbatim("");
    constants!(h, "zx_excp_type_t", "ZX_EXCP_", kind { GENERAL FATAL_PAGE_FAULT UNDEFINED_INSTRUCTION SW_BREAKPOINT
        HW_BREAKPOINT POLICY_ERROR UNALIGNED_ACCESS });
    constants!(h, "uint32_t", "ZX_EXCEPTION_STATE_", state { TRY_NEXT HANDLED THREAD_EXIT });
    constants!(
        h,
        "uint32_t",
        "ZX_EXCEPTION_",
        exception { CHANNEL_DEBUGGER }
    );
}

/// Numbers of `syscalls/policy.h`.
pub fn policies(h: &mut Header) {
    h.verbatim("");
    constants!(h, "uint32_t", "ZX_", policy { JOB_POL_RELATIVE JOB_POL_ABSOLUTE JOB_POL_BASIC_V1 JOB_POL_TIMER_SLACK
        JOB_POL_BASIC_V2 });
    constants!(h, "uint32_t", "ZX_POL_", policy { OVERRIDE_ALLOW OVERRIDE_DENY });
    h.constant("ZX_POL_MAX", "uint32_t", policy::POLICY_MAX);
    h.numbers("ZX_POL_", "uint32_t", PolicyCondition::from_raw);
    h.numbers("ZX_POL_ACTION_", "uint32_t", PolicyAction::from_raw);
}

/// Numbers of `syscalls/pager.h`.
pub fn pagers(h: &mut Header) {
    h.verbatim("");
    constants!(
        h,
        "uint64_t",
        "ZX_VMO_",
        options {
            DIRTY_RANGE_IS_ZERO
        }
    );
    constants!(
        h,
        "uint64_t",
        "ZX_PAGER_",
        options {
            WRITEBACK_RANGE_IS_ZERO
        }
    );
    constants!(h, "uint32_t", "ZX_PAGER_", options { RESET_VMO_STATS VMO_STATS_MODIFIED });
}

/// Numbers of `syscalls/debug.h`.
pub fn states(h: &mut Header) {
    use regs::state_kind;
    h.verbatim("");
    constants!(h, "uint32_t", "ZX_THREAD_STATE_", state_kind { GENERAL_REGS FP_REGS VECTOR_REGS DEBUG_REGS SINGLE_STEP });
    // In bytes, from the sizes of the records below: VMO_DIRTY_RANGE_SIZE, VMO_STATS_SIZE.
}
