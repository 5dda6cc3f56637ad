//! Tests of `zvmm run` with a run that is made up.

use std::{cell::RefCell, ffi::OsString, os::unix::ffi::OsStringExt};

use protocol::{PolicyAction, PolicyCondition};

use super::*;
use crate::{
    check::Check,
    cli::BoxError,
    config::{FaultDelivery, FileMode, SupplyPolicy},
    observe::{Reclaim, Stats},
    outcome::Outcome,
};

static PROGRAMS: [BuiltIn; 1] = [("sum", b"image")];

/// What a command said and left.
struct Said {
    code: u8,
    out: String,
    err: String,
    config: Option<RunConfig>,
}

fn zvmm_os(args: Vec<OsString>, result: impl Fn() -> Result<End, BoxError>) -> Said {
    let seen = RefCell::new(None);
    let run = |config| {
        seen.replace(Some(config));
        Ok(Outcome {
            end: result()?,
            report: Stats::new(1, std::time::Instant::now()).report(
                Vec::new(),
                Reclaim::default(),
                false,
            ),
            recorded: Vec::new(),
        })
    };
    let checks = Vec::<Check>::new;
    let host = Host {
        programs: &PROGRAMS,
        run: &run,
        bench: &|_, _| Err("nothing is measured here".into()),
        checks: &checks,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("zvmm".into()).chain(args);
    let exit = crate::cli::main(args, &host, &mut out, &mut err);
    Said {
        code: exit.code(),
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        config: seen.into_inner(),
    }
}

fn zvmm(args: &[&str], end: End) -> Said {
    zvmm_os(
        args.iter().map(OsString::from).collect(),
        || Ok(end.clone()),
    )
}

/// A command that must fail before anything runs: its exit code and its one paragraph.
fn refused(args: &[&str]) -> (u8, String) {
    let said = zvmm(args, End::Exited(0));
    assert!(said.config.is_none(), "it ran");
    assert_eq!(said.out, "");
    assert!(said.err.starts_with("zvmm: "), "{}", said.err);
    assert_eq!(said.err.trim_end().lines().count(), 1, "{}", said.err);
    (said.code, said.err.trim_end().into())
}

#[test]
fn a_trace_and_a_heat_map_need_a_file_each() {
    let (code, said) = refused(&["run", "--trace", "x", "--heatmap=x", "sum"]);
    assert_eq!(code, 120);
    assert!(said.contains("Give each a file of its own."), "{said}");
    let args = ["run", "--trace", "x", "--heatmap=y", "sum"];
    let config = zvmm(&args, End::Exited(0)).config.unwrap();
    assert_eq!(config.trace, Some("x".into()));
    assert_eq!(config.heatmap, Some("y".into()));
}

#[test]
fn what_is_amiss_with_a_recording_is_said() {
    let said = |lost, error| {
        let recorded = Recorded {
            path: "t".into(),
            events: 5,
            lost,
            error,
        };
        let mut err = Vec::new();
        complain(&recorded, &mut err);
        String::from_utf8(err).unwrap()
    };
    assert_eq!(said(0, None), "");
    assert!(said(7, None).starts_with("zvmm: t lacks 7 events beside 5: "));
    let full = said(0, Some(std::io::ErrorKind::StorageFull.into()));
    assert!(full.starts_with("zvmm: cannot write t: "), "{full}");
}

#[test]
fn arguments_become_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a,b=c");
    std::fs::write(&path, b"x").unwrap();
    let data = format!("data=file:{},cow", path.display());
    let args = [
        "run",
        "--vmo",
        &data,
        "--vmo=z=zero:1M",
        "--cpus",
        "2",
        "--memory=1G",
        "--timeout",
        "5s",
        "--supply-policy=fixed:16",
        "--fault-delay",
        "50us",
        "--fault-delivery=event",
        "--policy",
        "new-any=deny",
        "--policy=new-vmo=allow",
        "sum",
        "--",
        "a",
        "--cpus",
        "--",
    ];
    let said = zvmm(&args, End::Exited(0));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let config = said.config.unwrap();
    assert!(
        matches!(&config.program, Program::Image { name, bytes } if name == "sum" && *bytes == b"image")
    );
    assert_eq!(config.args, ["a", "--cpus", "--"]);
    assert_eq!((config.cpus, config.memory), (2, Some(1 << 30)));
    assert_eq!(config.timeout, Some(Duration::from_secs(5)));
    let policy = [
        (PolicyCondition::NewAny, PolicyAction::Deny),
        (PolicyCondition::NewVmo, PolicyAction::Allow),
    ];
    assert_eq!(config.policy, policy);
    assert_eq!(config.supply, SupplyPolicy::Fixed(16));
    assert_eq!(config.fault_delay, Some(Duration::from_micros(50)));
    assert_eq!(config.fault_delivery, FaultDelivery::Event);
    assert!(config.interactive);
    let [data, zero] = &config.vmos[..] else {
        panic!("{:?}", config.vmos);
    };
    assert_eq!((data.name.as_str(), zero.name.as_str()), ("data", "z"));
    match &data.source {
        VmoSource::File { path: found, mode } => {
            assert_eq!((found, *mode), (&path, FileMode::CopyOnWrite));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        zero.source,
        VmoSource::Zero {
            size: 0x10_0000,
            executable: false
        }
    ));
}

#[test]
fn arguments_need_no_separator() {
    let config = zvmm(&["run", "sum", "a", "--", "b"], End::Exited(0))
        .config
        .unwrap();
    assert_eq!(config.args, ["a", "--", "b"]);
}

