//! What those who watch are told, and whether it agrees with what is there.

use std::collections::{BTreeMap, BTreeSet};

use zircon::{Arrival, Event, Kernel, Pages, VmoId, Work};

/// All events, and the pages that are there if they are right.
#[derive(Default)]
pub struct Told {
    pub events: Vec<Event>,
    pub pages: BTreeMap<VmoId, BTreeSet<u64>>,
}

impl Told {
    pub fn take(&mut self, event: Event) {
        self.events.push(event);
        match event {
            Event::Came {
                why: Arrival::Zeros,
                ..
            } => {}
            Event::Came { pages, why, .. } => {
                let there = self.pages.entry(pages.vmo).or_default();
                for page in pages.range() {
                    assert!(there.insert(page), "{pages:?} came twice, {why:?}");
                }
            }
            Event::Left(pages) => {
                let there = self.pages.entry(pages.vmo).or_default();
                for page in pages.range() {
                    assert!(there.remove(&page), "{pages:?} left without being there");
                }
            }
            Event::Named { .. } | Event::Requested { .. } | Event::Failed { .. } => {}
        }
    }

    /// Compares with what the kernel holds.
    pub fn check(&mut self, kernel: &mut Kernel) {
        while let Some(work) = kernel.next_work() {
            match work {
                Work::Tell(event) => self.take(event),
                Work::Free(vmo) => drop(self.pages.remove(&vmo)),
                _ => {}
            }
        }
        for (vmo, name, _, resident) in kernel.usage() {
            let told = self.pages.get(&vmo).map_or(0, |pages| pages.len() as u64);
            assert_eq!(told, resident, "pages of {vmo:?} {name:?}");
        }
    }

    /// Who asked for what and what came of it, in short.
    pub fn story(&self) -> Vec<String> {
        let run = |pages: Pages| format!("{:?}", pages.range());
        let events = self.events.iter().filter_map(|event| match event {
            Event::Named { .. } => None,
            Event::Requested { pages, dirty, .. } => Some(format!(
                "{} {}",
                if *dirty { "dirty" } else { "asked" },
                run(*pages)
            )),
            Event::Came { pages, why, .. } => Some(format!("{why:?} {}", run(*pages))),
            Event::Left(pages) => Some(format!("left {}", run(*pages))),
            Event::Failed { pages, status, .. } => Some(format!("failed {} {status}", run(*pages))),
        });
        events.collect()
    }
}
