//! The relay: what happens between the 101 and the end of a session.
//!
//! [`tunnel`] holds every rule and knows no socket and no clock; [`drive`](mod@drive) feeds it and obeys it, and holds no rule.

mod control;
pub mod drive;
pub mod end;
mod liveness;
mod outbox;
mod stride;
mod traffic;
pub mod tunnel;
mod turn;
