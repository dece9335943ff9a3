//! The language of a route's control socket, and where that is: what the verb `grant` says to the daemon, and what it answers.
//!
//! Pure but for the environment. A request is one line of JSON, and so is its answer; neither is longer than [`LINE_BYTES_MAX`].

use std::env;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::target::grants::{self, TTL_MAX, USES_MAX};
use crate::target::{Target, TargetError};

/// Of a request or an answer.
pub const LINE_BYTES_MAX: u64 = 4096;

/// Of a user's name.
const USER_BYTES_MAX: usize = 128;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// A token.
    Grant(Order),
}

/// A token, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Order {
    /// Where it is to lead.
    pub target: String,
    /// How long it is good.
    pub ttl_seconds: u64,
    /// For how many sessions.
    pub uses: u32,
    /// Whom it is for.
    pub user: Option<String>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Here it is.
    Granted {
        /// The token.
        token: String,
    },
    /// Why there is none.
    Refused(String),
}

/// An order that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Not a target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// For ever, or not at all.
    #[error("a grant is good from 1s to {}", humantime::Duration::from(TTL_MAX))]
    Ttl,
    /// None, or more than anybody needs.
    #[error("a grant is good for 1 to {USES_MAX} sessions")]
    Uses,
    /// No name.
    #[error("the name of a user has 1 to {USER_BYTES_MAX} bytes, and no control characters")]
    User,
}

impl TryFrom<Order> for grants::Order {
    type Error = OrderError;

    fn try_from(written: Order) -> Result<Self, OrderError> {
        let Order { target, ttl_seconds, uses, user } = written;
        let ttl = Duration::from_secs(ttl_seconds);
        let is_name =
            |user: &String| (1..=USER_BYTES_MAX).contains(&user.len()) && !user.contains(|c: char| c.is_control());
        if ttl.is_zero() || ttl > TTL_MAX {
            return Err(OrderError::Ttl);
        }
        if !user.as_ref().is_none_or(is_name) {
            return Err(OrderError::User);
        }
        let uses = NonZeroU32::new(uses).filter(|uses| uses.get() <= USES_MAX).ok_or(OrderError::Uses)?;
        Ok(Self { target: Target::foreign(&target)?, ttl, uses, user })
    }
}

/// Where the daemon makes the control socket of `route`, unless the route's file says so: below the directory that systemd has
/// made for the service, or else where the verb looks for it. None: this user has no place for such things.
pub fn place_to_make(route: &str) -> Option<PathBuf> {
    let own = env::var("RUNTIME_DIRECTORY").ok().filter(|directories| !directories.is_empty());
    // A unit may name several, divided by colons.
    let own = own.and_then(|directories| directories.split(':').next().map(PathBuf::from));
    own.or_else(|| directory(route)).map(|directory| directory.join(file(route)))
}

/// Where whoever runs this finds the control socket of `route`.
pub fn place_to_find(route: &str) -> Option<PathBuf> {
    directory(route).map(|directory| directory.join(file(route)))
}

/// What the units make: `RuntimeDirectory=websockify-NAME`.
fn directory(route: &str) -> Option<PathBuf> {
    let root = if Uid::effective().is_root() { "/run".into() } else { PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?) };
    Some(root.join(format!("websockify-{route}")))
}

/// A service may serve several routes, each with a socket of its own.
fn file(route: &str) -> String {
    format!("{route}.control")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order() -> Order {
        Order { target: "10.0.0.5:5901".to_owned(), ttl_seconds: 60, uses: 1, user: None }
    }

    #[test]
    fn a_request_is_a_line_of_json() {
        let line = r#"{"grant":{"target":"10.0.0.5:5901","ttl-seconds":60,"uses":1,"user":null}}"#;
        assert_eq!(serde_json::to_string(&Request::Grant(order())).unwrap(), line);
        assert_eq!(serde_json::from_str::<Request>(line).unwrap(), Request::Grant(order()));
    }

    #[test]
    fn an_order_has_bounds() {
        assert_eq!(grants::Order::try_from(order()).unwrap().target.to_string(), "10.0.0.5:5901");
        let wrong = |order: Order| grants::Order::try_from(order).unwrap_err();
        assert!(matches!(wrong(Order { target: "host".to_owned(), ..order() }), OrderError::Target(_)));
        assert!(matches!(wrong(Order { target: "unix:a".to_owned(), ..order() }), OrderError::Target(_)));
        assert_eq!(wrong(Order { ttl_seconds: 0, ..order() }), OrderError::Ttl);
        assert_eq!(wrong(Order { ttl_seconds: u64::MAX, ..order() }), OrderError::Ttl);
        assert_eq!(wrong(Order { uses: 0, ..order() }), OrderError::Uses);
        assert_eq!(wrong(Order { uses: 1001, ..order() }), OrderError::Uses);
        for user in [String::new(), "a\nb".to_owned(), "x".repeat(129)] {
            assert_eq!(wrong(Order { user: Some(user), ..order() }), OrderError::User);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_none(line in "\\PC{0,80}") {
            if let Ok(Request::Grant(order)) = serde_json::from_str(&line) {
                let _ = grants::Order::try_from(order);
            }
        }
    }
}
