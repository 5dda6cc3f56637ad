//! System-call numbers to calls: arguments get their types here.

use protocol::syscall::SyscallNumber as N;
use protocol::{RawHandle, Rights, Status};

use crate::channel::{ReadArgs, WriteArgs};
use crate::children::ChildArgs;
use crate::handle::Handle;
use crate::ids::ProcessId;
use crate::info::InfoOut;
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::map::MapArgs;
use crate::op::{Body, OK, StepResult};
use crate::pager_ops::PagerOpArgs;
use crate::pin::PinArgs;
use crate::process::StartArgs;
use crate::range_ops::RangeArgs;
use crate::supply::SupplyArgs;
use crate::transfer_data::TransferDataArgs;
use crate::user::AfterCopyIn;
use crate::vmar_range::VmarRangeArgs;

/// Longest `zx_debug_write` in bytes.
const MAX_DEBUG_WRITE: u64 = 64 << 10;

/// Most handles of one `zx_handle_close_many`.
pub(crate) const MAX_CLOSE_MANY: u64 = 1 << 16;

impl Kernel {
    pub(crate) fn dispatch(&mut self, caller: Caller, number: N, args: &[u64; 8]) -> Begin {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = *args;
        let (h0, h1, h2) = (a0 as RawHandle, a1 as RawHandle, a2 as RawHandle);
        match number {
            N::ClockGetMonotonic => Ok(Started::Done(self.now as u64)),
            N::Nanosleep => self.begin_until(caller, Body::Sleep, a0 as i64),
            N::DebugWrite => self.sys_debug_write(caller, a0, a1),
            N::HandleClose => self.sys_handle_close(caller, h0),
            N::HandleCloseMany => self.sys_handle_close_many(caller, a0, a1),
            N::HandleDuplicate => self.sys_handle_duplicate(caller, h0, a1 as u32, a2),
            N::HandleReplace => self.sys_handle_replace(caller, h0, a1 as u32, a2),
            N::ObjectWaitOne => self.sys_object_wait_one(caller, h0, a1 as u32, a2 as i64, a3),
            N::ObjectWaitMany => self.sys_object_wait_many(caller, a0, a1, a2 as i64),
            N::ObjectWaitAsync => {
                self.sys_object_wait_async(caller, h0, h1, a2, a3 as u32, a4 as u32)
            }
            N::ObjectSignal => self.sys_object_signal(caller, h0, a1 as u32, a2 as u32),
            N::ObjectGetInfo => {
                let out = InfoOut {
                    buffer: a2,
                    size: a3,
                    actual: a4,
                    avail: a5,
                };
                self.sys_object_get_info(caller, h0, a1 as u32, out)
            }
            N::ObjectGetProperty => self.sys_object_get_property(caller, h0, a1 as u32, a2, a3),
            N::ObjectSetProperty => self.sys_object_set_property(caller, h0, a1 as u32, a2, a3),
            N::VmoCreate => self.sys_vmo_create(caller, a0, a1 as u32, a2),
            N::VmoRead => self.sys_transfer(caller, h0, a1, a2, a3, false),
            N::VmoWrite => self.sys_transfer(caller, h0, a1, a2, a3, true),
            N::VmoGetSize => self.sys_vmo_get_size(caller, h0, a1),
            N::VmoSetSize => self.sys_vmo_set_size(caller, h0, a1),
            N::VmoOpRange => {
                let (vmo, op) = (h0, a1 as u32);
                let (offset, length, buffer, buffer_size) = (a2, a3, a4, a5);
                let args = RangeArgs {
                    vmo,
                    op,
                    offset,
                    length,
                    buffer,
                    buffer_size,
                };
                self.sys_vmo_op_range(caller, args)
            }
            N::VmoCreateChild => {
                let args = ChildArgs {
                    parent: h0,
                    options: a1 as u32,
                    offset: a2,
                    size: a3,
                    out: a4,
                };
                self.sys_vmo_create_child(caller, args)
            }
            N::PagerCreate => self.sys_pager_create(caller, a0 as u32, a1),
            N::PagerCreateVmo => self.sys_pager_create_vmo(caller, h0, a1 as u32, h2, a3, a4, a5),
            N::PagerDetachVmo => self.sys_pager_detach_vmo(caller, h0, h1),
            N::PagerSupplyPages => {
                let (pager, vmo, aux) = (h0, h1, a4 as RawHandle);
                let args = SupplyArgs {
                    pager,
                    vmo,
                    offset: a2,
                    length: a3,
                    aux,
                    aux_offset: a5,
                };
                self.sys_pager_supply_pages(caller, args)
            }
            N::PagerOpRange => {
                let args = PagerOpArgs {
                    pager: h0,
                    op: a1 as u32,
                    vmo: h2,
                    offset: a3,
                    length: a4,
                    data: a5,
                };
                self.sys_pager_op_range(caller, args)
            }
            N::PagerQueryDirtyRanges => {
                let out = InfoOut {
                    buffer: a4,
                    size: a5,
                    actual: a6,
                    avail: a7,
                };
                self.sys_pager_query_dirty_ranges(caller, (h0, h1), (a2, a3), out)
            }
            N::PagerQueryVmoStats => {
                self.sys_pager_query_vmo_stats(caller, (h0, h1), a2 as u32, a3, a4)
            }
            N::PortCreate => self.sys_port_create(caller, a0 as u32, a1),
            N::PortQueue => self.sys_port_queue(caller, h0, a1),
            N::PortCancel => self.sys_port_cancel(caller, h0, h1, a2),
            N::PortCancelKey => self.sys_port_cancel_key(caller, h0, a1 as u32, a2),
            N::EventCreate => self.sys_event_create(caller, a0 as u32, a1),
            N::PortWait => self.sys_port_wait(caller, h0, a1 as i64, a2),
            N::VmarMap => {
                let (vmar, options, vmo) = (h0, a1 as u32, a3 as RawHandle);
                let (vmar_offset, vmo_offset, length, out) = (a2, a4, a5, a6);
                let args = MapArgs {
                    vmar,
                    options,
                    vmar_offset,
                    vmo,
                    vmo_offset,
                    length,
                    out,
                };
                self.sys_vmar_map(caller, args)
            }
            N::VmarUnmap => self.sys_vmar_unmap(caller, h0, a1, a2),
            N::VmarProtect => self.sys_vmar_protect(caller, h0, a1 as u32, a2, a3),
            N::VmarAllocate => self.sys_vmar_allocate(caller, h0, a1 as u32, (a2, a3), (a4, a5)),
            N::VmarDestroy => self.sys_vmar_destroy(caller, h0),
            N::VmarOpRange => {
                let (vmar, op) = (h0, a1 as u32);
                let (address, length, buffer, buffer_size) = (a2, a3, a4, a5);
                let args = VmarRangeArgs {
                    vmar,
                    op,
                    address,
                    length,
                    buffer,
                    buffer_size,
                };
                self.sys_vmar_op_range(caller, args)
            }
            N::ThreadCreate => self.sys_thread_create(caller, h0, a1, a2, a3 as u32, a4),
            N::ThreadStart => self.sys_thread_start(caller, h0, a1, a2, (a3, a4)),
            N::ThreadExit => self.sys_thread_exit(caller),
            N::ProcessExit => self.sys_process_exit(caller, a0 as i64),
            N::FutexWait => self.sys_futex_wait(caller, a0, a1 as u32, a3 as i64),
            N::FutexWake => self.sys_futex_wake(caller, a0, a1 as u32),
            N::ObjectSignalPeer => self.sys_object_signal_peer(caller, h0, a1 as u32, a2 as u32),
            N::ChannelCreate => self.sys_channel_create(caller, a0 as u32, a1, a2),
            N::ChannelRead => {
                let args = ReadArgs {
                    channel: h0,
                    options: a1 as u32,
                    bytes: a2,
                    handles: a3,
                    byte_count: a4 as u32,
                    handle_count: a5 as u32,
                    actual_bytes: a6,
                    actual_handles: a7,
                };
                self.sys_channel_read(caller, args)
            }
            N::ChannelWrite => {
                let args = WriteArgs {
                    channel: h0,
                    options: a1 as u32,
                    bytes: a2,
                    byte_count: a3 as u32,
                    handles: a4,
                    handle_count: a5 as u32,
                };
                self.sys_channel_write(caller, args)
            }
            N::JobCreate => self.sys_job_create(caller, h0, a1 as u32, a2),
            N::JobSetPolicy => {
                let (options, topic, count) = (a1 as u32, a2 as u32, a4 as u32);
                self.sys_job_set_policy(caller, h0, options, topic, a3, count)
            }
            N::ProcessCreate => self.sys_process_create(caller, h0, (a1, a2), a3 as u32, (a4, a5)),
            N::ProcessStart => {
                let args = StartArgs {
                    process: h0,
                    thread: h1,
                    entry: a2,
                    stack: a3,
                    arg1: a4 as RawHandle,
                    arg2: a5,
                };
                self.sys_process_start(caller, args)
            }
            N::TaskKill => self.sys_task_kill(caller, h0),
            N::TaskSuspend => self.sys_task_suspend(caller, h0, a1),
            N::TaskCreateExceptionChannel => {
                self.sys_task_create_exception_channel(caller, h0, a1 as u32, a2)
            }
            N::ExceptionGetThread => self.sys_exception_get_thread(caller, h0, a1),
            N::ExceptionGetProcess => self.sys_exception_get_process(caller, h0, a1),
            N::ThreadReadState => self.sys_thread_read_state(caller, h0, a1 as u32, a2, a3),
            N::ThreadWriteState => self.sys_thread_write_state(caller, h0, a1 as u32, a2, a3),
            // To come, each by its own line.
            N::VmoGetStreamSize => self.sys_vmo_get_stream_size(caller, h0, a1),
            N::VmoSetStreamSize => self.sys_vmo_set_stream_size(caller, h0, a1),
            N::VmoCreateContiguous => self.sys_vmo_create_contiguous(caller, h0, a1, a2 as u32, a3),
            N::VmoCreatePhysical => self.sys_vmo_create_physical(caller, h0, a1, a2, a3),
            N::VmoReplaceAsExecutable => self.sys_vmo_replace_as_executable(caller, h0, h1, a2),
            N::VmoSetCachePolicy => self.sys_vmo_set_cache_policy(caller, h0, a1 as u32),
            N::VmoTransferData => {
                let args = TransferDataArgs {
                    to: h0,
                    options: a1 as u32,
                    offset: a2,
                    length: a3,
                    from: a4 as u32,
                    from_offset: a5,
                };
                self.sys_vmo_transfer_data(caller, args)
            }
            N::IommuCreate => self.sys_iommu_create(caller, h0, a1 as u32, a3, a4),
            N::BtiCreate => self.sys_bti_create(caller, h0, a1 as u32, a3),
            N::BtiPin => {
                let args = PinArgs {
                    bti: h0,
                    options: a1 as u32,
                    vmo: h2,
                    offset: a3,
                    size: a4,
                    addresses: a5,
                    count: a6,
                    out: a7,
                };
                self.sys_bti_pin(caller, args)
            }
            N::BtiReleaseQuarantine => self.sys_bti_release_quarantine(caller, h0),
            N::PmtUnpin => self.sys_pmt_unpin(caller, h0),
        }
    }

