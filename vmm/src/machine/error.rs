//! What can go wrong between zvmm and KVM. Each message names the thing and, where there is one, the remedy.

use std::io;

use super::image::ImageError;

/// A failure of the machine: the host lacks something, or KVM refused.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The KVM device cannot be opened.
    #[error("cannot open {device}: {source}; {remedy}", device = super::caps::DEVICE)]
    Device {
        /// What the host said.
        source: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The host's KVM lacks something that zvmm needs.
    #[error("this host's KVM cannot run zvmm: {name}: {found}; {remedy}")]
    Unsupported {
        /// What was looked at.
        name: String,
        /// What was found.
        found: String,
        /// What to do about it.
        remedy: String,
    },
    /// More vCPUs were asked for than there can be, or none.
    #[error("{asked} vCPUs asked for; this host and guest kernel can have 1 to {limit}")]
    Cpus {
        /// The number asked for.
        asked: u32,
        /// The most there can be.
        limit: u32,
    },
    /// A request to KVM failed.
    #[error("KVM refused to {doing}: {source}")]
    Kvm {
        /// What was asked of it.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// KVM did not take a memslot.
    #[error("cannot add memslot {slot} ({len:#x} bytes at guest-physical {gpa:#x}): {source}")]
    Memslot {
        /// Number of the slot, RAM's counted.
        slot: u32,
        /// Its guest-physical address.
        gpa: u64,
        /// Its bytes.
        len: u64,
        /// What KVM said.
        source: io::Error,
    },
    /// Guest RAM cannot be had.
    #[error("cannot map guest RAM: {source}")]
    Ram {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An address that guest RAM does not contain.
    #[error("{len} bytes at guest-physical {gpa:#x} are not in guest RAM")]
    OutsideRam {
        /// First address.
        gpa: u64,
        /// Bytes.
        len: usize,
    },
    /// The guest kernel's image cannot be used.
    #[error("cannot load the guest kernel: {0}")]
    Image(#[from] ImageError),
    /// The signal that takes a vCPU out of the guest cannot be set up.
    #[error("cannot install the handler of the kick signal: {source}")]
    Signal {
        /// What the host said.
        source: io::Error,
    },
}

impl MachineError {
    /// Wraps an error of KVM.
    pub(super) fn kvm(doing: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |source| MachineError::Kvm {
            doing,
            source: source.into(),
        }
    }
}
