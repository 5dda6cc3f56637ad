//! `zx_object_get_info` and the properties.

use protocol::info::{self, InfoHandleBasic, InfoJob, InfoVmo, VmoInfoFlags};
use protocol::maps;
use protocol::options::VmoOptions;
use protocol::options::property;
use protocol::{Koid, MAX_NAME_LEN, RawHandle, Rights, Status};

use crate::handle::{Handle, require};
use crate::ids::{JobId, ObjectRef, ProcessId, ThreadId, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::{Body, OK, StepResult};
use crate::user::{AfterCopyIn, CopyOut, Undo};
use crate::work::Work;

/// Most records that one call writes: it keeps them until they are written, which can take as long as a pager likes.
pub(crate) const MOST_RECORDS: u64 = 4096;

/// Bytes of records that are written at once.
const PIECE: usize = 64 << 10;

/// Where `zx_object_get_info` puts its results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InfoOut {
    pub buffer: u64,
    pub size: u64,
    pub actual: u64,
    pub avail: u64,
}

impl Kernel {
    pub(crate) fn sys_object_get_info(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        topic: u32,
        out: InfoOut,
    ) -> Begin {
        // A topic that there is not comes first.
        let handle = self.handle(caller.process, raw);
        let record = match topic {
            info::TOPIC_HANDLE_VALID => {
                // The answer, not a mistake: no policy is asked about it.
                let status = handle.err().unwrap_or(Status::OK);
                return Ok(Started::Done(status.to_register()));
            }
            info::TOPIC_HANDLE_BASIC => self.info_handle_basic(handle?).to_bytes().to_vec(),
            info::TOPIC_PROCESS_V1 => {
                let record = self.info_process(caller.process, raw)?;
                record.to_bytes_v1().to_vec()
            }
            info::TOPIC_PROCESS => {
                let record = self.info_process(caller.process, raw)?;
                record.to_bytes().to_vec()
            }
            info::TOPIC_THREAD => self.info_thread(caller.process, raw)?.to_bytes().to_vec(),
            info::TOPIC_THREAD_EXCEPTION_REPORT_V1 => self.info_report(caller.process, raw, 32)?,
            info::TOPIC_THREAD_EXCEPTION_REPORT => self.info_report(caller.process, raw, 40)?,
            info::TOPIC_VMO_V1 => self.info_vmo(handle?, 104)?,
            info::TOPIC_VMO_V2 => self.info_vmo(handle?, 120)?,
            info::TOPIC_VMO_V3 => self.info_vmo(handle?, 128)?,
            info::TOPIC_VMO => self.info_vmo(handle?, 176)?,
            maps::TOPIC_VMAR => self.info_vmar(handle?)?,
            maps::TOPIC_PROCESS_MAPS_V1
            | maps::TOPIC_PROCESS_MAPS_V2
            | maps::TOPIC_PROCESS_MAPS => {
                return self.info_process_maps(caller, raw, topic, out);
            }
            info::TOPIC_HANDLE_COUNT => self.info_handle_count(handle?)?,
            info::TOPIC_JOB => self.info_job(handle?)?,
            info::TOPIC_JOB_CHILDREN | info::TOPIC_JOB_PROCESSES => {
                return self.info_job_children(caller, raw, topic, out);
            }
            info::TOPIC_RESOURCE => self.info_resource(handle?)?,
            info::TOPIC_BTI => self.info_bti(handle?)?,
            _ => return Err(Status::NOT_SUPPORTED),
        };
        if out.size < record.len() as u64 {
            return self.return_records(caller, out, &[], (0, 1), Status::BUFFER_TOO_SMALL);
        }
        self.return_records(caller, out, &record, (1, 1), Status::OK)
    }

    /// Ends `zx_object_get_info`: the records, how many they are and how many there are, in this order.
    pub(crate) fn return_records(
        &mut self,
        caller: Caller,
        out: InfoOut,
        bytes: &[u8],
        (actual, avail): (u64, u64),
        value: Status,
    ) -> Begin {
        // An address that is none fails when it is written to.
        let at = |n: usize| out.buffer.saturating_add((n * PIECE) as u64);
        let pieces = bytes.chunks(PIECE).enumerate();
        let mut writes: Vec<_> = pieces.map(|(n, piece)| (at(n), piece.to_vec())).collect();
        for (address, count) in [(out.actual, actual), (out.avail, avail)] {
            if address != 0 {
                writes.push((address, count.to_le_bytes().to_vec()));
            }
        }
        let copy = CopyOut {
            process: caller.process,
            writes,
            value,
            undo: Undo::Nothing,
        };
        self.begin(caller, Body::CopyOut(copy), Vec::new())
    }

