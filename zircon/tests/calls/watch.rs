//! What those who watch are told. That it agrees with what is there every test of this crate checks, at its end.

use zircon::{Access, Event, Kernel, ObjectRef, Supplier, VmoId, Work};

use super::*;
use crate::common::Told;

/// What is told of one VMO while `act` runs.
fn story(m: &mut TestMachine, vmo: u32, act: impl FnOnce(&mut TestMachine)) -> Vec<String> {
    let id = VmoId(m.koid(vmo));
    m.told.events.clear();
    act(m);
    let about = |event: &&Event| match event {
        Event::Requested { pages, .. }
        | Event::Came { pages, .. }
        | Event::Failed { pages, .. } => pages.vmo == id,
        Event::Left(pages) => pages.vmo == id,
        Event::Named { .. } => false,
    };
    let events = m.told.events.iter().filter(about).copied().collect();
    let told = Told {
        events,
        ..Told::default()
    };
    told.story()
}

#[test]
fn a_request_and_what_comes_of_it() {
    let mut p = paged(16);
    let (pager, vmo, thread) = (p.pager, p.vmo, p.m.thread());
    let at = p.m.map(vmo, 16);
    let told = story(&mut p.m, vmo, |m| {
        m.touch(thread, at + 3 * PAGE_SIZE, Access::Read);
        m.supply(pager, vmo, 2..6, 0).unwrap();
    });
    assert_eq!(
        told,
        ["asked 3..4", "Asked 3..4", "Ahead 2..3", "Ahead 4..6"]
    );
    let from = p.m.told.events.iter().find_map(|event| match event {
        Event::Came { from, pages, .. } if pages.first == 3 => Some(*from),
        _ => None,
    });
    assert!(matches!(from, Some(Supplier::Pager(_))), "{from:?}");
    let aux = p.m.vmo(1);
    let told = story(&mut p.m, vmo, |m| {
        m.pager_supply_pages(pager, vmo, 0, PAGE_SIZE, aux, 0)
            .unwrap();
    });
    assert_eq!(told, ["Zeros 0..1"]);
    let told = story(&mut p.m, vmo, |m| {
        m.pager_detach_vmo(pager, vmo).unwrap();
    });
    assert_eq!(told, ["left 2..6"]);
}

#[test]
fn zeros_ahead_of_a_sequential_toucher() {
    let mut m = TestMachine::new();
    let (vmo, thread) = (m.vmo(16), m.thread());
    let at = m.map(vmo, 16);
    let told = story(&mut m, vmo, |m| {
        for page in 0..3 {
            m.touch(thread, at + page * PAGE_SIZE, Access::Write);
        }
    });
    assert_eq!(told, ["Asked 0..1", "Asked 1..2", "Ahead 2..3"]);
    let told = story(&mut m, vmo, |m| {
        m.vmo_write(vmo, 8 * PAGE_SIZE, &[1; 2 * PAGE_SIZE as usize])
            .unwrap();
    });
    assert_eq!(told, ["Asked 8..10"], "a call waits for all that it writes");
}

#[test]
fn names_come_with_objects_and_with_their_changes() {
    let m = TestMachine::new();
    let named = |object| {
        let names = m.told.events.iter().filter_map(move |event| match event {
            Event::Named {
                object: it,
                of,
                name,
            } if *it == object => Some((*of, *name)),
            _ => None,
        });
        names
            .map(|(of, name)| (of, name[..4].to_vec()))
            .collect::<Vec<_>>()
    };
    let (process, thread) = (m.main.process, m.main.thread);
    assert_eq!(named(ObjectRef::Process(process)), [(0, b"test".to_vec())]);
    assert_eq!(
        named(ObjectRef::Thread(thread)),
        [(process.0, b"main".to_vec())]
    );
}

#[test]
fn nothing_is_told_while_nobody_watches() {
    let mut kernel = Kernel::new(1);
    kernel
        .create_process("quiet", JobPolicy::default())
        .unwrap();
    kernel.add_host_vmo("data", 1 << 20, false).unwrap();
    while let Some(work) = kernel.next_work() {
        assert!(!matches!(work, Work::Tell(_)), "{work:?}");
    }
}
