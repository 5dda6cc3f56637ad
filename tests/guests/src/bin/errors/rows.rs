//! All rows, one file a subject.

mod channels;
mod children;
mod devices;
mod handles;
mod pagers;
mod ports;
mod tasks;
mod vmars;
mod vmos;
mod waits;

use crate::row::Row;

/// Why nothing that a program does runs out of host memory.
pub const NO_HOST_MEMORY: &str = "only a host without memory brings it about";

/// Hands every row to `each`.
pub fn all(mut each: impl FnMut(&Row)) {
    for table in [
        handles::ROWS,
        waits::ROWS,
        ports::ROWS,
        channels::ROWS,
        tasks::ROWS,
        vmos::ROWS,
        children::ROWS,
        pagers::ROWS,
        vmars::ROWS,
        devices::ROWS,
    ] {
        table.iter().for_each(&mut each);
    }
}
