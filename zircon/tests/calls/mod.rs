//! Each call's error rows and sentences, one test each, named after the call and the row.

mod channel;
mod children;
mod clones;
mod debugger;
mod discard;
mod event;
mod futex;
mod handles;
mod info;
mod job;
mod maps;
mod op_range;
mod pager;
mod pager_ops;
mod pager_supply;
pub mod pin;
mod policy;
mod port;
mod port_cancel;
mod process;
mod reclaim;
mod resize;
pub mod resource;
mod slice;
mod stream_mapping;
mod stream_size;
pub mod suspend;
mod task;
mod transfer;
mod transfer_data;
mod vmar;
mod vmar_range;
mod vmar_tree;
mod vmo;
mod wait;
mod wait_many;
mod watch;

use protocol::{PolicyAction, PolicyCondition};
use zircon::JobPolicy;

use crate::common::{PAGE_SIZE, Rights, Status, TestMachine};

/// A pager, a port, and a pager-owned VMO of some pages with key 7.
struct Paged {
    m: TestMachine,
    pager: u32,
    port: u32,
    vmo: u32,
}

fn paged(pages: u64) -> Paged {
    paged_with(pages * PAGE_SIZE, 0)
}

fn paged_with(size: u64, options: u32) -> Paged {
    let mut m = TestMachine::new();
    let (pager, port) = (m.pager_create(), m.port_create());
    let vmo = m.pager_create_vmo(pager, options, port, 7, size).unwrap();
    Paged {
        m,
        pager,
        port,
        vmo,
    }
}

/// A job policy with one entry.
fn policy(condition: PolicyCondition, action: PolicyAction) -> JobPolicy {
    let mut policy = JobPolicy::default();
    policy.fix(condition, action);
    policy
}

/// A handle value that names nothing.
const BAD: u32 = 0xFFFF_FFF3;
