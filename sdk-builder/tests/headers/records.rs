//! The headers with records. A record's C text is made from declarations that stand beside the fields of its Rust type: a
//! field that is forgotten does not compile, and one in another place or of another size is found by the C compiler.

use protocol::{
    GeneralRegs, ObjectType, WaitItem,
    exception::{ExceptionInfo, ExceptionReport},
    info::*,
    maps::{InfoMaps, InfoMapsMapping, InfoVmar},
    options::{VMO_DIRTY_RANGE_SIZE, VMO_STATS_SIZE},
    policy::{PolicyBasicV1, PolicyBasicV2},
};

use crate::header::Header;

/// The name that a declaration declares.
fn declared(declaration: &str) -> &str {
    let name = declaration.rsplit(' ').next().unwrap_or_default();
    name.split('[').next().unwrap_or_default()
}

/// Checks places and sizes of fields: `field: "path in C"`.
#[macro_export]
macro_rules! layout {
    ($h:ident, $c:literal, $rust:ident { $($field:ident: $path:expr,)* }) => {
        $h.layouts.push((format!("sizeof({})", $c), ::core::mem::size_of::<$rust>()));
        let whole = $rust::default();
        let $rust { $($field,)* } = &whole;
        $(
            let path = $path;
            $h.layouts.push((format!("offsetof({}, {path})", $c), ::core::mem::offset_of!($rust, $field)));
            $h.layouts.push((format!("sizeof((({} *)0)->{path})", $c), ::core::mem::size_of_val($field)));
        )*
    };
}

/// A record whose fields stand in C as they do in Rust: `field: "declaration in C"`.
macro_rules! record {
    ($h:ident, $c:literal, $rust:ident { $($field:ident: $declaration:literal,)* }) => {{
        let tag = $c.trim_end_matches("_t");
        let fields = [$($declaration),*].map(|field| format!("    {field};\n")).concat();
        $h.verbatim(format!("typedef struct {tag} {{\n{fields}}} {};", $c));
        layout!($h, $c, $rust { $($field: declared($declaration),)* });
    }};
}

pub fn headers() -> Vec<Header> {
    vec![object(), pager(), policy(), exception(), debug()]
}

/// All kinds of objects; a test counts them.
const OBJECTS: [ObjectType; 16] = [
    ObjectType::None,
    ObjectType::Process,
    ObjectType::Thread,
    ObjectType::Vmo,
    ObjectType::Channel,
    ObjectType::Event,
    ObjectType::Port,
    ObjectType::Resource,
    ObjectType::Job,
    ObjectType::Vmar,
    ObjectType::Iommu,
    ObjectType::Bti,
    ObjectType::Pmt,
    ObjectType::SuspendToken,
    ObjectType::Pager,
    ObjectType::Exception,
];

pub fn object_type(number: u32) -> Option<ObjectType> {
    let mut all = OBJECTS.into_iter();
    all.find(|&object| object as u32 == number)
}

#[test]
fn no_object_is_left_out() {
    let source = include_str!("../../../protocol/src/object.rs");
    let variants = source
        .lines()
        .filter(|line| line.trim().ends_with(',') && line.contains(" = "));
    assert_eq!(variants.count(), OBJECTS.len());
}

/// Records of `types.h`.
pub fn in_types(h: &mut Header) {
    record!(
        h,
        "zx_wait_item_t",
        WaitItem {
            handle: "zx_handle_t handle",
            waitfor: "zx_signals_t waitfor",
            pending: "zx_signals_t pending",
        }
    );
    record!(
        h,
        "zx_vmo_lock_state_t",
        VmoLockState {
            offset: "uint64_t offset",
            size: "uint64_t size",
            discarded_offset: "uint64_t discarded_offset",
            discarded_size: "uint64_t discarded_size",
        }
    );
}

