//! What websockify, `HAProxy` and nginx are told in files: to do what a proxy of one route does, on one thread as its one CPU suggests, and nothing more.
//! Whatever is not named here is as they come.

use std::net::SocketAddr;
use std::path::Path;

/// A route.
pub fn websockify(listen: SocketAddr, target: SocketAddr, sessions: usize) -> String {
    format!("listen = \"{listen}\"\ntarget = \"{target}\"\nlimits.connections = {sessions}\n")
}

/// In TCP mode, behind TLS when there is a certificate.
pub fn haproxy(
    listen: SocketAddr,
    target: SocketAddr,
    sessions: usize,
    certificate: Option<&str>,
    splices: bool,
) -> String {
    let tls = certificate.map_or(String::new(), |file| format!(" ssl crt {file} ssl-min-ver TLSv1.3"));
    let splice = if splices { "    option splice-request\n    option splice-response\n" } else { "" };
    format!(
        "global\n    nbthread 1\n    maxconn {sessions}\n    maxpipes 64\n\
         defaults\n    mode tcp\n    timeout connect 10s\n    timeout client 10m\n    timeout server 10m\n{splice}\
         listen bench\n    bind {listen}{tls}\n    server target {target}\n"
    )
}

/// The stream module, in one process.
pub fn nginx(listen: SocketAddr, target: SocketAddr, sessions: usize, module: &Path, scratch: &Path) -> String {
    format!(
        "load_module {};\ndaemon off;\nmaster_process off;\npid {}/nginx.pid;\n\
         events {{ worker_connections {}; }}\n\
         stream {{ server {{ listen {listen} so_keepalive=off; proxy_pass {target}; }} }}\n",
        module.display(),
        scratch.display(),
        2 * sessions + 100,
    )
}
