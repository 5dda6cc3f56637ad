//! Log lines on standard error, chosen by `ZVMM_LOG`, stamped with microseconds since the start.

use std::{io::Write, time::Instant};

use env_logger::{Builder, Env};

/// Switches logging on: warnings and errors, unless `ZVMM_LOG` says otherwise (as `debug`, or `vmm::memory=trace`).
pub fn init() {
    let start = Instant::now();
    let mut builder = Builder::from_env(Env::new().filter_or("ZVMM_LOG", "warn"));
    builder.format(move |line, record| {
        writeln!(
            line,
            "[{:>10} µs] {:<5} {}: {}",
            start.elapsed().as_micros(),
            record.level(),
            record.target(),
            record.args()
        )
    });
    // An embedding program may have its own logger already: then that one serves.
    let _ = builder.try_init();
}
