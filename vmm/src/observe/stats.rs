//! The counters of a run.
//!
//! Every vCPU has its own cells on its own cache lines. Counters are relaxed atomics: they are read as a whole only
//! when the run is over. A vCPU number that does not exist is ignored.

use std::{
    array,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use protocol::syscall::SyscallNumber;

use super::{
    process,
    report::{Exits, Faults, Memory, Pages, Reclaim, Report, Times, VmoUsage},
    smaps,
};

/// Why a vCPU came back to the VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum ExitKind {
    /// A program's system call.
    Syscall,
    /// A call of the guest kernel itself.
    KernelCall,
    /// Nothing to run.
    Halt,
    /// An access to a page that is not there or may not be written.
    Fault,
    /// An access that KVM's emulator made.
    Mmio,
    /// Interrupted by the VMM.
    Interrupted,
    /// Ready to take an interrupt.
    InterruptWindow,
}

impl ExitKind {
    /// All kinds, in the order of the report.
    pub const ALL: [ExitKind; 7] = [
        ExitKind::Syscall,
        ExitKind::KernelCall,
        ExitKind::Halt,
        ExitKind::Fault,
        ExitKind::Mmio,
        ExitKind::Interrupted,
        ExitKind::InterruptWindow,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ExitKind::Syscall => "system call",
            ExitKind::KernelCall => "kernel call",
            ExitKind::Halt => "halt",
            ExitKind::Fault => "fault",
            ExitKind::Mmio => "mmio",
            ExitKind::Interrupted => "interrupted",
            ExitKind::InterruptWindow => "interrupt window",
        }
    }
}

/// Everything that is counted in a run.
#[derive(Debug)]
pub struct Stats {
    began: Instant,
    /// When ring 3 was left for the first time.
    first_user_instruction: OnceLock<Instant>,
    first_fault_served: OnceLock<Instant>,
    vcpus: Vec<VcpuCells>,
    requests: AtomicU64,
    requested: AtomicU64,
    supplied_demand: AtomicU64,
    supplied_ahead: AtomicU64,
    in_vain: AtomicU64,
    judged: AtomicU64,
    unused: AtomicU64,
}

/// One vCPU's counters. Two vCPUs share no cache line, nor a pair that the processor fetches together.
#[derive(Debug)]
#[repr(align(128))]
struct VcpuCells {
    exits: [AtomicU64; ExitKind::ALL.len()],
    syscalls: [AtomicU64; SyscallNumber::ALL.len()],
    /// Nanoseconds. Locked by its vCPU, and once at the end.
    latency: Mutex<Histogram<u32>>,
}

impl VcpuCells {
    fn new() -> Self {
        VcpuCells {
            exits: array::from_fn(|_| AtomicU64::new(0)),
            syscalls: array::from_fn(|_| AtomicU64::new(0)),
            latency: Mutex::new(latency_histogram()),
        }
    }
}

/// 100 ns to 100 s with two digits: some 15 KiB.
fn latency_histogram() -> Histogram<u32> {
    match Histogram::new_with_bounds(100, 100_000_000_000, 2) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds are valid: {error}"),
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}

impl Stats {
    /// All zero; when the run began.
    pub fn new(vcpus: u32, began: Instant) -> Self {
        Stats {
            began,
            first_user_instruction: OnceLock::new(),
            first_fault_served: OnceLock::new(),
            vcpus: (0..vcpus).map(|_| VcpuCells::new()).collect(),
            requests: AtomicU64::new(0),
            requested: AtomicU64::new(0),
            supplied_demand: AtomicU64::new(0),
            supplied_ahead: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
            judged: AtomicU64::new(0),
            unused: AtomicU64::new(0),
        }
    }

    fn vcpu(&self, vcpu: u32) -> Option<&VcpuCells> {
        self.vcpus.get(vcpu as usize)
    }

    /// A vCPU came back to the VMM.
    pub fn exit(&self, vcpu: u32, kind: ExitKind) {
        if let Some(counter) = self
            .vcpu(vcpu)
            .and_then(|cells| cells.exits.get(kind as usize))
        {
            add(counter, 1);
        }
    }

    /// A program made this system call.
    pub fn syscall(&self, vcpu: u32, number: SyscallNumber) {
        let counter = self
            .vcpu(vcpu)
            .and_then(|cells| cells.syscalls.get(number as usize));
        if let Some(counter) = counter {
            add(counter, 1);
        }
    }

