//! Random scripts, run on the model and on the core side by side: every result, packet and byte is compared.
//!
//! `player` runs both sides and compares them; `calls` and `pager_calls` say what each call is on either side, `squeeze` what goes
//! when pages are short.
//!
//! A script is a text of one call a line: its name and its numbers, as in [`CALLS`]. One that fails is made as short as can be and
//! printed; with its lines in a file, `ZVMM_SCRIPT=FILE cargo test -p zircon --test core replay` runs it again.
//! `ZVMM_CASES=N` and `ZVMM_SEED=N` say how many scripts run, and which.

mod calls;
mod pager_calls;
mod player;
mod squeeze;

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::PAGE_SIZE;

use crate::common::random::{self, Source};

/// Calls of a script.
const LENGTH: usize = 50;
/// Bytes that a script is made from: no call takes more than 12.
const BYTES: usize = LENGTH * 12;

/// What a number of a call means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arg {
    /// A VMO, modulo how many there are.
    Vmo,
    /// A pager, modulo how many there are.
    Pager,
    /// A page number or count.
    Pages,
    /// A byte offset, length or size.
    Bytes,
    /// A number below this.
    Below(u64),
}

/// A call: its name, how often it comes, its numbers. What does not come is not there yet.
struct Form {
    call: Call,
    name: &'static str,
    weight: u64,
    args: &'static [Arg],
}

macro_rules! calls {
    ($($call:ident $name:literal $weight:literal [$($arg:expr),*],)*) => {
        /// What a line of a script does.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Call { $($call,)* }

        /// All calls.
        const CALLS: &[Form] = &[$(Form {
            call: Call::$call,
            name: $name,
            weight: $weight,
            args: &[$($arg),*],
        },)*];
    };
}

use Arg::{Below, Bytes, Pager, Pages, Vmo};

calls! {
    // size, RESIZABLE and 2 for DISCARDABLE
    Create "create" 6 [Bytes, Below(4)],
    // pager, size, RESIZABLE and 2 for TRAP_DIRTY
    Paged "paged" 8 [Pager, Bytes, Below(4)],
    // parent, page, pages
    Slice "slice" 4 [Vmo, Below(5), Pages],
    // parent, page, size, type, resizable
    Snapshot "snapshot" 8 [Vmo, Below(5), Bytes, Below(3), Below(2)],
    // parent
    Reference "reference" 3 [Vmo],
    // VMO, offset, length
    Read "read" 12 [Vmo, Bytes, Bytes],
    // VMO, offset, length, tag
    Write "write" 16 [Vmo, Bytes, Bytes, Below(256)],
    // VMO, page, write
    Touch "touch" 16 [Vmo, Below(9), Below(2)],
    // VMO
    Unmap "unmap" 2 [Vmo],
    // VMO, size
    SetSize "set_size" 6 [Vmo, Bytes],
    // VMO, size
    SetStream "set_stream" 4 [Vmo, Bytes],
    // VMO, page, pages, auxiliary VMO, page there
    Supply "supply" 28 [Vmo, Below(6), Pages, Vmo, Below(4)],
    // VMO, code, page, pages
    Fail "fail" 4 [Vmo, Below(5), Below(6), Pages],
    // VMO, page, pages
    Dirty "dirty" 14 [Vmo, Below(6), Pages],
    // VMO, page, pages, zeros only
    Begin "begin" 5 [Vmo, Below(6), Pages, Below(2)],
    // VMO, page, pages
    End "end" 5 [Vmo, Below(6), Pages],
    // VMO, page, pages
    QueryDirty "query_dirty" 5 [Vmo, Below(6), Pages],
    // VMO, reset
    QueryStats "query_stats" 3 [Vmo, Below(2)],
    // VMO
    Detach "detach" 1 [Vmo],
    // VMO, offset, length
    Commit "commit" 6 [Vmo, Bytes, Bytes],
    Decommit "decommit" 4 [Vmo, Bytes, Bytes],
    Zero "zero" 6 [Vmo, Bytes, Bytes],
    DontNeed "dont_need" 1 [Vmo, Bytes, Bytes],
    AlwaysNeed "always_need" 3 [Vmo, Bytes, Bytes],
    Prefetch "prefetch" 3 [Vmo, Bytes, Bytes],
    // VMO, page, pages, for writing
    Pin "pin" 8 [Vmo, Below(5), Pages, Below(2)],
    // which pin that is held
    Unpin "unpin" 3 [Below(8)],
    // destination, page, pages, source, page there
    Transfer "transfer" 5 [Vmo, Below(5), Pages, Vmo, Below(5)],
    // pager, and how serious this is
    ClosePager "close_pager" 1 [Pager, Below(6)],
    // VMO
    Close "close" 2 [Vmo],
    Poll "poll" 10 [],
    PortWait "port_wait" 4 [],
    // VMO, whether it is only tried
    Lock "lock" 6 [Vmo, Below(2)],
    // VMO
    Unlock "unlock" 5 [Vmo],
    // Others need so many pages, and none are left.
    Squeeze "squeeze" 4 [Below(8)],
    // A thread that waits ends.
    Kill "kill" 2 [Below(8)],
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    call: Call,
    args: Vec<u64>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", form(self.call).name)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

fn form(call: Call) -> &'static Form {
    CALLS.iter().find(|form| form.call == call).unwrap()
}

