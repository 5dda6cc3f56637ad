//! Life of a request.

use super::*;

fn source() -> PageSource {
    PageSource::new(Provider::Pager {
        pager: PagerId(1),
        port: PortId(2),
        key: 9,
    })
}

fn tokens(woken: Vec<Woken>) -> Vec<u64> {
    woken.into_iter().map(|(token, _)| token.0).collect()
}

#[test]
fn a_start_inside_joins_and_an_end_inside_is_cut() {
    let mut source = source();
    assert_eq!(
        source.request(Asked::Read, 8..24, Token(1), false),
        Some(8..24)
    );
    assert_eq!(
        source.request(Asked::Read, 0..32, Token(2), false),
        Some(0..8)
    );
    assert_eq!(source.request(Asked::Read, 10..40, Token(3), false), None);
    assert_eq!(tokens(source.resolve(Asked::Read, 0..8, None)), [2]);
    assert_eq!(tokens(source.resolve(Asked::Read, 8..24, None)), [1, 3]);
}

#[test]
fn one_packet_at_a_time_in_order() {
    let mut source = source();
    source.request(Asked::Read, 0..1, Token(1), false);
    source.request(Asked::Read, 4..6, Token(2), false);
    assert_eq!(source.next_packet(false), Some(PacketMove::Queue));
    assert_eq!(source.next_packet(true), None, "the packet is taken");
    let packet = source.take_packet().unwrap();
    assert_eq!(
        (packet.offset(), packet.length(), packet.key),
        (0, PAGE_SIZE, 9)
    );
    assert_eq!(source.next_packet(false), Some(PacketMove::Queue));
    assert_eq!(source.take_packet().unwrap().offset(), 4 * PAGE_SIZE);
}

#[test]
fn a_request_resolved_in_the_port_is_withdrawn() {
    let mut source = source();
    source.request(Asked::Read, 0..2, Token(1), false);
    source.next_packet(false);
    assert!(
        source.resolve(Asked::Read, 1..2, None).is_empty(),
        "half is not enough"
    );
    assert_eq!(tokens(source.resolve(Asked::Read, 0..1, None)), [1]);
    assert!(!source.is_packet_queued());
    assert_eq!(source.next_packet(true), Some(PacketMove::Withdraw));
}

#[test]
fn early_waiters_wake_at_their_first_page_and_may_join_again() {
    let mut source = source();
    source.request(Asked::Read, 0..4, Token(1), true);
    assert_eq!(tokens(source.resolve(Asked::Read, 0..1, None)), [1]);
    assert_eq!(
        source.request(Asked::Read, 1..4, Token(1), true),
        None,
        "the request is still out"
    );
    assert_eq!(tokens(source.resolve(Asked::Read, 1..4, None)), [1]);
}

#[test]
fn an_error_reaches_those_whose_first_page_it_covers() {
    let mut source = source();
    source.request(Asked::Read, 0..3, Token(1), false);
    source.request(Asked::Read, 1..3, Token(2), false);
    assert!(
        source
            .resolve(Asked::Read, 1..2, Some(Status::IO))
            .is_empty()
    );
    let woken = source.resolve(Asked::Read, 0..3, None);
    assert_eq!(woken, [(Token(1), None), (Token(2), Some(Status::IO))]);
}

#[test]
fn a_cancelled_request_disappears() {
    let mut source = source();
    source.request(Asked::Read, 0..3, Token(1), false);
    source.next_packet(false);
    source.cancel(Token(1));
    assert_eq!(source.next_packet(true), Some(PacketMove::Withdraw));
    assert_eq!(
        source.request(Asked::Read, 0..3, Token(2), false),
        Some(0..3),
        "a second READ is sent"
    );
}

#[test]
fn both_kinds_stand_in_one_queue_and_do_not_meet() {
    let mut source = source();
    assert_eq!(
        source.request(Asked::Read, 4..8, Token(1), false),
        Some(4..8)
    );
    let dirty = source.request(Asked::Dirty, 0..6, Token(2), false);
    assert_eq!(dirty, Some(0..6), "a READ does not cut a DIRTY");
    assert_eq!(source.next_packet(false), Some(PacketMove::Queue));
    assert_eq!(source.take_packet().unwrap().command(), 0);
    assert_eq!(source.next_packet(false), Some(PacketMove::Queue));
    assert_eq!(source.take_packet().unwrap().command(), 2);
    assert!(source.resolve(Asked::Read, 0..6, None).is_empty());
    assert_eq!(tokens(source.resolve(Asked::Dirty, 0..6, None)), [2]);
    assert_eq!(tokens(source.resolve(Asked::Read, 6..8, None)), [1]);
}

#[test]
fn an_early_waiter_that_skips_pages_wants_the_rest_no_more() {
    let mut source = source();
    source.request(Asked::Read, 0..8, Token(1), true);
    source.resolve(Asked::Read, 0..1, None);
    let again = source.request(Asked::Read, 4..8, Token(1), true);
    assert_eq!(again, Some(4..8), "pages 1 to 3 were found elsewhere");
    source.request(Asked::Read, 4..8, Token(2), false);
    source.resolve(Asked::Read, 4..5, None);
    let again = source.request(Asked::Read, 7..8, Token(1), true);
    assert_eq!(again, None, "somebody else still wants it");
    assert_eq!(tokens(source.resolve(Asked::Read, 5..8, None)), [1, 2]);
}
