//! The messages of Perfetto's trace format that zvmm writes, with the fields that it sets. Names, numbers and meanings are those of
//! `protos/perfetto/trace` in Perfetto's sources; a reader skips what it does not know, and so does this.

use prost::Message;

/// A file: a stream of packets.
#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    /// The packets.
    #[prost(message, repeated, tag = "1")]
    pub packet: Vec<TracePacket>,
}

/// One event or description.
#[derive(Clone, PartialEq, Message)]
pub struct TracePacket {
    /// Nanoseconds.
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    /// Who wrote it.
    #[prost(uint32, optional, tag = "10")]
    pub trusted_packet_sequence_id: Option<u32>,
    /// An event.
    #[prost(message, optional, tag = "11")]
    pub track_event: Option<TrackEvent>,
    /// 1: nothing before this is needed to understand what follows.
    #[prost(uint32, optional, tag = "13")]
    pub sequence_flags: Option<u32>,
    /// Packets are missing before this one.
    #[prost(bool, optional, tag = "42")]
    pub previous_packet_dropped: Option<bool>,
    /// A track.
    #[prost(message, optional, tag = "60")]
    pub track_descriptor: Option<TrackDescriptor>,
}

/// A track: a line in the picture.
#[derive(Clone, PartialEq, Message)]
pub struct TrackDescriptor {
    /// Which one.
    #[prost(uint64, optional, tag = "1")]
    pub uuid: Option<u64>,
    /// What it is called.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// The track that it belongs to.
    #[prost(uint64, optional, tag = "5")]
    pub parent_uuid: Option<u64>,
}

/// Something that begins, ends or happens on a track.
#[derive(Clone, PartialEq, Message)]
pub struct TrackEvent {
    /// Details.
    #[prost(message, repeated, tag = "4")]
    pub debug_annotations: Vec<DebugAnnotation>,
    /// Begins, ends or happens: a [`TrackEventType`].
    #[prost(enumeration = "TrackEventType", optional, tag = "9")]
    pub r#type: Option<i32>,
    /// The track.
    #[prost(uint64, optional, tag = "11")]
    pub track_uuid: Option<u64>,
    /// What it is; nothing for an end.
    #[prost(string, optional, tag = "23")]
    pub name: Option<String>,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum TrackEventType {
    /// Something begins.
    SliceBegin = 1,
    /// What began last ends.
    SliceEnd = 2,
    /// Something happens.
    Instant = 3,
}

/// A detail of an event; one of the values is set.
#[derive(Clone, PartialEq, Message)]
pub struct DebugAnnotation {
    /// A number.
    #[prost(uint64, optional, tag = "3")]
    pub uint_value: Option<u64>,
    /// A text.
    #[prost(string, optional, tag = "6")]
    pub string_value: Option<String>,
    /// An address.
    #[prost(uint64, optional, tag = "7")]
    pub pointer_value: Option<u64>,
    /// What it tells.
    #[prost(string, optional, tag = "10")]
    pub name: Option<String>,
}
