//! How a session ended: the one value that its end is logged from.

use std::fmt;
use std::io;

use crate::websocket::close::{Close, CloseCode};
use crate::websocket::error::ProtocolError;

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// What brought it about.
    pub cause: Cause,
    /// Payload from the client to the target.
    pub to_target: Delivery,
    /// Payload from the target to the client.
    pub to_client: Delivery,
}

/// How much payload went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Bytes read from the source.
    pub accepted: u64,
    /// Bytes of those that the destination's socket did not take.
    pub lost: u64,
}

/// What brought a session to its end: whatever came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client sent a Close frame.
    ClientClosed(Option<Close>),
    /// The client's connection ended without a Close frame.
    ClientGone,
    /// The client's connection was reset or failed.
    ClientLost,
    /// The client gave no sign of life after a ping.
    ClientSilent,
    /// No payload moved for too long.
    Idle,
    /// The client broke the protocol.
    Protocol(ProtocolError),
    /// The daemon stops.
    Stopped(CloseCode),
    /// The target ended the stream.
    TargetClosed,
    /// The target was a program, which has ended with this status.
    TargetFailed(TargetFailed),
    /// The target's connection was reset or failed.
    TargetLost,
    /// The time of the session's token is over.
    TokenExpired,
    /// The source of the session's token knows it no more.
    TokenWithdrawn,
}

/// A target that has said all it had to say, and failed: an error of its stream may hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The program ended with status {0}")]
pub struct TargetFailed(pub u8);

impl TargetFailed {
    /// What the error of a target's stream says.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Whoever connected to us.
    Client,
    /// This program.
    Proxy,
    /// Whom we connected to.
    Target,
}

impl Cause {
    /// Who ended the session.
    pub fn party(&self) -> Party {
        match self {
            Self::ClientClosed(_) | Self::ClientGone | Self::ClientLost => Party::Client,
            Self::ClientSilent
            | Self::Idle
            | Self::Protocol(_)
            | Self::Stopped(_)
            | Self::TokenExpired
            | Self::TokenWithdrawn => Party::Proxy,
            Self::TargetClosed | Self::TargetFailed(_) | Self::TargetLost => Party::Target,
        }
    }

    /// The code of the Close frame that ended the session, whoever sent it; or what RFC 6455, 7.4.1, calls an end without.
    pub fn close_code(&self) -> u16 {
        const NO_CODE: u16 = 1005;
        const NO_CLOSE: u16 = 1006;
        match self {
            Self::ClientGone | Self::ClientLost => NO_CLOSE,
            _ => self.close().map_or(NO_CODE, |close| close.code().get()),
        }
    }

    /// The Close frame that tells the client. None: one without a payload.
    pub fn close(&self) -> Option<Close> {
        let (code, reason) = match self {
            // RFC 6455 section 5.5.1: what came is what is sent back.
            Self::ClientClosed(close) => return close.clone(),
            Self::Protocol(error) => return Some((*error).into()),
            Self::TargetFailed(failed) => return Some(Close::new(CloseCode::INTERNAL_ERROR, failed.to_string())),
            Self::Idle => (CloseCode::GOING_AWAY, "Idle for too long"),
            Self::Stopped(CloseCode::RESTART) => (CloseCode::RESTART, "Server restarting"),
            Self::Stopped(code) => (*code, "Server shutting down"),
            Self::TargetLost => (CloseCode::INTERNAL_ERROR, "Target connection lost"),
            Self::TokenExpired => (CloseCode::POLICY_VIOLATION, "The token has expired"),
            Self::TokenWithdrawn => (CloseCode::POLICY_VIOLATION, "The token was withdrawn"),
            Self::ClientSilent => (CloseCode::GOING_AWAY, "No answer to a ping"),
            Self::ClientGone | Self::ClientLost | Self::TargetClosed => (CloseCode::NORMAL, "Target closed"),
        };
        Some(Close::new(code, reason))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Target => "target",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientClosed(None) => f.write_str("client closed without a code"),
            Self::ClientClosed(Some(close)) if close.reason().is_empty() => {
                write!(f, "client closed with code {}", close.code())
            }
            Self::ClientClosed(Some(close)) => {
                write!(f, "client closed with code {}: {}", close.code(), close.reason())
            }
            Self::ClientGone => f.write_str("client left without a Close frame"),
            Self::ClientLost => f.write_str("client connection reset"),
            Self::ClientSilent => f.write_str("client did not answer a ping"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Protocol(error) => write!(f, "client broke the protocol: {error}"),
            Self::Stopped(_) => f.write_str("server stopped"),
            Self::TargetClosed => f.write_str("target closed"),
            Self::TargetFailed(TargetFailed(status)) => write!(f, "target ended with status {status}"),
            Self::TargetLost => f.write_str("target connection reset"),
            Self::TokenExpired => f.write_str("token expired"),
            Self::TokenWithdrawn => f.write_str("token withdrawn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_code() {
        let own = Close::new(CloseCode::from_wire(4001).expect("applications may use it"), "");
        for (cause, code) in [
            (Cause::ClientClosed(Some(own)), 4001),
            (Cause::ClientClosed(None), 1005),
            (Cause::ClientGone, 1006),
            (Cause::ClientLost, 1006),
            (Cause::ClientSilent, 1001),
            (Cause::Idle, 1001),
            (Cause::Protocol(ProtocolError::CloseLength), 1002),
            (Cause::Stopped(CloseCode::RESTART), 1012),
            (Cause::TargetClosed, 1000),
            (Cause::TargetFailed(TargetFailed(3)), 1011),
            (Cause::TargetLost, 1011),
            (Cause::TokenExpired, 1008),
            (Cause::TokenWithdrawn, 1008),
        ] {
            assert_eq!(cause.close_code(), code, "{cause}");
        }
    }
}
