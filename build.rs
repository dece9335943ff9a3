//! Looks for the web terminal's foreign parts, which npm brings (web/package-lock.json). Without them the program is built
//! all the same, and `web = "builtin:telnet"` says what is missing: nobody needs npm or a network for `cargo build`.
//! `make build` brings them, and fails when it cannot.

use std::env;
use std::path::Path;

/// What the terminal's page loads beside its own files. src/http/builtin.rs has the same list with the types.
const PARTS: [&str; 3] =
    ["@xterm/addon-fit/lib/addon-fit.mjs", "@xterm/xterm/css/xterm.css", "@xterm/xterm/lib/xterm.mjs"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(web_terminal)");
    println!("cargo::rerun-if-changed=build.rs");
    // the directory, not its files: a file that is not there would have this run each time
    println!("cargo::rerun-if-changed=web");
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where it is");
    let modules = Path::new(&root).join("web/node_modules");
    if PARTS.iter().all(|part| modules.join(part).is_file()) {
        println!("cargo::rustc-cfg=web_terminal");
    }
}
