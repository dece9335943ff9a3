//! A file of users and the hashes of their passwords, as htpasswd writes it: `NAME:HASH` on each line.
//!
//! Pure. Blank lines and comments (`#`) do not count, nor what stands behind a second colon; of two lines with one name the
//! first counts, as for others who read such files. No error repeats a hash, nor a name, which may be a password that
//! somebody put in the wrong place.

use std::collections::HashMap;

use super::password::{HashError, PasswordHash};
use crate::tag::Tag;

/// The users of a file.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: HashMap<String, PasswordHash>,
    /// The hashes once more, for those who are none of them.
    decoys: Vec<PasswordHash>,
}

/// A line that makes no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub struct WrongLine {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No name and hash.
    #[error("write NAME:HASH, as `htpasswd -nB NAME` prints it")]
    Form,
    /// A hash that is none, or none that should be used.
    #[error(transparent)]
    Hash(HashError),
    /// A name that is there already.
    #[error("its name has a line above it, which counts: remove one of the two")]
    Twice,
}

impl Users {
    /// Reads a file's text. The right lines count, even when there are wrong ones beside them.
    pub fn read(text: &str) -> (Self, Vec<WrongLine>) {
        let (mut users, mut wrong) = (Self::default(), Vec::new());
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, entry) in (1..).zip(text.lines()) {
            let entry = entry.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            if let Err(error) = users.add(entry) {
                wrong.push(WrongLine { line, wrong: error });
            }
        }
        (users, wrong)
    }

    fn add(&mut self, entry: &str) -> Result<(), Wrong> {
        let (name, rest) = entry.split_once(':').ok_or(Wrong::Form)?;
        if name.is_empty() || name.contains(char::is_control) {
            return Err(Wrong::Form);
        }
        let hash: PasswordHash = rest.split(':').next().unwrap_or(rest).parse().map_err(Wrong::Hash)?;
        if self.by_name.contains_key(name) {
            return Err(Wrong::Twice);
        }
        self.decoys.push(hash.clone());
        self.by_name.insert(name.to_owned(), hash);
        Ok(())
    }

    /// The hash of a user's password.
    pub fn get(&self, name: &str) -> Option<&PasswordHash> {
        self.by_name.get(name)
    }

    /// A hash to try a password on for somebody who is no user, so that it takes as long: always the same for one name, and
    /// of each kind as often as users have it. None: there are no users, and nothing to hide.
    pub fn decoy(&self, name: &str) -> Option<&PasswordHash> {
        let number = Tag::of(&[name.as_bytes()]).number();
        self.decoys.get(usize::try_from(number % self.decoys.len().max(1) as u64).unwrap_or(0))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BCRYPT: &str = "$2y$04$izIc389F8oUlWRRN3lB0S.CQrstjzQ8b27T.hpbitDGlG2cXZSpOq";
    const SHA: &str = "$5$rounds=1000$lidpzsjNRvMPAyaH$1qL2Utv9fZq/SOaGHjZOb8bZZjOmY14uFfBTTW2wV/2";

    #[test]
    fn right_lines_count_beside_wrong_ones_and_each_wrong_one_is_told() {
        let text = format!(
            "\u{feff}# the lab\r\n\njane:{BCRYPT}\r\n  joe user:{SHA}:a comment\njane:{SHA}\nsecret\n:{SHA}\nold:$apr1$x$y\n"
        );
        let (users, wrong) = Users::read(&text);
        assert!(users.get("jane").unwrap().verify(b"secret") && users.get("joe user").unwrap().verify(b"secret"));
        assert_eq!(users.get("jane").unwrap().as_bytes(), BCRYPT.as_bytes());
        assert!(users.get("old").is_none() && users.get("").is_none() && users.get("secret").is_none());
        assert_eq!(wrong.iter().map(|wrong| wrong.line).collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert!(wrong[3].to_string().starts_with("line 8: its hash is MD5"), "{}", wrong[3]);
        assert!(wrong.iter().all(|wrong| !wrong.to_string().contains("secret")));
    }

    #[test]
    fn whoever_is_no_user_is_given_the_hash_of_one_always_the_same() {
        let (users, _) = Users::read(&format!("a:{BCRYPT}\nb:{SHA}\n"));
        let decoys: Vec<_> = (0..64).map(|number| users.decoy(&number.to_string()).unwrap().clone()).collect();
        assert!(decoys.contains(users.get("a").unwrap()) && decoys.contains(users.get("b").unwrap()));
        assert_eq!(users.decoy("7"), users.decoy("7"));
        assert_eq!(Users::default().decoy("7"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_user_without_a_hash(text in "[a-c:$#\\n26y ]{0,60}") {
            let (users, wrong) = Users::read(&text);
            let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            prop_assert_eq!(users.by_name.len() + wrong.len(), said.count());
            prop_assert!(users.by_name.is_empty(), "no hash is so short");
        }
    }
}
