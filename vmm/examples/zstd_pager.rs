//! A pager in the host that keeps its pages compressed with zstd and decompresses them on a thread of its own when a guest touches them.
//!
//! `cargo run -p vmm --example zstd_pager -- FILE`

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use protocol::Status;
use ruzstd::decoding::FrameDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use vmm::config::{NamedVmo, Output, Program, RunConfig, VmoSource};
use vmm::outcome::End;
use vmm::pager::{PageRequest, Pager};

const PAGE: usize = 4096;

/// Hands requests to the thread that decompresses; dropping it ends the thread.
#[derive(Debug)]
struct Compressed {
    requests: mpsc::Sender<PageRequest>,
}

impl Pager for Compressed {
    fn supply(&self, request: PageRequest) {
        // If the thread is gone, the request comes back, is dropped, and so fails.
        let _ = self.requests.send(request);
    }
}

impl Compressed {
    /// A pager of these pages, each a zstd frame.
    fn new(pages: Vec<Vec<u8>>) -> Self {
        let (requests, asked) = mpsc::channel::<PageRequest>();
        thread::spawn(move || {
            for request in asked {
                let first = request.offset() as usize / PAGE;
                let mut content = vec![0; request.len()];
                let mut parts = content.chunks_mut(PAGE).zip(pages.iter().skip(first));
                let whole =
                    parts.all(|(out, page)| FrameDecoder::new().decode_all(page, out).is_ok());
                match whole {
                    true => request.supply(&content),
                    false => request.fail(Status::IO_DATA_INTEGRITY),
                }
            }
        });
        Compressed { requests }
    }
}

/// Has the built-in program `sum` hash a file that is held compressed.
pub fn run(file: &Path, cpus: u32, output: Output) -> Result<String, Box<dyn Error>> {
    let content = std::fs::read(file)?;
    let pages: Vec<Vec<u8>> = content
        .chunks(PAGE)
        .map(|page| {
            let mut page = page.to_vec();
            page.resize(PAGE, 0);
            compress_to_vec(page.as_slice(), CompressionLevel::Fastest)
        })
        .collect();
    let after = pages.iter().map(Vec::len).sum::<usize>();
    let said = format!("{} bytes were held in {after}\n", pages.len() * PAGE);
    let programs = vmm::guest_image::programs();
    let (name, bytes) = programs
        .iter()
        .find(|(name, _)| *name == "sum")
        .ok_or("no program sum")?;
    let outcome = vmm::vm::run(RunConfig {
        args: vec!["data".into(), "0".into(), content.len().to_string()],
        vmos: vec![NamedVmo {
            name: "data".into(),
            source: VmoSource::Pager {
                pager: Arc::new(Compressed::new(pages)),
                size: content.len() as u64,
                writable: false,
            },
        }],
        cpus,
        output,
        ..RunConfig::new(Program::Image {
            name: (*name).into(),
            bytes,
        })
    })?;
    match outcome.end {
        End::Exited(0) => Ok(said),
        end => Err(format!("{end:?}").into()),
    }
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: zstd_pager FILE")?;
    print!("{}", run(Path::new(&file), 1, Output::Stdout)?);
    Ok(())
}
