//! Tests of the file pager: on real files, and on a fake whose every call can be made to fail.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    os::unix::{fs::FileExt, net::UnixListener},
    sync::Mutex,
};

use tempfile::TempDir;

use super::*;

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 + 1).collect()
}

fn file_of(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// As the VMM asks: at once if possible, else again, waiting.
fn read(pager: &FilePager, offset: u64, pages: usize) -> Result<Vec<u8>, ReadError> {
    let mut buffer = vec![0xff; pages * 4096];
    match HostPager::read(pager, offset, &mut buffer, Wait::Never) {
        Err(ReadError::WouldBlock) => {
            HostPager::read(pager, offset, &mut buffer, Wait::Allowed)?;
        }
        other => other?,
    }
    Ok(buffer)
}

fn failure(result: Result<Vec<u8>, ReadError>) -> (Status, String) {
    match result {
        Err(ReadError::Failed { status, reason }) => (status, reason),
        other => panic!("not a failure: {other:?}"),
    }
}

#[test]
fn content_then_zeros_whatever_the_size() {
    for size in [0, 1, 4095, 4096, 4097, 3 * 4096 + 17] {
        let content = pattern(size);
        let (_folder, path) = file_of(&content);
        let pager = FilePager::open(&path).unwrap();
        assert_eq!(HostPager::size(&pager), size as u64);
        for wait in [Wait::Never, Wait::Allowed] {
            let mut expected = content.clone();
            expected.resize(5 * 4096, 0);
            let mut buffer = vec![0xff; 5 * 4096];
            match HostPager::read(&pager, 0, &mut buffer, wait) {
                Err(ReadError::WouldBlock) if wait == Wait::Never => {}
                result => {
                    result.unwrap();
                    assert_eq!(buffer, expected, "{size} bytes, {wait:?}");
                }
            }
        }
    }
}

#[test]
fn pages_come_from_their_offset() {
    let content = pattern(10 * 4096);
    let (_folder, path) = file_of(&content);
    let pager = FilePager::open(&path).unwrap();
    assert_eq!(
        read(&pager, 3 * 4096, 2).unwrap(),
        content[3 * 4096..5 * 4096]
    );
}

#[test]
fn holes_of_a_sparse_file_are_zeros() {
    let (_folder, path) = file_of(b"");
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    let far = 8u64 << 30;
    file.seek(SeekFrom::Start(far)).unwrap();
    file.write_all(b"end").unwrap();
    let pager = FilePager::open(&path).unwrap();
    assert_eq!(HostPager::size(&pager), far + 3);
    assert_eq!(read(&pager, 4 << 30, 2).unwrap(), [0; 8192]);
    assert_eq!(&read(&pager, far, 1).unwrap()[..4], b"end\0");
}

#[test]
fn cut_at_a_page_boundary_is_an_error() {
    let (_folder, path) = file_of(&pattern(4 * 4096));
    let pager = FilePager::open(&path).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(2 * 4096)
        .unwrap();
    assert_eq!(
        read(&pager, 0, 2).unwrap(),
        pattern(2 * 4096),
        "what is left is served"
    );
    for (offset, pages) in [(2 * 4096, 1), (3 * 4096, 1), (4096, 2)] {
        let (status, reason) = failure(read(&pager, offset, pages));
        assert_eq!(status, Status::IO);
        assert_eq!(
            reason,
            format!(
                "{}: file was cut short to 8192 bytes (from 16384) while the guest was reading it",
                path.display()
            )
        );
    }
}

#[test]
fn cut_inside_a_page_is_an_error() {
    let (_folder, path) = file_of(&pattern(2 * 4096));
    let pager = FilePager::open(&path).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(4096 + 100)
        .unwrap();
    assert_eq!(read(&pager, 0, 1).unwrap(), pattern(4096));
    let (status, reason) = failure(read(&pager, 4096, 1));
    assert_eq!(status, Status::IO);
    assert!(reason.contains("cut short to 4196 bytes"), "{reason}");
}

#[test]
fn cut_inside_the_last_partial_page_is_an_error() {
    let (_folder, path) = file_of(&pattern(4096 + 200));
    let pager = FilePager::open(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(4096 + 199).unwrap();
    assert_eq!(failure(read(&pager, 4096, 1)).0, Status::IO);
}

#[test]
fn growth_is_ignored() {
    let (_folder, path) = file_of(&pattern(4096 + 10));
    let pager = FilePager::open(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xee; 9000], 4096 + 10).unwrap();
    assert_eq!(HostPager::size(&pager), 4096 + 10);
    let page = read(&pager, 4096, 1).unwrap();
    assert_eq!(page[..10], pattern(4106)[4096..]);
    assert!(page[10..].iter().all(|&byte| byte == 0));
}

#[test]
fn bytes_outside_the_content_are_refused() {
    let (_folder, path) = file_of(&pattern(10));
    let pager = FilePager::open(&path).unwrap();
    for (offset, length) in [(10, 1), (9, 2), (u64::MAX, 1)] {
        let error = pager
            .read_bytes(offset, &mut vec![0; length], Wait::Allowed)
            .unwrap_err();
        assert!(matches!(
            error,
            ReadError::Failed {
                status: Status::OUT_OF_RANGE,
                ..
            }
        ));
    }
}

#[test]
fn what_cannot_be_served_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |path: &Path| FilePager::open(path).unwrap_err().to_string();

    assert_eq!(
        text(&path("none")),
        format!("{} does not exist", path("none").display())
    );
    assert_eq!(
        text(folder.path()),
        format!("{} is a directory, not a file", folder.path().display())
    );
    std::fs::write(path("plain"), b"x").unwrap();
    assert!(text(&path("plain/below")).ends_with("does not exist"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("pipe"),
        FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert!(text(&path("pipe")).ends_with("is a pipe, not a regular file"));
    let _listener = UnixListener::bind(path("socket")).unwrap();
    assert!(text(&path("socket")).ends_with("is a socket, not a regular file"));
    assert_eq!(
        text(Path::new("/dev/null")),
        "/dev/null is a character device, not a regular file"
    );
    assert_eq!(
        text(Path::new("/proc/self/maps")),
        "/proc/self/maps does not say how large it is"
    );
    std::os::unix::fs::symlink("loop", path("loop")).unwrap();
    assert!(matches!(
        FilePager::open(path("loop")),
        Err(FileError::Host { .. })
    ));
}

#[test]
fn permission_denied_has_its_remedy() {
    // Root may read everything, so the error is made from the errno.
    let error = FileError::from_errno(Path::new("secret"), Errno::ACCESS);
    assert_eq!(error.to_string(), "secret may not be read by this user");
    assert!(error.remedy().contains("chmod u+r"));
}

/// A file of constant bytes whose calls follow a script; a call past the script's end succeeds.
#[derive(Debug)]
struct Fake {
    content: Vec<u8>,
    /// Answers to `read_cached`: an error, or at most so many bytes.
    cached: Mutex<VecDeque<Result<usize, Errno>>>,
    /// The same for `read`.
    waiting: Mutex<VecDeque<Result<usize, Errno>>>,
    size: Result<u64, Errno>,
}

impl Fake {
    fn answer(
        &self,
        script: &Mutex<VecDeque<Result<usize, Errno>>>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let limit = script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Ok(usize::MAX))?;
        let rest = &self.content[offset as usize..];
        let count = rest.len().min(buffer.len()).min(limit);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl RawFile for Fake {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.answer(&self.waiting, offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.answer(&self.cached, offset, buffer)
    }

    fn size(&self) -> Result<u64, Errno> {
        self.size
    }
}

type Script<'a> = &'a [Result<usize, Errno>];

fn fake(cached: Script, waiting: Script, size_after: Result<u64, Errno>) -> FilePager {
    let fake = Fake {
        content: pattern(8192),
        cached: Mutex::new(cached.iter().copied().collect()),
        waiting: Mutex::new(waiting.iter().copied().collect()),
        size: size_after,
    };
    FilePager::over("fake".into(), 8192, Box::new(fake))
}

fn read_with(pager: &FilePager, wait: Wait) -> Result<Vec<u8>, ReadError> {
    let mut buffer = vec![0xff; 8192];
    HostPager::read(pager, 0, &mut buffer, wait).map(|()| buffer)
}

#[test]
fn what_is_not_cached_would_block() {
    for answer in [Err(Errno::AGAIN), Err(Errno::INTR), Ok(4096), Ok(1), Ok(0)] {
        let pager = fake(&[answer], &[], Ok(8192));
        assert!(matches!(
            read_with(&pager, Wait::Never),
            Err(ReadError::WouldBlock)
        ));
        assert_eq!(
            read_with(&pager, Wait::Never).unwrap(),
            pattern(8192),
            "tried again later"
        );
    }
}

#[test]
fn a_file_system_without_nowait_is_remembered() {
    for errno in [Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL] {
        let pager = fake(&[Err(errno)], &[], Ok(8192));
        for _ in 0..2 {
            assert!(matches!(
                read_with(&pager, Wait::Never),
                Err(ReadError::WouldBlock)
            ));
        }
        assert_eq!(read_with(&pager, Wait::Allowed).unwrap(), pattern(8192));
    }
}

#[test]
fn a_waiting_read_goes_on_after_short_counts_and_signals() {
    let script = [
        Ok(1),
        Err(Errno::INTR),
        Ok(4096),
        Err(Errno::INTR),
        Ok(4000),
    ];
    let pager = fake(&[], &script, Ok(8192));
    assert_eq!(read_with(&pager, Wait::Allowed).unwrap(), pattern(8192));
}

#[test]
fn an_io_error_is_io_and_names_the_place() {
    for (cached, waiting, wait) in [
        (&[Err(Errno::IO)][..], &[][..], Wait::Never),
        (&[], &[Ok(4096), Err(Errno::IO)], Wait::Allowed),
    ] {
        let (status, reason) = failure(read_with(&fake(cached, waiting, Ok(8192)), wait));
        assert_eq!(status, Status::IO);
        assert_eq!(
            reason,
            "fake: reading 8192 bytes at 0 failed: Input/output error (os error 5)"
        );
    }
}

#[test]
fn a_cut_after_the_read_is_seen() {
    // The whole buffer was filled, but perhaps with zeros: the size tells.
    for wait in [Wait::Never, Wait::Allowed] {
        let (status, reason) = failure(read_with(&fake(&[], &[], Ok(8191)), wait));
        assert_eq!(status, Status::IO);
        assert!(
            reason.contains("cut short to 8191 bytes (from 8192)"),
            "{reason}"
        );
    }
    let (status, reason) = failure(read_with(&fake(&[], &[], Err(Errno::STALE)), Wait::Allowed));
    assert_eq!(status, Status::IO);
    assert!(reason.starts_with("fake: cannot tell its size"), "{reason}");
}

#[test]
fn the_end_of_the_file_before_its_size_is_a_cut() {
    let (status, reason) = failure(read_with(
        &fake(&[], &[Ok(5000), Ok(0)], Ok(8192)),
        Wait::Allowed,
    ));
    assert_eq!(status, Status::IO);
    assert!(reason.contains("cut short to 5000 bytes"), "{reason}");
}
