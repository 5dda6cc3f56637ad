//! Channels, processes, threads as a test uses them.

use protocol::Status;
use protocol::syscall::SyscallNumber as N;

use super::TestMachine;
use zircon::ThreadId;

/// What `zx_channel_read` brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub bytes: Vec<u8>,
    pub handles: Vec<u32>,
}

impl TestMachine {
    /// A call of the first thread that must end by itself.
    pub fn status_of(&mut self, number: N, args: &[u64]) -> Result<(), Status> {
        self.call(number, args).ok()
    }

    pub fn channel_create(&mut self) -> (u32, u32) {
        let out = self.alloc(8);
        self.status_of(N::ChannelCreate, &[0, out, out + 4])
            .unwrap();
        (self.peek_u32(out), self.peek_u32(out + 4))
    }

    pub fn channel_write(
        &mut self,
        channel: u32,
        bytes: &[u8],
        handles: &[u32],
    ) -> Result<(), Status> {
        let (at, values) = (self.alloc(65536), self.alloc(256));
        self.poke(at, bytes);
        let raw: Vec<u8> = handles.iter().flat_map(|raw| raw.to_le_bytes()).collect();
        self.poke(values, &raw);
        let (length, count) = (bytes.len() as u64, handles.len() as u64);
        let args = [channel.into(), 0, at, length, values, count];
        self.status_of(N::ChannelWrite, &args)
    }

    /// The next message, whatever its size.
    pub fn channel_read(&mut self, channel: u32) -> Result<Message, Status> {
        let (at, values, actual) = (self.alloc(65536), self.alloc(256), self.alloc(8));
        let args = [channel.into(), 0, at, values, 65536, 64, actual, actual + 4];
        self.status_of(N::ChannelRead, &args)?;
        let (length, count) = (self.peek_u32(actual), self.peek_u32(actual + 4));
        let bytes = self.peek(at, length.into());
        let handles = (0..count).map(|n| self.peek_u32(values + u64::from(n) * 4));
        let handles = handles.collect();
        Ok(Message { bytes, handles })
    }

    /// Whether a thread waits, or is to stop.
    pub fn stands(&self, thread: ThreadId) -> bool {
        self.waits(thread) || self.stopped.contains(&thread)
    }

    /// `zx_task_create_exception_channel`.
    pub fn exception_channel(&mut self, task: u32) -> Result<u32, Status> {
        let out = self.alloc(4);
        self.status_of(N::TaskCreateExceptionChannel, &[task.into(), 0, out])?;
        Ok(self.peek_u32(out))
    }

    /// The koid in the `related_koid` of an object.
    pub fn related_koid(&mut self, raw: u32) -> u64 {
        let info = self.info(raw, 2, 32).unwrap();
        u64::from_le_bytes(info[16..24].try_into().unwrap())
    }
}
