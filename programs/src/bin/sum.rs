//! `sum [NAME [OFFSET LENGTH]]`: the SHA-256 of a start-up VMO's content (or of a part of it), printed as sha256sum
//! prints it. NAME is `data` if not given.
//!
//! The content is read through mappings, a window at a time, so that every page of it is asked of the VMO's pager.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt;
use sha2::{Digest, Sha256};
use zx::{Mapping, PAGE_SIZE, Status, Unowned, Vmo};

/// Bytes mapped at once.
const WINDOW: u64 = 1 << 30;

#[zx::main]
fn main(startup: &zx::Startup<'_>) -> i32 {
    let name = startup.arg(1).unwrap_or("data");
    let part = match (startup.arg(2), startup.arg(3), startup.arg(4)) {
        (None, None, None) => None,
        (Some(offset), Some(length), None) => {
            match (programs::number(offset), programs::number(length)) {
                (Some(offset), Some(length)) => Some((offset, length)),
                _ => return usage(),
            }
        }
        _ => return usage(),
    };
    let Some(raw) = startup.handle(name) else {
        zx::println!(
            "sum: there is no VMO called {name}; give it one with --vmo {name}=file:PATH,ro"
        );
        return 2;
    };
    match sum(&Unowned::from_raw(raw), part) {
        Ok(digest) => {
            zx::println!("{}  {name}", Hex(&digest));
            0
        }
        Err(status) => {
            zx::println!("sum: {name}: {status}");
            1
        }
    }
}

fn usage() -> i32 {
    zx::println!("usage: sum [NAME [OFFSET LENGTH]]");
    2
}

/// The digest of `(offset, length)` of the VMO's content; of all of it if not given.
fn sum(vmo: &Vmo, part: Option<(u64, u64)>) -> Result<[u8; 32], Status> {
    let content = vmo.get_content_size()?;
    let (offset, length) = part.unwrap_or((0, content));
    let end = offset.checked_add(length).filter(|end| *end <= content);
    let end = end.ok_or(Status::OUT_OF_RANGE)?;
    let mut hash = Sha256::new();
    let mut at = offset;
    while at < end {
        let window = at - at % PAGE_SIZE;
        let stop = end.min(window + WINDOW);
        let mapping = Mapping::read_only(vmo, window, (stop - window) as usize)?;
        hash_window(&mut hash, &mapping, (at - window) as usize)?;
        at = stop;
    }
    Ok(hash.finalize().into())
}

/// Feeds the mapping's bytes from `from` on to the hash, a page at a time.
fn hash_window(hash: &mut Sha256, mapping: &Mapping, from: usize) -> Result<(), Status> {
    let mut page = [0; PAGE_SIZE as usize];
    let mut at = from;
    while at < mapping.len() {
        let to_page_end = page.len() - at % page.len();
        let length = to_page_end.min(mapping.len() - at);
        if let Some(bytes) = page.get_mut(..length) {
            mapping.copy_out(at, bytes)?;
            hash.update(bytes);
        }
        at += length;
    }
    Ok(())
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
