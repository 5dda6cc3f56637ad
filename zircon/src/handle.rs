//! A process's handles: values to objects and rights.
//!
//! A value holds a slot's index and its generation, so that a closed value is not soon valid again; its two lowest
//! bits are set, as Zircon promises.

use protocol::{RawHandle, Rights, Status};

use crate::ids::{
    BtiId, ChannelId, ExceptionId, IommuId, JobId, ObjectRef, PagerId, PortId, ProcessId,
    ResourceId, ThreadId, VmarId, VmoId,
};

const INDEX_BITS: u32 = 18;
const GENERATIONS: u32 = 1 << (30 - INDEX_BITS);

/// One handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handle {
    pub object: ObjectRef,
    pub rights: Rights,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    generation: u32,
    handle: Option<Handle>,
}

/// The handles of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandleTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl HandleTable {
    /// Adds a handle; NO_MEMORY when the table is full.
    pub fn insert(&mut self, handle: Handle) -> Result<RawHandle, Status> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = self.slots.len() as u32;
                if index >> INDEX_BITS != 0 {
                    return Err(Status::NO_MEMORY);
                }
                self.slots.push(Slot::default());
                index
            }
        };
        let slot = self.slots.get_mut(index as usize).ok_or(Status::INTERNAL)?;
        slot.handle = Some(handle);
        Ok((slot.generation << INDEX_BITS | index) << 2 | 3)
    }

    /// The handle that `value` names.
    pub fn get(&self, value: RawHandle) -> Result<Handle, Status> {
        let (index, generation) = split(value)?;
        let slot = self
            .slots
            .get(index as usize)
            .filter(|slot| slot.generation == generation);
        slot.and_then(|slot| slot.handle).ok_or(Status::BAD_HANDLE)
    }

    /// Takes the handle that `value` names out of the table.
    pub fn remove(&mut self, value: RawHandle) -> Result<Handle, Status> {
        let handle = self.get(value)?;
        let (index, _) = split(value)?;
        let slot = self.slots.get_mut(index as usize).ok_or(Status::INTERNAL)?;
        slot.handle = None;
        slot.generation = (slot.generation + 1) % GENERATIONS;
        self.free.push(index);
        Ok(handle)
    }

    /// Every handle value, for closing them all.
    pub fn values(&self) -> Vec<RawHandle> {
        let live = self
            .slots
            .iter()
            .zip(0u32..)
            .filter(|(slot, _)| slot.handle.is_some());
        live.map(|(slot, index)| (slot.generation << INDEX_BITS | index) << 2 | 3)
            .collect()
    }

    /// A handle of the wanted type and rights: BAD_HANDLE, then WRONG_TYPE, then ACCESS_DENIED.
    pub fn typed<T: FromObject>(
        &self,
        value: RawHandle,
        rights: Rights,
    ) -> Result<(T, Rights), Status> {
        let handle = self.get(value)?;
        let object = T::from_object(handle.object).ok_or(Status::WRONG_TYPE)?;
        require(handle.rights, rights)?;
        Ok((object, handle.rights))
    }
}

/// ACCESS_DENIED unless `held` has all of `needed`.
pub(crate) fn require(held: Rights, needed: Rights) -> Result<(), Status> {
    if held.contains(needed) {
        Ok(())
    } else {
        Err(Status::ACCESS_DENIED)
    }
}

fn split(value: RawHandle) -> Result<(u32, u32), Status> {
    if value & 3 != 3 {
        return Err(Status::BAD_HANDLE);
    }
    let value = value >> 2;
    Ok((value & ((1 << INDEX_BITS) - 1), value >> INDEX_BITS))
}

/// Which id an [`ObjectRef`] holds, if it is of this type.
pub(crate) trait FromObject: Sized {
    fn from_object(object: ObjectRef) -> Option<Self>;
}

macro_rules! from_object {
    ($($id:ident $variant:ident,)*) => {
        $(impl FromObject for $id {
            fn from_object(object: ObjectRef) -> Option<Self> {
                if let ObjectRef::$variant(id) = object { Some(id) } else { None }
            }
        })*
    };
}

from_object! {
    BtiId Bti,
    ChannelId Channel,
    ExceptionId Exception,
    IommuId Iommu,
    JobId Job,
    PagerId Pager,
    PortId Port,
    ProcessId Process,
    ResourceId Resource,
    ThreadId Thread,
    VmarId Vmar,
    VmoId Vmo,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(koid: u64) -> Handle {
        Handle {
            object: ObjectRef::Port(PortId(koid)),
            rights: Rights::DEFAULT_PORT,
        }
    }

    #[test]
    fn values_have_their_low_bits_set_and_go_stale() {
        let mut table = HandleTable::default();
        let first = table.insert(port(1)).unwrap();
        assert_eq!(first & 3, 3);
        assert_eq!(table.remove(first), Ok(port(1)));
        let second = table.insert(port(2)).unwrap();
        assert_ne!(first, second, "a slot used again has another value");
        assert_eq!(table.get(first), Err(Status::BAD_HANDLE));
        assert_eq!(table.get(second), Ok(port(2)));
    }

    #[test]
    fn odd_values_are_bad_handles() {
        let mut table = HandleTable::default();
        let value = table.insert(port(1)).unwrap();
        for bad in [0, 1, 2, value ^ 1, value ^ 2, value + 4, u32::MAX] {
            assert_eq!(table.get(bad), Err(Status::BAD_HANDLE), "{bad:#x}");
        }
    }

    #[test]
    fn wrong_type_beats_missing_rights() {
        let mut table = HandleTable::default();
        let value = table.insert(port(1)).unwrap();
        assert_eq!(
            table.typed::<VmoId>(value, Rights::EXECUTE),
            Err(Status::WRONG_TYPE)
        );
        assert_eq!(
            table.typed::<PortId>(value, Rights::EXECUTE),
            Err(Status::ACCESS_DENIED)
        );
        assert_eq!(
            table.typed::<PortId>(value, Rights::READ),
            Ok((PortId(1), Rights::DEFAULT_PORT))
        );
    }
}
