//! The system calls as functions: arguments to registers, results from user memory.

use protocol::options::{PagerOp, VmarOp, VmoOp, property};
use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, PortPacket, Rights, Status};
use zircon::{Pages, ThreadId, Token};

use super::{Outcome, TestMachine};

/// A packet as a test writes it down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// (key, first page, end page)
    Read(u64, u64, u64),
    /// (key, first page, end page)
    Dirty(u64, u64, u64),
    Complete(u64),
    Other(PortPacket),
}

impl From<PortPacket> for Packet {
    fn from(packet: PortPacket) -> Self {
        if packet.kind != 9 {
            return Packet::Other(packet);
        }
        assert_eq!(packet.status, 0);
        assert_eq!(packet.payload[3], 0, "reserved");
        assert_eq!(
            packet.payload[0] >> 16,
            0,
            "flags and reserved0 of {packet:?}"
        );
        let (offset, length) = (packet.offset(), packet.length());
        match packet.command() {
            command @ (0 | 2) => {
                assert_eq!(
                    (offset % PAGE_SIZE, length % PAGE_SIZE),
                    (0, 0),
                    "{packet:?}"
                );
                let (first, end) = (offset / PAGE_SIZE, (offset + length) / PAGE_SIZE);
                match command {
                    0 => Packet::Read(packet.key, first, end),
                    _ => Packet::Dirty(packet.key, first, end),
                }
            }
            1 => {
                assert_eq!((offset, length), (0, 0));
                Packet::Complete(packet.key)
            }
            other => panic!("command {other}"),
        }
    }
}

/// The packet in 48 bytes.
pub fn read_packet(bytes: &[u8]) -> PortPacket {
    PortPacket::from_bytes(bytes.try_into().unwrap())
}

fn handle(raw: u32) -> u64 {
    u64::from(raw)
}

impl TestMachine {
    /// A call whose result is a handle at `out`.
    fn made(&mut self, number: N, args: &[u64], out: u64) -> Result<u32, Status> {
        self.call(number, args).ok()?;
        Ok(self.peek_u32(out))
    }

    fn done(&mut self, number: N, args: &[u64]) -> Result<(), Status> {
        match self.call(number, args) {
            Status::OK => Ok(()),
            status => Err(status),
        }
    }

    // ---- handles

    pub fn handle_close(&mut self, raw: u32) -> Result<(), Status> {
        self.done(N::HandleClose, &[handle(raw)])
    }

    pub fn handle_duplicate(&mut self, raw: u32, rights: Rights) -> Result<u32, Status> {
        let out = self.alloc(4);
        self.made(
            N::HandleDuplicate,
            &[handle(raw), rights.bits().into(), out],
            out,
        )
    }

    pub fn handle_replace(&mut self, raw: u32, rights: Rights) -> Result<u32, Status> {
        let out = self.alloc(4);
        self.made(
            N::HandleReplace,
            &[handle(raw), rights.bits().into(), out],
            out,
        )
    }

    /// A duplicate without some rights.
    pub fn without(&mut self, raw: u32, rights: Rights) -> u32 {
        let held = self.rights(raw);
        self.handle_duplicate(raw, held - rights).unwrap()
    }

    // ---- jobs

    pub fn job_create(&mut self, parent: u32) -> Result<u32, Status> {
        let out = self.alloc(4);
        self.made(N::JobCreate, &[handle(parent), 0, out], out)
    }

    /// Sets entries of (condition, action, flags).
    pub fn job_set_policy(
        &mut self,
        job: u32,
        options: u32,
        entries: &[(u32, u32, u32)],
    ) -> Result<(), Status> {
        let at = self.alloc(12 * entries.len() as u64);
        let words = entries.iter().flat_map(|&(c, a, flags)| [c, a, flags]);
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        self.poke(at, &bytes);
        let topic = u64::from(protocol::policy::JOB_POL_BASIC_V2);
        let args = [handle(job), options.into(), topic, at, entries.len() as u64];
        self.done(N::JobSetPolicy, &args)
    }

