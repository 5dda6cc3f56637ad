//! Values of options: sizes, times, numbers, VMOs. Every error says what would be right.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::Duration,
};

use protocol::{MAX_NAME_LEN, MAX_VMO_SIZE, PAGE_SIZE, PolicyAction, PolicyCondition};

use crate::config::{FaultDelivery, FileMode, Grant, SupplyPolicy};

/// Most pages of `fixed:N`: what fits a gigabyte.
const MAX_FIXED: u64 = 1 << 18;

/// `adaptive`, `fixed:N` or `none`.
pub(super) fn supply_policy(text: &str) -> Result<SupplyPolicy, String> {
    match text.split_once(':') {
        None if text == "adaptive" => Ok(SupplyPolicy::Adaptive),
        None if text == "none" => Ok(SupplyPolicy::None),
        Some(("fixed", pages)) => match pages.parse() {
            Ok(pages @ 1..=MAX_FIXED) => Ok(SupplyPolicy::Fixed(pages)),
            _ => Err(format!("say fixed:N with 1 to {MAX_FIXED} pages")),
        },
        _ => Err("say adaptive, fixed:N (pages) or none".into()),
    }
}

/// The value of one `--vmo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VmoOption {
    pub name: String,
    pub source: SourceOption,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SourceOption {
    File { path: PathBuf, mode: FileMode },
    Zero { size: u64 },
}

/// `NAME=file:PATH[,ro|cow]` or `NAME=zero:SIZE`. A path may hold commas and equals signs: only a mode at its very end
/// counts.
pub(super) fn vmo(value: OsString) -> Result<VmoOption, String> {
    const FORM: &str = "say NAME=file:PATH or NAME=zero:SIZE";
    let bytes = value.as_bytes();
    let (name, source) = split_once(bytes, b'=').ok_or(FORM)?;
    let name = name_of(name)?;
    let (kind, rest) = split_once(source, b':').ok_or(FORM)?;
    let source = match kind {
        b"file" => file(rest)?,
        b"zero" => {
            let size = size(std::str::from_utf8(rest).map_err(|_| FORM)?)?;
            if size > MAX_VMO_SIZE {
                return Err(format!("a VMO has at most {MAX_VMO_SIZE} bytes"));
            }
            SourceOption::Zero { size }
        }
        _ => {
            let kind = String::from_utf8_lossy(kind);
            return Err(format!("there is no source '{kind}': {FORM}"));
        }
    };
    Ok(VmoOption { name, source })
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|&byte| byte == at)?;
    Some((bytes.get(..place)?, bytes.get(place.checked_add(1)?..)?))
}

fn name_of(name: &[u8]) -> Result<String, String> {
    // The NUL at the end takes one byte.
    if name.is_empty() || name.len() >= MAX_NAME_LEN {
        return Err(format!(
            "the name has {} bytes, but needs 1 to {}",
            name.len(),
            MAX_NAME_LEN.saturating_sub(1)
        ));
    }
    match std::str::from_utf8(name) {
        Ok(name) => Ok(name.into()),
        Err(_) => Err("the name is not UTF-8".into()),
    }
}

fn file(rest: &[u8]) -> Result<SourceOption, String> {
    if rest.strip_suffix(b",rw").is_some() {
        return Err(
            "writing back to the file (rw) is not supported; use cow for a private copy that may \
             be written, or ro. (A path that itself ends in ',rw' needs ',ro' or ',cow' after it.)"
                .into(),
        );
    }
    let (path, mode) = if let Some(path) = rest.strip_suffix(b",cow") {
        (path, FileMode::CopyOnWrite)
    } else if let Some(path) = rest.strip_suffix(b",ro") {
        (path, FileMode::ReadOnly)
    } else {
        (rest, FileMode::ReadOnly)
    };
    if path.is_empty() {
        return Err("the path is missing: say NAME=file:PATH".into());
    }
    Ok(SourceOption::File {
        path: OsString::from_vec(path.to_vec()).into(),
        mode,
    })
}

/// A size in bytes: `4096`, `64K`, `1MiB`, `2G`. All units are powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const FORM: &str = "say bytes, or a number with K, M, G or T (as 4096, 64K, 1MiB, 2G)";
    let (number, unit) = split_number(text);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        "kb" | "mb" | "gb" | "tb" => {
            return Err(format!("'{unit}' may mean 1000 or 1024: {FORM}"));
        }
        _ => return Err(FORM.into()),
    };
    if number.is_empty() {
        return Err(FORM.into());
    }
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "that is more than 2^64 bytes".into())
}

/// A size for `--memory`.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < PAGE_SIZE {
        return Err(format!(
            "the program could not have a single page ({PAGE_SIZE} bytes); leave --memory out for no limit"
        ));
    }
    Ok(bytes)
}

