//! How a program is told to bind another port: the preload library, and the variables that it reads.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::ProgramError;

/// Where the library lies, seen from the directory of this program: installed, and in the tree that it was built in.
const PLACES: [&str; 2] = ["../lib/websockify/rebind.so", "../preload/librebind.so"];

/// The library and the ports.
#[derive(Debug)]
pub struct Preload {
    library: PathBuf,
    old: u16,
    new: u16,
}

impl Preload {
    /// Finds the library.
    pub fn new(old: u16, new: u16) -> Result<Self, ProgramError> {
        let here = env::current_exe().unwrap_or_default();
        let here = here.parent().map(PathBuf::from).unwrap_or_default();
        let places = PLACES.map(|place| here.join(place));
        let found = places.iter().find_map(|place| place.canonicalize().ok());
        let library = found.ok_or_else(|| ProgramError::LibraryMissing(places.to_vec()))?;
        if library.as_os_str().as_bytes().iter().any(|byte| b" :".contains(byte)) {
            return Err(ProgramError::LibraryPath(library));
        }
        Ok(Self { library, old, new })
    }

    /// Another port is the program's now.
    pub(super) fn moves_to(&mut self, new: u16) {
        self.new = new;
    }

    /// The port that the program was written for.
    pub(super) fn original(&self) -> u16 {
        self.old
    }

    /// What is added to the program's environment; another library that is preloaded stays.
    pub fn variables(&self) -> [(&'static str, OsString); 3] {
        let mut libraries = OsString::from(&self.library);
        if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            libraries.push(":");
            libraries.push(others);
        }
        [
            ("LD_PRELOAD", libraries),
            ("REBIND_OLD_PORT", self.old.to_string().into()),
            ("REBIND_NEW_PORT", self.new.to_string().into()),
        ]
    }
}