    pub fn task_kill(&mut self, task: u32) -> Result<(), Status> {
        self.done(N::TaskKill, &[handle(task)])
    }

    // ---- VMOs

    pub fn vmo_create(&mut self, size: u64, options: u32) -> Result<u32, Status> {
        let out = self.alloc(4);
        self.made(N::VmoCreate, &[size, options.into(), out], out)
    }

    pub fn vmo(&mut self, pages: u64) -> u32 {
        self.vmo_create(pages * PAGE_SIZE, 0).unwrap()
    }

    pub fn vmo_get_size(&mut self, vmo: u32) -> Result<u64, Status> {
        let out = self.alloc(8);
        self.done(N::VmoGetSize, &[handle(vmo), out])?;
        Ok(self.peek_u64(out))
    }

    pub fn vmo_set_size(&mut self, vmo: u32, size: u64) -> Result<(), Status> {
        self.done(N::VmoSetSize, &[handle(vmo), size])
    }

    pub fn vmo_create_child(
        &mut self,
        vmo: u32,
        options: u32,
        offset: u64,
        size: u64,
    ) -> Result<u32, Status> {
        let out = self.alloc(4);
        let args = [handle(vmo), options.into(), offset, size, out];
        self.made(N::VmoCreateChild, &args, out)
    }

    pub fn vmo_read(&mut self, vmo: u32, offset: u64, length: u64) -> Result<Vec<u8>, Status> {
        let buffer = self.alloc(length.min(1 << 24));
        self.done(N::VmoRead, &[handle(vmo), buffer, offset, length])?;
        Ok(self.peek(buffer, length))
    }

    pub fn vmo_write(&mut self, vmo: u32, offset: u64, bytes: &[u8]) -> Result<(), Status> {
        let buffer = self.alloc(bytes.len() as u64);
        self.poke(buffer, bytes);
        self.done(
            N::VmoWrite,
            &[handle(vmo), buffer, offset, bytes.len() as u64],
        )
    }

    pub fn vmo_op_range(
        &mut self,
        vmo: u32,
        op: VmoOp,
        offset: u64,
        length: u64,
    ) -> Result<(), Status> {
        let args = [handle(vmo), op as u64, offset, length, 0, 0];
        self.done(N::VmoOpRange, &args)
    }

    /// The first byte of each page of a range.
    pub fn page_bytes(&mut self, vmo: u32, pages: std::ops::Range<u64>) -> Vec<u8> {
        let length = (pages.end - pages.start) * PAGE_SIZE;
        let bytes = self.vmo_read(vmo, pages.start * PAGE_SIZE, length).unwrap();
        bytes
            .chunks(PAGE_SIZE as usize)
            .map(|page| {
                assert!(page.iter().all(|byte| *byte == page[0]), "a mixed page");
                page[0]
            })
            .collect()
    }

    // ---- pagers

    pub fn pager_create(&mut self) -> u32 {
        let out = self.alloc(4);
        self.made(N::PagerCreate, &[0, out], out).unwrap()
    }

    pub fn pager_create_vmo(
        &mut self,
        pager: u32,
        options: u32,
        port: u32,
        key: u64,
        size: u64,
    ) -> Result<u32, Status> {
        let out = self.alloc(4);
        let args = [handle(pager), options.into(), handle(port), key, size, out];
        self.made(N::PagerCreateVmo, &args, out)
    }

    pub fn pager_detach_vmo(&mut self, pager: u32, vmo: u32) -> Result<(), Status> {
        self.done(N::PagerDetachVmo, &[handle(pager), handle(vmo)])
    }

    pub fn pager_supply_pages(
        &mut self,
        pager: u32,
        vmo: u32,
        offset: u64,
        length: u64,
        aux: u32,
        aux_offset: u64,
    ) -> Result<(), Status> {
        let args = [
            handle(pager),
            handle(vmo),
            offset,
            length,
            handle(aux),
            aux_offset,
        ];
        self.done(N::PagerSupplyPages, &args)
    }

