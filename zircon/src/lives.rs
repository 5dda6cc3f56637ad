//! Handles of processes, and the lives of objects: what a handle keeps, and what ends with the last one.
//!
//! Pagers, ports, events and threads live by their handles. A VMO lives by its references: handles, mappings, children and
//! operations. Processes live as long as what belongs to them, jobs by their handles and what belongs to them, VMARs until
//! they are destroyed.

use std::collections::VecDeque;

use protocol::{RawHandle, Rights, Status};

use crate::handle::{FromObject, Handle};
use crate::header::Header;
use crate::ids::{ObjectRef, ProcessId, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::memory::Storage;
use crate::op::{Body, Step, StepResult};
use crate::user::{CopyOut, Undo};
use crate::vmo::Vmo;
use crate::work::Work;

impl Kernel {
    pub(crate) fn handle(&self, process: ProcessId, raw: RawHandle) -> Result<Handle, Status> {
        self.processes
            .get(&process)
            .ok_or(Status::BAD_HANDLE)?
            .handles
            .get(raw)
    }

    /// A handle of the wanted type and rights: BAD_HANDLE, then WRONG_TYPE, then ACCESS_DENIED.
    pub(crate) fn typed<T: FromObject>(
        &self,
        process: ProcessId,
        raw: RawHandle,
        rights: Rights,
    ) -> Result<(T, Rights), Status> {
        self.processes
            .get(&process)
            .ok_or(Status::BAD_HANDLE)?
            .handles
            .typed(raw, rights)
    }

    /// Gives a process a handle to an object.
    pub fn give_handle(
        &mut self,
        process: ProcessId,
        object: ObjectRef,
        rights: Rights,
    ) -> Result<RawHandle, Status> {
        let owner = self.processes.get_mut(&process).ok_or(Status::BAD_STATE)?;
        let raw = owner.handles.insert(Handle { object, rights })?;
        if let Some(header) = self.header_mut(object) {
            header.handles += 1;
        }
        if let ObjectRef::Vmo(id) = object {
            self.hold(id);
        }
        Ok(raw)
    }

    /// A new handle as a call's result; if it cannot be written the handle is closed again.
    pub(crate) fn return_handle(
        &mut self,
        caller: Caller,
        object: ObjectRef,
        rights: Rights,
        out: u64,
    ) -> Begin {
        let Step::Become(body) = self.handle_to_user(caller.process, object, rights, out)? else {
            return Err(Status::INTERNAL);
        };
        self.begin(caller, body, Vec::new())
    }

    pub(crate) fn handle_to_user(
        &mut self,
        process: ProcessId,
        object: ObjectRef,
        rights: Rights,
        out: u64,
    ) -> StepResult {
        let given = self.give_handle(process, object, rights);
        let raw = match given {
            Ok(raw) => raw,
            Err(status) => {
                self.drop_unreferenced(object);
                return Err(status);
            }
        };
        Ok(Step::Become(Body::CopyOut(CopyOut {
            process,
            writes: vec![(out, raw.to_le_bytes().to_vec())],
            value: Status::OK,
            undo: Undo::Handle(process, raw),
        })))
    }

    /// New handles as a call's results, each with where it goes; if they cannot be written all are closed again.
    pub(crate) fn handles_to_user(
        &mut self,
        process: ProcessId,
        objects: &[(ObjectRef, Rights, u64)],
    ) -> Result<CopyOut, Status> {
        let mut given = Vec::new();
        let mut writes = Vec::new();
        let mut result = Ok(());
        for &(object, rights, out) in objects {
            match self.give_handle(process, object, rights) {
                Ok(raw) => {
                    given.push(raw);
                    writes.push((out, raw.to_le_bytes().to_vec()));
                }
                Err(status) => {
                    self.drop_unreferenced(object);
                    result = Err(status);
                }
            }
        }
        let undo = Undo::Handles(process, given);
        if let Err(status) = result {
            self.undo(&undo);
            return Err(status);
        }
        Ok(CopyOut {
            process,
            writes,
            value: Status::OK,
            undo,
        })
    }

    /// Closes a handle.
    pub(crate) fn close_handle(
        &mut self,
        process: ProcessId,
        raw: RawHandle,
    ) -> Result<(), Status> {
        let handle = self.take_handle(process, raw)?;
        self.discard([handle]);
        Ok(())
    }

    /// Takes a handle away from a process: waits through it end, its object stays.
    pub(crate) fn take_handle(
        &mut self,
        process: ProcessId,
        raw: RawHandle,
    ) -> Result<Handle, Status> {
        let owner = self.processes.get_mut(&process).ok_or(Status::BAD_HANDLE)?;
        let handle = owner.handles.remove(raw)?;
        self.close_observers(handle.object, process, raw);
        Ok(handle)
    }

    /// Gives a process a handle that was taken from one; without room for it the handle is closed.
    pub(crate) fn place_handle(
        &mut self,
        process: ProcessId,
        handle: Handle,
    ) -> Result<RawHandle, Status> {
        let owner = self
            .processes
            .get_mut(&process)
            .filter(|owner| !owner.ended);
        let placed = owner
            .ok_or(Status::BAD_STATE)
            .and_then(|owner| owner.handles.insert(handle));
        if placed.is_err() {
            self.discard([handle]);
        }
        placed
    }

    /// Closes handles that no process has any more. What goes with them may hold handles itself, and so on without end: they
    /// stand in line.
    pub(crate) fn discard(&mut self, handles: impl IntoIterator<Item = Handle>) {
        if let Some(line) = &mut self.discarded {
            return line.extend(handles);
        }
        self.discarded = Some(handles.into_iter().collect());
        while let Some(handle) = self.discarded.as_mut().and_then(VecDeque::pop_front) {
            if let Some(header) = self.header_mut(handle.object) {
                header.handles -= 1;
                if let ObjectRef::Vmo(id) = handle.object {
                    self.release(id);
                } else {
                    self.drop_unreferenced(handle.object);
                }
            }
        }
        self.discarded = None;
    }

    /// Ends an object that no handle refers to any more.
    fn drop_unreferenced(&mut self, object: ObjectRef) {
        if self
            .header_mut(object)
            .is_none_or(|header| header.handles > 0)
        {
            return;
        }
        match object {
            ObjectRef::Channel(id) => self.drop_channel(id),
            ObjectRef::Event(id) => {
                self.events.remove(&id);
            }
            ObjectRef::Bti(id) => self.drop_bti(id),
            ObjectRef::Iommu(id) => self.drop_iommu(id),
            ObjectRef::Job(id) => self.drop_job(id),
            ObjectRef::Exception(id) => self.drop_exception(id),
            ObjectRef::Process(id) => self.drop_process(id),
            ObjectRef::SuspendToken(id) => self.drop_suspend_token(id),
            ObjectRef::Pager(id) => self.drop_pager(id),
            ObjectRef::Pmt(id) => self.drop_pmt(id),
            ObjectRef::Port(id) => self.drop_port(id),
            ObjectRef::Thread(id) => self.drop_thread(id),
            // A VMO's life is counted by its references.
            ObjectRef::Vmo(id) => {
                self.hold(id);
                self.release(id);
            }
            ObjectRef::Vmar(id) => self.drop_vmar(id),
            // These live as long as what belongs to them.
            ObjectRef::Resource(_) => {}
        }
    }

    /// Name, signals and observers of an object.
    pub(crate) fn header_mut(&mut self, object: ObjectRef) -> Option<&mut Header> {
        match object {
            ObjectRef::Channel(id) => self
                .channels
                .get_mut(&id)
                .map(|channel| &mut channel.header),
            ObjectRef::Event(id) => self.events.get_mut(&id).map(|event| &mut event.header),
            ObjectRef::Bti(id) => self.btis.get_mut(&id).map(|bti| &mut bti.header),
            ObjectRef::Iommu(id) => self.iommus.get_mut(&id).map(|iommu| &mut iommu.header),
            ObjectRef::Exception(id) => self
                .exceptions
                .get_mut(&id)
                .map(|exception| &mut exception.header),
            ObjectRef::Job(id) => self.jobs.get_mut(&id).map(|job| &mut job.header),
            ObjectRef::Pager(id) => self.pagers.get_mut(&id).map(|pager| &mut pager.header),
            ObjectRef::Pmt(id) => self.pmts.get_mut(&id).map(|pmt| &mut pmt.header),
            ObjectRef::Port(id) => self.ports.get_mut(&id).map(|port| &mut port.header),
            ObjectRef::Process(id) => self
                .processes
                .get_mut(&id)
                .map(|process| &mut process.header),
            ObjectRef::Resource(id) => self
                .resources
                .get_mut(&id)
                .map(|resource| &mut resource.header),
            ObjectRef::SuspendToken(id) => self
                .suspend_tokens
                .get_mut(&id)
                .map(|token| &mut token.header),
            ObjectRef::Thread(id) => self.threads.get_mut(&id).map(|thread| &mut thread.header),
            ObjectRef::Vmar(id) => self.vmars.get_mut(&id).map(|vmar| &mut vmar.header),
            ObjectRef::Vmo(id) => self.vmos.get_mut(&id).map(|vmo| &mut vmo.header),
        }
    }

    pub(crate) fn add_vmo(&mut self, vmo: Vmo) -> VmoId {
        let id = VmoId(self.next_koid());
        if vmo.owner().is_none() {
            let storage = Storage {
                pages: vmo.page_count(),
                writes: vmo.storage_writes(),
                contiguous: vmo.contiguous,
            };
            self.work.push_back(Work::Created { vmo: id, storage });
        }
        self.vmos.insert(id, vmo);
        self.tell_name(ObjectRef::Vmo(id));
        id
    }

    pub(crate) fn hold(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.references += 1;
        }
    }

    /// Gives a reference back. With the last one the object is gone; its storage stays for as long as somebody uses it.
    pub(crate) fn release(&mut self, id: VmoId) {
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        vmo.references -= 1;
        if vmo.references == 0 {
            self.leave_tree(id);
            self.free_unused(id);
        }
    }

    /// Keeps a VMO's storage.
    pub(crate) fn hold_storage(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.users += 1;
        }
    }

    /// Gives back what [`Kernel::hold_storage`] took.
    pub(crate) fn release_storage(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.users -= 1;
            self.free_unused(id);
        }
    }

    /// Frees the storage of a VMO that nobody refers to or uses: its source owes COMPLETE. What it used itself may follow.
    fn free_unused(&mut self, id: VmoId) {
        let mut next = Some(id);
        while let Some(id) = next.take() {
            let Some(vmo) = self.vmos.get_mut(&id) else {
                return;
            };
            if vmo.references > 0 || vmo.users > 0 {
                return;
            }
            if let Some(owner) = vmo.owner() {
                self.vmos.remove(&id);
                next = Some(owner);
            } else {
                let pages = std::mem::take(&mut vmo.pages);
                let behind = vmo.cow.take().map(|cow| cow.behind);
                let source = vmo.source();
                let expected = source.map_or(0, |source| source.expected.count(0..u64::MAX));
                self.room.untake(expected);
                self.forget_unlocked(id);
                self.end_source(id);
                self.free_storage(id, pages.resident());
                self.bury(id);
                if let Some(vmo) = behind.and_then(|behind| self.vmos.get_mut(&behind)) {
                    vmo.viewers.remove(&id);
                }
                next = behind;
            }
            if let Some(used) = next {
                if let Some(vmo) = self.vmos.get_mut(&used) {
                    vmo.users -= 1;
                }
                self.merge_if_alone(used);
            }
        }
    }

    /// Forgets a VMO that nothing refers to, unless its last packet is still in its port.
    pub(crate) fn bury(&mut self, id: VmoId) {
        let Some(vmo) = self.vmos.get(&id) else {
            return;
        };
        let queued = vmo.source().is_some_and(|source| source.is_packet_queued());
        if vmo.references == 0 && vmo.users == 0 && !queued {
            self.vmos.remove(&id);
        }
    }
}
