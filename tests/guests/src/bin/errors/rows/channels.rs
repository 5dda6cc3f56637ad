//! Channels.

use protocol::syscall::SyscallNumber;
use zx::Rights;

use crate::row::How::Does;
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Out2, Without};
use crate::world::Obj::{Channel, Event, Peer};
use crate::{args, rows};

rows! { ROWS:
    ChannelCreate {
        INVALID_ARGS "options" => args![N(1), Out, Out2],
        INVALID_ARGS "the first result cannot be written" => args![N(0), Nowhere, Out2],
        INVALID_ARGS "the second result cannot be written" => args![N(0), Out, Nowhere],
    }
    ChannelRead {
        INVALID_ARGS "an option that there is not" => args![H(Channel), N(2)],
        BAD_HANDLE "the value names no handle" => args![Bad],
        WRONG_TYPE "not a channel" => args![H(Event)],
        ACCESS_DENIED "the handle lacks READ" => args![Without(Channel, Rights::READ)],
        SHOULD_WAIT "no message" => args![H(Channel), N(0), Out, Out2, N(8), N(1)],
        PEER_CLOSED "no message, and nobody can write one" => Does(|w| {
            let (end, peer) = (w.handle(Channel)?, w.handle(Peer)?);
            w.calls(SyscallNumber::HandleClose, [peer.into()]).ok()?;
            w.consumed(Peer);
            Ok(w.calls(SyscallNumber::ChannelRead, [end.into()]))
        }),
        BUFFER_TOO_SMALL "the message is larger; it stays" => Does(|w| {
            let (end, peer, out) = (w.handle(Channel)?, w.handle(Peer)?, w.out());
            w.calls(SyscallNumber::ChannelWrite, [peer.into(), 0, out, 8]).ok()?;
            Ok(w.calls(SyscallNumber::ChannelRead, [end.into(), 0, out, 0, 7]))
        }),
        INVALID_ARGS "the message cannot be written to the program" => Does(|w| {
            let (end, peer, out) = (w.handle(Channel)?, w.handle(Peer)?, w.out());
            w.calls(SyscallNumber::ChannelWrite, [peer.into(), 0, out, 8]).ok()?;
            Ok(w.calls(SyscallNumber::ChannelRead, [end.into(), 0, 0x1000, 0, 8]))
        }),
    }
    ChannelWrite {
        INVALID_ARGS "options" => args![H(Channel), N(1)],
        BAD_HANDLE "the value names no handle" => args![Bad],
        WRONG_TYPE "not a channel" => args![H(Event)],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Channel, Rights::WRITE)],
        OUT_OF_RANGE "more than 64 KiB" => args![H(Channel), N(0), Out, N(65_537)],
        OUT_OF_RANGE "more than 64 handles" => args![H(Channel), N(0), N(0), N(0), Out, N(65)],
        INVALID_ARGS "the bytes cannot be read" => args![H(Channel), N(0), Nowhere, N(1)],
        INVALID_ARGS "the handles cannot be read" => args![H(Channel), N(0), N(0), N(0), Nowhere, N(1)],
        BAD_HANDLE "one of the handles names nothing" => Does(|w| {
            let handles = [0xFFFF_FFF3u32];
            let end = w.handle(Channel)?.into();
            let args = [end, 0, 0, 0, (&raw const handles) as u64, 1];
            Ok(w.calls(SyscallNumber::ChannelWrite, args))
        }),
        NOT_SUPPORTED "the channel's own handle among those sent" => Does(|w| {
            let handles = [w.handle(Channel)?];
            let end = handles[0].into();
            let status = w.calls(SyscallNumber::ChannelWrite, [end, 0, 0, 0, (&raw const handles) as u64, 1]);
            w.consumed(Channel);
            Ok(status)
        }),
        ACCESS_DENIED "a handle that lacks TRANSFER" => Does(|w| {
            let handles = [w.without(Event, Rights::TRANSFER)?];
            let end = w.handle(Channel)?.into();
            Ok(w.calls(SyscallNumber::ChannelWrite, [end, 0, 0, 0, (&raw const handles) as u64, 1]))
        }),
        PEER_CLOSED "nobody can read it" => Does(|w| {
            let (end, peer) = (w.handle(Channel)?, w.handle(Peer)?);
            w.calls(SyscallNumber::HandleClose, [peer.into()]).ok()?;
            w.consumed(Peer);
            Ok(w.calls(SyscallNumber::ChannelWrite, [end.into()]))
        }),
    }
    ObjectSignalPeer {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), N(1 << 24)],
        ACCESS_DENIED "the handle lacks SIGNAL_PEER" => args![Without(Channel, Rights::SIGNAL_PEER), N(0), N(1 << 24)],
        INVALID_ARGS "a signal that is not the user's" => args![H(Channel), N(0), N(1)],
        PEER_CLOSED "there is no peer any more" => Does(|w| {
            let (end, peer) = (w.handle(Channel)?, w.handle(Peer)?);
            w.calls(SyscallNumber::HandleClose, [peer.into()]).ok()?;
            w.consumed(Peer);
            Ok(w.calls(SyscallNumber::ObjectSignalPeer, [end.into(), 0, 1 << 24]))
        }),
    }
}
