//! Faults as events, seen through the kernel's path that KVM uses: it sleeps where a page is absent.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use zircon::{MemoryResult, Storage, VmoId, Writes};

use super::{
    ArenaGeometry, Memory,
    tests::{DONE, GIB, INTERNAL, read},
};

const PAGE: usize = 4096;

fn memory() -> Arc<Memory> {
    super::raise_limits();
    let geometry = ArenaGeometry {
        base: 4 * GIB,
        end: 5 * GIB,
    };
    Arc::new(Memory::with_events(geometry, Box::new(|_, _, _, _| Ok(()))).unwrap())
}

fn vmo(memory: &Memory, writes: Writes) -> VmoId {
    let (id, pages) = (VmoId(1), 16);
    let storage = Storage {
        writes,
        ..Storage::of(pages)
    };
    memory.create(id, storage).unwrap();
    memory.deliver_as_events(id).unwrap();
    id
}

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A descriptor that can be read when [`PATIENCE`] is at its end.
fn deadline() -> OwnedFd {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty()).unwrap();
    let value = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec::try_from(PATIENCE).unwrap(),
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &value).unwrap();
    timer
}

/// Someone reads a byte of page 3 and sleeps; where the answer will come, and what the event says.
fn asleep(memory: &Arc<Memory>, vmo: VmoId) -> (Receiver<MemoryResult>, (VmoId, u64)) {
    let its = Arc::clone(memory);
    let (answer, answered) = channel();
    thread::spawn(move || answer.send(read(&its, vmo, 3 * PAGE as u64 + 5, 1)));
    let end = deadline();
    loop {
        let events = memory.wait_for_events(end.as_fd()).unwrap().unwrap();
        if let [event] = events[..] {
            return (answered, event);
        }
    }
}

#[test]
fn who_waits_for_a_page_gets_it() {
    let memory = memory();
    let vmo = vmo(&memory, Writes::Never);
    let (reader, event) = asleep(&memory, vmo);
    assert_eq!(event, (vmo, 3));
    assert!(reader.recv_timeout(Duration::from_millis(20)).is_err());
    assert_eq!(memory.supply(vmo, 3, &[7; PAGE]), DONE);
    assert_eq!(
        reader.recv_timeout(PATIENCE).unwrap(),
        MemoryResult::Bytes(vec![7])
    );
}

#[test]
fn who_is_released_fails_until_the_page_is_there() {
    let memory = memory();
    let vmo = vmo(&memory, Writes::Never);
    let (reader, _) = asleep(&memory, vmo);
    memory.release(vmo, 3).unwrap();
    assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), INTERNAL);
    assert_eq!(read(&memory, vmo, 3 * PAGE as u64, 1), INTERNAL);
    assert_eq!(memory.supply(vmo, 2, &[8; 3 * PAGE]), DONE);
    for page in 2..5 {
        let byte = read(&memory, vmo, page * PAGE as u64, 1);
        assert_eq!(byte, MemoryResult::Bytes(vec![8]));
    }
    // A page that is there stays so.
    memory.release(vmo, 3).unwrap();
    assert_eq!(
        read(&memory, vmo, 3 * PAGE as u64, 1),
        MemoryResult::Bytes(vec![8])
    );
}

#[test]
fn what_may_be_written_to_has_exits() {
    let memory = memory();
    let vmo = vmo(&memory, Writes::Noted);
    assert_eq!(read(&memory, vmo, 0, 1), INTERNAL);
}

#[test]
fn the_wait_ends() {
    let memory = memory();
    let end = eventfd(0, EventfdFlags::empty()).unwrap();
    rustix::io::write(&end, &1u64.to_ne_bytes()).unwrap();
    assert_eq!(memory.wait_for_events(end.as_fd()).unwrap(), None);
}
