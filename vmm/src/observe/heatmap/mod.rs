//! `--heatmap`: pictures of what was there of each VMO, when and why, and of what came for nothing.
//!
//! Everything that grows is bounded: pictures of the first [`MAX_VMOS`] VMOs that get pages, each a table of fixed size (`grid.rs`). The
//! page is written when the run is over.

mod draw;
mod grid;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use protocol::Koid;
use zircon::{Arrival, Intervals, ObjectRef, Pages};

use self::grid::{Cell, Grid};
use super::record::{Consumer, Event, Record, Recorded};

/// Most VMOs with a picture.
const MAX_VMOS: usize = 24;

/// Collects what the page shows.
pub(crate) struct Heatmap {
    path: PathBuf,
    file: File,
    vmos: BTreeMap<Koid, History>,
    names: BTreeMap<Koid, String>,
    /// Pages that came to VMOs that have no picture.
    elsewhere: u64,
    events: u64,
    lost: u64,
}

/// What happened to the pages of one VMO.
#[derive(Debug)]
struct History {
    name: String,
    grid: Grid,
    /// Pages that are there and came ahead.
    ahead: Intervals,
    came_asked: u64,
    came_ahead: u64,
    left: u64,
    used: u64,
    unused: u64,
}

impl History {
    fn new(name: String) -> History {
        History {
            name,
            grid: Grid::new(),
            ahead: Intervals::default(),
            came_asked: 0,
            came_ahead: 0,
            left: 0,
            used: 0,
            unused: 0,
        }
    }

    fn come(&mut self, at: u64, pages: Pages, ahead: bool) {
        let change = match ahead {
            true => Cell { asked: 0, ahead: 1 },
            false => Cell { asked: 1, ahead: 0 },
        };
        self.grid.change(at, pages.first, pages.count, change);
        if ahead {
            self.ahead.insert(pages.range());
            self.came_ahead += pages.count;
        } else {
            self.came_asked += pages.count;
        }
    }

    fn leave(&mut self, at: u64, pages: Pages) {
        self.left += pages.count;
        let gone = Cell {
            asked: -1,
            ahead: 0,
        };
        self.grid.change(at, pages.first, pages.count, gone);
        let back = Cell {
            asked: 1,
            ahead: -1,
        };
        for run in self.ahead.within(pages.range()) {
            self.grid.change(at, run.start, run.end - run.start, back);
        }
        self.ahead.remove(pages.range());
    }

    fn judge(&mut self, pages: Pages, used: bool) {
        self.grid.judge(pages.first, pages.count, used);
        match used {
            true => self.used += pages.count,
            false => self.unused += pages.count,
        }
    }
}

impl Heatmap {
    /// Makes the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path) -> io::Result<Heatmap> {
        Ok(Heatmap {
            path: path.into(),
            file: File::create(path)?,
            vmos: BTreeMap::new(),
            names: BTreeMap::new(),
            elsewhere: 0,
            events: 0,
            lost: 0,
        })
    }

    /// The history of a VMO, if it has a picture.
    fn of(&mut self, vmo: Koid) -> Option<&mut History> {
        let room = self.vmos.len() < MAX_VMOS;
        if room && !self.vmos.contains_key(&vmo) {
            let name = self.names.get(&vmo).cloned();
            self.vmos
                .insert(vmo, History::new(name.unwrap_or_default()));
        }
        self.vmos.get_mut(&vmo)
    }

    fn record(&mut self, at: u64, event: Event) {
        match event {
            Event::Core(zircon::Event::Named {
                object: ObjectRef::Vmo(id),
                name,
                ..
            }) => {
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned();
                if let Some(history) = self.vmos.get_mut(&id.0) {
                    history.name = name;
                } else {
                    self.names.insert(id.0, name);
                }
            }
            Event::Core(zircon::Event::Came { pages, why, .. }) if why != Arrival::Zeros => {
                match self.of(pages.vmo.0) {
                    Some(history) => history.come(at, pages, why == Arrival::Ahead),
                    None => self.elsewhere += pages.count,
                }
            }
            Event::Core(zircon::Event::Left(pages)) => {
                if let Some(history) = self.of(pages.vmo.0) {
                    history.leave(at, pages);
                }
            }
            Event::Judged { pages, used } => {
                if let Some(history) = self.of(pages.vmo.0) {
                    history.judge(pages, used);
                }
            }
            Event::Freed(vmo) => {
                self.names.remove(&vmo.0);
            }
            _ => return,
        }
        self.events += 1;
    }

    fn write(&mut self, at: u64) -> io::Result<()> {
        for history in self.vmos.values_mut() {
            history.grid.reach_time(at);
        }
        let page = draw::page(self, at).map_err(io::Error::other)?;
        self.file.write_all(page.as_bytes())
    }
}

