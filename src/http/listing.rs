//! The names in a directory as a page, for routes that ask for it.
//!
//! Shows what a request would get and nothing else: no dot files, no links that lead out of the root, no devices.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::root::Root;

/// More names than these are not shown: a page is to be read by a person.
const NAMES_MAX: usize = 10_000;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The page for a request's path, which names a directory.
pub(super) fn page(root: &Root, path: &str) -> io::Result<String> {
    let decoded =
        percent_decode_str(path.trim_start_matches('/')).decode_utf8().map_err(|_| io::ErrorKind::NotFound)?;
    let names = names(root, Path::new(&*decoded))?;
    let title = escaped(&format!("/{decoded}"));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if !decoded.is_empty() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for name in names {
        // "./", because a name may look like a scheme
        let link = percent_encode(name.strip_suffix(b"/").unwrap_or(&name), UNRESERVED);
        let slash = if name.ends_with(b"/") { "/" } else { "" };
        let text = escaped(&String::from_utf8_lossy(&name));
        writeln!(page, "<li><a href=\"./{link}{slash}\">{text}</a>").expect("a String takes what is written to it");
    }
    page.push_str("</ul>\n</html>\n");
    Ok(page)
}

/// Sorted names; those of directories end in a slash.
fn names(root: &Root, path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut directory = Dir::from_fd(root.open_directory(path)?)?;
    let mut names = Vec::new();
    for entry in directory.iter().take(NAMES_MAX) {
        let mut name = entry?.file_name().to_bytes().to_vec();
        let Ok(metadata) = root.metadata_of(&path.join(OsStr::from_bytes(&name))) else { continue };
        if metadata.is_dir() {
            name.push(b'/');
        } else if !metadata.is_file() {
            continue;
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
