//! Zircon's own pager scenarios, under their names: "Basics", "Mappings", and those of the rest that these calls reach.
//! Where the suite runs a scenario through a read and through a mapping, so does this.

mod basics;
mod endings;
mod mappings;

use crate::common::{Reader, TestMachine, Via};

/// A pager, a port and a VMO of some pages, key 7.
pub struct Scene {
    pub m: TestMachine,
    pub pager: u32,
    pub port: u32,
    pub vmo: u32,
}

pub fn scene(pages: u64) -> Scene {
    scene_with(pages, 0)
}

pub fn scene_with(pages: u64, options: u32) -> Scene {
    let mut m = TestMachine::new();
    let (pager, port) = (m.pager_create(), m.port_create());
    let size = pages * crate::common::PAGE_SIZE;
    let vmo = m.pager_create_vmo(pager, options, port, 7, size).unwrap();
    Scene {
        m,
        pager,
        port,
        vmo,
    }
}

impl Scene {
    fn reader(&mut self, via: Via, pages: std::ops::Range<u64>) -> Reader {
        self.m.reader(via, self.vmo, pages)
    }

    /// Page n is filled with n.
    fn supply(&mut self, pages: std::ops::Range<u64>) {
        self.m.supply(self.pager, self.vmo, pages, 0).unwrap();
    }

    fn packets(&mut self) -> Vec<crate::common::Packet> {
        self.m.packets(self.port)
    }
}