    /// As many ids of a job's children of one kind as fit.
    fn info_job_children(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        topic: u32,
        out: InfoOut,
    ) -> Begin {
        let (id, _) = self.typed::<JobId>(caller.process, raw, Rights::ENUMERATE)?;
        let job = self.jobs.get(&id).ok_or(Status::INTERNAL)?;
        let children: Vec<Koid> = match topic {
            info::TOPIC_JOB_CHILDREN => job.jobs.iter().map(|job| job.0).collect(),
            _ => job.processes.iter().map(|process| process.0).collect(),
        };
        let fit = (out.size / size_of::<Koid>() as u64).min(MOST_RECORDS);
        let fitting = children.iter().take(fit as usize);
        let bytes: Vec<u8> = fitting.flat_map(|koid| koid.to_le_bytes()).collect();
        let avail = children.len() as u64;
        self.return_records(caller, out, &bytes, (avail.min(fit), avail), Status::OK)
    }

    fn info_job(&self, handle: Handle) -> Result<Vec<u8>, Status> {
        let ObjectRef::Job(id) = handle.object else {
            return Err(Status::WRONG_TYPE);
        };
        require(handle.rights, Rights::INSPECT)?;
        let job = self.jobs.get(&id).ok_or(Status::INTERNAL)?;
        let code = job.killed.filter(|_| !job.has_children());
        let record = InfoJob {
            return_code: code.unwrap_or(0),
            exited: code.is_some().into(),
            ..InfoJob::default()
        };
        Ok(record.to_bytes().to_vec())
    }

    fn info_handle_count(&mut self, handle: Handle) -> Result<Vec<u8>, Status> {
        require(handle.rights, Rights::INSPECT)?;
        let header = self.header_mut(handle.object).ok_or(Status::INTERNAL)?;
        Ok(header.handles.to_le_bytes().to_vec())
    }

    fn info_handle_basic(&self, handle: Handle) -> InfoHandleBasic {
        let parent = match handle.object {
            ObjectRef::Vmo(id) => self.parent_of(id),
            ObjectRef::Channel(id) => {
                let peer = self.channels.get(&id).and_then(|channel| channel.peer);
                peer.map_or(0, |peer| peer.0)
            }
            ObjectRef::Exception(id) => self.exceptions.get(&id).map_or(0, |e| e.thread.0),
            ObjectRef::Process(id) => self.processes.get(&id).map_or(0, |process| process.job.0),
            ObjectRef::Thread(id) => self.threads.get(&id).map_or(0, |thread| thread.process.0),
            ObjectRef::Job(id) => {
                let parent = self.jobs.get(&id).and_then(|job| job.parent);
                parent.map_or(0, |parent| parent.0)
            }
            _ => 0,
        };
        InfoHandleBasic {
            koid: handle.object.koid(),
            rights: handle.rights.bits(),
            object_type: handle.object.object_type() as u32,
            related_koid: parent,
            reserved: 0,
            padding: 0,
        }
    }

    fn parent_of(&self, id: VmoId) -> u64 {
        let parent = self.vmos.get(&id).and_then(|vmo| vmo.parent);
        parent.map_or(0, |parent| parent.0)
    }

    fn info_vmo(&self, handle: Handle, length: usize) -> Result<Vec<u8>, Status> {
        let ObjectRef::Vmo(id) = handle.object else {
            return Err(Status::WRONG_TYPE);
        };
        let vmo = self.vmos.get(&id).ok_or(Status::INTERNAL)?;
        let mut flags = VmoInfoFlags::VIA_HANDLE;
        flags.set(VmoInfoFlags::TYPE_PAGED, !self.is_physical(id));
        flags.set(VmoInfoFlags::CONTIGUOUS, self.is_contiguous(id));
        flags.set(VmoInfoFlags::RESIZABLE, vmo.is_resizable());
        let (root, _) = self.root(id, 0);
        let pager = self.pager_behind(root);
        flags.set(VmoInfoFlags::PAGER_BACKED, pager.is_some());
        flags.set(VmoInfoFlags::IS_COW_CLONE, vmo.is_clone);
        flags.set(VmoInfoFlags::IMMUTABLE, vmo.is_immutable);
        flags.set(
            VmoInfoFlags::DISCARDABLE,
            vmo.options.contains(VmoOptions::DISCARDABLE),
        );
        let committed = self.attribution(id, 0..u64::MAX);
        let mapped_by = self
            .processes
            .values()
            .filter(|process| process.mappings.values().any(|mapping| mapping.vmo == id));
        let record = InfoVmo {
            koid: id.0,
            name: vmo.header.name,
            size_bytes: self.size(id),
            parent_koid: self.parent_of(id),
            num_children: vmo.children.len() as u64,
            num_mappings: vmo.mappings,
            share_count: mapped_by.count() as u64,
            flags: flags.bits(),
            committed_bytes: committed.total,
            handle_rights: handle.rights.bits(),
            cache_policy: vmo.cache_policy as u32,
            committed_change_events: vmo.reclaims,
            populated_bytes: committed.total,
            committed_private_bytes: committed.private,
            populated_private_bytes: committed.private,
            committed_scaled_bytes: committed.scaled,
            populated_scaled_bytes: committed.scaled,
            committed_fractional_scaled_bytes: committed.fraction,
            populated_fractional_scaled_bytes: committed.fraction,
            ..InfoVmo::default()
        };
        let bytes = record.to_bytes();
        Ok(bytes.get(..length).ok_or(Status::INTERNAL)?.to_vec())
    }

