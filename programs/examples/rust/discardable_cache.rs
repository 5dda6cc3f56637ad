//! A cache of discardable VMOs: what nobody uses may go when memory is short, and is made again when it is asked for.
//!
//! `zvmm run --memory 24M discardable_cache`

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use zx::{Status, Vmo, VmoOp, VmoOptions};

/// Bytes of a picture; eight of them are more than the memory that the program is given.
const SIZE: u64 = 4 << 20;
const PICTURES: u64 = 8;

/// A picture that can be painted again.
struct Picture {
    number: u64,
    pixels: Vmo,
}

impl Picture {
    fn new(number: u64) -> Result<Self, Status> {
        let pixels = Vmo::create_with_opts(VmoOptions::DISCARDABLE, SIZE)?;
        Ok(Picture { number, pixels })
    }

    fn paint(&self) -> Result<(), Status> {
        let row = [self.number as u8; 4096];
        (0..SIZE)
            .step_by(row.len())
            .try_for_each(|at| self.pixels.write(&row, at))
    }

    /// Uses the picture while it is locked: its pages stay. Whether it had to be painted.
    fn with<T>(&self, look: impl Fn(&Vmo) -> Result<T, Status>) -> Result<(T, bool), Status> {
        let painted = match self.pixels.op_range(VmoOp::TryLock, 0..SIZE) {
            Ok(()) => false,
            // It was discarded: lock what is left, which is nothing.
            Err(Status::UNAVAILABLE) => self.pixels.lock()?.discarded_size > 0,
            Err(status) => return Err(status),
        };
        if painted {
            self.paint()?;
        }
        let seen = look(&self.pixels)?;
        self.pixels.op_range(VmoOp::Unlock, 0..SIZE)?;
        Ok((seen, painted))
    }
}

/// The last pixel.
fn pixel(pixels: &Vmo) -> Result<u8, Status> {
    let mut byte = [0];
    pixels.read(&mut byte, SIZE - 1)?;
    Ok(byte[0])
}

#[zx::main]
fn main() -> Result<(), Status> {
    let pictures: Vec<Picture> = (0..PICTURES).map(Picture::new).collect::<Result<_, _>>()?;
    for picture in &pictures {
        picture.pixels.lock()?;
        picture.paint()?;
        picture.pixels.op_range(VmoOp::Unlock, 0..SIZE)?;
    }
    // The newest first: they are the ones that are still there.
    for picture in pictures.iter().rev() {
        let (pixel, painted) = picture.with(pixel)?;
        let how = if painted {
            "painted again"
        } else {
            "still there"
        };
        zx::println!("picture {}: pixel {pixel}, {how}", picture.number);
    }
    Ok(())
}
