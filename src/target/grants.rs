//! Grants: tokens that this process makes itself, for whoever may speak to a route's control socket, and forgets again.
//!
//! Promise: a token has 128 random bits and stands for one target, for so long and so many sessions, and no more; there is a
//! bound to how many there are. What is kept of it is its [`Tag`], as of the tokens of a table. A use is
//! set aside when a client comes and spent when its target was reached, so that two who come at once do not both get the last
//! one, and a target that is not there yet uses up nothing. They live in memory: a reload keeps them, a restart does not.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Target;
use super::token::{Token, TokenName};
use crate::access::Who;
use crate::tag::Tag;

/// Tokens of a route that are out at once.
pub const GRANTS_MAX: usize = 1000;

/// As long as a token of a desktop for next week; what is to last longer has its place in a file.
pub const TTL_MAX: Duration = Duration::from_hours(7 * 24);

/// Sessions of one token.
pub const USES_MAX: u32 = 1000;

/// A route's grants, as its file sets them up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where the control socket is; None: where the route's name leads.
    pub socket: Option<PathBuf>,
    /// What the URL begins with that opens a session; None: where the route listens.
    pub url: Option<String>,
}

/// What somebody who may asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where the token is to lead.
    pub target: Target,
    /// How long it is good.
    pub ttl: Duration,
    /// For how many sessions.
    pub uses: NonZeroU32,
    /// Whom it is for. None: whoever has it.
    pub user: Option<String>,
}

/// A token on its way to whoever asked for it. Not Debug: it is a secret.
pub struct Granted {
    /// The token.
    pub token: String,
    /// What may be logged of it.
    pub name: TokenName,
}

/// A token could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There are too many.
    #[error("{GRANTS_MAX} grants of this route are unused: wait until some of them expire")]
    Full,
    /// Nothing random.
    #[error("there are no random numbers")]
    Random,
}

/// The grants of a route.
#[derive(Default)]
pub struct Grants {
    entries: Mutex<HashMap<Tag, Entry>>,
}

struct Entry {
    order: Order,
    name: TokenName,
    until: Instant,
    left: u32,
    /// Uses that are set aside, and neither spent nor given back.
    aside: u32,
}

/// A use that is set aside for a session that may begin. It is given back when it is dropped.
pub struct Use {
    /// None: it is spent.
    grants: Option<Arc<Grants>>,
    tag: Tag,
    target: Target,
    user: Option<String>,
}

/// A grant whose time was over before it was used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Which.
    pub name: TokenName,
    /// Where it would have led.
    pub target: Target,
    /// How many sessions were left; all of them when it was never used.
    pub left: u32,
}

impl Grants {
    /// Makes a token.
    pub fn grant(&self, order: Order, now: Instant) -> Result<Granted, GrantError> {
        let mut bits = [0; 16];
        rand::fill(&mut bits).map_err(|_| GrantError::Random)?;
        let token = URL_SAFE_NO_PAD.encode(bits);
        let mut entries = self.entries();
        if entries.len() >= GRANTS_MAX {
            return Err(GrantError::Full);
        }
        let name = TokenName::of(&token);
        let (until, left) = (now + order.ttl, order.uses.get());
        entries.insert(Tag::of(&[token.as_bytes()]), Entry { order, name, until, left, aside: 0 });
        Ok(Granted { token, name })
    }

    /// Sets a use of `token` aside for `who` comes with it. None: it is no token of these, or good no more, or another user's.
    pub fn set_aside(self: &Arc<Self>, token: &Token, who: Who<'_>, now: Instant) -> Option<Use> {
        let tag = Tag::of(&[token.as_str().as_bytes()]);
        let mut entries = self.entries();
        let entry = entries.get_mut(&tag)?;
        let is_theirs = match (entry.order.user.as_deref(), who) {
            // Where nobody is asked who they are, the token says it.
            (None, _) | (Some(_), Who::Unasked) => true,
            (Some(_), Who::Unnamed) => false,
            (Some(theirs), Who::Named(user)) => theirs == user.name,
        };
        if entry.until <= now || entry.left == 0 || !is_theirs {
            return None;
        }
        entry.left -= 1;
        entry.aside += 1;
        let Order { target, user, .. } = entry.order.clone();
        Some(Use { grants: Some(Arc::clone(self)), tag, target, user })
    }

    /// Forgets those whose time is over.
    pub fn expire(&self, now: Instant) -> Vec<Expired> {
        let mut expired = Vec::new();
        self.entries().retain(|_, entry| {
            let is_over = entry.until <= now && entry.aside == 0;
            if is_over {
                let Entry { order, name, left, .. } = entry;
                expired.push(Expired { name: *name, target: order.target.clone(), left: *left });
            }
            !is_over
        });
        expired
    }

