//! What is read ahead of programs that touch a file's pages in one order or another.

use std::fs;

use crate::{Desk, skips_kvm};

const PAGES: u32 = 2048;

/// Faults, pages read ahead, and those of them that were in vain.
fn figures(desk: &Desk, cpus: &str, order: &str) -> (u64, u64, u64) {
    let options = format!("--cpus {cpus} --stats=json out.json --vmo data=file:data");
    desk.well(&format!("zvmm run {options} ./readers {order}"));
    let json = fs::read_to_string(desk.path("out.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let number = |path: &str| json.pointer(path).unwrap().as_u64().unwrap();
    (
        number("/pages/requests"),
        number("/pages/supplied_ahead"),
        number("/pages/ahead_in_vain"),
    )
}

#[test]
fn read_ahead_follows_the_reader() {
    let desk = Desk::with(&["readers.c"]);
    desk.well("zvmm cc readers.c -O2 -o readers");
    let page = |number: u32| [&number.to_le_bytes()[..], &[0; 4092]].concat();
    fs::write(
        desk.path("data"),
        (0..PAGES).map(page).collect::<Vec<_>>().concat(),
    )
    .unwrap();
    if skips_kvm() {
        return;
    }
    for cpus in ["1", "2"] {
        // The program itself and its stack need some, too.
        for order in ["0 1 2048", "2047 -1 2048", "0 7 290", "2047 -16 128"] {
            let (requests, ahead, in_vain) = figures(&desk, cpus, order);
            assert!(requests < 60, "{requests} requests of {order}");
            assert!(
                ahead > 100 && in_vain < 80,
                "{ahead} ahead, {in_vain} in vain of {order}"
            );
        }
        // At random, each page once.
        let (requests, ahead, _) = figures(&desk, cpus, "0 0 500");
        let said = format!("{requests} requests, {ahead} ahead");
        assert!(requests > 450 && ahead < 60, "{said}");
    }
}
