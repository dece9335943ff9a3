//! The sets of pages in the program: their names, and what is in them.
//!
//! Parts from elsewhere, which npm brings, are in the program or not (see build.rs): a [`Builtin`] can only be had by its
//! name when all of its parts are there.

use std::str::FromStr;

/// A set of pages in the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// The page of `websockify demo`.
    Demo,
    /// A terminal for telnet hosts, at /telnet/.
    Telnet,
}

/// No set of pages has the name, or this program lacks it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuiltinError {
    /// xterm.js was not there when the program was built.
    #[error(
        "'builtin:telnet' is not in this program, which was built without xterm.js: build it with `make build`, or \
         install a package"
    )]
    LeftOut,
    /// A name that is not known.
    #[error("'builtin:{0}' is not built in: write \"builtin:telnet\" or \"builtin:demo\", or a directory")]
    Unknown(String),
}

/// What a set is made of.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) files: &'static [File],
    /// The page that people are to get: a path without its first slash, to which `/` leads.
    pub(super) home: &'static str,
    /// The Content-Security-Policy of all its files.
    pub(super) policy: &'static str,
}

/// A path, a type, and bytes.
pub(super) type File = (&'static str, &'static str, &'static [u8]);

impl FromStr for Builtin {
    type Err = BuiltinError;

    fn from_str(name: &str) -> Result<Self, BuiltinError> {
        Self::named(name, cfg!(web_terminal))
    }
}

impl Builtin {
    fn named(name: &str, has_terminal: bool) -> Result<Self, BuiltinError> {
        match name {
            "demo" => Ok(Self::Demo),
            "telnet" if has_terminal => Ok(Self::Telnet),
            "telnet" => Err(BuiltinError::LeftOut),
            other => Err(BuiltinError::Unknown(other.to_owned())),
        }
    }

    pub(super) fn set(self) -> Set {
        match self {
            Self::Demo => Set { files: &DEMO, home: "", policy: DEMO_POLICY },
            Self::Telnet => Set { files: TELNET, home: "telnet/", policy: TELNET_POLICY },
        }
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const DEMO: [File; 4] = [
    ("/", HTML, include_bytes!("../../web/demo/index.html")),
    ("/demo.js", JAVASCRIPT, include_bytes!("../../web/demo/demo.js")),
    ("/favicon.svg", SVG, include_bytes!("../../web/demo/favicon.svg")),
    ("/style.css", CSS, include_bytes!("../../web/demo/style.css")),
];

/// These pages need nothing from anywhere else. `ws:` and `wss:` are named because Safari before 15.4 does not count
/// them as 'self'.
const DEMO_POLICY: &str =
    "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(web_terminal)]
const TELNET: &[File] = &[
    ("/telnet/", HTML, include_bytes!("../../web/telnet/index.html")),
    ("/telnet/address.js", JAVASCRIPT, include_bytes!("../../web/telnet/address.js")),
    ("/telnet/closing.js", JAVASCRIPT, include_bytes!("../../web/telnet/closing.js")),
    ("/telnet/connection.js", JAVASCRIPT, include_bytes!("../../web/telnet/connection.js")),
    ("/telnet/decoder.js", JAVASCRIPT, include_bytes!("../../web/telnet/decoder.js")),
    ("/telnet/favicon.svg", SVG, include_bytes!("../../web/telnet/favicon.svg")),
    ("/telnet/line.js", JAVASCRIPT, include_bytes!("../../web/telnet/line.js")),
    ("/telnet/options.js", JAVASCRIPT, include_bytes!("../../web/telnet/options.js")),
    ("/telnet/page.js", JAVASCRIPT, include_bytes!("../../web/telnet/page.js")),
    ("/telnet/session.js", JAVASCRIPT, include_bytes!("../../web/telnet/session.js")),
    ("/telnet/style.css", CSS, include_bytes!("../../web/telnet/style.css")),
    ("/telnet/telnet.js", JAVASCRIPT, include_bytes!("../../web/telnet/telnet.js")),
    ("/telnet/themes.js", JAVASCRIPT, include_bytes!("../../web/telnet/themes.js")),
    (
        "/telnet/xterm/addon-fit.mjs",
        JAVASCRIPT,
        include_bytes!("../../web/node_modules/@xterm/addon-fit/lib/addon-fit.mjs"),
    ),
    ("/telnet/xterm/xterm.css", CSS, include_bytes!("../../web/node_modules/@xterm/xterm/css/xterm.css")),
    ("/telnet/xterm/xterm.mjs", JAVASCRIPT, include_bytes!("../../web/node_modules/@xterm/xterm/lib/xterm.mjs")),
];

#[cfg(not(web_terminal))]
const TELNET: &[File] = &[];

/// Scripts are these files and nothing else, and no text becomes markup. Styles may be anywhere: xterm.js makes them as it
/// runs. Connections may go anywhere, because the page's query says where.
const TELNET_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; \
     connect-src ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

    use super::*;

    #[test]
    fn a_program_without_the_terminal_says_how_to_get_one_that_has_it() {
        assert_eq!(Builtin::named("telnet", true), Ok(Builtin::Telnet));
        let error = Builtin::named("telnet", false).unwrap_err();
        assert!(error.to_string().contains("`make build`"), "{error}");
        assert_eq!(Builtin::named("demo", false), Ok(Builtin::Demo));
        assert_eq!(Builtin::named("Telnet", true), Err(BuiltinError::Unknown("Telnet".to_owned())));
    }
}
