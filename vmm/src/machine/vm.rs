//! The VM: guest RAM, memslots and vCPUs, made ready to run.

use std::{ops::Range, sync::Arc};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Cap, VmFd};
use protocol::boot::{ARENA_BASE, MAX_VCPUS, RAM_SIZE, VCPU_AREAS, VCPU_STRIDE};

use super::{
    boot,
    caps::{self, HostFacts},
    cpuid,
    error::MachineError,
    image::KernelImage,
    ram::Ram,
    vcpu::Vcpu,
};

/// What a machine is made of.
#[derive(Clone, Copy, Debug)]
pub struct MachineConfig<'a> {
    /// vCPUs, at least 1.
    pub cpus: u32,
    /// The guest kernel's ELF image.
    pub kernel: &'a [u8],
    /// Most bytes of guest-physical address space to use for the arena; the host may have fewer.
    pub arena_limit: u64,
}

/// A VM.
#[derive(Debug)]
pub struct Machine {
    vm: Arc<VmFd>,
    ram: Ram,
    host: HostFacts,
    cpus: u32,
    arena: Range<u64>,
    vcpus: Vec<Vcpu>,
}

impl Machine {
    /// Creates the VM: kernel loaded, vCPUs at its entry, nothing run yet.
    ///
    /// # Errors
    /// What the host lacks, or what is wrong with the kernel.
    pub fn new(config: MachineConfig<'_>) -> Result<Self, MachineError> {
        let image = KernelImage::parse(config.kernel)?;
        let (kvm, host, supported) = caps::open()?;
        let cpus = config.cpus;
        let limit =
            MAX_VCPUS.min(u32::try_from(kvm.check_extension_int(Cap::MaxVcpus)).unwrap_or(1));
        if !(1..=limit).contains(&cpus) {
            return Err(MachineError::Cpus { asked: cpus, limit });
        }
        let vm = Arc::new(kvm.create_vm().map_err(MachineError::kvm("create a VM"))?);
        let ram = Ram::new()?;
        let arena_end = 1u64.checked_shl(host.address_bits).unwrap_or(u64::MAX);
        let arena_size = arena_end.saturating_sub(ARENA_BASE).min(config.arena_limit);
        let arena = ARENA_BASE..ARENA_BASE + arena_size;
        boot::prepare(&ram, &image, &host, cpus, (arena.start, arena_size))?;
        let mut machine = Self {
            vm,
            ram,
            host,
            cpus,
            arena,
            vcpus: Vec::new(),
        };
        machine
            .memslots()
            .set(RAM_SLOT, 0, machine.ram.host_address()?, RAM_SIZE)?;
        for index in 0..cpus {
            let mut cpuid = supported.clone();
            cpuid::restrict(cpuid.as_mut_slice(), index, cpus);
            let vcpu = Vcpu::new(&machine.vm, &machine.ram, &image, &cpuid, index)?;
            machine.vcpus.push(vcpu);
        }
        Ok(machine)
    }

    /// The vCPUs, for the threads that will run them. A second call returns none.
    pub fn take_vcpus(&mut self) -> Vec<Vcpu> {
        std::mem::take(&mut self.vcpus)
    }

    /// Guest RAM.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// What the machine runs on.
    pub fn host(&self) -> HostFacts {
        self.host
    }

    /// The arena: where memslots may be.
    pub fn arena(&self) -> Range<u64> {
        self.arena.clone()
    }

    /// The part of guest RAM that is left for the page tables of processes.
    pub fn table_pages(&self) -> Range<u64> {
        VCPU_AREAS + u64::from(self.cpus) * VCPU_STRIDE..RAM_SIZE
    }

    /// What adds memslots.
    pub fn memslots(&self) -> Memslots {
        Memslots {
            vm: Arc::clone(&self.vm),
        }
    }
}

const RAM_SLOT: u32 = 0;

/// Adds memslots to a VM; may be used by any thread.
#[derive(Clone, Debug)]
pub struct Memslots {
    vm: Arc<VmFd>,
}

impl Memslots {
    /// Backs guest-physical `gpa..gpa + len` with host memory at `host_address`. `slot` counts from 0, RAM's not included.
    ///
    /// The host addresses must belong to whoever calls this, mapped or reserved, for as long as a vCPU of this VM can run:
    /// the guest reads and writes whatever is mapped there.
    ///
    /// # Errors
    /// [`MachineError::Memslot`]: no slots left, or the range overlaps another's.
    pub fn add(
        &self,
        slot: u32,
        gpa: u64,
        host_address: u64,
        len: u64,
    ) -> Result<(), MachineError> {
        self.set(slot.saturating_add(RAM_SLOT + 1), gpa, host_address, len)
    }

    fn set(&self, slot: u32, gpa: u64, host: u64, len: u64) -> Result<(), MachineError> {
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: gpa,
            memory_size: len,
            userspace_addr: host,
        };
        // SAFETY: RAM is kept mapped by every vCPU; for the others the caller of `add` vouches.
        let result = unsafe { self.vm.set_user_memory_region(region) };
        result.map_err(|source| MachineError::Memslot {
            slot,
            gpa,
            len,
            source: source.into(),
        })
    }
}