impl Line {
    fn parse(text: &str) -> Line {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap();
        let form = CALLS.iter().find(|form| form.name == name);
        let form = form.unwrap_or_else(|| panic!("no call is named {name}"));
        let args: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        assert_eq!(args.len(), form.args.len(), "numbers of {text:?}");
        Line {
            call: form.call,
            args,
        }
    }

    fn decode(source: &mut Source<'_>) -> Line {
        let form = &CALLS[source.weighted(CALLS, |form| form.weight)];
        let args = form.args.iter().map(|arg| arg.decode(source)).collect();
        Line {
            call: form.call,
            args,
        }
    }

    fn simpler(&self) -> Vec<Line> {
        let numbers = self.args.iter().enumerate().flat_map(|(at, &arg)| {
            [
                0,
                PAGE_SIZE,
                arg / PAGE_SIZE * PAGE_SIZE,
                arg / 2,
                arg.saturating_sub(1),
            ]
            .into_iter()
            .filter(move |&less| less < arg)
            .map(move |less| (at, less))
        });
        numbers
            .map(|(at, less)| {
                let mut line = self.clone();
                line.args[at] = less;
                line
            })
            .collect()
    }
}

impl Arg {
    fn decode(self, source: &mut Source<'_>) -> u64 {
        match self {
            // Most of what happens is to happen to few.
            Vmo => source.below(6),
            Pager => source.below(2),
            Pages => match source.below(7) {
                0 => source.below(40),
                _ => source.below(9),
            },
            // Whole pages mostly, and then some.
            Bytes => {
                let bytes = Pages.decode(source) * PAGE_SIZE;
                match source.below(5) {
                    0..3 => bytes,
                    _ => bytes + 1 + source.below(PAGE_SIZE - 1),
                }
            }
            Below(end) => source.below(end),
        }
    }
}

/// Makes a script of bytes, of some lines at most.
fn decode(bytes: &[u8], most: usize) -> Vec<Line> {
    let mut source = Source::new(bytes);
    let mut lines = Vec::new();
    while !source.is_empty() && lines.len() < most {
        lines.push(Line::decode(&mut source));
    }
    lines
}

/// Something to begin with, so that no script is idle.
const FIRST: &str = "paged 0 32768 1\ncreate 49152 0\npaged 1 163840 0\n";

fn parse(text: &str) -> Vec<Line> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Line::parse)
        .collect()
}

/// Runs a script on both sides; panics where they differ. Says how many lines were played, not skipped.
fn play(lines: &[Line]) -> u64 {
    let mut player = player::Player::new();
    for line in lines {
        player.play(line);
        if player.dead {
            return player.played;
        }
    }
    player.finish()
}

/// Plays what bytes stand for; it panics if core and model differ.
pub fn play_bytes(bytes: &[u8]) {
    let mut lines = parse(FIRST);
    lines.extend(decode(bytes, 4 * LENGTH));
    play(&lines);
}

/// The script that a seed stands for.
fn script(seed: u64) -> Vec<Line> {
    let mut lines = parse(FIRST);
    lines.extend(decode(&random::bytes(seed, BYTES), LENGTH));
    lines
}

/// Runs a script; one that fails comes back short, with what it fails with. Says how many lines were played.
fn check(lines: &[Line]) -> Result<u64, String> {
    let played = Cell::new(0);
    let run = |lines: &[Line]| random::failure(|| played.set(play(lines)));
    if run(lines).is_none() {
        return Ok(played.get());
    }
    let short = random::shrink(lines, Line::simpler, |lines| run(lines).is_some());
    let text: Vec<String> = short.iter().map(ToString::to_string).collect();
    Err(format!("{}\n{}", run(&short).unwrap(), text.join("\n")))
}

#[test]
fn core_and_model_agree() {
    let (scripts, played) = (AtomicU64::new(0), AtomicU64::new(0));
    random::each_seed(10_000, |seed| {
        scripts.fetch_add(1, Ordering::Relaxed);
        played.fetch_add(check(&script(seed))?, Ordering::Relaxed);
        Ok(())
    });
    // Scripts that skip most of their lines would prove little.
    let lines = played.into_inner() as f64 / scripts.into_inner() as f64;
    println!("{lines:.1} lines a script were played");
    assert!(lines > LENGTH as f64 / 2.0, "{lines} lines a script");
}

/// Runs the script in the file that ZVMM_SCRIPT names; without one, a packet of each kind.
#[test]
fn replay() {
    let text = std::env::var("ZVMM_SCRIPT").map(|file| std::fs::read_to_string(file).unwrap());
    play(&parse(&text.unwrap_or_else(|_| {
        "paged 0 8192 0\nread 0 0 8192\npoll\ndetach 0\npoll".into()
    })));
}

#[test]
fn lines_are_read_as_they_are_written() {
    for seed in 0..100 {
        let lines = script(seed);
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(parse(&text.join("\n")), lines);
    }
}
