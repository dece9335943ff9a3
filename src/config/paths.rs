//! Files and directories that a route names: relative ones start at the directory of its file, and what is named must be
//! there, unless it is another machine's business.
//!
//! Every path of a route's own comes by [`Reader::path`], so that an empty one, which would be that directory itself, is none.

use std::fs;
use std::io;
use std::path::PathBuf;

use toml::Spanned;

use super::meaning::Reader;
use super::problem::Mistake;
use super::surroundings::{Surroundings, credential_name};
use crate::{http, tls};

impl Reader<'_> {
    /// What is written, resolved; `kind` of thing it names, and an `example` of it.
    pub(super) fn path(
        &mut self,
        key: &str,
        kind: &'static str,
        example: &'static str,
        written: &Spanned<String>,
    ) -> Option<PathBuf> {
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::PathEmpty { key: key.to_owned(), kind, example });
            return None;
        }
        Some(self.base.join(written.get_ref()))
    }

    /// A directory of files to serve.
    pub(super) fn web_root(
        &mut self,
        key: &str,
        written: &Spanned<String>,
        follow_symlinks: bool,
        listing: bool,
    ) -> Option<http::Web> {
        let example = if key == "web" { super::EXAMPLE_WEB } else { super::EXAMPLE_ROOT };
        let root = self.path(key, "directory", example, written)?;
        if *self.surroundings == Surroundings::Unknown {
            return Some(http::Web::Directory(http::Directory { root, follow_symlinks, listing }));
        }
        let mistake = match fs::metadata(&root) {
            Ok(metadata) if !metadata.is_dir() => Mistake::NotADirectory { key: key.to_owned(), path: root },
            found => match found.and_then(|_| fs::read_dir(&root)) {
                Ok(_) => return Some(http::Web::Directory(http::Directory { root, follow_symlinks, listing })),
                Err(source) => Mistake::Unreadable { key: key.to_owned(), path: root, source },
            },
        };
        self.complain(written.span(), mistake);
        None
    }

    /// A credential, or a file that can be opened now; the content is the business of whoever loads it.
    pub(super) fn pem(&mut self, key: &str, example: &'static str, written: &Spanned<String>) -> Option<tls::Pem> {
        let text = written.get_ref();
        if let Some(name) = text.strip_prefix("credential:") {
            return self.credential(key, name, written);
        }
        let path = self.path(key, "file", example, written)?;
        if let Some(passed) = self.surroundings.credential(&credential_name(self.name, key)) {
            return Some(tls::Pem::File(passed)); // what systemd read for us, who may not read the file itself
        }
        if *self.surroundings == Surroundings::Unknown {
            return Some(tls::Pem::File(path));
        }
        // Not opened first: a directory is one also for those who may not look into it.
        let opened: io::Result<fs::Metadata> = fs::metadata(&path)
            .and_then(|metadata| if metadata.is_dir() { Ok(metadata) } else { fs::File::open(&path)?.metadata() });
        let mistake = match opened {
            Ok(metadata) if !metadata.is_dir() => return Some(tls::Pem::File(path)),
            Ok(_) => Mistake::NotAFile { key: key.to_owned(), path },
            Err(source) => Mistake::Unreadable { key: key.to_owned(), path, source },
        };
        self.complain(written.span(), mistake);
        None
    }

    /// The same for what changes while the service runs, as users, CAs and revocation lists do: the file itself where it can be read,
    /// so that what is new in it is seen without a restart, which a credential would need.
    pub(super) fn fresh_pem(
        &mut self,
        key: &str,
        example: &'static str,
        written: &Spanned<String>,
    ) -> Option<tls::Pem> {
        let path = self.base.join(written.get_ref());
        let is_credential = written.get_ref().starts_with("credential:");
        let is_readable = || fs::File::open(&path).and_then(|file| file.metadata()).is_ok_and(|file| file.is_file());
        if !is_credential && *self.surroundings != Surroundings::Unknown && is_readable() {
            return Some(tls::Pem::File(path));
        }
        self.pem(key, example, written)
    }

    fn credential(&mut self, key: &str, name: &str, written: &Spanned<String>) -> Option<tls::Pem> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', ':']) {
            let mistake = Mistake::CredentialName { key: key.to_owned(), text: written.get_ref().clone() };
            self.complain(written.span(), mistake);
            return None;
        }
        let Surroundings::Machine { credentials: Some(directory) } = self.surroundings else {
            return Some(tls::Pem::Credential(name.to_owned())); // the service will have it
        };
        let path = directory.join(name);
        match fs::File::open(&path) {
            Ok(_) => Some(tls::Pem::File(path)),
            Err(source) => {
                let (key, name) = (key.to_owned(), name.to_owned());
                self.complain(written.span(), Mistake::CredentialMissing { key, name, source });
                None
            }
        }
    }
}