    /// Supplies pages, each filled with the low byte of its number plus `tag`.
    pub fn supply(
        &mut self,
        pager: u32,
        vmo: u32,
        pages: std::ops::Range<u64>,
        tag: u8,
    ) -> Result<(), Status> {
        let count = pages.end - pages.start;
        let aux = self.vmo(count);
        let mut bytes = Vec::new();
        for page in pages.clone() {
            bytes.resize(
                bytes.len() + PAGE_SIZE as usize,
                (page as u8).wrapping_add(tag),
            );
        }
        self.vmo_write(aux, 0, &bytes).unwrap();
        let (offset, length) = (pages.start * PAGE_SIZE, count * PAGE_SIZE);
        let result = self.pager_supply_pages(pager, vmo, offset, length, aux, 0);
        self.handle_close(aux).unwrap();
        result
    }

    pub fn pager_op_range(
        &mut self,
        pager: u32,
        op: PagerOp,
        vmo: u32,
        pages: std::ops::Range<u64>,
        data: u64,
    ) -> Result<(), Status> {
        let (offset, length) = (
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
        );
        let args = [handle(pager), op as u64, handle(vmo), offset, length, data];
        self.done(N::PagerOpRange, &args)
    }

    /// The dirty ranges of some pages: (first page, end page, zeros without storage).
    pub fn dirty_ranges(
        &mut self,
        pager: u32,
        vmo: u32,
        pages: std::ops::Range<u64>,
    ) -> Vec<(u64, u64, bool)> {
        let at = self.alloc(4096);
        let (buffer, counts) = (at + 16, at);
        let args = [
            handle(pager),
            handle(vmo),
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
            buffer,
            4000,
            counts,
            counts + 8,
        ];
        self.done(N::PagerQueryDirtyRanges, &args).unwrap();
        let actual = self.peek_u64(counts);
        assert_eq!(self.peek_u64(counts + 8), actual, "all there are");
        let record = |entry: u64| {
            let word = |n: u64| self.peek_u64(buffer + entry * 24 + n * 8);
            let first = word(0) / PAGE_SIZE;
            assert!(word(2) <= 1, "options");
            (first, first + word(1) / PAGE_SIZE, word(2) == 1)
        };
        (0..actual).map(record).collect()
    }

    /// Whether a VMO was modified since this was last asked.
    pub fn was_modified(&mut self, pager: u32, vmo: u32) -> bool {
        let at = self.alloc(4);
        let args = [handle(pager), handle(vmo), 1, at, 4];
        self.done(N::PagerQueryVmoStats, &args).unwrap();
        self.peek_u32(at) == 1
    }

    // ---- ports

    pub fn port_create(&mut self) -> u32 {
        let out = self.alloc(4);
        self.made(N::PortCreate, &[0, out], out).unwrap()
    }

    pub fn port_queue(&mut self, port: u32, packet: &PortPacket) -> Result<(), Status> {
        let at = self.alloc(48);
        self.poke(at, &packet.to_bytes());
        self.done(N::PortQueue, &[handle(port), at])
    }

    pub fn port_cancel(&mut self, port: u32, source: u32, key: u64) -> Result<(), Status> {
        self.done(N::PortCancel, &[handle(port), handle(source), key])
    }

    pub fn port_cancel_key(&mut self, port: u32, key: u64) -> Result<(), Status> {
        self.done(N::PortCancelKey, &[handle(port), 0, key])
    }

    /// Takes a packet if there is one.
    pub fn port_poll(&mut self, port: u32) -> Result<Packet, Status> {
        let at = self.alloc(48);
        self.done(N::PortWait, &[handle(port), i64::MIN as u64, at])?;
        Ok(read_packet(&self.peek(at, 48)).into())
    }

