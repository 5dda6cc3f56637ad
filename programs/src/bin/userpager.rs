//! `userpager [PAGES [SEED [CLUSTER]]]`: a pager service and its client in one program.
//!
//! One thread answers READ packets with `zx_pager_supply_pages` from an auxiliary VMO; the main thread touches all
//! pages of the pager's VMO through a mapping, in random order, and checks every byte. Exit code 1 if one was wrong.
//!
//! The service answers each request with the whole CLUSTER of pages (4, unless said otherwise) that holds the page asked for, as
//! pagers do that read ahead; with 1 every page costs a request.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ops::Range;

use programs::{Random, number, page_word};
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, PageRequestCommand, Pager, Port, RawHandle, Status, Unowned,
    Vmo, VmoOptions, time,
};

/// Key of the VMO's packets.
const KEY: u64 = 0x75_7061_6765_7221;

/// How long the service may take to end after the last request.
const SERVICE_END_MILLIS: i64 = 10_000;

const PAGE: usize = PAGE_SIZE as usize;

#[zx::main]
fn main(startup: &zx::Startup<'_>) -> i32 {
    let argument = |n, default| startup.arg(n).map_or(Some(default), number);
    let (Some(pages @ 1..=0x10_0000), Some(seed), Some(cluster @ 1..=0x10_0000)) =
        (argument(1, 4096), argument(2, 1), argument(3, 4))
    else {
        zx::println!("usage: userpager [PAGES [SEED [CLUSTER]]], 1 to 1048576 pages each");
        return 2;
    };
    match verify(pages, seed, cluster) {
        Ok(Outcome::Verified { requests }) => {
            zx::println!("userpager: {pages} pages verified, {requests} requests");
            0
        }
        Ok(Outcome::Wrong { page, word, found }) => {
            let expected = page_word(seed, page, word);
            zx::println!(
                "userpager: page {page}, word {word}: {found:#018x} instead of {expected:#018x}"
            );
            1
        }
        Err(status) => {
            zx::println!("userpager: {status}");
            1
        }
    }
}

enum Outcome {
    Verified { requests: u64 },
    Wrong { page: u64, word: u64, found: u64 },
}

fn verify(pages: u64, seed: u64, cluster: u64) -> Result<Outcome, Status> {
    let pager = Pager::create()?;
    let port = Port::create()?;
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, KEY, pages * PAGE_SIZE)?;
    let mapping = Mapping::read_only(&vmo, 0, (pages * PAGE_SIZE) as usize)?;
    let service = Service {
        pager: pager.raw_handle(),
        port: port.raw_handle(),
        vmo: vmo.raw_handle(),
        pages,
        seed,
        cluster,
    };
    let thread = zx::thread::spawn("pager service", move || service.serve())?;

    let order = random_order(pages, seed)?;
    for index in 0..pages {
        let page = order.word(index as usize * 8)?;
        for word in 0..PAGE_SIZE / 8 {
            let found = mapping.word(page as usize * PAGE + word as usize * 8)?;
            if found != page_word(seed, page, word) {
                return Ok(Outcome::Wrong { page, word, found });
            }
        }
    }

    pager.detach_vmo(&vmo)?;
    let requests = thread.join(time::after_millis(SERVICE_END_MILLIS))??;
    Ok(Outcome::Verified { requests })
}

/// A mapping that holds the numbers below `count` in random order, eight bytes each (Fisher and Yates).
fn random_order(count: u64, seed: u64) -> Result<Mapping, Status> {
    let vmo = Vmo::create(count * 8)?;
    let order = Mapping::read_write(&vmo, 0, count as usize * 8)?;
    for index in 0..count {
        order.set_word(index as usize * 8, index)?;
    }
    let mut random = Random::new(seed);
    for index in (1..count).rev() {
        let other = random.below(index + 1) as usize * 8;
        let index = index as usize * 8;
        let (a, b) = (order.word(index)?, order.word(other)?);
        order.set_word(index, b)?;
        order.set_word(other, a)?;
    }
    Ok(order)
}

/// The service thread's view; the handles stay the main thread's.
struct Service {
    pager: RawHandle,
    port: RawHandle,
    vmo: RawHandle,
    pages: u64,
    seed: u64,
    cluster: u64,
}

impl Service {
    /// Answers requests until the VMO's COMPLETE; the number of requests answered.
    fn serve(&self) -> Result<u64, Status> {
        let port = Unowned::<Port>::from_raw(self.port);
        let pager = Unowned::<Pager>::from_raw(self.pager);
        let vmo = Unowned::<Vmo>::from_raw(self.vmo);
        let aux = self.store()?;
        let mut requests = 0;
        loop {
            let packet = port.wait(time::TIME_INFINITE)?;
            if packet.key != KEY {
                return Err(Status::BAD_STATE);
            }
            if packet.command() == PageRequestCommand::Complete as u16 {
                return Ok(requests);
            }
            requests += 1;
            let range = self.cluster_of(packet.offset()..packet.offset() + packet.length());
            pager.supply_pages(&vmo, range.clone(), &aux, range.start)?;
        }
    }

    /// The range, grown to whole clusters. Pages that are there already stay as they are.
    fn cluster_of(&self, range: Range<u64>) -> Range<u64> {
        let bytes = self.cluster * PAGE_SIZE;
        let end = range
            .end
            .next_multiple_of(bytes)
            .min(self.pages * PAGE_SIZE);
        range.start / bytes * bytes..end
    }

    /// The auxiliary VMO: every page with its content, at the offset where it belongs. Supplying moves the page out.
    fn store(&self) -> Result<Vmo, Status> {
        let aux = Vmo::create(self.pages * PAGE_SIZE)?;
        let mapping = Mapping::read_write(&aux, 0, (self.pages * PAGE_SIZE) as usize)?;
        for page in 0..self.pages {
            for word in 0..PAGE_SIZE / 8 {
                let value = page_word(self.seed, page, word);
                mapping.set_word(page as usize * PAGE + word as usize * 8, value)?;
            }
        }
        Ok(aux)
    }
}