    /// A pager was asked for this many pages.
    pub fn page_request(&self, pages: u64) {
        add(&self.requests, 1);
        add(&self.requested, pages);
    }

    /// A pager supplied pages: those that were asked for, and those it added.
    pub fn supplied(&self, demand: u64, ahead: u64) {
        add(&self.supplied_demand, demand);
        add(&self.supplied_ahead, ahead);
    }

    /// Pages that came ahead were used before they went, or never.
    pub fn judged(&self, pages: u64, used: bool) {
        add(&self.judged, pages);
        add(&self.unused, if used { 0 } else { pages });
    }

    /// A fault of this vCPU was resolved so long after its exit.
    pub fn fault_served(&self, vcpu: u32, latency: Duration) {
        self.first_fault_served.get_or_init(Instant::now);
        if let Some(cells) = self.vcpu(vcpu) {
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            let mut histogram = cells.latency.lock().unwrap_or_else(PoisonError::into_inner);
            histogram.saturating_record(nanos);
        }
    }

    /// Ring 3 was left at that moment; the first call counts.
    pub fn left_ring_3(&self, moment: Instant) {
        self.first_user_instruction.get_or_init(|| moment);
    }

    /// Pages that were supplied ahead turned out to be in vain, as far as can be told.
    pub fn in_vain(&self, pages: u64) {
        add(&self.in_vain, pages);
    }

    /// Pages supplied so far.
    pub(super) fn pages_supplied(&self) -> u64 {
        self.supplied_demand
            .load(Relaxed)
            .saturating_add(self.supplied_ahead.load(Relaxed))
    }

    /// Time since the run began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The figures so far, with the state of the VMOs at the end of the run. The process's memory is looked at only with
    /// `measure_memory`: that takes a millisecond, and is to be done while guest memory is still mapped.
    pub fn report(&self, vmos: Vec<VmoUsage>, reclaim: Reclaim, measure_memory: bool) -> Report {
        let first = self.first_user_instruction.get();
        let since_run = |moment: &Instant| nanos(moment.saturating_duration_since(self.began));
        let wall = self.began.elapsed();
        let memory = match measure_memory {
            true => smaps::measure("self"),
            false => smaps::OwnMemory::default(),
        };
        Report {
            times: Times {
                first_user_instruction_since_exec_ns: first
                    .filter(|_| measure_memory)
                    .map(|&moment| nanos(process::since_start(moment))),
                first_user_instruction_since_run_ns: first.map(since_run),
                first_fault_served_since_run_ns: self.first_fault_served.get().map(since_run),
                wall_ns: nanos(wall),
            },
            exits: self.exits(),
            hypercalls: SyscallNumber::ALL
                .iter()
                .map(|&number| (number.name(), self.syscalls(number)))
                .filter(|&(_, count)| count > 0)
                .collect(),
            pages: Pages {
                requests: self.requests.load(Relaxed),
                requested: self.requested.load(Relaxed),
                supplied_demand: self.supplied_demand.load(Relaxed),
                supplied_ahead: self.supplied_ahead.load(Relaxed),
                ahead_in_vain: self.in_vain.load(Relaxed),
                ahead_judged: self.judged.load(Relaxed),
                ahead_unused: self.unused.load(Relaxed),
            },
            reclaim,
            faults: self.faults(),
            vmos,
            memory: Memory {
                guest_ram_bytes: protocol::boot::RAM_SIZE,
                own_bytes: memory.own,
                page_tables_bytes: memory.page_tables,
                peak_resident_bytes: memory.peak_resident,
            },
        }
    }

    fn exits(&self) -> Vec<Exits> {
        ExitKind::ALL
            .iter()
            .enumerate()
            .map(|(place, kind)| {
                let per_vcpu: Vec<u64> = self
                    .vcpus
                    .iter()
                    .map(|cells| {
                        cells
                            .exits
                            .get(place)
                            .map_or(0, |count| count.load(Relaxed))
                    })
                    .collect();
                Exits {
                    kind: kind.name(),
                    total: per_vcpu.iter().sum(),
                    per_vcpu,
                }
            })
            .collect()
    }

    fn syscalls(&self, number: SyscallNumber) -> u64 {
        self.vcpus
            .iter()
            .filter_map(|cells| cells.syscalls.get(number as usize))
            .map(|count| count.load(Relaxed))
            .sum()
    }

