//! `zx_port_packet_t`: what a port delivers.

/// `zx_port_packet_t`, 48 bytes. `payload` is the union; build and read it with the functions here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PortPacket {
    /// The key given when the packet's source was set up (or by `zx_port_queue`).
    pub key: u64,
    /// A [`PacketKind`] as a number.
    pub kind: u32,
    /// Status; 0 in all kernel-made packets.
    pub status: i32,
    /// The union: four words whose meaning depends on `kind`.
    pub payload: [u64; 4],
}

const _: () = assert!(
    size_of::<PortPacket>() == 48,
    "zx_port_packet_t is 48 bytes"
);

/// `ZX_PKT_TYPE_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PacketKind {
    /// Queued by `zx_port_queue`.
    User = 0,
    /// A signal was observed.
    SignalOne = 1,
    /// A request of a pager-owned VMO.
    PageRequest = 9,
}

/// `zx_page_request_command_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum PageRequestCommand {
    /// Supply the range.
    Read = 0,
    /// No more requests will come for this VMO.
    Complete = 1,
    /// Acknowledge that the range becomes dirty.
    Dirty = 2,
}

impl PortPacket {
    /// Bytes of a packet in user memory.
    pub const SIZE: usize = size_of::<PortPacket>();

    /// A `zx_packet_page_request_t`: flags and reserved words are zero.
    pub const fn page_request(
        key: u64,
        command: PageRequestCommand,
        offset: u64,
        length: u64,
    ) -> Self {
        PortPacket {
            key,
            kind: PacketKind::PageRequest as u32,
            status: 0,
            payload: [command as u64, offset, length, 0],
        }
    }

    /// A `zx_packet_signal_t`; `timestamp` is nanoseconds or 0 when none was asked for.
    pub const fn signal(key: u64, trigger: u32, observed: u32, timestamp: i64) -> Self {
        PortPacket {
            key,
            kind: PacketKind::SignalOne as u32,
            status: 0,
            payload: [
                (observed as u64) << 32 | trigger as u64,
                1,
                timestamp as u64,
                0,
            ],
        }
    }

    /// The command word of a page-request packet.
    pub const fn command(&self) -> u16 {
        self.payload[0] as u16
    }

    /// Byte offset of a page-request packet.
    pub const fn offset(&self) -> u64 {
        self.payload[1]
    }

    /// Length in bytes of a page-request packet.
    pub const fn length(&self) -> u64 {
        self.payload[2]
    }

    /// The 48 bytes as they stand in user memory.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [
            self.key,
            self.status as u32 as u64 * (1 << 32) + self.kind as u64,
        ];
        for (chunk, word) in bytes
            .chunks_exact_mut(8)
            .zip(words.iter().chain(&self.payload))
        {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// A packet out of the 48 bytes in user memory.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut words = [0u64; 6];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut le = [0; 8];
            le.copy_from_slice(chunk);
            *word = u64::from_le_bytes(le);
        }
        let [key, kind_status, payload @ ..] = words;
        PortPacket {
            key,
            kind: kind_status as u32,
            status: (kind_status >> 32) as i32,
            payload,
        }
    }
}
