//! Serves the content of a host file.
//!
//! The size is taken when the file is opened. A read takes what the page cache has (`preadv2` with `RWF_NOWAIT`) or,
//! on a worker, waits for the disk; then it looks at the file's size **again**: a file cut short meanwhile, even inside
//! a page, may have given zeros that never were in it, so the read fails with `ZX_ERR_IO`. A cut shows in the size
//! before it shows in the bytes (the kernel shrinks the size first, then clears the page's tail), so the order read,
//! then size, leaves no gap. Growth is ignored. A file cut and grown again between the two looks has really got
//! zeros for content, as if they had been written.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use protocol::Status;
use rustix::{
    fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC},
    io::Errno,
};

use super::{ByteSource, HostPager, ReadError, Wait, outside, raw_file::RawFile, read_pages};

/// A regular file, served read-only.
#[derive(Debug)]
pub struct FilePager {
    path: PathBuf,
    size: u64,
    file: Box<dyn RawFile>,
    /// The file system does not know `RWF_NOWAIT`: every read may block.
    always_blocks: AtomicBool,
}

/// Why a file cannot be served. [`FileError::remedy`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A directory.
    #[error("{} is a directory, not a file", path.display())]
    Directory {
        /// The path as given.
        path: PathBuf,
    },
    /// Neither a regular file nor a directory.
    #[error("{} is a {kind}, not a regular file", path.display())]
    NotRegular {
        /// The path as given.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file that tells no size before it is read, as those of `/proc`.
    #[error("{} does not say how large it is", path.display())]
    NoSize {
        /// The path as given.
        path: PathBuf,
    },
    /// Permission denied.
    #[error("{} may not be read by this user", path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
    },
    /// Anything else that the host said.
    #[error("{} cannot be opened", path.display())]
    Host {
        /// The path as given.
        path: PathBuf,
        /// The host's words.
        source: io::Error,
    },
}

impl FileError {
    fn from_errno(path: &Path, errno: Errno) -> Self {
        let path = path.to_path_buf();
        match errno {
            Errno::NOENT | Errno::NOTDIR => FileError::Missing { path },
            Errno::ACCESS | Errno::PERM => FileError::Unreadable { path },
            other => FileError::Host {
                path,
                source: other.into(),
            },
        }
    }

    /// What the user can do about it: one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            FileError::Missing { .. } => "Check the spelling of the path.",
            FileError::Directory { .. } => "Name a file inside it.",
            FileError::NotRegular { .. } => {
                "Copy its content into a regular file and name that one."
            }
            FileError::NoSize { .. } => "Copy it to a file on disk and name that one.",
            FileError::Unreadable { .. } => {
                "Grant read permission (chmod u+r), or run as a user who has it."
            }
            FileError::Host { .. } => "Check the path, and that its file system is in order.",
        }
    }
}

impl FilePager {
    /// Opens `path`, which must be a regular file (or a link to one); an empty file is fine.
    pub fn open(path: impl AsRef<Path>) -> Result<FilePager, FileError> {
        let path = path.as_ref();
        let failed = |errno| FileError::from_errno(path, errno);
        // NONBLOCK, or opening a pipe would wait for its writer; it changes nothing for regular files.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let descriptor = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            // A socket cannot be opened at all, and errno says so poorly.
            match rustix::fs::stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(
                    kind @ (FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice),
                ) => not_regular(path, kind),
                _ => failed(errno),
            }
        })?;
        let stat = rustix::fs::fstat(&descriptor).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => {
                return Err(FileError::Directory {
                    path: path.to_path_buf(),
                });
            }
            kind => return Err(not_regular(path, kind)),
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            let system = rustix::fs::fstatfs(&descriptor).map_err(failed)?;
            if system.f_type == PROC_SUPER_MAGIC {
                return Err(FileError::NoSize {
                    path: path.to_path_buf(),
                });
            }
        }
        Ok(FilePager::over(
            path.to_path_buf(),
            size,
            Box::new(descriptor),
        ))
    }

    fn over(path: PathBuf, size: u64, file: Box<dyn RawFile>) -> FilePager {
        FilePager {
            path,
            size,
            file,
            always_blocks: AtomicBool::new(false),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` from the page cache or says that it would have to wait.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        if self.always_blocks.load(Ordering::Relaxed) {
            return Err(ReadError::WouldBlock);
        }
        match self.file.read_cached(offset, buffer) {
            Ok(count) if count == buffer.len() => Ok(()),
            // Not all cached, or cut short: the read that may wait finds out which.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Err(ReadError::WouldBlock),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.always_blocks.store(true, Ordering::Relaxed);
                Err(ReadError::WouldBlock)
            }
            Err(errno) => Err(self.io_error(offset, buffer.len(), errno)),
        }
    }

    /// Fills `buffer`, waiting for the disk as need be.
    fn read_waiting(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len();
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            match self.file.read(at, rest) {
                Ok(0) => {
                    let now = self.file.size().unwrap_or(at).min(at);
                    return Err(self.cut_short(now));
                }
                Ok(count) => {
                    at = at.saturating_add(count as u64);
                    rest = rest
                        .split_at_mut_checked(count)
                        .map_or(&mut [][..], |(_, rest)| rest);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.io_error(offset, length, errno)),
            }
        }
        Ok(())
    }

    /// Refuses what was read up to `end` if the file is shorter than that by now.
    fn check_not_cut(&self, end: u64) -> Result<(), ReadError> {
        match self.file.size() {
            Ok(now) if now >= end => Ok(()),
            Ok(now) => Err(self.cut_short(now)),
            Err(errno) => Err(ReadError::Failed {
                status: Status::IO,
                reason: format!("{}: cannot tell its size: {errno}", self.path.display()),
            }),
        }
    }

    fn cut_short(&self, now: u64) -> ReadError {
        ReadError::Failed {
            status: Status::IO,
            reason: format!(
                "{}: file was cut short to {now} bytes (from {}) while the guest was reading it",
                self.path.display(),
                self.size
            ),
        }
    }

    fn io_error(&self, offset: u64, length: usize, errno: Errno) -> ReadError {
        ReadError::Failed {
            status: Status::IO,
            reason: format!(
                "{}: reading {length} bytes at {offset} failed: {}",
                self.path.display(),
                io::Error::from(errno)
            ),
        }
    }
}

fn not_regular(path: &Path, kind: FileType) -> FileError {
    let kind = match kind {
        FileType::Fifo => "pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        _ => "special file",
    };
    FileError::NotRegular {
        path: path.to_path_buf(),
        kind,
    }
}

impl ByteSource for FilePager {
    fn length(&self) -> u64 {
        self.size
    }

    fn read_bytes(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError> {
        let end = offset
            .checked_add(buffer.len() as u64)
            .filter(|&end| end <= self.size);
        let Some(end) = end else {
            return Err(outside(
                &self.path.display(),
                offset,
                buffer.len(),
                self.size,
            ));
        };
        match wait {
            Wait::Never => self.read_cached(offset, buffer)?,
            Wait::Allowed => self.read_waiting(offset, buffer)?,
        }
        self.check_not_cut(end)
    }
}

impl HostPager for FilePager {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError> {
        read_pages(self, offset, buffer, wait)
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
