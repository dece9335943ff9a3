//! The journal's catalog: it is what the program's own list makes, systemd takes it, and it speaks of what records have.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use websockify::log::{Kind, catalog};

const FILE: &str = "systemd/websockify.catalog";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The entries, each from its id to the next.
fn entries() -> Vec<(u128, String)> {
    let catalog = catalog();
    let entries = catalog.split("\n-- ").skip(1);
    entries.map(|entry| (u128::from_str_radix(&entry[..32], 16).unwrap(), entry.to_owned())).collect()
}

#[test]
fn the_file_is_what_the_program_makes() {
    let made = catalog();
    if fs::read_to_string(repository().join(FILE)).unwrap_or_default() != made {
        let fresh = repository().join("target/websockify.catalog");
        fs::write(&fresh, made).unwrap();
        panic!("{FILE} is not what src/log/catalog.rs makes: cp {} {FILE}", fresh.display());
    }
}

#[test]
fn every_kind_has_an_entry_that_fits_a_terminal() {
    let ids: HashSet<u128> = entries().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, Kind::ALL.iter().map(|kind| kind.id()).collect());
    for line in catalog().lines() {
        assert!(line.chars().count() <= 76 && line.is_ascii() && line == line.trim_end(), "{line}");
    }
}

#[test]
fn systemd_takes_it_and_gives_back_every_entry() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("usr/lib/systemd/catalog");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("websockify.catalog"), catalog()).unwrap();
    let journalctl = |argument: &str| {
        let output = Command::new("journalctl").arg(argument).arg("--root").arg(root.path()).output();
        let output = output.expect("journalctl is there: Debian's package systemd has it");
        assert!(output.status.success() && output.stderr.is_empty(), "{argument}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    journalctl("--update-catalog");
    let dump = journalctl("--dump-catalog");
    for (id, entry) in entries() {
        let text = entry[32..].trim();
        let id = format!("-- {id:032x}\n");
        let (_, shown) = dump.split_once(&id).unwrap_or_else(|| panic!("no entry {id}"));
        assert!(shown.starts_with(text), "{id}: {shown:.200}");
    }
}

/// A record in the source: the macro's name, and what stands in its brackets and in the line before it.
struct Site {
    level: &'static str,
    text: String,
    place: String,
}

fn sites() -> Vec<Site> {
    let mut sites = Vec::new();
    for file in rust_files(&repository().join("src")) {
        let source = fs::read_to_string(&file).unwrap();
        let source = source.split("\n#[cfg(test)]\n").next().unwrap();
        for level in ["error", "warn", "info", "debug"] {
            for (at, name) in source.match_indices(&format!("{level}!(")) {
                if source[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
                    continue;
                }
                let line = source[..at].rfind('\n').unwrap_or(0);
                let before = source[..line].rfind('\n').unwrap_or(0); // where `let kind =` may stand
                let end = at + name.len() + bracket(&source[at + name.len()..]);
                let place = format!("{}:{}", file.display(), source[..at].lines().count());
                sites.push(Site { level, text: source[before..end].to_owned(), place });
            }
        }
    }
    sites
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.path() {
            tests if tests.ends_with("tests") => {}
            path if path.is_dir() => files.extend(rust_files(&path)),
            path if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            _ => {}
        }
    }
    files
}

/// Where the bracket closes that is open at the beginning.
fn bracket(text: &str) -> usize {
    let mut depth = 1;
    let mut ends = text.char_indices().filter(|(_, letter)| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    ends.next().expect("the bracket is closed").0
}

#[test]
fn every_warning_and_every_error_has_a_kind() {
    let sites = sites();
    assert!(sites.len() > 20, "{} records found", sites.len());
    for Site { level, text, place } in sites {
        assert!(!["warn", "error"].contains(&level) || text.contains("Kind::"), "{place}: {level}! without a kind");
    }
}

#[test]
fn every_field_that_the_catalog_names_is_one_that_the_record_has() {
    let sites = sites();
    for (id, entry) in entries() {
        let kind = *Kind::ALL.iter().find(|kind| kind.id() == id).unwrap();
        if matches!(kind, Kind::LogFileFailing | Kind::RecordsDropped) {
            continue; // the log's own, which no macro writes: its unit tests show their fields
        }
        let named = format!("Kind::{kind:?}.id()");
        let texts: Vec<&str> =
            sites.iter().map(|site| site.text.as_str()).filter(|text| text.contains(&named)).collect();
        assert!(!texts.is_empty(), "no record is of the kind {kind:?}");
        for field in entry.split('@').filter_map(|piece| piece.strip_prefix("WEBSOCKIFY_")) {
            let field = field.to_ascii_lowercase();
            for text in &texts {
                let words = || text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                assert!(words().any(|word| word == field), "{kind:?} has no field {field}: {text}");
            }
        }
    }
}