/// Where to wait for gdb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GdbOption {
    /// A port of 127.0.0.1.
    Port(u16),
    /// A socket in the file system.
    Path(PathBuf),
}

/// `PORT` or `unix:PATH`.
pub(super) fn gdb(text: OsString) -> Result<GdbOption, String> {
    let bytes = text.as_encoded_bytes();
    if bytes.starts_with(b"unix:") {
        let path: PathBuf = OsStr::from_bytes(bytes.get(5..).unwrap_or_default()).into();
        if path.as_os_str().is_empty() {
            return Err("the path of the socket is missing behind unix:".into());
        }
        return Ok(GdbOption::Path(path));
    }
    let port = text.to_str().and_then(|text| text.parse().ok());
    port.map(GdbOption::Port)
        .ok_or_else(|| "give a port from 0 to 65535, as 1234, or unix:PATH".into())
}

/// A resource: `vmex`, `iommu`, `mmio:SIZE`.
pub(super) fn grant(text: &str) -> Result<Grant, String> {
    match text.split_once(':') {
        None if text == "vmex" => Ok(Grant::Vmex),
        None if text == "iommu" => Ok(Grant::Iommu),
        Some(("mmio", size)) => match self::size(size)? {
            size if size > 0 && size.is_multiple_of(PAGE_SIZE) => Ok(Grant::Mmio { size }),
            _ => Err(format!(
                "the range has to be whole pages of {PAGE_SIZE} bytes"
            )),
        },
        _ => Err("say vmex, iommu, or mmio:SIZE (as mmio:64K)".into()),
    }
}

/// `exit` or `event`.
pub(super) fn fault_delivery(text: &str) -> Result<FaultDelivery, String> {
    match text {
        "exit" => Ok(FaultDelivery::Exit),
        "event" => Ok(FaultDelivery::Event),
        _ => Err("say exit or event".into()),
    }
}

/// A latency: `50us`, `2ms`, at most a second.
pub(super) fn delay(text: &str) -> Result<Duration, String> {
    const FORM: &str = "say a whole number with its unit, of at most a second (as 50us, 2ms)";
    let (number, unit) = split_number(text);
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let delay = match unit {
        "ns" => Duration::from_nanos(number),
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        _ => return Err(FORM.into()),
    };
    match delay <= Duration::from_secs(1) {
        true => Ok(delay),
        false => Err(FORM.into()),
    }
}

/// A time: `500ms`, `5s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "say a whole number with its unit (as 500ms, 5s, 2m, 1h)";
    let (number, unit) = split_number(text);
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(FORM.into()),
    };
    match millis {
        Some(0) => {
            Err("the run would end before it began; leave --timeout out for no limit".into())
        }
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err("that is longer than zvmm can count".into()),
    }
}

/// A number of vCPUs. How many the host allows is for the machine to say.
pub(super) fn cpus(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("a VM needs a vCPU; say --cpus 1 or more".into()),
        Ok(count) => Ok(count),
        Err(_) => Err("say a whole number, 1 or more".into()),
    }
}

/// `NAME=ACTION` of a job policy.
pub(super) fn policy(text: &str) -> Result<(PolicyCondition, PolicyAction), String> {
    let (name, action) = text
        .split_once('=')
        .ok_or("say NAME=ACTION, as new-vmo=deny")?;
    let conditions = PolicyCondition::ALL;
    let condition = conditions.iter().find(|known| known.name() == name);
    let condition = condition.ok_or_else(|| {
        let names = conditions.iter().map(|known| known.name());
        format!("there is no policy '{name}': {}", one_of(names))
    })?;
    let actions = PolicyAction::ALL;
    let action = actions
        .iter()
        .find(|known| known.name() == action)
        .ok_or_else(|| {
            let names = actions.iter().map(|known| known.name());
            format!("there is no action '{action}': {}", one_of(names))
        })?;
    Ok((*condition, *action))
}

fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    format!("name one of {}", names.collect::<Vec<_>>().join(", "))
}

