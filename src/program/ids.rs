//! As whom a program runs: its user, with its home and shell, and its groups, as the system's tables have them.
//!
//! Looking is for before the fork, behind which no table may be read; and not for the thread that accepts clients, if it is done for
//! each of them: a table may be far away, in a directory service.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::settings::Settings;

/// Found.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// None: as this process.
    others: Option<Others>,
}

#[derive(Clone, Debug)]
struct Others {
    user: Option<User>,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Ids {
    /// Looks up what the settings name.
    ///
    /// # Errors
    /// There is no such user or group, or the tables cannot be read.
    pub(super) fn of(settings: &Settings) -> io::Result<Self> {
        let absent = |what, name: &str| io::Error::other(format!("there is no {what} '{name}'"));
        let user = match &settings.user {
            Some(name) => Some(User::from_name(name)?.ok_or_else(|| absent("user", name))?),
            None => None,
        };
        let group = match &settings.group {
            Some(name) => Some(Group::from_name(name)?.ok_or_else(|| absent("group", name))?.gid),
            None => None,
        };
        let own = Self { others: None };
        let Some(gid) = group.or(user.as_ref().map(|user| user.gid)) else { return Ok(own) };
        if user.as_ref().is_some_and(|user| user.uid == Uid::effective()) && group.is_none() {
            return Ok(own);
        }
        let groups = match &user {
            Some(user) => getgrouplist(&CString::new(user.name.as_str())?, gid)?,
            None => vec![gid],
        };
        Ok(Self { others: Some(Others { user, gid, groups }) })
    }

    /// Another user than this process's.
    pub(super) fn user(&self) -> Option<&User> {
        self.others.as_ref()?.user.as_ref()
    }

    /// All groups, the first one, and the user, in the order in which they are to be set. None: nothing is.
    pub(super) fn to_set(&self) -> Option<(Vec<Gid>, Gid, Option<Uid>)> {
        let Others { user, gid, groups } = self.others.as_ref()?;
        Some((groups.clone(), *gid, user.as_ref().map(|user| user.uid)))
    }
}
