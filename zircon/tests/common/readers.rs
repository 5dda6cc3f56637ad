//! A thread that reads pages of a VMO, through `zx_vmo_read` or through a mapping.

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};
use zircon::{Access, OpResult, ThreadId, Token};

use super::{Outcome, TestMachine, Touch};

/// How a reader reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    Read,
    Mapping,
}

impl Via {
    pub const BOTH: [Via; 2] = [Via::Read, Via::Mapping];
}

/// One reader: it reads its pages front to back.
pub struct Reader {
    pub thread: ThreadId,
    pub via: Via,
    pub token: Option<Token>,
    pub end: Option<Result<(), Status>>,
    address: u64,
    /// The arguments of its call.
    call: [u64; 4],
    pages: u64,
    next: u64,
}

impl TestMachine {
    /// Starts a thread that reads `pages` of a VMO.
    pub fn reader(&mut self, via: Via, vmo: u32, pages: std::ops::Range<u64>) -> Reader {
        let thread = self.thread();
        let count = pages.end - pages.start;
        let (offset, length) = (pages.start * PAGE_SIZE, count * PAGE_SIZE);
        let mut reader = Reader {
            thread,
            via,
            token: None,
            end: None,
            address: 0,
            call: [0; 4],
            pages: count,
            next: 0,
        };
        match via {
            Via::Read => {
                reader.address = self.alloc(length);
                let args = [vmo.into(), reader.address, offset, length];
                reader.call = args;
                self.go_on(&mut reader);
            }
            Via::Mapping => {
                reader.address = self.vmar_map(1, 0, vmo, offset, length).unwrap();
                self.go_on(&mut reader);
            }
        }
        reader
    }

    fn go_on(&mut self, reader: &mut Reader) {
        if reader.via == Via::Read {
            match self.call_on(reader.thread, N::VmoRead, &reader.call) {
                Outcome::Blocked(token) => reader.token = Some(token),
                Outcome::Value(value) => reader.end = Some(Status::from_register(value).ok()),
                Outcome::Restart => {}
                Outcome::Gone => panic!("vmo_read ended the thread"),
            }
            return;
        }
        while reader.next < reader.pages {
            let at = reader.address + reader.next * PAGE_SIZE;
            match self.touch(reader.thread, at, Access::Read) {
                Touch::Done => reader.next += 1,
                Touch::Blocked(token) => {
                    reader.token = Some(token);
                    return;
                }
                Touch::Restart => return,
                Touch::Fatal(status) => {
                    reader.end = Some(Err(status));
                    return;
                }
            }
        }
        reader.end = Some(Ok(()));
    }

    /// Lets a reader go on if what it waited for has happened; says how it ended, if it has.
    pub fn poll(&mut self, reader: &mut Reader) -> Option<Result<(), Status>> {
        if let Some(token) = reader.token
            && reader.end.is_none()
        {
            match self.result(token) {
                Some(OpResult::Returned(value)) => {
                    reader.end = Some(Status::from_register(value).ok());
                }
                Some(OpResult::Retry) => {
                    reader.token = None;
                    self.go_on(reader);
                }
                // When its thread goes on it tries again.
                Some(OpResult::Restart) => reader.token = None,
                Some(OpResult::Gone) => reader.end = Some(Err(self.fault_status(reader.thread))),
                None if self.ended.contains(&reader.thread) => {
                    reader.end = Some(Err(self.fault_status(reader.thread)));
                }
                None => {}
            }
        }
        let stands = self.stopped.contains(&reader.thread);
        if reader.token.is_none() && reader.end.is_none() && !stands {
            self.go_on(reader);
        }
        reader.end
    }

    /// What a reader that has ended well read: the byte that fills each page.
    pub fn read_bytes(&mut self, reader: &mut Reader) -> Vec<u8> {
        assert_eq!(self.poll(reader), Some(Ok(())), "{:?}", reader.via);
        (0..reader.pages)
            .map(|page| {
                let bytes = self.peek(reader.address + page * PAGE_SIZE, PAGE_SIZE);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mixed page");
                bytes[0]
            })
            .collect()
    }

    /// Asserts that a reader still waits.
    pub fn still_waits(&mut self, reader: &mut Reader) {
        assert_eq!(self.poll(reader), None, "{:?}", reader.via);
    }
}

impl TestMachine {
    /// Maps a VMO and reads its first byte on a new thread.
    pub fn touch_mapped(&mut self, vmo: u32) -> Touch {
        let at = self.vmar_map(1, 0, vmo, 0, PAGE_SIZE).unwrap();
        let thread = self.thread();
        self.touch(thread, at, Access::Read)
    }
}