impl Consumer for Heatmap {
    fn take(&mut self, records: &[Record], lost: u64) {
        self.lost += lost;
        for record in records {
            self.record(record.at, record.event);
        }
    }

    fn finish(mut self: Box<Self>, at: u64) -> Recorded {
        let error = self.write(at).err();
        Recorded {
            path: self.path,
            events: self.events,
            lost: self.lost,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use zircon::{Supplier, VmoId};

    use super::*;

    fn came(vmo: u64, first: u64, count: u64, why: Arrival) -> Event {
        let pages = Pages {
            vmo: VmoId(vmo),
            first,
            count,
        };
        let from = Supplier::Host;
        Event::Core(zircon::Event::Came { pages, why, from })
    }

    fn page(events: &[(u64, Event)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let mut map = Box::new(Heatmap::create(&path).unwrap());
        let records: Vec<Record> = events
            .iter()
            .map(|&(at, event)| Record { at, lane: 0, event })
            .collect();
        map.take(&records, 0);
        let recorded = map.finish(5_000_000_000);
        assert!(recorded.error.is_none(), "{recorded:?}");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_page_tells_what_came_left_and_was_not_used() {
        let pages = |first, count| Pages {
            vmo: VmoId(7),
            first,
            count,
        };
        let mut name = [0; protocol::MAX_NAME_LEN];
        name[..9].copy_from_slice(b"<script>&");
        let object = ObjectRef::Vmo(VmoId(7));
        let named = zircon::Event::Named {
            object,
            of: 0,
            name,
        };
        let page = page(&[
            (0, Event::Core(named)),
            (10, came(7, 0, 1, Arrival::Asked)),
            (20, came(7, 1, 9, Arrival::Ahead)),
            (30, came(7, 50, 4, Arrival::Zeros)),
            (1_000_000_000, Event::Core(zircon::Event::Left(pages(0, 3)))),
            (
                2_000_000_000,
                Event::Judged {
                    pages: pages(1, 6),
                    used: true,
                },
            ),
            (
                2_000_000_000,
                Event::Judged {
                    pages: pages(7, 3),
                    used: false,
                },
            ),
        ]);
        let told = "1 pages asked for, 9 ahead (6 used, 3 never), 3 gone again, 7 left at the end";
        assert!(page.contains(told), "{page}");
        assert!(page.contains("&lt;script&gt;&amp;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("src="));
        assert_eq!(page.matches("<svg").count(), 1);
    }

    #[test]
    fn it_stays_small_whatever_happens() {
        let mut events = Vec::new();
        for step in 0..20_000u64 {
            let why = [Arrival::Asked, Arrival::Ahead][step as usize % 2];
            let first = step.wrapping_mul(7919) % 100_000;
            events.push((step * 100_000, came(step % 60, first, 1, why)));
        }
        let page = page(&events);
        assert_eq!(page.matches("<svg").count(), MAX_VMOS);
        assert!(
            page.contains("36 more") || page.contains("other VMOs"),
            "{}",
            page.len()
        );
        assert!(page.len() < 40 << 20, "{}", page.len());
    }
}
