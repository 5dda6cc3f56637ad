//! Packets, encoded one after the other.

use prost::{
    Message,
    encoding::{WireType, encode_key},
};

use super::proto::{DebugAnnotation, TracePacket, TrackDescriptor, TrackEvent, TrackEventType};

/// The field `packet` of the message `Trace`: a file is nothing but these.
const PACKET: u32 = 1;

/// All packets come from one writer.
const SEQUENCE: u32 = 1;

/// `SEQ_INCREMENTAL_STATE_CLEARED`.
const FRESH: u32 = 1;

/// Packets that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: Vec<u8>,
    begun: bool,
    gap: bool,
}

impl Packets {
    /// The next packet is the first after some that are missing.
    pub fn mark_gap(&mut self) {
        self.gap = true;
    }

    /// Takes what waits.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Takes a buffer back, to be filled again.
    pub fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.bytes = bytes;
    }

    /// Describes a track.
    pub fn describe(&mut self, uuid: u64, name: String, parent: Option<u64>) {
        self.push(TracePacket {
            track_descriptor: Some(TrackDescriptor {
                uuid: Some(uuid),
                name: Some(name),
                parent_uuid: parent,
            }),
            ..TracePacket::default()
        });
    }

    /// Adds an event of a track.
    pub fn event(
        &mut self,
        at: u64,
        uuid: u64,
        kind: TrackEventType,
        name: Option<&str>,
        debug_annotations: Vec<DebugAnnotation>,
    ) {
        self.push(TracePacket {
            timestamp: Some(at),
            track_event: Some(TrackEvent {
                debug_annotations,
                r#type: Some(kind as i32),
                track_uuid: Some(uuid),
                name: name.map(Into::into),
            }),
            ..TracePacket::default()
        });
    }

    fn push(&mut self, mut packet: TracePacket) {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        packet.sequence_flags = (!std::mem::replace(&mut self.begun, true)).then_some(FRESH);
        packet.previous_packet_dropped = std::mem::take(&mut self.gap).then_some(true);
        encode_key(PACKET, WireType::LengthDelimited, &mut self.bytes);
        if let Err(error) = packet.encode_length_delimited(&mut self.bytes) {
            unreachable!("a vector has room: {error}");
        }
    }
}

/// A detail that is a number.
pub(super) fn number(name: &str, value: u64) -> DebugAnnotation {
    DebugAnnotation {
        uint_value: Some(value),
        name: Some(name.into()),
        ..DebugAnnotation::default()
    }
}

/// A detail that is an address.
pub(super) fn address(name: &str, value: u64) -> DebugAnnotation {
    DebugAnnotation {
        pointer_value: Some(value),
        name: Some(name.into()),
        ..DebugAnnotation::default()
    }
}

/// A detail that is a text.
pub(super) fn text(name: &str, value: impl Into<String>) -> DebugAnnotation {
    DebugAnnotation {
        string_value: Some(value.into()),
        name: Some(name.into()),
        ..DebugAnnotation::default()
    }
}
