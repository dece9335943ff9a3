//! Token files: a file of lines `token: target`, or a directory of them.
//!
//! Each file stands for itself: one that is broken after an edit keeps the entries that it had, and says so; the others
//! change. Of two entries with one token, the later line of the file counts, and of two files the one whose name is later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::followed::{Document, Followed, LOOK_INTERVAL, Reading, Subject};
use super::table::Table;
use super::{LookupError, SourceError, with_reasons};
use crate::target::Target;
use crate::target::token::Token;

/// The files, followed.
#[derive(Debug)]
pub struct TableFiles {
    tables: Followed<Tables>,
}

/// The tables by their files.
#[derive(Debug, Default)]
struct Tables(BTreeMap<PathBuf, Arc<Table>>);

impl TableFiles {
    /// Reads them. Wrong lines are in the texts, and the others count: the file may be older than this program.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>), SourceError> {
        let (tables, problems) = Followed::open(path, read, Subject::Tokens)?;
        Ok((Self { tables }, problems))
    }

    /// What `token` stands for. A token that is not there is looked for in what the files say from now on: whoever has just
    /// written it need not wait. One that is there is good for as long as the last look is.
    pub async fn look_up(&self, token: &Token, limit: Duration) -> Result<Target, LookupError> {
        let now = Instant::now();
        let (tables, looked) = self.tables.current();
        let known = tables.get(token);
        let is_fresh = now.saturating_duration_since(looked) < LOOK_INTERVAL;
        if let Some(target) = known.filter(|_| is_fresh) {
            return Ok(target.clone());
        }
        // Only a session that would be refused waits for a look of its own.
        let moment = if known.is_some() { now.checked_sub(LOOK_INTERVAL).unwrap_or(now) } else { now };
        match timeout(limit, self.tables.newer_than(moment)).await {
            Ok(tables) => tables.get(token).cloned().ok_or(LookupError::Unknown),
            // The disk hangs. What was known is better than nothing.
            Err(_) => known.cloned().ok_or_else(|| SourceError::TimedOut(limit).into()),
        }
    }

    /// Which of `tokens` are in none of the files from now on: one look for all.
    pub async fn unknown_among(&self, mut tokens: Vec<Token>, limit: Duration) -> Vec<Token> {
        match timeout(limit, self.tables.newer_than(Instant::now())).await {
            Ok(tables) => tokens.retain(|token| tables.get(token).is_none()),
            Err(_) => tokens.clear(), // nobody can say
        }
        tokens
    }
}

impl Tables {
    fn get(&self, token: &Token) -> Option<&Target> {
        self.0.values().rev().find_map(|table| table.get(token))
    }
}

fn read(documents: &[Document], previous: Option<&Tables>) -> Result<Reading<Tables>, SourceError> {
    let mut tables = BTreeMap::new();
    let mut problems = Vec::new();
    for Document { path, content } in documents {
        let previous = previous.and_then(|tables| tables.0.get(path));
        let text = match content {
            Ok(content) => std::str::from_utf8(content).map_err(|_| "not UTF-8".to_owned()),
            Err(error) => Err(with_reasons(error)),
        };
        let (table, wrong) = match text {
            Ok(text) => {
                let (table, wrong) = Table::read(text);
                (Some(Arc::new(table)), wrong.iter().map(ToString::to_string).collect())
            }
            Err(wrong) => (None, vec![wrong]),
        };
        let kept = if wrong.is_empty() { table } else { previous.cloned().or(table) };
        tables.extend(kept.map(|table| (path.clone(), table)));
        problems.extend(wrong.iter().map(|wrong| format!("{}: {wrong}", path.display())));
    }
    // A single file that cannot be read is nothing to begin with.
    if let (None, [Document { path, content: Err(_) }]) = (previous, documents) {
        let source = std::fs::File::open(path).err().unwrap_or_else(|| std::io::ErrorKind::InvalidData.into());
        return Err(SourceError::Read { path: path.clone(), source });
    }
    Ok(Reading { value: Tables(tables), problems })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use http::Request;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn look_up(files: &TableFiles, token: &str) -> Option<String> {
        let request = Request::builder().uri(format!("/?token={token}")).body(()).unwrap();
        let token = Token::of(&request, &["query".parse().unwrap()]).unwrap();
        files.look_up(&token, LIMIT).await.ok().map(|found| found.to_string())
    }

    #[tokio::test]
    async fn a_new_token_is_known_at_once_and_a_broken_edit_keeps_the_old_ones() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a: h:1\n").unwrap();
        let files = TableFiles::open(file.path()).unwrap().0;
        assert_eq!(look_up(&files, "a").await.as_deref(), Some("h:1"));
        assert_eq!(look_up(&files, "b").await, None);
        fs::write(file.path(), "a: h:1\nb: h:2\n").unwrap();
        assert_eq!(look_up(&files, "b").await.as_deref(), Some("h:2"));
        fs::write(file.path(), "c: h:3\nd:h:4\n").unwrap();
        assert_eq!(look_up(&files, "c").await, None);
        assert_eq!(look_up(&files, "a").await.as_deref(), Some("h:1"));
        fs::write(file.path(), "c: h:3\nd: h:4\n").unwrap();
        assert_eq!(look_up(&files, "d").await.as_deref(), Some("h:4"));
        assert_eq!(look_up(&files, "a").await, None);
    }

    #[tokio::test]
    async fn files_of_a_directory_change_and_break_each_for_itself() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
        write("1", b"a: h:1\nboth: h:1\n");
        write("2", b"b: h:2\nboth: h:2\n");
        fs::create_dir(directory.path().join("sub")).unwrap(); // broke every lookup of the original
        let files = TableFiles::open(directory.path()).unwrap().0;
        assert_eq!(look_up(&files, "both").await.as_deref(), Some("h:2"));
        write("1", b"new: h:1\n\xff\n");
        write("2", b"c: h:3\n");
        assert_eq!(look_up(&files, "c").await.as_deref(), Some("h:3"));
        assert_eq!(look_up(&files, "a").await.as_deref(), Some("h:1"));
        assert_eq!(look_up(&files, "new").await, None);
        fs::remove_file(directory.path().join("1")).unwrap();
        assert_eq!(look_up(&files, "gone").await, None);
        assert_eq!(look_up(&files, "a").await, None);
    }

    #[tokio::test]
    async fn at_the_start_wrong_lines_do_not_count_and_the_others_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "wrong\na: h:1\n").unwrap();
        let (files, problems) = TableFiles::open(file.path()).unwrap();
        assert_eq!(look_up(&files, "a").await.as_deref(), Some("h:1"));
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.starts_with(&format!("{}: line 1 has no blank", file.path().display())), "{problem}");
    }
}