    fn sys_debug_write(&mut self, caller: Caller, buffer: u64, length: u64) -> Begin {
        if length > MAX_DEBUG_WRITE {
            return Err(Status::INVALID_ARGS);
        }
        let then = AfterCopyIn::DebugWrite;
        let body = self.copy_in(caller.process, caller.thread, buffer, length, then);
        self.begin(caller, body, Vec::new())
    }

    fn sys_handle_close(&mut self, caller: Caller, raw: RawHandle) -> Begin {
        if raw != 0 {
            self.close_handle(caller.process, raw)?;
        }
        Ok(Started::Done(0))
    }

    fn sys_handle_close_many(&mut self, caller: Caller, handles: u64, count: u64) -> Begin {
        if count > MAX_CLOSE_MANY {
            return Err(Status::INVALID_ARGS);
        }
        let then = AfterCopyIn::HandleCloseMany;
        let body = self.copy_in(caller.process, caller.thread, handles, count * 4, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_handle_close_many`: closes all it can.
    pub(crate) fn close_many(&mut self, process: ProcessId, bytes: &[u8]) -> StepResult {
        let mut result = Ok(());
        for raw in bytes.as_chunks().0 {
            let raw = RawHandle::from_le_bytes(*raw);
            if raw != 0 {
                result = result.and(self.close_handle(process, raw));
            }
        }
        result.and(OK)
    }

    fn sys_handle_duplicate(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        rights: u32,
        out: u64,
    ) -> Begin {
        let handle = self.handle(caller.process, raw)?;
        crate::handle::require(handle.rights, Rights::DUPLICATE)?;
        let rights = subset(handle, rights)?;
        self.return_handle(caller, handle.object, rights, out)
    }

    /// The source handle is consumed even when the new rights are refused.
    fn sys_handle_replace(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        rights: u32,
        out: u64,
    ) -> Begin {
        // It makes room for the new handle, and keeps the object alive until that is there.
        let handle = self.take_handle(caller.process, raw)?;
        let begun = match subset(handle, rights) {
            Ok(rights) => self.return_handle(caller, handle.object, rights, out),
            Err(status) => Err(status),
        };
        self.discard([handle]);
        begun
    }
}

/// The rights asked for, if the handle has them all: INVALID_ARGS otherwise.
fn subset(handle: Handle, rights: u32) -> Result<Rights, Status> {
    let rights = Rights::from_bits_retain(rights);
    if rights == Rights::SAME_RIGHTS {
        return Ok(handle.rights);
    }
    if handle.rights.contains(rights) {
        Ok(rights)
    } else {
        Err(Status::INVALID_ARGS)
    }
}
