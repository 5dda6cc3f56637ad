//! Memory of programs: finding what is behind an address, touching it, and copying call data in and out.

use protocol::options::VmoOptions;
use protocol::{PAGE_SIZE, RawHandle, Status};

use crate::channel::WriteArgs;
use crate::ids::{ProcessId, ThreadId, Token, VmarId, VmoId};
use crate::kernel::{Caller, Kernel};
use crate::look::Seen;
use crate::memory::{MemoryOp, MemoryResult};
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::policy::PolicyEntries;
use crate::ready::{Need, Ready};
use crate::vmo::VmoKind;
use crate::work::{Access, Work};

/// What stands behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserRun {
    /// The VMO that holds the pages (never a slice).
    pub vmo: VmoId,
    /// Byte offset there.
    pub offset: u64,
    /// Bytes up to the end of the mapping, of the VMO, or of what was asked for.
    pub length: u64,
}

/// Copies bytes of a program into the core, then goes on with the call.
#[derive(Clone, Debug)]
pub(crate) struct CopyIn {
    pub process: ProcessId,
    pub thread: ThreadId,
    pub address: u64,
    pub length: u64,
    pub bytes: Vec<u8>,
    pub then: AfterCopyIn,
}

impl CopyIn {
    fn caller(&self) -> Caller {
        Caller {
            process: self.process,
            thread: self.thread,
        }
    }
}

/// The call that needed the bytes.
#[derive(Clone, Debug)]
pub(crate) enum AfterCopyIn {
    /// The bytes of `zx_channel_write`; its handles follow.
    ChannelBytes(WriteArgs),
    ChannelHandles {
        channel: RawHandle,
        bytes: Vec<u8>,
    },
    /// The handles of a `zx_channel_write` that has failed with this status.
    CloseRefused(Status),
    DebugWrite,
    HandleCloseMany,
    JobSetPolicy(PolicyEntries),
    ProcessCreate {
        job: RawHandle,
        outs: (u64, u64),
    },
    WriteState {
        thread: RawHandle,
    },
    PortQueue {
        port: RawHandle,
    },
    WaitMany {
        items: u64,
    },
    SetProperty {
        handle: RawHandle,
        property: u32,
    },
    ThreadCreate {
        process: RawHandle,
        out: u64,
    },
}

/// Copies results to a program and ends the call.
#[derive(Clone, Debug)]
pub(crate) struct CopyOut {
    pub process: ProcessId,
    /// (address, bytes), written front to back.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// What the call returns once all is written.
    pub value: Status,
    pub undo: Undo,
}

/// What to take back if results cannot be written.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    Nothing,
    /// Close the handle that nobody learned of.
    Handle(ProcessId, RawHandle),
    /// Likewise several.
    Handles(ProcessId, Vec<RawHandle>),
    /// Take back the lock of a VMO, whose pages had been discarded or not.
    Lock(VmoId, bool),
    /// Unpin what nobody learned of.
    Pin(ProcessId, RawHandle),
    /// Unmap the mapping that nobody learned of.
    Mapping(ProcessId, u64, u64),
    /// Destroy the VMAR, and close the handle to it, that nobody learned of.
    Vmar(ProcessId, RawHandle, VmarId),
}

impl Kernel {
    /// What stands behind `address`: NOT_FOUND without a mapping, ACCESS_DENIED without permission, OUT_OF_RANGE past
    /// the end of the VMO, or of its stream.
    pub(crate) fn user_run(
        &self,
        process: ProcessId,
        address: u64,
        length: u64,
        access: Access,
    ) -> Result<UserRun, Status> {
        let mapping = self.mapping_at(process, address).ok_or(Status::NOT_FOUND)?;
        if !mapping.permits(access) {
            return Err(Status::ACCESS_DENIED);
        }
        let into = address - mapping.base;
        let offset = mapping.vmo_offset + into;
        let reach = self.reach(&mapping);
        if offset >= reach {
            return Err(Status::OUT_OF_RANGE);
        }
        let length = length.min(mapping.length - into).min(reach - offset);
        let (vmo, offset) = self.root(mapping.vmo, offset);
        Ok(UserRun {
            vmo,
            offset,
            length,
        })
    }

