//! Messages that nobody can read any more: an end of a channel whose every handle lies in messages that, in turn, nobody can
//! read - its own, for one. A program can make such rings; they are taken apart when a process ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ChannelId, ObjectRef};
use crate::kernel::Kernel;

impl Kernel {
    /// Throws away the messages that cannot be read, if a process has ended since it did so last. Says whether it looked.
    pub(crate) fn sweep_channels(&mut self) -> bool {
        if !std::mem::take(&mut self.sweep) {
            return false;
        }
        let reached = self.reachable_channels();
        let ends = self.channels.iter();
        let lost = ends.filter(|(id, end)| end.has_messages() && !reached.contains(id));
        let lost: Vec<ChannelId> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            while let Some(message) = self.take_message(id) {
                self.discard(message.handles);
            }
        }
        true
    }

    /// The ends with a handle that is in no message, and those that can be had from them by reading.
    fn reachable_channels(&self) -> BTreeSet<ChannelId> {
        let mut in_messages: BTreeMap<ChannelId, u32> = BTreeMap::new();
        for id in self.channels.values().flat_map(|end| end.channels_within()) {
            *in_messages.entry(id).or_default() += 1;
        }
        let held = |(id, handles): (&ChannelId, u32)| {
            let within = in_messages.get(id).copied().unwrap_or(0);
            (handles > within).then_some(*id)
        };
        let ends = self.channels.iter();
        let mut line: Vec<_> = ends
            .filter_map(|(id, end)| held((id, end.header.handles)))
            .collect();
        let mut reached: BTreeSet<_> = line.iter().copied().collect();
        while let Some(end) = line.pop().and_then(|id| self.channels.get(&id)) {
            line.extend(end.channels_within().filter(|id| reached.insert(*id)));
        }
        reached
    }
}

impl crate::channel::Channel {
    /// The ends of channels to which its messages hold handles.
    fn channels_within(&self) -> impl Iterator<Item = ChannelId> {
        self.handles_within()
            .filter_map(|handle| match handle.object {
                ObjectRef::Channel(id) => Some(id),
                _ => None,
            })
    }
}
