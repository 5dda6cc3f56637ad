//! The figures of a run: data for JSON, and a table for people.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

use protocol::PAGE_SIZE;
use serde::Serialize;

/// Everything known about a run once it is over. Times are in nanoseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When things happened.
    pub times: Times,
    /// Why vCPUs came back to the VMM: every kind, also those that never happened.
    pub exits: Vec<Exits>,
    /// System calls by name; those that were never made are left out.
    pub hypercalls: BTreeMap<&'static str, u64>,
    /// Pages asked for and supplied.
    pub pages: Pages,
    /// The limit on pages of VMOs, and what was done to keep it.
    pub reclaim: Reclaim,
    /// How long faults took.
    pub faults: Faults,
    /// The VMOs at the end of the run.
    pub vmos: Vec<VmoUsage>,
    /// Memory of the host.
    pub memory: Memory,
}

/// When things happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Times {
    /// From the start of the zvmm process to when ring 3 was left for the first time, by a system call or a fault, which is early. What lies before `main` is known to
    /// within a clock tick (10 ms) at worst, exactly if nothing had to be waited for. Null: none was executed, or the process was not
    /// to be looked at (`RunConfig::measure_memory`).
    pub first_user_instruction_since_exec_ns: Option<u64>,
    /// The same from the start of the run, all set-up of the VM included.
    pub first_user_instruction_since_run_ns: Option<u64>,
    /// From the start of the run to when the first fault of ring 3 was served. Null: there was none.
    pub first_fault_served_since_run_ns: Option<u64>,
    /// The whole run.
    pub wall_ns: u64,
}

/// Exits of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exits {
    /// The kind.
    pub kind: &'static str,
    /// Of all vCPUs.
    pub total: u64,
    /// In the order of the vCPUs.
    pub per_vcpu: Vec<u64>,
}

/// Pages asked for and supplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// Requests made to pagers.
    pub requests: u64,
    /// Pages in them.
    pub requested: u64,
    /// Pages supplied because they were asked for.
    pub supplied_demand: u64,
    /// Pages supplied ahead of readers.
    pub supplied_ahead: u64,
    /// Those of them whose reader never came as far as they reach.
    pub ahead_in_vain: u64,
    /// Pages that came ahead, zeros included, of which is known whether they were used: all in a run with a heat map, else none.
    pub ahead_judged: u64,
    /// Those of them that never were.
    pub ahead_unused: u64,
}

/// The limit on pages of VMOs (`--memory`), and what was done to keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Reclaim {
    /// The limit. Null: there is none.
    pub limit_pages: Option<u64>,
    /// Pages that were evicted.
    pub evicted: u64,
    /// Pages that were to be evicted, but turned out to be written to, and stayed.
    pub written: u64,
    /// Discardable VMOs that were discarded.
    pub discarded_vmos: u64,
    /// Their pages.
    pub discarded_pages: u64,
    /// Most pages that counted at a time, those on their way in or out included.
    pub peak_counted_pages: u64,
    /// Most pages that the host held for VMOs, as far as was seen by looking every few milliseconds; 0 if nobody looked.
    pub peak_sampled_pages: u64,
}

/// Fault service: from a vCPU's exit until its instruction could be restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// How many.
    pub served: u64,
    /// Half took no longer.
    pub p50_ns: u64,
    /// Nine of ten took no longer.
    pub p90_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// A VMO at the end of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmoUsage {
    /// Its NAME property, or empty.
    pub name: String,
    /// Its koid.
    pub koid: u64,
    /// Pages that are there.
    pub resident_pages: u64,
    /// Its size.
    pub size_bytes: u64,
}

/// Memory of the host. What the process takes is 0 unless the run was to measure it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The guest's RAM (kernel and page tables; VMOs are apart).
    pub guest_ram_bytes: u64,
    /// The VMM's own: proportional set size without guest pages and file-backed code.
    pub own_bytes: u64,
    /// The host's page tables of the process, those for guest memory included.
    pub page_tables_bytes: u64,
    /// Largest resident set of the process, guest pages that it maps included.
    pub peak_resident_bytes: u64,
}