    /// A touch through a mapping. Zero pages come ahead of a sequential toucher.
    pub(crate) fn step_fault(
        &mut self,
        token: Token,
        op: &mut Op,
        process: ProcessId,
        address: u64,
        access: Access,
    ) -> StepResult {
        op.take_reply()?;
        if let Some(error) = op.error.take() {
            return Err(error);
        }
        let run = self.user_run(process, address, 1, access)?;
        let page = run.offset / PAGE_SIZE;
        let (seen, _) = self.look(run.vmo, page, 1);
        let vmo = self.vmos.get_mut(&run.vmo).ok_or(Status::BAD_STATE)?;
        let ahead = match seen {
            Seen::Zero(_, _, PageState::Zero) if access == Access::Write => 1,
            Seen::Nothing | Seen::Zero(_, _, PageState::Zero) => {
                vmo.faults.plan(page, 1).min(vmo.page_count() - page)
            }
            _ => 1,
        };
        // Nothing that is needed goes for what may be needed.
        let ahead = if ahead > self.room_left() { 1 } else { ahead };
        match self.prepare(
            token,
            run.vmo,
            page * PAGE_SIZE,
            ahead * PAGE_SIZE,
            Need::touch(access),
        )? {
            Ready::Present(_) | Ready::Zeros(_) => {
                if access == Access::Write {
                    self.note_modified(run.vmo);
                }
                Ok(Step::Done(0))
            }
            Ready::Wait(waiting) => Ok(Step::Wait(waiting)),
        }
    }

    /// Starts copying call data in; the length is at most a few pages.
    pub(crate) fn copy_in(
        &self,
        process: ProcessId,
        thread: ThreadId,
        address: u64,
        length: u64,
        then: AfterCopyIn,
    ) -> Body {
        Body::CopyIn(CopyIn {
            process,
            thread,
            address,
            length,
            bytes: Vec::new(),
            then,
        })
    }

    pub(crate) fn step_copy_in(
        &mut self,
        token: Token,
        op: &mut Op,
        copy: &mut CopyIn,
    ) -> StepResult {
        let result = self.go_on_copying_in(token, op, copy);
        result.or_else(|status| match &copy.then {
            // Its handles are consumed whatever is wrong with its bytes.
            AfterCopyIn::ChannelBytes(args) => {
                let caller = copy.caller();
                Ok(Step::Become(self.consume_handles(caller, *args, status)))
            }
            AfterCopyIn::CloseRefused(first) => Err(*first),
            _ => Err(status),
        })
    }

    fn go_on_copying_in(&mut self, token: Token, op: &mut Op, copy: &mut CopyIn) -> StepResult {
        // A pointer that cannot be read, for whatever reason, is an invalid argument.
        let invalid = |_| Status::INVALID_ARGS;
        if let Some(MemoryResult::Bytes(bytes)) = op.take_reply()? {
            copy.bytes.extend(bytes);
        }
        if op.error.take().is_some() {
            return Err(Status::INVALID_ARGS);
        }
        loop {
            let done = copy.bytes.len() as u64;
            if done >= copy.length {
                return self.copied_in(copy);
            }
            let address = copy.address.checked_add(done).ok_or(Status::INVALID_ARGS)?;
            let run = self
                .user_run(copy.process, address, copy.length - done, Access::Read)
                .map_err(invalid)?;
            match self
                .prepare(token, run.vmo, run.offset, run.length, Need::READ)
                .map_err(invalid)?
            {
                Ready::Zeros(zeros) => copy.bytes.resize((done + zeros) as usize, 0),
                Ready::Wait(waiting) => return Ok(Step::Wait(waiting)),
                Ready::Present(present) => {
                    let length = present as usize;
                    self.emit(
                        Some(token),
                        MemoryOp::Read {
                            vmo: run.vmo,
                            offset: run.offset,
                            length,
                        },
                    );
                    return Ok(Step::Wait(Waiting::Memory));
                }
            }
        }
    }

    fn copied_in(&mut self, copy: &mut CopyIn) -> StepResult {
        let bytes = std::mem::take(&mut copy.bytes);
        let caller = copy.caller();
        match std::mem::replace(&mut copy.then, AfterCopyIn::DebugWrite) {
            AfterCopyIn::ChannelBytes(args) => self.channel_bytes(caller, args, bytes),
            AfterCopyIn::ChannelHandles {
                channel,
                bytes: message,
            } => self.channel_handles(caller, channel, message, &bytes),
            AfterCopyIn::CloseRefused(status) => {
                // A value that names nothing is no further error.
                let _ = self.close_many(copy.process, &bytes);
                Err(status)
            }
            AfterCopyIn::DebugWrite => {
                self.work.push_back(Work::DebugWrite(bytes));
                Ok(Step::Done(0))
            }
            AfterCopyIn::HandleCloseMany => self.close_many(copy.process, &bytes),
            AfterCopyIn::JobSetPolicy(entries) => self.set_policy(copy.process, entries, &bytes),
            AfterCopyIn::PortQueue { port } => self.queue_user(caller, port, &bytes),
            AfterCopyIn::ProcessCreate { job, outs } => {
                self.create_user_process(copy.process, job, &bytes, outs)
            }
            AfterCopyIn::WriteState { thread } => self.write_state(copy.process, thread, &bytes),
            AfterCopyIn::WaitMany { items } => self.wait_many(copy.process, items, &bytes),
            AfterCopyIn::SetProperty { handle, property } => {
                self.set_property(copy.process, copy.thread, handle, property, &bytes)
            }
            AfterCopyIn::ThreadCreate { process, out } => {
                self.create_user_thread(copy.process, process, &bytes, out)
            }
        }
    }