/// Leading digits, and what follows them.
fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants() {
        assert_eq!(grant("vmex"), Ok(Grant::Vmex));
        assert_eq!(grant("iommu"), Ok(Grant::Iommu));
        assert_eq!(grant("mmio:64K"), Ok(Grant::Mmio { size: 65536 }));
        for text in ["", "mmio", "mmio:", "mmio:0", "mmio:5", "vmex:1", "all"] {
            assert!(grant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1b", 1),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("1M", 1 << 20),
            ("3MiB", 3 << 20),
            ("2G", 2 << 30),
            ("2gib", 2 << 30),
            ("1T", 1 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1.5G", "1X", "1 M", "0x10", "٣", "1Mi"] {
            assert!(size(text).unwrap_err().starts_with("say bytes"), "{text}");
        }
        assert!(size("1MB").unwrap_err().contains("may mean 1000 or 1024"));
        for text in ["18446744073709551616", "16777216T", "99999999999999999999T"] {
            assert_eq!(
                size(text).unwrap_err(),
                "that is more than 2^64 bytes",
                "{text}"
            );
        }
    }

    #[test]
    fn places_to_wait_for_gdb() {
        assert_eq!(gdb("1234".into()), Ok(GdbOption::Port(1234)));
        assert_eq!(gdb("unix:a b".into()), Ok(GdbOption::Path("a b".into())));
        for text in ["", "65536", "-1", ":1234", "unix:", "host:1"] {
            assert!(gdb(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_a_page_at_least() {
        assert_eq!(memory("4K"), Ok(4096));
        for text in ["0", "4095"] {
            assert!(memory(text).unwrap_err().contains("single page"));
        }
    }

    #[test]
    fn delays_and_supply_policies() {
        assert_eq!(delay("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(delay("0ns"), Ok(Duration::ZERO));
        assert_eq!(delay("1000ms"), Ok(Duration::from_secs(1)));
        for text in ["", "5", "us", "-1us", "1001ms", "1s", "5 us"] {
            assert!(
                delay(text).unwrap_err().starts_with("say a whole"),
                "{text}"
            );
        }
        assert_eq!(supply_policy("adaptive"), Ok(SupplyPolicy::Adaptive));
        assert_eq!(supply_policy("none"), Ok(SupplyPolicy::None));
        assert_eq!(supply_policy("fixed:64"), Ok(SupplyPolicy::Fixed(64)));
        for text in [
            "",
            "fixed",
            "fixed:",
            "fixed:0",
            "fixed:-1",
            "fixed:262145",
            "none:1",
            "random",
        ] {
            assert!(
                supply_policy(text).unwrap_err().starts_with("say "),
                "{text}"
            );
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "1d"] {
            assert!(
                duration(text).unwrap_err().starts_with("say a whole"),
                "{text}"
            );
        }
        assert!(duration("0s").unwrap_err().contains("before it began"));
        assert!(
            duration("18446744073709551615h")
                .unwrap_err()
                .contains("longer")
        );
    }

    #[test]
    fn cpu_counts() {
        assert_eq!(cpus("3"), Ok(3));
        assert!(cpus("0").unwrap_err().contains("--cpus 1"));
        for text in ["", "x", "-1", "1.0", "4294967296"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    fn file_option(value: &str) -> (String, FileMode) {
        match vmo(value.into()).unwrap().source {
            SourceOption::File { path, mode } => (path.to_str().unwrap().into(), mode),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_path_may_hold_anything() {
        use FileMode::{CopyOnWrite, ReadOnly};
        for (value, path, mode) in [
            ("d=file:/a/b", "/a/b", ReadOnly),
            ("d=file:/a/b,ro", "/a/b", ReadOnly),
            ("d=file:/a/b,cow", "/a/b", CopyOnWrite),
            ("d=file:a,b=c:d", "a,b=c:d", ReadOnly),
            ("d=file:a,ro,cow", "a,ro", CopyOnWrite),
            ("d=file:a,rw,ro", "a,rw", ReadOnly),
            ("d=file:a,roo", "a,roo", ReadOnly),
        ] {
            assert_eq!(file_option(value), (path.into(), mode), "{value}");
        }
        let odd = OsString::from_vec(b"d=file:\xff\xfe,cow".to_vec());
        match vmo(odd).unwrap().source {
            SourceOption::File { path, .. } => assert_eq!(path.as_os_str().as_bytes(), b"\xff\xfe"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn zeros() {
        let option = vmo("scratch=zero:64K".into()).unwrap();
        assert_eq!(option.name, "scratch");
        assert_eq!(option.source, SourceOption::Zero { size: 65536 });
        assert!(vmo("s=zero:18446744073709551615".into()).is_err());
    }

    #[test]
    fn wrong_vmos() {
        for (value, part) in [
            ("data", "say NAME=file:PATH"),
            ("data=/x", "say NAME=file:PATH"),
            ("data=net:x", "no source 'net'"),
            ("=file:x", "0 bytes, but needs 1 to 31"),
            (
                "12345678901234567890123456789012=file:x",
                "32 bytes, but needs 1 to 31",
            ),
            ("data=file:", "path is missing"),
            ("data=file:,ro", "path is missing"),
            ("data=file:x,rw", "rw) is not supported"),
            ("data=zero:", "say bytes"),
            ("data=zero:lots", "say bytes"),
        ] {
            let error = vmo(value.into()).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
        assert!(vmo("1234567890123456789012345678901=file:x".into()).is_ok());
        assert!(
            vmo(OsString::from_vec(b"\xff=file:x".to_vec()))
                .unwrap_err()
                .contains("UTF-8")
        );
    }
}