    /// When the next one is to be forgotten. None: there is none.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.entries().values().map(|entry| entry.until).min()
    }

    /// A use is set aside no more. Returns how many are left, which is where those are that were given back.
    fn settle(&self, tag: &Tag, given_back: u32) -> u32 {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(tag) else { return 0 };
        entry.aside -= 1;
        entry.left += given_back;
        let (left, aside) = (entry.left, entry.aside);
        if left + aside == 0 {
            entries.remove(tag);
        }
        left
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Tag, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Use {
    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whom it is for.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The session begins. Returns how many more there may be.
    pub fn spend(mut self) -> u32 {
        self.grants.take().map_or(0, |grants| grants.settle(&self.tag, 0))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(grants) = self.grants.take() {
            grants.settle(&self.tag, 1);
        }
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grants({})", self.entries().len())
    }
}

impl fmt::Debug for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Use({})", self.target)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashSet;

    use http::Request;

    use super::*;
    use crate::access::User;

    const MINUTE: Duration = Duration::from_mins(1);

    fn order(uses: u32) -> Order {
        Order { target: "h:1".parse().unwrap(), ttl: MINUTE, uses: NonZeroU32::new(uses).unwrap(), user: None }
    }

    fn token(text: &str) -> Token {
        let request = Request::builder().uri(format!("/?token={text}")).body(()).unwrap();
        Token::of(&request, &["query".parse().unwrap()]).unwrap()
    }

    fn granted(grants: &Grants, order: Order, now: Instant) -> Token {
        token(&grants.grant(order, now).unwrap().token)
    }

    #[test]
    fn a_token_is_good_for_as_many_sessions_as_it_was_made_for() {
        let (grants, now) = (Arc::new(Grants::default()), Instant::now());
        let token = granted(&grants, order(2), now);
        let first = grants.set_aside(&token, Who::Unasked, now).unwrap();
        assert_eq!(first.target().to_string(), "h:1");
        let second = grants.set_aside(&token, Who::Unasked, now).unwrap();
        assert!(grants.set_aside(&token, Who::Unasked, now).is_none());
        assert_eq!((first.spend(), second.spend()), (0, 0));
        assert!(grants.set_aside(&token, Who::Unasked, now).is_none());
        assert_eq!(grants.next_expiry(), None, "it is forgotten");
    }

    #[test]
    fn what_did_not_become_a_session_is_given_back() {
        let (grants, now) = (Arc::new(Grants::default()), Instant::now());
        let token = granted(&grants, order(1), now);
        drop(grants.set_aside(&token, Who::Unasked, now).unwrap());
        assert_eq!(grants.set_aside(&token, Who::Unasked, now).unwrap().spend(), 0);
        assert!(grants.set_aside(&token, Who::Unasked, now).is_none());
    }

    #[test]
    fn a_token_ends_with_its_time_and_is_told_once() {
        let (grants, now) = (Arc::new(Grants::default()), Instant::now());
        let token = granted(&grants, order(3), now);
        let over = now + MINUTE;
        assert_eq!(grants.next_expiry(), Some(over));
        let used = grants.set_aside(&token, Who::Unasked, now + MINUTE / 2).unwrap();
        assert!(grants.set_aside(&token, Who::Unasked, over).is_none());
        assert_eq!(grants.expire(over), [], "a session may still begin");
        assert_eq!(used.spend(), 2);
        let name = token.name();
        assert_eq!(grants.expire(over), [Expired { name, target: "h:1".parse().unwrap(), left: 2 }]);
        assert_eq!(grants.expire(over), []);
    }

    #[test]
    fn a_token_of_a_user_is_nobody_elses() {
        let (grants, now) = (Arc::new(Grants::default()), Instant::now());
        let token = granted(&grants, Order { user: Some("jane".to_owned()), ..order(9) }, now);
        let [jane, joe] = ["jane", "joe"].map(|name| User { name: name.to_owned() });
        assert!(grants.set_aside(&token, Who::Named(&joe), now).is_none());
        assert!(grants.set_aside(&token, Who::Unnamed, now).is_none(), "somebody, and who knows whom");
        assert_eq!(grants.set_aside(&token, Who::Named(&jane), now).unwrap().user(), Some("jane"));
        assert_eq!(grants.set_aside(&token, Who::Unasked, now).unwrap().user(), Some("jane"), "the token is the proof");
    }

    #[test]
    fn tokens_are_128_bits_no_two_alike_and_a_bounded_number() {
        let (grants, now) = (Grants::default(), Instant::now());
        let made: HashSet<String> = (0..GRANTS_MAX).map(|_| grants.grant(order(1), now).unwrap().token).collect();
        assert_eq!(made.len(), GRANTS_MAX);
        assert!(made.iter().all(|token| URL_SAFE_NO_PAD.decode(token).unwrap().len() == 16));
        assert_eq!(grants.grant(order(1), now).err(), Some(GrantError::Full));
        assert_eq!(grants.expire(now + MINUTE).len(), GRANTS_MAX);
        assert!(grants.grant(order(1), now).is_ok());
    }
}