fn object() -> Header {
    let mut h = Header::new("zircon/syscalls/object.h", &["zircon/types.h"]);
    crate::constants::object(&mut h);
    record!(
        h,
        "zx_info_handle_basic_t",
        InfoHandleBasic {
            koid: "zx_koid_t koid",
            rights: "zx_rights_t rights",
            object_type: "zx_obj_type_t type",
            related_koid: "zx_koid_t related_koid",
            reserved: "uint32_t reserved",
            padding: "uint8_t padding1[4]",
        }
    );
    tasks(&mut h);
    vmo(&mut h);
    maps(&mut h);
    record!(
        h,
        "zx_info_resource_t",
        InfoResource {
            kind: "uint32_t kind",
            flags: "uint32_t flags",
            base: "uint64_t base",
            size: "uint64_t size",
            name: "char name[ZX_MAX_NAME_LEN]",
        }
    );
    record!(
        h,
        "zx_info_bti_t",
        InfoBti {
            minimum_contiguity: "uint64_t minimum_contiguity",
            aspace_size: "uint64_t aspace_size",
            pmo_count: "uint64_t pmo_count",
            quarantine_count: "uint64_t quarantine_count",
        }
    );
    h
}

fn tasks(h: &mut Header) {
    record!(
        h,
        "zx_info_job_t",
        InfoJob {
            return_code: "int64_t return_code",
            exited: "uint8_t exited",
            kill_on_oom: "uint8_t kill_on_oom",
            debugger_attached: "uint8_t debugger_attached",
            padding: "uint8_t padding1[5]",
        }
    );
    record!(
        h,
        "zx_info_process_t",
        InfoProcess {
            return_code: "int64_t return_code",
            start_time: "zx_time_t start_time",
            flags: "uint32_t flags",
            padding: "uint8_t padding1[4]",
        }
    );
    h.verbatim("typedef struct zx_cpu_set {\n    uint64_t mask[8];\n} zx_cpu_set_t;");
    record!(
        h,
        "zx_info_thread_t",
        InfoThread {
            state: "zx_thread_state_t state",
            wait_exception_channel_type: "uint32_t wait_exception_channel_type",
            cpu_affinity_mask: "zx_cpu_set_t cpu_affinity_mask",
        }
    );
}

fn vmo(h: &mut Header) {
    record!(
        h,
        "zx_info_vmo_t",
        InfoVmo {
            koid: "zx_koid_t koid",
            name: "char name[ZX_MAX_NAME_LEN]",
            size_bytes: "uint64_t size_bytes",
            parent_koid: "zx_koid_t parent_koid",
            num_children: "uint64_t num_children",
            num_mappings: "uint64_t num_mappings",
            share_count: "uint64_t share_count",
            flags: "uint32_t flags",
            padding1: "uint8_t padding1[4]",
            committed_bytes: "uint64_t committed_bytes",
            handle_rights: "zx_rights_t handle_rights",
            cache_policy: "uint32_t cache_policy",
            metadata_bytes: "uint64_t metadata_bytes",
            committed_change_events: "uint64_t committed_change_events",
            populated_bytes: "uint64_t populated_bytes",
            committed_private_bytes: "uint64_t committed_private_bytes",
            populated_private_bytes: "uint64_t populated_private_bytes",
            committed_scaled_bytes: "uint64_t committed_scaled_bytes",
            populated_scaled_bytes: "uint64_t populated_scaled_bytes",
            committed_fractional_scaled_bytes: "uint64_t committed_fractional_scaled_bytes",
            populated_fractional_scaled_bytes: "uint64_t populated_fractional_scaled_bytes",
        }
    );
}

fn maps(h: &mut Header) {
    record!(
        h,
        "zx_info_vmar_t",
        InfoVmar {
            base: "zx_vaddr_t base",
            len: "size_t len",
        }
    );
    record!(
        h,
        "zx_info_maps_mapping_t",
        InfoMapsMapping {
            mmu_flags: "zx_vm_option_t mmu_flags",
            padding: "uint8_t padding1[4]",
            vmo_koid: "zx_koid_t vmo_koid",
            vmo_offset: "uint64_t vmo_offset",
            committed_bytes: "uint64_t committed_bytes",
            populated_bytes: "uint64_t populated_bytes",
            committed_private_bytes: "uint64_t committed_private_bytes",
            populated_private_bytes: "uint64_t populated_private_bytes",
            committed_scaled_bytes: "uint64_t committed_scaled_bytes",
            populated_scaled_bytes: "uint64_t populated_scaled_bytes",
            committed_fractional_scaled_bytes: "uint64_t committed_fractional_scaled_bytes",
            populated_fractional_scaled_bytes: "uint64_t populated_fractional_scaled_bytes",
        }
    );
    h.verbatim(
        "typedef uint32_t zx_info_maps_type_t;\n\n\
         typedef struct zx_info_maps {\n    char name[ZX_MAX_NAME_LEN];\n    zx_vaddr_t base;\n    size_t size;\n    \
         size_t depth;\n    zx_info_maps_type_t type;\n    uint8_t padding1[4];\n    union {\n        \
         zx_info_maps_mapping_t mapping;\n    } u;\n} zx_info_maps_t;",
    );
    layout!(
        h,
        "zx_info_maps_t",
        InfoMaps {
            name: "name",
            base: "base",
            size: "size",
            depth: "depth",
            kind: "type",
            padding: "padding1",
            mapping: "u.mapping",
        }
    );
}