    /// All packets that are there.
    pub fn packets(&mut self, port: u32) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.port_poll(port) {
                Ok(packet) => packets.push(packet),
                Err(Status::TIMED_OUT) => return packets,
                Err(other) => panic!("port_wait: {other}"),
            }
        }
    }

    // ---- signals, info, properties

    pub fn event_create(&mut self) -> u32 {
        let out = self.alloc(4);
        self.made(N::EventCreate, &[0, out], out).unwrap()
    }

    pub fn object_signal(&mut self, raw: u32, clear: u32, set: u32) -> Result<(), Status> {
        self.done(N::ObjectSignal, &[handle(raw), clear.into(), set.into()])
    }

    pub fn wait_async(
        &mut self,
        raw: u32,
        port: u32,
        key: u64,
        signals: u32,
        options: u32,
    ) -> Result<(), Status> {
        let args = [
            handle(raw),
            handle(port),
            key,
            signals.into(),
            options.into(),
        ];
        self.done(N::ObjectWaitAsync, &args)
    }

    /// The signals of an object, asked for with a past deadline.
    pub fn signals(&mut self, raw: u32) -> u32 {
        let at = self.alloc(4);
        let status = self.call(N::ObjectWaitOne, &[handle(raw), 0, i64::MIN as u64, at]);
        assert_eq!(status, Status::TIMED_OUT);
        self.peek_u32(at)
    }

    pub fn info(&mut self, raw: u32, topic: u32, size: u64) -> Result<Vec<u8>, Status> {
        let at = self.alloc(size);
        self.done(
            N::ObjectGetInfo,
            &[handle(raw), topic.into(), at, size, 0, 0],
        )?;
        Ok(self.peek(at, size))
    }

    pub fn rights(&mut self, raw: u32) -> Rights {
        let info = self.info(raw, 2, 32).unwrap();
        Rights::from_bits_retain(u32::from_le_bytes(info[8..12].try_into().unwrap()))
    }

    pub fn koid(&mut self, raw: u32) -> u64 {
        let info = self.info(raw, 2, 32).unwrap();
        u64::from_le_bytes(info[..8].try_into().unwrap())
    }

    /// A word of the VMO's info record, by byte offset.
    pub fn vmo_info(&mut self, raw: u32, at: usize) -> u64 {
        let info = self.info(raw, 0x3000_0017, 176).unwrap();
        u64::from_le_bytes(info[at..at + 8].try_into().unwrap())
    }

    pub fn committed(&mut self, raw: u32) -> u64 {
        self.vmo_info(raw, 88) / PAGE_SIZE
    }

    pub fn content_size(&mut self, raw: u32) -> Result<u64, Status> {
        let at = self.alloc(8);
        let number = u64::from(property::VMO_CONTENT_SIZE);
        self.done(N::ObjectGetProperty, &[handle(raw), number, at, 8])?;
        Ok(self.peek_u64(at))
    }

    pub fn set_content_size(&mut self, raw: u32, size: u64) -> Result<(), Status> {
        let at = self.alloc(8);
        self.poke(at, &size.to_le_bytes());
        let number = u64::from(property::VMO_CONTENT_SIZE);
        self.done(N::ObjectSetProperty, &[handle(raw), number, at, 8])
    }

    pub fn vmo_get_stream_size(&mut self, vmo: u32) -> Result<u64, Status> {
        let out = self.alloc(8);
        self.done(N::VmoGetStreamSize, &[handle(vmo), out])?;
        Ok(self.peek_u64(out))
    }

    pub fn vmo_set_stream_size(&mut self, vmo: u32, size: u64) -> Result<(), Status> {
        self.done(N::VmoSetStreamSize, &[handle(vmo), size])
    }

    // ---- mappings

    /// `zx_vmar_map` in the root VMAR.
    pub fn vmar_map(
        &mut self,
        options: u32,
        vmar_offset: u64,
        vmo: u32,
        vmo_offset: u64,
        length: u64,
    ) -> Result<u64, Status> {
        let vmar = self.main.vmar_handle;
        self.map_at(vmar, options, vmar_offset, (vmo, vmo_offset), length)
    }

    /// `zx_vmar_map` of a VMO from its start.
    pub fn map_in(
        &mut self,
        vmar: u32,
        options: u32,
        vmar_offset: u64,
        vmo: u32,
        length: u64,
    ) -> Result<u64, Status> {
        self.map_at(vmar, options, vmar_offset, (vmo, 0), length)
    }

    pub fn map_at(
        &mut self,
        vmar: u32,
        options: u32,
        vmar_offset: u64,
        (vmo, vmo_offset): (u32, u64),
        length: u64,
    ) -> Result<u64, Status> {
        let out = self.alloc(8);
        let (vmar, vmo) = (handle(vmar), handle(vmo));
        let args = [
            vmar,
            options.into(),
            vmar_offset,
            vmo,
            vmo_offset,
            length,
            out,
        ];
        self.done(N::VmarMap, &args)?;
        Ok(self.peek_u64(out))
    }

    /// Maps a whole VMO of `pages` readable and writable.
    pub fn map(&mut self, vmo: u32, pages: u64) -> u64 {
        self.vmar_map(3, 0, vmo, 0, pages * PAGE_SIZE).unwrap()
    }

    pub fn vmar_unmap(&mut self, address: u64, length: u64) -> Result<(), Status> {
        self.unmap_in(self.main.vmar_handle, address, length)
    }

    pub fn unmap_in(&mut self, vmar: u32, address: u64, length: u64) -> Result<(), Status> {
        self.done(N::VmarUnmap, &[handle(vmar), address, length])
    }

    pub fn vmar_protect(&mut self, options: u32, address: u64, length: u64) -> Result<(), Status> {
        self.protect_in(self.main.vmar_handle, options, address, length)
    }

    pub fn protect_in(
        &mut self,
        vmar: u32,
        options: u32,
        address: u64,
        length: u64,
    ) -> Result<(), Status> {
        let args = [handle(vmar), options.into(), address, length];
        self.done(N::VmarProtect, &args)
    }

    /// A new child VMAR: handle and base.
    pub fn vmar_allocate(
        &mut self,
        parent: u32,
        options: u32,
        offset: u64,
        size: u64,
    ) -> Result<(u32, u64), Status> {
        let (out, address) = (self.alloc(4), self.alloc(8));
        let args = [handle(parent), options.into(), offset, size, out, address];
        self.done(N::VmarAllocate, &args)?;
        Ok((self.peek_u32(out), self.peek_u64(address)))
    }

    pub fn vmar_destroy(&mut self, vmar: u32) -> Result<(), Status> {
        self.done(N::VmarDestroy, &[handle(vmar)])
    }

    pub fn vmar_op_range(
        &mut self,
        vmar: u32,
        op: VmarOp,
        address: u64,
        length: u64,
    ) -> Result<(), Status> {
        let args = [handle(vmar), op as u64, address, length, 0, 0];
        self.done(N::VmarOpRange, &args)
    }

    // ---- calls of other threads that block

    pub fn begin_read(
        &mut self,
        thread: ThreadId,
        vmo: u32,
        offset: u64,
        length: u64,
    ) -> (Token, u64) {
        let buffer = self.alloc(length);
        let args = [handle(vmo), buffer, offset, length];
        (self.begin(thread, N::VmoRead, &args), buffer)
    }

    pub fn begin_port_wait(&mut self, thread: ThreadId, port: u32, deadline: i64) -> (Token, u64) {
        let at = self.alloc(48);
        let args = [handle(port), deadline as u64, at];
        (self.begin(thread, N::PortWait, &args), at)
    }

    // ---- the VMM as provider

    /// Answers every host read with pages filled with their number plus `tag`.
    pub fn answer_host_reads(&mut self, tag: u8) {
        for pages in std::mem::take(&mut self.host_reads) {
            self.host_supply(pages, tag);
        }
    }

    pub fn host_supply(&mut self, pages: Pages, tag: u8) {
        for (id, run) in self.kernel.supply_begin(self.now, pages) {
            self.memory
                .supply(run, |page| (page as u8).wrapping_add(tag));
            self.check_limit();
            self.kernel
                .memory_done(self.now, id, zircon::MemoryResult::Done);
        }
        self.drain();
    }

    /// Whether a raw call ended with this status.
    pub fn ends_with(&mut self, thread: ThreadId, number: N, args: &[u64], status: Status) -> bool {
        self.call_on(thread, number, args) == Outcome::Value(status.to_register())
    }
}
