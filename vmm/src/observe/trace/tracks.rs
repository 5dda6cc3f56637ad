//! Tracks: what they are called, and what is open on them.

use std::collections::HashMap;

use protocol::{Koid, MAX_NAME_LEN};

use super::packets::Packets;
use super::proto::{DebugAnnotation, TrackEventType};

/// A line in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Track {
    /// A vCPU, by its number.
    Cpu(u32),
    /// A process, which groups its threads.
    Process(Koid),
    /// A guest thread.
    Thread(Koid),
    /// A VMO.
    Vmo(Koid),
    /// A pager; 0: the VMM.
    Pager(Koid),
    /// Where events are missing.
    Lost,
    /// A heading.
    Group(Group),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub(super) enum Group {
    Cpus,
    Vmos,
    Pagers,
}

impl Track {
    /// A number that no other track has.
    pub fn uuid(self) -> u64 {
        let (kind, number) = match self {
            Track::Cpu(number) => (1, number.into()),
            Track::Process(koid) => (2, koid),
            Track::Thread(koid) => (3, koid),
            Track::Vmo(koid) => (4, koid),
            Track::Pager(koid) => (5, koid),
            Track::Lost => (6, 0),
            Track::Group(group) => (7, group as u64),
        };
        kind << 56 | number
    }

    fn called(self, name: &str) -> String {
        let named = |what: &str, koid: Koid| match name {
            "" => format!("{what} {koid}"),
            name => format!("{what} {koid} {name:?}"),
        };
        match self {
            Track::Cpu(number) => format!("vCPU {number}"),
            Track::Process(koid) => named("process", koid),
            Track::Thread(koid) => named("thread", koid),
            Track::Vmo(koid) => named("VMO", koid),
            Track::Pager(0) => "host pager".into(),
            Track::Pager(koid) => named("pager", koid),
            Track::Lost => "lost events".into(),
            Track::Group(Group::Cpus) => "vCPUs".into(),
            Track::Group(Group::Vmos) => "VMOs".into(),
            Track::Group(Group::Pagers) => "pagers".into(),
        }
    }
}

/// What is known of tracks.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// Those that were described, with the slices that are open there.
    open: HashMap<Track, u32>,
    /// Names, and the processes of threads.
    names: HashMap<Track, (String, Koid)>,
}

impl Tracks {
    /// What a track is called from now on, and the process of a thread.
    pub fn name(
        &mut self,
        packets: &mut Packets,
        track: Track,
        of: Koid,
        name: &[u8; MAX_NAME_LEN],
    ) {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        self.names.insert(track, (name, of));
        if self.open.contains_key(&track) {
            self.describe(packets, track);
        }
    }

    /// The object is no more.
    pub fn forget(&mut self, track: Track) {
        self.open.remove(&track);
        self.names.remove(&track);
    }

    /// Describes a track before it is used first.
    fn know(&mut self, packets: &mut Packets, track: Track) {
        if !self.open.contains_key(&track) {
            self.describe(packets, track);
            self.open.insert(track, 0);
        }
    }

    fn describe(&mut self, packets: &mut Packets, track: Track) {
        let (name, of) = self.names.get(&track).cloned().unwrap_or_default();
        let parent = match track {
            Track::Cpu(_) => Some(Track::Group(Group::Cpus)),
            Track::Thread(_) if of != 0 => Some(Track::Process(of)),
            Track::Vmo(_) => Some(Track::Group(Group::Vmos)),
            Track::Pager(_) => Some(Track::Group(Group::Pagers)),
            Track::Thread(_) | Track::Process(_) | Track::Lost | Track::Group(_) => None,
        };
        if let Some(parent) = parent {
            self.know(packets, parent);
        }
        packets.describe(track.uuid(), track.called(&name), parent.map(Track::uuid));
    }

    /// Begins a slice, after the end of all that are open on the track: their ends were lost.
    pub fn begin_anew(
        &mut self,
        packets: &mut Packets,
        at: u64,
        track: Track,
        name: &str,
        details: Vec<DebugAnnotation>,
    ) {
        self.end_all(packets, at, track);
        self.begin(packets, at, track, name, details);
    }

    /// Begins a slice inside the one that is open.
    pub fn begin_within(&mut self, packets: &mut Packets, at: u64, track: Track, name: &str) {
        if self.open.get(&track).is_none_or(|open| *open < 2) {
            self.begin(packets, at, track, name, vec![]);
        }
    }

    fn begin(
        &mut self,
        packets: &mut Packets,
        at: u64,
        track: Track,
        name: &str,
        details: Vec<DebugAnnotation>,
    ) {
        self.know(packets, track);
        let kind = TrackEventType::SliceBegin;
        packets.event(at, track.uuid(), kind, Some(name), details);
        *self.open.entry(track).or_default() += 1;
    }

    /// Ends all slices that are open on a track.
    pub fn end_all(&mut self, packets: &mut Packets, at: u64, track: Track) {
        let open = self.open.get_mut(&track).map(std::mem::take);
        for _ in 0..open.unwrap_or(0) {
            packets.event(at, track.uuid(), TrackEventType::SliceEnd, None, vec![]);
        }
    }

    /// Ends all slices that are open anywhere.
    pub fn end_everything(&mut self, packets: &mut Packets, at: u64) {
        for track in self.open.keys().copied().collect::<Vec<_>>() {
            self.end_all(packets, at, track);
        }
    }

    /// Something happens.
    pub fn instant(
        &mut self,
        packets: &mut Packets,
        at: u64,
        track: Track,
        name: &str,
        details: Vec<DebugAnnotation>,
    ) {
        self.know(packets, track);
        packets.event(
            at,
            track.uuid(),
            TrackEventType::Instant,
            Some(name),
            details,
        );
    }
}
