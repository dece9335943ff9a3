//! Who listens at a port of this machine, as the kernel tells it in `/proc`.

use std::collections::HashSet;
use std::fs;

use nix::unistd::Pid;

/// The sockets that listen at `port`, on any address.
pub(super) fn listeners(port: u16) -> HashSet<u64> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter_map(|line| inode(line, port)).collect()
}

/// Whether one of the processes has one of the sockets.
pub(super) fn have_any(processes: &[Pid], sockets: &HashSet<u64>) -> bool {
    let links = processes.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd"))).flatten().flatten();
    let mut names = links.filter_map(|link| fs::read_link(link.path()).ok());
    names.any(|name| {
        let number = name.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        number.is_some_and(|number: u64| sockets.contains(&number))
    })
}

/// The socket of a line of the table, if it listens at `port`: `SL LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID TIMEOUT INODE`,
/// numbers of addresses and states in hexadecimal.
fn inode(line: &str, port: u16) -> Option<u64> {
    const LISTENS: &str = "0A";
    let mut fields = line.split_whitespace();
    let (_, local) = fields.nth(1)?.rsplit_once(':')?;
    if u16::from_str_radix(local, 16) != Ok(port) || fields.nth(1)? != LISTENS {
        return None;
    }
    fields.nth(5)?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_socket_is_found_with_its_owner_and_a_connected_one_is_not() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let found = listeners(port);
            assert_eq!(found.len(), 1, "{address}");
            assert!(have_any(&[Pid::this()], &found));
            assert!(!have_any(&[Pid::from_raw(1)], &found) || Pid::this() == Pid::from_raw(1));
            drop(listener);
            assert!(listeners(port).is_empty());
        }
        let line = "   0: 0100007F:170C 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 33 1 0";
        assert_eq!(inode(line, 0x170C), None);
        assert_eq!(inode(&line.replace(" 01 ", " 0A "), 0x170C), Some(33));
        assert_eq!(inode("  sl  local_address rem_address   st tx_queue", 0x170C), None);
    }
}
