//! Figure 8: the VMM's own memory, in a process of its own that this one looks at from outside.

use std::io::{self, Read};

use super::child;
use crate::observe::smaps::{self, OwnMemory};

/// What a run does: VMOs with a page each, pages of one VMO, and faults in that.
#[derive(Clone, Copy, Debug)]
struct Load {
    vmos: u64,
    pages: u64,
    faults: u64,
}

const FULL: Load = Load {
    vmos: 10_000,
    pages: 1 << 18,
    faults: 1_000_000,
};

const QUICK: Load = Load {
    vmos: 100,
    pages: 1 << 12,
    faults: 1 << 13,
};

/// Bytes that a program writes at each point: see `programs/src/bin/bench`.
const POINT: usize = 17 * 4096;

/// One line.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Line {
    /// What takes the memory.
    pub name: String,
    /// How much.
    pub bytes: f64,
    /// What is aimed at, at most.
    pub target: Option<f64>,
}

/// Measures, once: nothing here depends on what else the host does.
///
/// # Errors
/// What the host refused, or how the run ended.
pub fn measure(quick: bool) -> io::Result<Vec<Line>> {
    let load = if quick { QUICK } else { FULL };
    let looks = look(load)?;
    Ok(lines(load, looks))
}

fn lines(load: Load, [start, crowd, dense, end]: [OwnMemory; 4]) -> Vec<Line> {
    let line = |name: String, bytes: f64, target| Line {
        name,
        bytes,
        target,
    };
    let growth = |from: u64, to: u64| to as f64 - from as f64;
    let (vmos, pages, faults) = (load.vmos, load.pages, load.faults);
    let most = Some((4u64 << 20) as f64);
    vec![
        line("Memory/Own, at the start".into(), start.own as f64, most),
        line(
            format!("Memory/Own, {vmos} VMOs and {pages} pages"),
            dense.own as f64,
            None,
        ),
        line(
            format!("Memory/Own, growth in {faults} faults"),
            growth(dense.own, end.own),
            Some(0.0),
        ),
        line(
            "Memory/Own, a VMO with a page".into(),
            growth(start.own, crowd.own) / vmos as f64,
            None,
        ),
        line(
            "Memory/Own, a page of a dense VMO".into(),
            growth(crowd.own, dense.own) / pages as f64,
            Some(2.0),
        ),
        line(
            "Memory/PageTables, at the start".into(),
            start.page_tables as f64,
            None,
        ),
        line(
            "Memory/PageTables, a VMO with a page".into(),
            growth(start.page_tables, crowd.page_tables) / vmos as f64,
            None,
        ),
        line(
            "Memory/PageTables, a page of a dense VMO".into(),
            growth(crowd.page_tables, dense.page_tables) / pages as f64,
            None,
        ),
        line(
            format!("Memory/PageTables, growth in {faults} faults"),
            growth(dense.page_tables, end.page_tables),
            Some(0.0),
        ),
    ]
}

/// Runs the program and looks at its process at every point.
fn look(load: Load) -> io::Result<[OwnMemory; 4]> {
    let numbers = [load.vmos, load.pages, load.faults].map(|number| number.to_string());
    let [vmos, pages, faults] = numbers.each_ref().map(String::as_str);
    child::run(&["bench", "memory", vmos, pages, faults], |id, output| {
        let process = id.to_string();
        let mut looks = [OwnMemory::default(); 4];
        for look in &mut looks {
            let mut written = [0; POINT];
            let (first, rest) = written.split_at_mut(1);
            output.read_exact(first)?;
            // The pipe does not hold the rest: the program waits.
            *look = smaps::measure(&process);
            output.read_exact(rest)?;
        }
        Ok(looks)
    })
}
