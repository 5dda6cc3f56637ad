//! `--heatmap`: what came for nothing is found, and nothing else.

use std::path::Path;

use crate::{needs_kvm, programs, zvmm};

/// What the page says of the VMOs with a name, and the whole figures.
fn mapped(options: &[&str], program: &[&str]) -> (String, Vec<String>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let (page, figures) = (folder.path().join("page"), folder.path().join("figures"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (page, figures) = (path(&page), path(&figures));
    let own = [
        "--heatmap",
        &page,
        "--stats=json",
        &figures,
        "--timeout",
        "1m",
    ];
    let said = zvmm([&own, options, program].concat());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let page = std::fs::read_to_string(page).unwrap();
    let parts = page.split("<h3>").skip(1);
    let data = parts.filter(|part| part.lines().next().unwrap().ends_with(" data</h3>"));
    let said = data.map(|part| part.lines().nth(1).unwrap().into());
    let figures = std::fs::read_to_string(figures).unwrap();
    (
        page.clone(),
        said.collect(),
        serde_json::from_str(&figures).unwrap(),
    )
}

#[test]
fn pages_that_came_for_nothing() {
    needs_kvm!();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1000 * 4096).unwrap();
    let path = file.path().display();
    // Read itself, and through a clone.
    for mode in ["ro", "cow"] {
        for cpus in ["1", "2"] {
            let vmo = format!("data=file:{path},{mode}");
            let options = ["--supply-policy", "fixed:16", "--cpus", cpus, "--vmo", &vmo];
            // Pages 0 to 9, then 100 to 104.
            for (program, told) in [
                (
                    ["sum", "data", "0", "40960"],
                    "1 pages asked for, 15 ahead (9 used, 6 never)",
                ),
                (
                    ["sum", "data", "409600", "20000"],
                    "1 pages asked for, 15 ahead (4 used, 11 never)",
                ),
                (
                    ["sum", "data", "0", "65536"],
                    "1 pages asked for, 15 ahead (15 used, 0 never)",
                ),
            ] {
                let (page, said, figures) = mapped(&options, &program);
                let found = said.iter().any(|said| said.contains(told));
                assert!(found, "no {told:?} in {said:?}, {mode}, {cpus} vCPUs");
                assert!(page.contains("<svg") && !page.contains("<script"));
                let pages = &figures["pages"];
                assert!(pages["ahead_judged"].as_u64() >= pages["supplied_ahead"].as_u64());
            }
        }
    }
}

/// What is evicted is looked at before it goes: a reader that reads all that comes wastes nothing.
#[test]
fn pages_that_go_again() {
    needs_kvm!();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(16 << 20).unwrap();
    let vmo = format!("data=file:{}", file.path().display());
    let options = [
        "--memory",
        "2M",
        "--supply-policy",
        "fixed:8",
        "--vmo",
        &vmo,
    ];
    let (_, said, figures) = mapped(&options, &["sum"]);
    let all = |said: &&String| said.contains("used, 0 never)") && !said.contains("(0 used");
    assert!(said.iter().any(|it| all(&it)), "{said:?}");
    let pages = &figures["pages"];
    assert!(pages["supplied_ahead"].as_u64() > Some(3000), "{figures:#}");
    assert!(
        figures["reclaim"]["evicted"].as_u64() > Some(3000),
        "{figures:#}"
    );
}

/// 600 pages are read, backwards and with gaps: few requests, and next to nothing that is not read.
#[test]
fn a_reader_that_steps_back() {
    needs_kvm!();
    let file = tempfile::NamedTempFile::new().unwrap();
    let pages = programs::LATE_PAGE + 1;
    file.as_file().set_len(pages * 4096).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "stepper", programs::stepper());
    let vmo = format!("data=file:{}", file.path().display());
    for cpus in ["1", "2"] {
        let options = ["--cpus", cpus, "--vmo", &vmo];
        let (_, said, figures) = mapped(&options, &[program.to_str().unwrap()]);
        let numbers = said.first().unwrap().split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
        let [asked, ahead, used, never, ..] = numbers[..] else {
            panic!("{said:?}");
        };
        assert!(asked < 25 && asked + used == 600, "{said:?}");
        assert!(never <= 64 && used + never == ahead, "{said:?}");
        assert!(
            figures["pages"]["ahead_in_vain"].as_u64() >= Some(never),
            "{figures:#}"
        );
    }
}

#[test]
fn a_place_that_cannot_be_written_to() {
    let said = zvmm(["--heatmap", "/nowhere/page", "hello"]);
    said.refused(121, &["cannot write /nowhere/page", "No such file"]);
}