/// Width of a table's first column.
const LABEL: usize = 32;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |label: &str, value: &dyn Display| writeln!(f, "{label:<LABEL$}{value}");
        match self.times.first_user_instruction_since_exec_ns {
            Some(exec) => {
                let run = self
                    .times
                    .first_user_instruction_since_run_ns
                    .unwrap_or(exec);
                let value = format!("{} ({} of it in the run)", Nanos(exec), Nanos(run));
                row("time to first user instruction", &value)?;
            }
            None => row("time to first user instruction", &"none was executed")?,
        }
        if let Some(run) = self.times.first_fault_served_since_run_ns {
            row(
                "time to first fault served",
                &format!("{} in the run", Nanos(run)),
            )?;
        }
        row("wall time", &Nanos(self.times.wall_ns))?;
        let pages = &self.pages;
        let requested = format!("{} for {} pages", pages.requests, pages.requested);
        row("page requests", &requested)?;
        let supplied = format!(
            "{} ({} asked for, {} ahead, {} in vain)",
            pages.supplied_demand.saturating_add(pages.supplied_ahead),
            pages.supplied_demand,
            pages.supplied_ahead,
            pages.ahead_in_vain
        );
        row("pages supplied", &supplied)?;
        if pages.ahead_judged > 0 {
            let unused = format!(
                "{} of {} that came ahead",
                pages.ahead_unused, pages.ahead_judged
            );
            row("pages never used", &unused)?;
        }
        let reclaim = &self.reclaim;
        let pages = |pages: u64| Bytes(pages.saturating_mul(PAGE_SIZE));
        let most = format!(
            "{} counted, {} seen",
            pages(reclaim.peak_counted_pages),
            pages(reclaim.peak_sampled_pages)
        );
        row("most pages of VMOs", &most)?;
        if let Some(limit) = reclaim.limit_pages {
            row("limit on pages of VMOs", &pages(limit))?;
            let evicted = format!(
                "{} ({} more were written to)",
                reclaim.evicted, reclaim.written
            );
            row("pages evicted", &evicted)?;
            let discarded = format!(
                "{} with {} pages",
                reclaim.discarded_vmos, reclaim.discarded_pages
            );
            row("VMOs discarded", &discarded)?;
        }
        row("faults served", &self.faults.served)?;
        if self.faults.served > 0 {
            let faults = &self.faults;
            let value = format!(
                "p50 {}, p90 {}, p99 {}, max {}",
                Nanos(faults.p50_ns),
                Nanos(faults.p90_ns),
                Nanos(faults.p99_ns),
                Nanos(faults.max_ns)
            );
            row("fault service latency", &value)?;
        }
        row("guest RAM", &Bytes(self.memory.guest_ram_bytes))?;
        row("the VMM's own memory", &Bytes(self.memory.own_bytes))?;
        row(
            "page tables of the process",
            &Bytes(self.memory.page_tables_bytes),
        )?;
        row("peak resident set", &Bytes(self.memory.peak_resident_bytes))?;
        self.exits_table(f)?;
        self.hypercalls_table(f)?;
        self.vmos_table(f)
    }
}

impl Report {
    fn exits_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vcpus = self.exits.first().map_or(0, |exits| exits.per_vcpu.len());
        write!(f, "\n{:<LABEL$}{:>12}", "exits", "total")?;
        for vcpu in 0..vcpus {
            write!(f, "{:>12}", format!("vcpu {vcpu}"))?;
        }
        writeln!(f)?;
        for exits in self.exits.iter().filter(|exits| exits.total > 0) {
            write!(
                f,
                "  {:<width$}{:>12}",
                exits.kind,
                exits.total,
                width = LABEL - 2
            )?;
            for count in &exits.per_vcpu {
                write!(f, "{count:>12}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// Most frequent first.
    fn hypercalls_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hypercalls.is_empty() {
            return Ok(());
        }
        let mut calls: Vec<_> = self.hypercalls.iter().collect();
        calls.sort_by_key(|&(name, count)| (std::cmp::Reverse(*count), *name));
        writeln!(f, "\n{:<LABEL$}{:>12}", "system calls", "count")?;
        for (name, count) in calls {
            writeln!(f, "  {name:<width$}{count:>12}", width = LABEL - 2)?;
        }
        Ok(())
    }

    fn vmos_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.vmos.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{:<LABEL$}{:>12}{:>12}{:>12}",
            "VMOs", "koid", "resident", "size"
        )?;
        for vmo in &self.vmos {
            let name = if vmo.name.is_empty() {
                "(no name)"
            } else {
                &vmo.name
            };
            writeln!(
                f,
                "  {name:<width$}{:>12}{:>12}{:>12}",
                vmo.koid,
                Bytes(vmo.resident_pages.saturating_mul(PAGE_SIZE)).to_string(),
                Bytes(vmo.size_bytes).to_string(),
                width = LABEL - 2
            )?;
        }
        Ok(())
    }
}

