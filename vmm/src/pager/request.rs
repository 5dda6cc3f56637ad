//! Pagers that answer requests, at once or later: what a program that embeds a VM writes for VMOs whose pages it makes itself.
//!
//! ```text
//! a page is asked for -> Pager::supply(request), on the vCPU's thread
//!                          request.supply(bytes) | fill(..) | fail(status)      there, or later on any thread
//!                          request dropped                                      the same as fail(ZX_ERR_IO)
//! ```

use std::fmt;

use protocol::Status;

/// Makes the pages of a VMO, asked when a guest touches absent ones.
pub trait Pager: Send + Sync + fmt::Debug {
    /// Answers a request, or sees to it that it is answered later.
    ///
    /// It runs on a vCPU's thread, and no guest thread of that vCPU runs meanwhile: what takes long should move the request to a thread of
    /// the pager's own. Several vCPUs may call at once. If it panics, the request fails with `ZX_ERR_IO`.
    fn supply(&self, request: PageRequest);
}

/// What a pager says to a request.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    Bytes(&'a [u8]),
    Failed { status: Status, reason: String },
}

/// Takes the reply.
pub(crate) type Answer = Box<dyn FnOnce(Reply<'_>) + Send>;

/// Pages that a guest waits for, at most 64 in a request. It is answered once, by one of the methods that take it; one that is dropped fails
/// with `ZX_ERR_IO`, and one that is answered after the run has ended does nothing. One that is kept for ever keeps its guest thread
/// waiting, until the run's time limit.
pub struct PageRequest {
    offset: u64,
    length: usize,
    answer: Option<Answer>,
}

impl fmt::Debug for PageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("PageRequest");
        request
            .field("offset", &self.offset)
            .field("length", &self.length);
        request.finish_non_exhaustive()
    }
}

impl PageRequest {
    pub(crate) fn new(offset: u64, length: usize, answer: Answer) -> Self {
        PageRequest {
            offset,
            length,
            answer: Some(answer),
        }
    }

    /// First byte in the VMO, page-aligned.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes, whole pages. The last page may reach beyond the VMO's content: what is there should be zeros.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// The pages' content: [`PageRequest::len`] bytes. Any other number fails the request with `ZX_ERR_IO`, and the log tells.
    pub fn supply(mut self, content: &[u8]) {
        let (offset, length) = (self.offset, self.length);
        if content.len() == length {
            return self.reply(Reply::Bytes(content));
        }
        let given = content.len();
        let reason =
            format!("a pager gave {given} bytes at {offset} where {length} were asked for");
        self.reply(Reply::Failed {
            status: Status::IO,
            reason,
        });
    }

    /// The pages' content, written into a buffer of [`PageRequest::len`] zeros. If `write` panics, the request fails.
    pub fn fill(self, write: impl FnOnce(&mut [u8])) {
        let mut content = vec![0; self.length];
        write(&mut content);
        self.supply(&content);
    }

    /// The pages cannot be had: the guest's access gets `status`, one of those of `ZX_PAGER_OP_FAIL`; any other is `ZX_ERR_IO`.
    pub fn fail(mut self, status: Status) {
        const KNOWN: [Status; 5] = [
            Status::IO,
            Status::IO_DATA_INTEGRITY,
            Status::BAD_STATE,
            Status::NO_SPACE,
            Status::BUFFER_TOO_SMALL,
        ];
        let status = if KNOWN.contains(&status) {
            status
        } else {
            Status::IO
        };
        let reason = format!(
            "a pager failed {} bytes at {}: {status}",
            self.length, self.offset
        );
        self.reply(Reply::Failed { status, reason });
    }

    fn reply(&mut self, reply: Reply<'_>) {
        if let Some(answer) = self.answer.take() {
            answer(reply);
        }
    }
}

impl Drop for PageRequest {
    fn drop(&mut self) {
        let reason = format!(
            "a pager dropped a request of {} bytes at {}",
            self.length, self.offset
        );
        self.reply(Reply::Failed {
            status: Status::IO,
            reason,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A request of two pages, and what is said to it: the bytes or the status.
    fn request() -> (PageRequest, Receiver<Result<Vec<u8>, Status>>) {
        let (said, replies) = channel();
        let answer = move |reply: Reply<'_>| {
            said.send(match reply {
                Reply::Bytes(bytes) => Ok(bytes.to_vec()),
                Reply::Failed { status, .. } => Err(status),
            })
            .unwrap();
        };
        (PageRequest::new(4096, 8192, Box::new(answer)), replies)
    }

    /// What came of it, once.
    fn reply(act: impl FnOnce(PageRequest)) -> Result<Vec<u8>, Status> {
        let (request, replies) = request();
        act(request);
        let reply = replies.recv().unwrap();
        assert!(replies.recv().is_err(), "answered twice");
        reply
    }

    #[test]
    fn bytes_are_passed_on() {
        assert_eq!(
            reply(|request| request.supply(&[7; 8192])),
            Ok(vec![7; 8192])
        );
        let filled = reply(|request| request.fill(|buffer| buffer[4096..].fill(9)));
        assert_eq!(filled, Ok([[0; 4096], [9; 4096]].concat()));
    }

    #[test]
    fn any_other_number_of_bytes_is_a_failure() {
        for length in [0, 1, 4096, 8191, 8193, 12288] {
            assert_eq!(
                reply(|request| request.supply(&vec![7; length])),
                Err(Status::IO)
            );
        }
    }

    #[test]
    fn what_is_dropped_or_panics_is_a_failure() {
        assert_eq!(reply(drop), Err(Status::IO));
        let panics = |request: PageRequest| {
            let fill = || request.fill(|_| panic!("no content"));
            assert!(catch_unwind(AssertUnwindSafe(fill)).is_err());
        };
        assert_eq!(reply(panics), Err(Status::IO));
    }

    #[test]
    fn failures_are_those_of_a_pager() {
        assert_eq!(
            reply(|request| request.fail(Status::NO_SPACE)),
            Err(Status::NO_SPACE)
        );
        assert_eq!(reply(|request| request.fail(Status::OK)), Err(Status::IO));
        assert_eq!(
            reply(|request| request.fail(Status::NOT_FOUND)),
            Err(Status::IO)
        );
    }
}
