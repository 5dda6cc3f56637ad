//! What every object carries: its name, its signals, its observers, and how many handles refer to it.

use std::collections::BTreeMap;

use protocol::{MAX_NAME_LEN, RawHandle, Signals};

use crate::ids::{PortId, ProcessId, Token};

/// The common part of an object.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub name: [u8; MAX_NAME_LEN],
    pub signals: Signals,
    pub handles: u32,
    pub observers: BTreeMap<ObserverId, Observer>,
}

impl Header {
    pub fn new(signals: Signals) -> Self {
        Header {
            name: [0; MAX_NAME_LEN],
            signals,
            handles: 0,
            observers: BTreeMap::new(),
        }
    }

    /// The name up to its NUL, for reports.
    pub fn name(&self) -> String {
        let length = self
            .name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.name.len());
        String::from_utf8_lossy(self.name.get(..length).unwrap_or_default()).into_owned()
    }

    /// Sets the name; what does not fit with its NUL is cut.
    pub fn set_name(&mut self, name: &[u8]) {
        let kept = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len())
            .min(MAX_NAME_LEN - 1);
        self.name = [0; MAX_NAME_LEN];
        if let (Some(to), Some(from)) = (self.name.get_mut(..kept), name.get(..kept)) {
            to.copy_from_slice(from);
        }
    }
}

/// Which observer of an object: the handle it waits through, and its place in the order of registration. Closing the
/// handle ends the wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ObserverId {
    pub process: ProcessId,
    pub handle: RawHandle,
    /// Rises with each registration in the VM.
    pub number: u64,
}

impl ObserverId {
    /// The range of all observers that wait through one handle.
    pub fn through(process: ProcessId, handle: RawHandle) -> std::ops::RangeInclusive<ObserverId> {
        let id = |number| ObserverId {
            process,
            handle,
            number,
        };
        id(0)..=id(u64::MAX)
    }
}

/// Somebody who waits for signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer {
    pub trigger: Signals,
    pub then: Notify,
}

/// What happens when an observer's signal is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notify {
    /// An operation learns of it and goes on.
    Wake(Token),
    /// A packet is queued.
    Packet {
        port: PortId,
        key: u64,
        timestamp: bool,
    },
}