fn pager() -> Header {
    let mut h = Header::new("zircon/syscalls/pager.h", &["zircon/types.h"]);
    crate::constants::pagers(&mut h);
    h.verbatim(
        "typedef struct zx_vmo_dirty_range {\n    uint64_t offset;\n    uint64_t length;\n    uint64_t options;\n\
         } zx_vmo_dirty_range_t;\n\n\
         typedef struct zx_pager_vmo_stats {\n    uint32_t modified;\n} zx_pager_vmo_stats_t;",
    );
    let sizes = [
        ("sizeof(zx_vmo_dirty_range_t)", VMO_DIRTY_RANGE_SIZE),
        ("sizeof(zx_pager_vmo_stats_t)", VMO_STATS_SIZE),
    ];
    h.layouts
        .extend(sizes.map(|(what, size)| (what.into(), size as usize)));
    h
}

fn policy() -> Header {
    let mut h = Header::new("zircon/syscalls/policy.h", &["zircon/types.h"]);
    crate::constants::policies(&mut h);
    record!(
        h,
        "zx_policy_basic_v1_t",
        PolicyBasicV1 {
            condition: "uint32_t condition",
            action: "uint32_t policy",
        }
    );
    record!(
        h,
        "zx_policy_basic_v2_t",
        PolicyBasicV2 {
            condition: "uint32_t condition",
            action: "uint32_t action",
            flags: "uint32_t flags",
        }
    );
    h
}

fn exception() -> Header {
    let mut h = Header::new("zircon/syscalls/exception.h", &["zircon/types.h"]);
    crate::constants::exceptions(&mut h);
    record!(
        h,
        "zx_exception_info_t",
        ExceptionInfo {
            pid: "zx_koid_t pid",
            tid: "zx_koid_t tid",
            kind: "zx_excp_type_t type",
            padding: "uint8_t padding1[4]",
        }
    );
    h.verbatim(
        "typedef struct zx_x86_64_exc_data {\n    uint64_t vector;\n    uint64_t err_code;\n    uint64_t cr2;\n\
         } zx_x86_64_exc_data_t;\n\n\
         typedef struct zx_exception_header {\n    uint32_t size;\n    zx_excp_type_t type;\n} zx_exception_header_t;\n\n\
         typedef struct zx_exception_context {\n    struct {\n        union {\n            zx_x86_64_exc_data_t x86_64;\n        \
         } u;\n    } arch;\n    uint32_t synth_code;\n    uint32_t synth_data;\n} zx_exception_context_t;\n\n\
         typedef struct zx_exception_report {\n    zx_exception_header_t header;\n    zx_exception_context_t context;\n\
         } zx_exception_report_t;",
    );
    layout!(
        h,
        "zx_exception_report_t",
        ExceptionReport {
            size: "header.size",
            kind: "header.type",
            vector: "context.arch.u.x86_64.vector",
            err_code: "context.arch.u.x86_64.err_code",
            cr2: "context.arch.u.x86_64.cr2",
            synth_code: "context.synth_code",
            synth_data: "context.synth_data",
        }
    );
    h
}

fn debug() -> Header {
    let mut h = Header::new("zircon/syscalls/debug.h", &["zircon/types.h"]);
    crate::constants::states(&mut h);
    macro_rules! registers {
        ($($name:ident)*) => {{
            let fields = [$(stringify!($name)),*].map(|name| format!("    uint64_t {name};\n")).concat();
            h.verbatim(format!(
                "typedef struct zx_thread_state_general_regs {{\n{fields}}} zx_thread_state_general_regs_t;"
            ));
            layout!(h, "zx_thread_state_general_regs_t", GeneralRegs { $($name: stringify!($name),)* });
        }};
    }
    registers!(rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags fs_base gs_base);
    h
}
