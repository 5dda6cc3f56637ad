//! `syscalls/port.h`. A packet's kinds are functions in Rust and a union in C: the places of fields are those where the functions
//! put them.

use protocol::{PacketKind, PageRequestCommand, PortPacket};

use crate::{
    header::{Header, screaming},
    layout,
};

const PACKETS: &str = "\
typedef struct zx_packet_user {
    union {
        uint64_t u64[4];
        uint32_t u32[8];
        uint16_t u16[16];
        uint8_t c8[32];
    };
} zx_packet_user_t;

typedef struct zx_packet_signal {
    zx_signals_t trigger;
    zx_signals_t observed;
    uint64_t count;
    zx_time_t timestamp;
    uint64_t reserved1;
} zx_packet_signal_t;

typedef struct zx_packet_page_request {
    uint16_t command;
    uint16_t flags;
    uint32_t reserved0;
    uint64_t offset;
    uint64_t length;
    uint64_t reserved1;
} zx_packet_page_request_t;

typedef struct zx_port_packet {
    uint64_t key;
    uint32_t type;
    zx_status_t status;
    union {
        zx_packet_user_t user;
        zx_packet_signal_t signal;
        zx_packet_page_request_t page_request;
    };
} zx_port_packet_t;";

/// Where a value stands in a packet, behind key, type and status.
fn place(packet: PortPacket, value: &[u8]) -> usize {
    let bytes = packet.to_bytes();
    let mut places = bytes.windows(value.len()).skip(16);
    16 + places.position(|bytes| bytes == value).unwrap()
}

pub fn header() -> Header {
    let mut h = Header::new("zircon/syscalls/port.h", &["zircon/types.h"]);
    h.verbatim("");
    for kind in [
        PacketKind::User,
        PacketKind::SignalOne,
        PacketKind::PageRequest,
    ] {
        let name = screaming(&format!("{kind:?}"));
        h.constant(format!("ZX_PKT_TYPE_{name}"), "uint32_t", kind as u32);
    }
    use PageRequestCommand::{Complete, Dirty, Read};
    for command in [Read, Complete, Dirty] {
        let name = screaming(&format!("{command:?}"));
        h.constant(format!("ZX_PAGER_VMO_{name}"), "uint16_t", command as u16);
    }
    h.verbatim(PACKETS);
    layout!(
        h,
        "zx_port_packet_t",
        PortPacket {
            key: "key",
            kind: "type",
            status: "status",
            payload: "user",
        }
    );
    const WORD: u64 = 0x0123_4567_89AB_CDEF;
    const HALF: u32 = 0x1234_5678;
    let request = |offset, length| PortPacket::page_request(0, Dirty, offset, length);
    let signal = |trigger, observed, time| PortPacket::signal(0, trigger, observed, time);
    for (field, at) in [
        (
            "page_request.command",
            place(request(0, 0), &[Dirty as u8, 0]),
        ),
        (
            "page_request.offset",
            place(request(WORD, 0), &WORD.to_le_bytes()),
        ),
        (
            "page_request.length",
            place(request(0, WORD), &WORD.to_le_bytes()),
        ),
        (
            "signal.trigger",
            place(signal(HALF, 0, 0), &HALF.to_le_bytes()),
        ),
        (
            "signal.observed",
            place(signal(0, HALF, 0), &HALF.to_le_bytes()),
        ),
        ("signal.count", place(signal(0, 0, 0), &1u64.to_le_bytes())),
        (
            "signal.timestamp",
            place(signal(0, 0, WORD as i64), &WORD.to_le_bytes()),
        ),
    ] {
        h.layouts
            .push((format!("offsetof(zx_port_packet_t, {field})"), at));
    }
    h
}