/// Prints a time with four digits or so and a fitting unit.
struct Nanos(u64);

impl Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} ns", self.0),
            1_000..1_000_000 => write!(f, "{:.1} µs", nanos / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.2} ms", nanos / 1e6),
            _ => write!(f, "{:.3} s", nanos / 1e9),
        }
    }
}

/// Prints a size with a fitting unit.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [
            (1 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        match UNITS.iter().find(|(unit, _)| self.0 >= *unit) {
            None => write!(f, "{} B", self.0),
            Some((unit, name)) if self.0.is_multiple_of(*unit) => {
                write!(f, "{} {name}", self.0 / unit)
            }
            Some((unit, name)) => write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        Report {
            times: Times {
                first_user_instruction_since_exec_ns: Some(12_345_678),
                first_user_instruction_since_run_ns: Some(9_000_000),
                first_fault_served_since_run_ns: Some(9_100_000),
                wall_ns: 1_234_000_000,
            },
            exits: vec![
                Exits {
                    kind: "system call",
                    total: 30,
                    per_vcpu: vec![10, 20],
                },
                Exits {
                    kind: "mmio",
                    total: 0,
                    per_vcpu: vec![0, 0],
                },
            ],
            hypercalls: [("vmo_read", 3), ("port_wait", 27)].into(),
            pages: Pages {
                requests: 5,
                requested: 9,
                supplied_demand: 9,
                supplied_ahead: 55,
                ahead_in_vain: 7,
                ahead_judged: 60,
                ahead_unused: 4,
            },
            reclaim: Reclaim {
                limit_pages: Some(16_384),
                evicted: 1_000,
                written: 3,
                discarded_vmos: 2,
                discarded_pages: 20,
                peak_counted_pages: 16_384,
                peak_sampled_pages: 16_128,
            },
            faults: Faults {
                served: 9,
                p50_ns: 900,
                p90_ns: 30_000,
                p99_ns: 31_000,
                max_ns: 40_000,
            },
            vmos: vec![VmoUsage {
                name: "data".into(),
                koid: 1027,
                resident_pages: 3,
                size_bytes: 64 << 20,
            }],
            memory: Memory {
                guest_ram_bytes: 16 << 20,
                own_bytes: 1_600_000,
                page_tables_bytes: 40 << 10,
                peak_resident_bytes: 20 << 20,
            },
        }
    }

    #[test]
    fn the_table_is_aligned() {
        assert_eq!(
            sample().to_string(),
            "\
time to first user instruction  12.35 ms (9.00 ms of it in the run)
time to first fault served      9.10 ms in the run
wall time                       1.234 s
page requests                   5 for 9 pages
pages supplied                  64 (9 asked for, 55 ahead, 7 in vain)
pages never used                4 of 60 that came ahead
most pages of VMOs              64 MiB counted, 63 MiB seen
limit on pages of VMOs          64 MiB
pages evicted                   1000 (3 more were written to)
VMOs discarded                  2 with 20 pages
faults served                   9
fault service latency           p50 900 ns, p90 30.0 µs, p99 31.0 µs, max 40.0 µs
guest RAM                       16 MiB
the VMM's own memory            1.5 MiB
page tables of the process      40 KiB
peak resident set               20 MiB

exits                                  total      vcpu 0      vcpu 1
  system call                             30          10          20

system calls                           count
  port_wait                               27
  vmo_read                                 3

VMOs                                    koid    resident        size
  data                                  1027      12 KiB      64 MiB
"
        );
    }

    #[test]
    fn json_has_the_figures() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(
            json["times"]["first_user_instruction_since_exec_ns"],
            12_345_678
        );
        assert_eq!(json["exits"][0]["per_vcpu"][1], 20);
        assert_eq!(json["hypercalls"]["port_wait"], 27);
        assert_eq!(json["pages"]["supplied_ahead"], 55);
        assert_eq!(json["pages"]["ahead_in_vain"], 7);
        assert_eq!(json["reclaim"]["evicted"], 1_000);
        assert_eq!(json["reclaim"]["peak_sampled_pages"], 16_128);
        assert_eq!(json["faults"]["p99_ns"], 31_000);
        assert_eq!(json["vmos"][0]["resident_pages"], 3);
        assert_eq!(json["memory"]["own_bytes"], 1_600_000);
        assert_eq!(json["memory"]["page_tables_bytes"], 40 << 10);
    }
}