    fn faults(&self) -> Faults {
        let mut all = latency_histogram();
        for cells in &self.vcpus {
            let histogram = cells.latency.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = all.add(&*histogram) {
                log::warn!("a vCPU's fault latencies are left out of the report: {error}");
            }
        }
        Faults {
            served: all.len(),
            p50_ns: all.value_at_quantile(0.50),
            p90_ns: all.value_at_quantile(0.90),
            p99_ns: all.value_at_quantile(0.99),
            max_ns: all.max(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_arrive_in_the_report() {
        let stats = Stats::new(2, Instant::now());
        stats.exit(0, ExitKind::Fault);
        stats.exit(1, ExitKind::Fault);
        stats.exit(1, ExitKind::Syscall);
        stats.exit(2, ExitKind::Syscall);
        stats.syscall(1, SyscallNumber::PortWait);
        stats.syscall(0, SyscallNumber::PortWait);
        stats.page_request(1);
        stats.page_request(16);
        stats.supplied(17, 3);
        stats.judged(1, true);
        stats.judged(2, false);
        stats.left_ring_3(Instant::now());
        let report = stats.report(Vec::new(), Reclaim::default(), false);
        let fault = report
            .exits
            .iter()
            .find(|exits| exits.kind == "fault")
            .unwrap();
        assert_eq!((fault.total, &fault.per_vcpu[..]), (2, &[1, 1][..]));
        let syscall = report
            .exits
            .iter()
            .find(|exits| exits.kind == "system call")
            .unwrap();
        assert_eq!(syscall.total, 1);
        assert_eq!(report.hypercalls.get("port_wait"), Some(&2));
        assert_eq!(report.hypercalls.len(), 1);
        assert_eq!(
            report.pages,
            Pages {
                requests: 2,
                requested: 17,
                supplied_demand: 17,
                supplied_ahead: 3,
                ahead_in_vain: 0,
                ahead_judged: 3,
                ahead_unused: 2,
            }
        );
        let first = report.times.first_user_instruction_since_run_ns.unwrap();
        assert!(first <= report.times.wall_ns);
        assert_eq!(report.times.first_fault_served_since_run_ns, None);
        // Only that looks up when the process began.
        assert_eq!(report.times.first_user_instruction_since_exec_ns, None);
        let times = stats.report(Vec::new(), Reclaim::default(), true).times;
        assert!(
            times.first_user_instruction_since_exec_ns >= times.first_user_instruction_since_run_ns
        );
    }

    #[test]
    fn latencies_of_all_vcpus_are_merged() {
        const BEFORE: Duration = Duration::from_secs(5);
        let stats = Stats::new(2, Instant::now().checked_sub(BEFORE).unwrap());
        for micros in 1..=100 {
            stats.fault_served(micros % 2, Duration::from_micros(u64::from(micros)));
        }
        let faults = stats.report(Vec::new(), Reclaim::default(), false).faults;
        assert_eq!(faults.served, 100);
        let times = stats.report(Vec::new(), Reclaim::default(), false).times;
        let first = times.first_fault_served_since_run_ns.unwrap();
        assert!(nanos(BEFORE) <= first && first <= times.wall_ns);
        for (found, micros) in [
            (faults.p50_ns, 50.0),
            (faults.p90_ns, 90.0),
            (faults.p99_ns, 99.0),
            (faults.max_ns, 100.0),
        ] {
            let ratio = found as f64 / (micros * 1000.0);
            assert!((0.98..=1.02).contains(&ratio), "{found} for {micros} µs");
        }
    }

    #[test]
    fn absurd_latencies_are_clamped() {
        let stats = Stats::new(1, Instant::now());
        stats.fault_served(0, Duration::ZERO);
        stats.fault_served(0, Duration::MAX);
        assert_eq!(
            stats
                .report(Vec::new(), Reclaim::default(), false)
                .faults
                .served,
            2
        );
    }

    #[test]
    fn nothing_ran_nothing_is_claimed() {
        let report = Stats::new(1, Instant::now()).report(Vec::new(), Reclaim::default(), false);
        assert_eq!(report.times.first_user_instruction_since_exec_ns, None);
        assert_eq!(report.faults.served, 0);
        assert!(report.exits.iter().all(|exits| exits.total == 0));
    }
}
