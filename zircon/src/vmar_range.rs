//! `zx_vmar_op_range`: an operation on a range of addresses, mapping by mapping in the order of addresses.
//!
//! Each mapping's part is an operation on its VMO ([`crate::range_ops`]), which runs to its end before the next mapping is
//! looked up: what is mapped then counts.

use protocol::options::{VmOptions, VmarOp};
use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::handle::require;
use crate::ids::{Token, VmarId, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::mappings::Mapping;
use crate::op::{Body, OK, Op, Step, StepResult};
use crate::range_ops::RangeOp;

/// The arguments of the call, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmarRangeArgs {
    pub vmar: RawHandle,
    pub op: u32,
    pub address: u64,
    pub length: u64,
    pub buffer: u64,
    pub buffer_size: u64,
}

/// How far an operation on a range of addresses has come.
#[derive(Clone, Debug)]
pub(crate) struct VmarRange {
    vmar: VmarId,
    op: VmarOp,
    /// The handle allows it to go into child VMARs.
    op_children: bool,
    /// What is left, with the part under way.
    at: u64,
    end: u64,
    /// The part under way: what is done to the VMO, and where the part ends.
    part: Option<(RangeOp, u64)>,
}

/// The right that an operation needs of the VMAR's handle.
fn right_of(op: VmarOp) -> Rights {
    match op {
        VmarOp::Commit | VmarOp::Decommit | VmarOp::Zero => Rights::WRITE,
        VmarOp::Prefetch | VmarOp::MapRange => Rights::READ,
        VmarOp::DontNeed | VmarOp::AlwaysNeed => Rights::empty(),
    }
}

/// What a mapping has to allow, not only permit at present.
fn perms_for(op: VmarOp) -> VmOptions {
    match op {
        VmarOp::Commit | VmarOp::Decommit | VmarOp::Zero => VmOptions::PERM_WRITE,
        VmarOp::Prefetch => VmOptions::PERM_READ,
        VmarOp::MapRange | VmarOp::DontNeed | VmarOp::AlwaysNeed => VmOptions::empty(),
    }
}

impl Kernel {
    pub(crate) fn sys_vmar_op_range(&mut self, caller: Caller, args: VmarRangeArgs) -> Begin {
        let (id, rights) = self.typed::<VmarId>(caller.process, args.vmar, Rights::empty())?;
        let op = VmarOp::from_number(args.op).ok_or(Status::INVALID_ARGS)?;
        require(rights, right_of(op))?;
        let length = args.length.checked_next_multiple_of(PAGE_SIZE);
        let length = length
            .filter(|&length| length > 0)
            .ok_or(Status::INVALID_ARGS)?;
        if args.buffer != 0 || args.buffer_size != 0 || !args.address.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        let vmar = self.vmars.get(&id).ok_or(Status::BAD_STATE)?;
        let end = args.address.checked_add(length);
        let end = end.filter(|&end| args.address >= vmar.base && end <= vmar.end());
        let range = VmarRange {
            vmar: id,
            op,
            op_children: rights.contains(Rights::OP_CHILDREN),
            at: args.address,
            end: end.ok_or(Status::OUT_OF_RANGE)?,
            part: None,
        };
        self.begin(caller, Body::VmarRange(range), Vec::new())
    }

    pub(crate) fn step_vmar_range(
        &mut self,
        token: Token,
        op: &mut Op,
        range: &mut VmarRange,
    ) -> StepResult {
        loop {
            if let Some((part, end)) = &mut range.part {
                let (result, end) = (self.step_range_op(token, op, part), *end);
                if let Ok(Step::Wait(waiting)) = result {
                    return Ok(Step::Wait(waiting));
                }
                self.hold_only(op, &[]);
                range.part = None;
                // A VMAR destroyed meanwhile tells more than how the part ended.
                self.live_vmar(range.vmar)?;
                result?;
                range.at = end;
            }
            let process = self.live_vmar(range.vmar)?.process;
            if range.at >= range.end {
                return OK;
            }
            let mapping = self
                .mapping_at(process, range.at)
                .ok_or(Status::BAD_STATE)?;
            let part = mapping.part(range.at, range.end);
            match self.range_part(range, &part)? {
                Some(work) => {
                    self.hold_only(op, &[part.vmo]);
                    range.part = Some((work, part.end()));
                }
                None => range.at = part.end(),
            }
        }
    }

    /// Checks the operation on a part of a mapping; `None` if there is nothing to do.
    fn range_part(&self, range: &VmarRange, part: &Mapping) -> Result<Option<RangeOp>, Status> {
        // These act as if permissions were added, which cannot be done from above.
        let own = matches!(
            range.op,
            VmarOp::Commit | VmarOp::Decommit | VmarOp::Prefetch
        );
        if part.vmar != range.vmar && (own || !range.op_children) {
            return Err(Status::INVALID_ARGS);
        }
        if part.fault_beyond_stream_size && part.vmo_offset + part.length > self.reach(part) {
            return Err(Status::OUT_OF_RANGE);
        }
        if !part.max_perms.contains(perms_for(range.op)) {
            return Err(Status::ACCESS_DENIED);
        }
        match range.op.vmo_op() {
            Some(op) => self.range_op(part.vmo, op, part.vmo_offset, part.length),
            // Page tables map what is resident of themselves.
            None => Ok(None),
        }
    }

    /// Makes an operation keep these VMOs alive, and no others.
    fn hold_only(&mut self, op: &mut Op, vmos: &[VmoId]) {
        for &vmo in vmos {
            self.hold(vmo);
        }
        for vmo in std::mem::replace(&mut op.holds, vmos.to_vec()) {
            self.release(vmo);
        }
    }
}
