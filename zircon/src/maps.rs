//! `zx_object_get_info` on address spaces: ZX_INFO_VMAR, and the tree of VMARs and mappings of ZX_INFO_PROCESS_MAPS.

use protocol::maps::{
    InfoMaps, InfoMapsMapping, InfoVmar, MAPS_TYPE_ASPACE, MAPS_TYPE_MAPPING, MAPS_TYPE_VMAR,
    TOPIC_PROCESS_MAPS_V1, TOPIC_PROCESS_MAPS_V2,
};
use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::handle::{Handle, require};
use crate::ids::{ObjectRef, ProcessId, VmarId};
use crate::info::{InfoOut, MOST_RECORDS};
use crate::kernel::{Begin, Caller, Kernel};
use crate::mappings::Mapping;
use crate::vmar::Vmar;

impl Kernel {
    pub(crate) fn info_vmar(&self, handle: Handle) -> Result<Vec<u8>, Status> {
        let ObjectRef::Vmar(id) = handle.object else {
            return Err(Status::WRONG_TYPE);
        };
        require(handle.rights, Rights::INSPECT)?;
        let vmar = self.vmars.get(&id).ok_or(Status::INTERNAL)?;
        let (base, len) = (vmar.base, vmar.size);
        Ok(InfoVmar { base, len }.to_bytes().to_vec())
    }

    /// As many records as fit; with how many they are and how many there are.
    pub(crate) fn info_process_maps(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        topic: u32,
        out: InfoOut,
    ) -> Begin {
        let (process, _) = self.typed::<ProcessId>(caller.process, raw, Rights::INSPECT)?;
        let record = |maps: &InfoMaps| match topic {
            TOPIC_PROCESS_MAPS_V1 => maps.to_bytes_v1().to_vec(),
            TOPIC_PROCESS_MAPS_V2 => maps.to_bytes_v2().to_vec(),
            _ => maps.to_bytes().to_vec(),
        };
        let size = record(&InfoMaps::default()).len() as u64;
        let (maps, avail) = self.maps(process, (out.size / size).min(MOST_RECORDS))?;
        let bytes: Vec<u8> = maps.iter().flat_map(record).collect();
        self.return_records(caller, out, &bytes, (maps.len() as u64, avail), Status::OK)
    }

    /// The tree of a process that has not ended, depth first: at most `most` nodes of it, and how many there are.
    fn maps(&self, id: ProcessId, most: u64) -> Result<(Vec<InfoMaps>, u64), Status> {
        let process = self.processes.get(&id).ok_or(Status::INTERNAL)?;
        let root = self.live_vmar(process.root)?;
        let space = node(&format!("proc:{}", id.0), root, 0, MAPS_TYPE_ASPACE);
        let mut maps = vec![space, node("root", root, 1, MAPS_TYPE_VMAR)];
        // What lies around the next node, innermost last, with the children that are still to come.
        let mut around = vec![(root, root.children.values())];
        let mut mappings = process.mappings.values().peekable();
        let mut next_child = next(&mut around);
        let mut count = maps.len() as u64;
        while let Some(&(vmar, _)) = around.last() {
            let depth = around.len() as u64 + 1;
            let child = next_child.and_then(|child| self.vmars.get(&child));
            let end = child.map_or(vmar.end(), |child| child.base);
            let mapping = mappings.next_if(|mapping| mapping.base < end);
            match (mapping, child) {
                (Some(mapping), _) if count < most => maps.push(self.mapping_node(mapping, depth)),
                (Some(_), _) => {}
                (None, Some(child)) => {
                    if count < most {
                        maps.push(node("useralloc", child, depth, MAPS_TYPE_VMAR));
                    }
                    around.push((child, child.children.values()));
                }
                (None, None) => {
                    around.pop();
                }
            }
            if mapping.is_none() {
                next_child = next(&mut around);
            }
            count += u64::from(mapping.is_some() || child.is_some());
        }
        maps.truncate(most as usize);
        Ok((maps, count))
    }

    fn mapping_node(&self, mapping: &Mapping, depth: u64) -> InfoMaps {
        let first = mapping.vmo_offset / PAGE_SIZE;
        let pages = first..first + mapping.length / PAGE_SIZE;
        let committed = self.attribution(mapping.vmo, pages);
        InfoMaps {
            name: self
                .vmos
                .get(&mapping.vmo)
                .map_or([0; 32], |vmo| vmo.header.name),
            base: mapping.base,
            size: mapping.length,
            depth,
            kind: MAPS_TYPE_MAPPING,
            padding: 0,
            mapping: InfoMapsMapping {
                mmu_flags: mapping.perms.bits(),
                vmo_koid: mapping.vmo.0,
                vmo_offset: mapping.vmo_offset,
                committed_bytes: committed.total,
                populated_bytes: committed.total,
                committed_private_bytes: committed.private,
                populated_private_bytes: committed.private,
                committed_scaled_bytes: committed.scaled,
                populated_scaled_bytes: committed.scaled,
                committed_fractional_scaled_bytes: committed.fraction,
                populated_fractional_scaled_bytes: committed.fraction,
                ..InfoMapsMapping::default()
            },
        }
    }
}

/// A VMAR, and its children that are still to come.
type Around<'a> = (
    &'a Vmar,
    std::collections::btree_map::Values<'a, u64, (u64, VmarId)>,
);

/// The next child of the innermost VMAR.
fn next(around: &mut [Around<'_>]) -> Option<VmarId> {
    let (_, children) = around.last_mut()?;
    children.next().map(|&(_, child)| child)
}

fn node(name: &str, vmar: &Vmar, depth: u64, kind: u32) -> InfoMaps {
    let mut record = InfoMaps {
        base: vmar.base,
        size: vmar.size,
        depth,
        kind,
        ..InfoMaps::default()
    };
    for (slot, byte) in record.name.iter_mut().zip(name.bytes()) {
        *slot = byte;
    }
    record
}