#[test]
fn ends_become_exit_codes() {
    for (end, code, part) in [
        (End::Exited(0), 0, ""),
        (End::Exited(-1), 255, ""),
        (End::Exited(0x107), 7, ""),
        (
            End::Exception("page fault\nat 0x1000".into()),
            123,
            "zvmm: the program was killed by an exception.\npage fault\nat 0x1000\n",
        ),
        (
            End::GuestKernel("triple fault".into()),
            122,
            "zvmm: the guest kernel failed. This is a bug in zvmm.\ntriple fault\n",
        ),
        (
            End::TimedOut,
            124,
            "zvmm: stopped: the time limit of 500ms (--timeout) has passed.\n",
        ),
        (End::Interrupted, 130, "zvmm: interrupted.\n"),
    ] {
        let said = zvmm(&["run", "--timeout", "500ms", "sum"], end);
        assert_eq!((said.code, said.err.as_str()), (code, part));
    }
}

#[test]
fn a_run_that_fails_is_the_hosts_error() {
    let args = vec!["run".into(), "sum".into()];
    let said = zvmm_os(args, || Err("cannot open /dev/kvm".into()));
    assert_eq!(said.code, 121);
    assert_eq!(
        said.err,
        "zvmm: cannot open /dev/kvm. 'zvmm doctor' checks what zvmm needs of this host.\n"
    );
}

#[test]
fn stats_print_a_table_on_standard_error() {
    let said = zvmm(&["run", "--stats", "sum"], End::Exited(3));
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert!(
        said.err.starts_with("time to first user instruction"),
        "{}",
        said.err
    );
}

#[test]
fn stats_write_json_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    std::fs::write(&path, "x".repeat(100_000)).unwrap();
    let args = [
        "run",
        "--stats=json",
        path.to_str().unwrap(),
        "--cpus",
        "2",
        "sum",
    ];
    let said = zvmm(&args, End::Exited(0x1_0000_0007));
    assert_eq!((said.code, said.err.as_str()), (7, ""));
    assert_eq!(said.config.unwrap().cpus, 2);
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["outcome"]["kind"], "exited");
    assert_eq!(json["outcome"]["code"], 0x1_0000_0007u64);
    assert_eq!(json["outcome"]["exit_code"], 7);
    assert_eq!(json["memory"]["guest_ram_bytes"], 16 << 20);
    assert!(json["times"]["wall_ns"].is_u64());
}

#[test]
fn stats_to_an_impossible_file_are_refused_before_the_run() {
    let (code, text) = refused(&["run", "--stats=json", "/no/such/folder/x", "sum"]);
    assert_eq!(code, 121);
    assert!(
        text.contains("/no/such/folder/x: No such file or directory"),
        "{text}"
    );
    let (code, text) = refused(&["run", "--stats=json"]);
    assert_eq!(code, 120);
    assert!(text.contains("say --stats=json PATH"), "{text}");
}

#[test]
fn mistakes_are_told_in_one_paragraph() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    let missing = format!("data=file:{folder}/none");
    let directory = format!("data=file:{folder}");
    for (args, code, part) in [
        (
            &["run", "--vmo", &missing, "sum"][..],
            121,
            format!(
                "zvmm: cannot serve the VMO 'data': {folder}/none does not exist. Check the spelling of the path."
            ),
        ),
        (
            &["run", "--vmo", &directory, "sum"],
            121,
            format!("{folder} is a directory, not a file. Name a file inside it."),
        ),
        (
            &["run", &folder.to_string()],
            121,
            format!("zvmm: cannot load the program: {folder} is a directory"),
        ),
        (
            &["run", "--vmo", "a=zero:1", "--vmo", "a=zero:2", "sum"],
            120,
            "zvmm: --vmo: the name 'a' is given twice. Give each VMO a name of its own.".into(),
        ),
        (
            &["run", "--vmo", "a=zero:1Q", "sum"],
            120,
            "say bytes, or a number with K".into(),
        ),
        (
            &["run", "--cpus", "0", "sum"],
            120,
            "a VM needs a vCPU; say --cpus 1 or more".into(),
        ),
        (
            &["run", "--memory", "0", "sum"],
            120,
            "leave --memory out for no limit".into(),
        ),
        (
            &["run", "--timeout", "5", "sum"],
            120,
            "(as 500ms, 5s, 2m, 1h)".into(),
        ),
        (
            &["run", "--policy", "x", "sum"],
            120,
            "say NAME=ACTION, as new-vmo=deny".into(),
        ),
        (
            &["run", "--policy", "new-vm=deny", "sum"],
            120,
            "there is no policy 'new-vm': name one of bad-handle, ".into(),
        ),
        (
            &["run", "--policy", "new-vmo=forbid", "sum"],
            120,
            "there is no action 'forbid': name one of allow, deny, allow-exception, deny-exception, kill".into(),
        ),
        (&["run", "smu"], 120, "no program 'smu'".into()),
        (&["run", "smu"], 120, "Built-in programs: sum.".into()),
        (&["run"], 120, "were not provided: <PROGRAM>".into()),
        (
            &["run", "--frobnicate", "sum"],
            120,
            "unexpected argument '--frobnicate'".into(),
        ),
        (
            &["frobnicate"],
            120,
            "unrecognized subcommand 'frobnicate'".into(),
        ),
    ] {
        let (found, text) = refused(args);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(&part), "no {part:?} in {text:?}");
    }
}

#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    let odd = OsString::from_vec(b"\xff".to_vec());
    let said = zvmm_os(vec!["run".into(), "sum".into(), odd], || Ok(End::Exited(0)));
    assert_eq!(said.code, 120);
    assert!(said.err.contains("is not UTF-8"), "{}", said.err);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (args, part) in [
        (&["--help"][..], "Exit codes:\n"),
        (&["--version"], "zvmm "),
        (&["run", "--help"], "--stats=json PATH"),
    ] {
        let said = zvmm(args, End::Exited(0));
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.contains(part), "{}", said.out);
    }
}