    /// Results for the program: the call returns ZX_OK once they are written.
    pub(crate) fn copy_out(
        &self,
        process: ProcessId,
        address: u64,
        bytes: &[u8],
        undo: Undo,
    ) -> Body {
        let writes = vec![(address, bytes.to_vec())];
        Body::CopyOut(CopyOut {
            process,
            writes,
            value: Status::OK,
            undo,
        })
    }

    pub(crate) fn step_copy_out(
        &mut self,
        token: Token,
        op: &mut Op,
        copy: &mut CopyOut,
    ) -> StepResult {
        op.take_reply()?;
        if op.error.take().is_some() {
            return Err(Status::INVALID_ARGS);
        }
        let Some((address, bytes)) = copy.writes.first_mut() else {
            return Ok(Step::Done(copy.value.to_register()));
        };
        let length = bytes.len() as u64;
        let invalid = |_| Status::INVALID_ARGS;
        let run = self
            .user_run(copy.process, *address, length, Access::Write)
            .map_err(invalid)?;
        match self
            .prepare(token, run.vmo, run.offset, run.length, Need::WRITE)
            .map_err(invalid)?
        {
            Ready::Wait(waiting) => Ok(Step::Wait(waiting)),
            Ready::Present(present) | Ready::Zeros(present) => {
                let rest = bytes.split_off(present.min(length) as usize);
                let now = std::mem::replace(bytes, rest);
                *address += present;
                if bytes.is_empty() {
                    copy.writes.remove(0);
                }
                self.emit(
                    Some(token),
                    MemoryOp::Write {
                        vmo: run.vmo,
                        offset: run.offset,
                        bytes: now,
                    },
                );
                Ok(Step::Wait(Waiting::Memory))
            }
        }
    }

    /// Takes back what a call made whose results could not be written.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Handle(process, handle) => {
                // The program may have guessed the value and closed it: then there is nothing left to do.
                let _ = self.close_handle(*process, *handle);
            }
            Undo::Handles(process, handles) => {
                for handle in handles {
                    let _ = self.close_handle(*process, *handle);
                }
            }
            Undo::Lock(vmo, discarded) => self.unlock(*vmo, *discarded),
            Undo::Pin(process, handle) => self.unpin_handle(*process, *handle),
            Undo::Mapping(process, address, length) => {
                self.remove_mappings(*process, *address, *length)
            }
            Undo::Vmar(process, handle, vmar) => {
                let place = self
                    .live_vmar(*vmar)
                    .map(|vmar| (vmar.process, vmar.base, vmar.size));
                if let Ok((owner, base, size)) = place {
                    self.destroy_vmar(*vmar);
                    self.remove_mappings(owner, base, size);
                }
                let _ = self.close_handle(*process, *handle);
            }
        }
    }

    /// The VMO that holds the pages behind a byte of `vmo`, and the byte's offset there.
    pub(crate) fn root(&self, mut vmo: VmoId, mut offset: u64) -> (VmoId, u64) {
        loop {
            match self.vmos.get(&vmo).map(|vmo| &vmo.kind) {
                Some(
                    VmoKind::Slice {
                        owner,
                        offset: start,
                    }
                    | VmoKind::Physical {
                        region: owner,
                        offset: start,
                    },
                ) => {
                    offset += start;
                    vmo = *owner;
                }
                Some(VmoKind::Reference { owner }) => vmo = *owner,
                _ => return (vmo, offset),
            }
        }
    }

    /// The VMO whose sizes are those of `id`: a reference has none of its own.
    pub(crate) fn sized(&self, id: VmoId) -> VmoId {
        match self.vmos.get(&id).map(|vmo| &vmo.kind) {
            Some(VmoKind::Reference { owner }) => *owner,
            _ => id,
        }
    }

    /// Bytes of a VMO.
    pub(crate) fn size(&self, id: VmoId) -> u64 {
        self.vmos.get(&self.sized(id)).map_or(0, |vmo| vmo.size)
    }

    /// Whether a VMO's root belongs to a pager.
    pub(crate) fn is_pager_backed(&self, vmo: VmoId) -> bool {
        let (root, _) = self.root(vmo, 0);
        self.vmos
            .get(&root)
            .is_some_and(|vmo| vmo.source().is_some())
    }

    /// Options of the VMO that holds the pages.
    pub(crate) fn options(&self, vmo: VmoId) -> VmoOptions {
        self.vmos
            .get(&vmo)
            .map_or(VmoOptions::empty(), |vmo| vmo.options)
    }
}
