//! A program that embeds a VM: the guest hashes a VMO of 1 MiB whose pages are made here, by a formula, when they are touched.
//!
//! `cargo run -p vmm --example embed`

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vmm::config::{NamedVmo, Output, Program, RunConfig, VmoSource};
use vmm::outcome::End;
use vmm::pager::{PageRequest, Pager};

/// Every byte is the number of its page; counts what is asked for.
#[derive(Debug, Default)]
struct Numbers {
    requests: AtomicU64,
}

impl Pager for Numbers {
    fn supply(&self, request: PageRequest) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let first = request.offset() / 4096;
        request.fill(|content| {
            for (page, bytes) in (first..).zip(content.chunks_mut(4096)) {
                bytes.fill(page as u8);
            }
        });
    }
}

/// Runs the built-in program `sum` over the VMO, and says what it printed and what happened.
pub fn run(cpus: u32) -> Result<String, Box<dyn Error>> {
    let programs = vmm::guest_image::programs();
    let (name, bytes) = programs
        .iter()
        .find(|(name, _)| *name == "sum")
        .ok_or("no program sum")?;
    let numbers = Arc::new(Numbers::default());
    let printed = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&printed);
    let outcome = vmm::vm::run(RunConfig {
        vmos: vec![NamedVmo {
            name: "data".into(),
            source: VmoSource::Pager {
                pager: Arc::clone(&numbers) as _,
                size: 1 << 20,
                writable: false,
            },
        }],
        cpus,
        timeout: Some(Duration::from_secs(60)),
        output: Output::Sink(Arc::new(move |bytes: &[u8]| {
            if let Ok(mut printed) = sink.lock() {
                printed.extend_from_slice(bytes);
            }
        })),
        ..RunConfig::new(Program::Image {
            name: (*name).into(),
            bytes,
        })
    })?;
    let printed = printed.lock().map_err(|_| "the output was lost")?;
    let printed = String::from_utf8_lossy(&printed);
    match outcome.end {
        End::Exited(code) => Ok(format!(
            "{printed}exit code {code}, {} requests, {} pages resident\n",
            numbers.requests.load(Ordering::Relaxed),
            outcome
                .report
                .vmos
                .iter()
                .filter(|vmo| vmo.name == "data")
                .map(|vmo| vmo.resident_pages)
                .sum::<u64>(),
        )),
        end => Err(format!("{end:?}").into()),
    }
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", run(1)?);
    Ok(())
}
