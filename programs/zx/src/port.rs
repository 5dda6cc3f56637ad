//! Ports: queues of packets.

use protocol::{PortPacket, Status};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, sys};

object! {
    /// A port.
    Port
}

impl Port {
    /// `zx_port_create`.
    pub fn create() -> Result<Port, Status> {
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::port_create(0, out) }).map(Port)
    }

    /// `zx_port_queue`.
    pub fn queue(&self, packet: &PortPacket) -> Result<(), Status> {
        let mut copy = *packet;
        let address = address_of(&mut copy);
        // SAFETY: the call only reads the packet.
        unsafe { sys::port_queue(self.raw_handle(), address).ok() }
    }

    /// `zx_port_cancel`: takes back waits for `source` with this key, and their packets.
    pub fn cancel(&self, source: &impl AsHandleRef, key: u64) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::port_cancel(self.raw_handle(), source.raw_handle(), key).ok() }
    }

    /// `zx_port_cancel_key`: takes back all waits with this key, and removes the packets that have it.
    pub fn cancel_key(&self, key: u64) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::port_cancel_key(self.raw_handle(), 0, key).ok() }
    }

    /// `zx_port_wait`: the next packet, or TIMED_OUT when none came before `deadline`.
    pub fn wait(&self, deadline: i64) -> Result<PortPacket, Status> {
        let mut packet = PortPacket::default();
        let out = address_of(&mut packet);
        // SAFETY: the packet outlives the call.
        unsafe { sys::port_wait(self.raw_handle(), deadline, out).ok()? };
        Ok(packet)
    }
}
