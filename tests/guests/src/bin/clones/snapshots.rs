//! Snapshots of anonymous VMOs.

use test_guests::pages::{PAGE, check_mapping, check_vmo, filled_vmo};
use test_guests::{Outcome, cases, check, equal, soon};
use zx::{ChildOptions, Mapping, PAGE_SIZE, Status, Vmo};

const SEED: u64 = 0x5EED;

cases! { "snapshots":
    neither_side_sees_the_others_writes
    the_last_one_keeps_the_pages
    many_deep
    taken_while_another_thread_writes
    written_by_two_threads
    shared_pages_count_by_halves
    data_is_transferred
}

fn snapshot(vmo: &Vmo, pages: u64) -> Result<Vmo, Status> {
    vmo.create_child(ChildOptions::SNAPSHOT, 0, pages * PAGE_SIZE)
}

/// Through mappings that were there before, and that come later.
fn neither_side_sees_the_others_writes() -> Outcome {
    const COUNT: u64 = 8;
    let parent = filled_vmo(SEED, 0, COUNT)?;
    let before = Mapping::read_write(&parent, 0, COUNT as usize * PAGE)?;
    check_mapping(&before, Some(SEED), 0, COUNT)?;
    let clone = snapshot(&parent, COUNT)?;
    let after = Mapping::read_write(&clone, 0, COUNT as usize * PAGE)?;
    for page in 0..COUNT as usize {
        before.set_word(page * PAGE + 8, 1)?;
    }
    check_mapping(&after, Some(SEED), 0, COUNT)?;
    check_vmo(&clone, Some(SEED), 0, COUNT)?;
    for page in 0..COUNT as usize {
        after.set_word(page * PAGE + 8, 2)?;
        equal!(before.word(page * PAGE + 8)?, 1);
        equal!(after.word(page * PAGE + 8)?, 2);
        equal!(
            before.word(page * PAGE + 16)?,
            after.word(page * PAGE + 16)?
        );
    }
    Ok(())
}

fn the_last_one_keeps_the_pages() -> Outcome {
    const COUNT: u64 = 4;
    let parent = filled_vmo(SEED, 0, COUNT)?;
    let clone = snapshot(&parent, COUNT)?;
    let mapping = Mapping::read_write(&clone, 0, COUNT as usize * PAGE)?;
    check_mapping(&mapping, Some(SEED), 0, 2)?;
    drop(parent);
    check_mapping(&mapping, Some(SEED), 0, COUNT)?;
    mapping.set_word(0, 7)?;
    equal!(mapping.word(0)?, 7);
    check_mapping(&mapping, Some(SEED), 1, COUNT - 1)
}

/// Each is a snapshot of the one before and writes a page of its own.
fn many_deep() -> Outcome {
    const DEPTH: u64 = 40;
    let mut vmo = filled_vmo(SEED, 0, 2)?;
    for level in 0..DEPTH {
        let next = snapshot(&vmo, 2)?;
        next.write(&level.to_le_bytes(), PAGE_SIZE)?;
        let mut seen = [0; 8];
        vmo.read(&mut seen, PAGE_SIZE)?;
        check!(u64::from_le_bytes(seen) != level, "level {level}");
        vmo = next;
        check_vmo(&vmo, Some(SEED), 0, 1)?;
    }
    Ok(())
}

/// A thread counts in two pages, the first before the second: no snapshot has more in the second than in the first, nor less by
/// more than one; and none of them changes.
fn taken_while_another_thread_writes() -> Outcome {
    const ROUNDS: u64 = 20_000;
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let mapping = Mapping::read_write(&vmo, 0, 2 * PAGE)?;
    let counter = zx::thread::spawn("counter", move || {
        for round in 1..=ROUNDS {
            mapping.set_word(0, round)?;
            mapping.set_word(PAGE, round)?;
        }
        Ok::<(), Status>(())
    })?;
    for _ in 0..50 {
        let clone = snapshot(&vmo, 2)?;
        let look = || -> Result<[u64; 2], Status> {
            let mut words = [[0; 8]; 2];
            clone.read(&mut words[0], 0)?;
            clone.read(&mut words[1], PAGE_SIZE)?;
            Ok(words.map(u64::from_le_bytes))
        };
        let seen = look()?;
        let [first, second] = seen;
        check!(first == second || first == second + 1, "{first} {second}");
        zx::time::sleep_until(zx::time::now() + 100_000)?;
        equal!(look()?, seen);
    }
    counter.join(soon())??;
    let mapping = Mapping::read_only(&vmo, 0, 2 * PAGE)?;
    equal!([mapping.word(0)?, mapping.word(PAGE)?], [ROUNDS; 2]);
    Ok(())
}

/// Parent and clone are written to at the same time: each page is copied once, and nothing is lost.
fn written_by_two_threads() -> Outcome {
    const COUNT: usize = 64;
    for _ in 0..4 {
        let parent = filled_vmo(SEED, 0, COUNT as u64)?;
        let clone = snapshot(&parent, COUNT as u64)?;
        let write = |vmo: &Vmo, value: u64| {
            let mapping = Mapping::read_write(vmo, 0, COUNT * PAGE)?;
            zx::thread::spawn("writer", move || {
                (0..COUNT).try_for_each(|page| mapping.set_word(page * PAGE, value))
            })
        };
        let threads = [write(&parent, 1)?, write(&clone, 2)?];
        for thread in threads {
            thread.join(soon())??;
        }
        for (vmo, value) in [(&parent, 1), (&clone, 2)] {
            let mapping = Mapping::read_only(vmo, 0, COUNT * PAGE)?;
            for page in 0..COUNT {
                equal!(mapping.word(page * PAGE)?, value);
            }
        }
    }
    Ok(())
}

fn shared_pages_count_by_halves() -> Outcome {
    let parent = filled_vmo(SEED, 0, 3)?;
    let clone = snapshot(&parent, 3)?;
    clone.write(b"own", 0)?;
    for vmo in [&parent, &clone] {
        let info = vmo.info()?;
        equal!(info.committed_bytes, 3 * PAGE_SIZE);
        equal!(info.committed_private_bytes, PAGE_SIZE);
        equal!(info.committed_scaled_bytes, 2 * PAGE_SIZE);
    }
    Ok(())
}

fn data_is_transferred() -> Outcome {
    let (from, to) = (filled_vmo(SEED, 0, 5)?, filled_vmo(!SEED, 0, 5)?);
    let kept = snapshot(&from, 5)?;
    let seen = Mapping::read_only(&to, 0, 5 * PAGE)?;
    check_mapping(&seen, Some(!SEED), 0, 5)?;
    to.transfer_data(0, 3 * PAGE_SIZE, &from, 0)?;
    check_mapping(&seen, Some(SEED), 0, 3)?;
    check_mapping(&seen, Some(!SEED), 3, 2)?;
    check_vmo(&from, None, 0, 3)?;
    check_vmo(&from, Some(SEED), 3, 2)?;
    check_vmo(&kept, Some(SEED), 0, 5)
}