    pub(crate) fn sys_object_get_property(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        number: u32,
        value: u64,
        size: u64,
    ) -> Begin {
        if value == 0 {
            return Err(Status::INVALID_ARGS);
        }
        let handle = self.handle(caller.process, raw)?;
        require(handle.rights, Rights::GET_PROPERTY)?;
        let large_enough = |needed| {
            if size < needed {
                Err(Status::BUFFER_TOO_SMALL)
            } else {
                Ok(())
            }
        };
        let bytes = match number {
            property::NAME => {
                large_enough(MAX_NAME_LEN as u64)?;
                self.header_mut(handle.object)
                    .ok_or(Status::INTERNAL)?
                    .name
                    .to_vec()
            }
            property::EXCEPTION_STATE => {
                large_enough(4)?;
                self.exception_state(handle.object)?.to_le_bytes().to_vec()
            }
            property::VMO_CONTENT_SIZE => {
                large_enough(8)?;
                let ObjectRef::Vmo(id) = handle.object else {
                    return Err(Status::WRONG_TYPE);
                };
                let size = self.stream_size(id).ok_or(Status::INTERNAL)?;
                size.to_le_bytes().to_vec()
            }
            _ => return Err(Status::NOT_SUPPORTED),
        };
        let body = self.copy_out(caller.process, value, &bytes, Undo::Nothing);
        self.begin(caller, body, Vec::new())
    }

    pub(crate) fn sys_object_set_property(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        property: u32,
        value: u64,
        size: u64,
    ) -> Begin {
        if value == 0 {
            return Err(Status::INVALID_ARGS);
        }
        let handle = self.handle(caller.process, raw)?;
        require(handle.rights, Rights::SET_PROPERTY)?;
        let length = match property {
            property::NAME => size.min(MAX_NAME_LEN as u64 - 1),
            property::VMO_CONTENT_SIZE => {
                require(handle.rights, Rights::WRITE)?;
                if size < 8 {
                    return Err(Status::BUFFER_TOO_SMALL);
                }
                if !matches!(handle.object, ObjectRef::Vmo(_)) {
                    return Err(Status::WRONG_TYPE);
                }
                8
            }
            property::EXCEPTION_STATE => {
                if size < 4 {
                    return Err(Status::BUFFER_TOO_SMALL);
                }
                if !matches!(handle.object, ObjectRef::Exception(_)) {
                    return Err(Status::WRONG_TYPE);
                }
                4
            }
            property::REGISTER_FS | property::REGISTER_GS => {
                if size < 8 {
                    return Err(Status::BUFFER_TOO_SMALL);
                }
                8
            }
            _ => return Err(Status::NOT_SUPPORTED),
        };
        let then = AfterCopyIn::SetProperty {
            handle: raw,
            property,
        };
        let body = self.copy_in(caller.process, caller.thread, value, length, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_object_set_property`.
    pub(crate) fn set_property(
        &mut self,
        process: ProcessId,
        thread: ThreadId,
        raw: RawHandle,
        number: u32,
        bytes: &[u8],
    ) -> StepResult {
        let object = self.handle(process, raw)?.object;
        let word = || bytes.first_chunk().map(|word| u64::from_le_bytes(*word));
        match number {
            property::NAME => {
                self.header_mut(object)
                    .ok_or(Status::INTERNAL)?
                    .set_name(bytes);
                self.tell_name(object);
                OK
            }
            property::EXCEPTION_STATE => {
                let state = bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
                self.set_exception_state(object, state.ok_or(Status::INTERNAL)?)
            }
            property::VMO_CONTENT_SIZE => {
                let (id, _) = self.typed::<VmoId>(process, raw, Rights::WRITE)?;
                self.begin_stream_size(id, word().ok_or(Status::INTERNAL)?)
            }
            _ => {
                let (id, _) = self.typed::<ThreadId>(process, raw, Rights::empty())?;
                let value = word().ok_or(Status::INTERNAL)?;
                // A thread sets its own bases only, to an address that a program may have.
                if id != thread {
                    return Err(Status::ACCESS_DENIED);
                }
                if value >= protocol::USER_END {
                    return Err(Status::INVALID_ARGS);
                }
                let gs = number == property::REGISTER_GS;
                self.work.push_back(Work::SetBase { thread, gs, value });
                OK
            }
        }
    }
}
