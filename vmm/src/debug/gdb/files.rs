//! The files that gdb finds symbols in: the program and the guest kernel, which it reads through the connection.

use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSegment as _};

use crate::config::Program;
use crate::guest_image;

/// What the guest kernel is called.
const KERNEL: &str = "/zvmm/guest-kernel";

/// A file as gdb knows it.
#[derive(Debug)]
struct File {
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Path(std::path::PathBuf),
    Image(&'static [u8]),
}

/// Files by their descriptors.
#[derive(Debug)]
pub(super) struct Files {
    files: [File; 2],
}

impl Files {
    pub fn new(program: &Program) -> Files {
        let (name, content) = match program {
            Program::File(path) => {
                let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                (path.display().to_string(), Content::Path(path))
            }
            Program::Image { name, bytes } => (format!("/zvmm/{name}"), Content::Image(bytes)),
        };
        let kernel = File {
            name: KERNEL.into(),
            content: Content::Image(guest_image::KERNEL),
        };
        Files {
            files: [File { name, content }, kernel],
        }
    }

    /// The name of the program's file.
    pub fn program(&self) -> &str {
        let [program, _] = &self.files;
        &program.name
    }

    /// The descriptor of a file, if gdb may have it.
    pub fn open(&self, name: &[u8]) -> Option<u32> {
        let is_named = |file: &File| Path::new(&file.name).as_os_str().as_encoded_bytes() == name;
        let at = self.files.iter().position(is_named)?;
        u32::try_from(at).ok()
    }

    /// Reads bytes of a file from an offset on, as many as there are.
    pub fn read(&self, descriptor: u32, offset: u64, to: &mut [u8]) -> std::io::Result<usize> {
        let missing = std::io::ErrorKind::NotFound;
        let file = self.files.get(descriptor as usize).ok_or(missing)?;
        match &file.content {
            Content::Path(path) => {
                use std::os::unix::fs::FileExt as _;
                fs::File::open(path)?.read_at(to, offset)
            }
            Content::Image(bytes) => Ok(part(bytes, offset, to)),
        }
    }

    /// Bytes of a file.
    pub fn size(&self, descriptor: u32) -> std::io::Result<u64> {
        let missing = std::io::ErrorKind::NotFound;
        let file = self.files.get(descriptor as usize).ok_or(missing)?;
        match &file.content {
            Content::Path(path) => Ok(fs::metadata(path)?.len()),
            Content::Image(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// What gdb is told of as a library: the guest kernel, where it was linked to.
    pub fn libraries(&self) -> String {
        let image = object::File::parse(guest_image::KERNEL).ok();
        let first = image.and_then(|image| Some(image.segments().next()?.address()));
        let first = first.unwrap_or(protocol::boot::KERNEL_BASE);
        format!(
            "<library-list><library name=\"{KERNEL}\"><segment address=\"{first:#x}\"/></library></library-list>"
        )
    }
}

/// Copies bytes from an offset on, as many as there are; says how many.
pub(super) fn part(bytes: &[u8], offset: u64, to: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
    let rest = rest.unwrap_or_default();
    let count = rest.len().min(to.len());
    for (to, from) in to.iter_mut().zip(rest) {
        *to = *from;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdb_gets_the_program_and_the_kernel_and_nothing_else() {
        let program = guest_image::programs()[0];
        let files = Files::new(&Program::Image {
            name: program.0.into(),
            bytes: program.1,
        });
        let own = files.open(files.program().as_bytes()).unwrap();
        let mut start = [0; 4];
        for descriptor in [own, files.open(KERNEL.as_bytes()).unwrap()] {
            assert_eq!(files.read(descriptor, 0, &mut start).unwrap(), 4);
            assert_eq!(&start, b"\x7FELF");
            let size = files.size(descriptor).unwrap();
            assert_eq!(files.read(descriptor, size - 1, &mut start).unwrap(), 1);
            assert_eq!(files.read(descriptor, u64::MAX, &mut start).unwrap(), 0);
        }
        for name in ["/etc/passwd", "", "/zvmm", "guest-kernel"] {
            assert_eq!(files.open(name.as_bytes()), None, "{name}");
        }
        assert!(files.read(2, 0, &mut start).is_err() && files.size(2).is_err());
    }
}
