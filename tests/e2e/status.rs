//! The line that `systemctl status` shows, kept current; and what is told with it.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::manager::Manager;
use crate::support::route::refusing;
use crate::support::target::echo;
use crate::support::tls::SelfSigned;

const DAY: Duration = Duration::from_hours(24);

fn in_days(days: u32) -> SystemTime {
    SystemTime::now() + DAY * days + Duration::from_mins(1)
}

/// A manager with a TLS route whose certificate is valid until then.
fn with_certificate(not_after: SystemTime) -> (Manager, SelfSigned, tempfile::TempDir) {
    let mut manager = Manager::new();
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::until(directory.path(), not_after);
    certificate.install();
    let address = manager.listen("websockify@vnc.socket");
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let tls = format!("[tls]\ncertificate = \"{chain}\"\nkey = \"{key}\"");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"\n{tls}", echo()));
    (manager, certificate, directory)
}

#[test]
fn it_says_until_when_the_certificate_is_valid() {
    let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(2_145_916_799); // the last second of 2037
    let (manager, _certificate, _directory) = with_certificate(not_after);
    let proxy = manager.spawn(&["vnc"]);
    assert_eq!(manager.told(), "READY=1\nSTATUS=0 sessions, certificate until 2037-12-31\n");
    assert!(!proxy.log_lines().iter().any(|line| line.contains("WARN")), "{:?}", proxy.log_lines());
}

#[test]
fn a_certificate_that_soon_ends_is_told_and_a_renewed_one_takes_its_place() {
    let (manager, old, directory) = with_certificate(in_days(9));
    let proxy = manager.spawn(&["vnc"]);
    let ready = manager.told();
    assert!(ready.starts_with("READY=1\nSTATUS=0 sessions, certificate until 20"), "{ready}");
    let warning = proxy.log_line("WARN the certificate expires in 9 days");
    assert!(warning.contains("route=vnc") && warning.contains(old.certificate.to_str().unwrap()), "{warning}");

    SelfSigned::until(directory.path(), SystemTime::UNIX_EPOCH + Duration::from_secs(2_145_916_799)).install();
    proxy.signal(Signal::SIGHUP);
    assert_eq!(manager.told_of("READY=1"), "READY=1\nSTATUS=0 sessions, certificate until 2037-12-31\n");
}

#[test]
fn of_several_certificates_the_first_that_ends_is_shown_and_each_that_is_near_is_told() {
    let directories = [40, 5, 11].map(|days| (days, tempfile::tempdir().unwrap()));
    let made = directories.each_ref().map(|(days, directory)| {
        let certificate = SelfSigned::until(directory.path(), in_days(*days));
        certificate.install();
        let (chain, key) = (certificate.certificate.display(), certificate.key.display());
        (*days, certificate.certificate.clone(), format!("certificate = \"{chain}\"\nkey = \"{key}\"\n"))
    });
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    let tables = made.each_ref().map(|(_, _, table)| table.as_str()).join("[[tls.certificates]]\n");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"\n[tls]\n{tables}", echo()));
    let proxy = manager.spawn(&["vnc"]);
    let status = manager.told();
    for (days, certificate, _) in &made[1..] {
        let told = proxy.log_line(&format!("WARN the certificate expires in {days} days"));
        assert!(told.contains(certificate.to_str().unwrap()), "{told}");
        let (_, until) = told.split_once("until=").unwrap();
        let shown = format!("READY=1\nSTATUS=0 sessions, certificate until {}\n", until.split(' ').next().unwrap());
        assert_eq!(status == shown, *days == 5, "{status:?} {shown:?}");
    }
    assert!(!proxy.log_lines().iter().any(|line| line.contains("expires in 40 days")));
}

#[test]
fn a_certificate_that_ends_while_the_daemon_is_idle_is_told_at_that_moment() {
    let (manager, _certificate, _directory) = with_certificate(SystemTime::now() + Duration::from_secs(3));
    let proxy = manager.spawn(&["vnc"]);
    manager.told_of("certificate until ");
    proxy.log_line("WARN the certificate expires in 0 days");
    manager.told_of("STATUS=0 sessions, certificate EXPIRED on ");
    proxy.log_line("ERROR the certificate has expired, and clients refuse it");
}

/// The kernel can be asked to keep clients away, and never tells whether it does. A client that gets through does.
#[test]
fn it_says_who_keeps_unwanted_clients_away() {
    let start = |asked: Option<&str>| {
        let mut manager = Manager::new();
        let address = manager.listen("websockify@vnc.socket");
        let access = "[access]\nallow-clients = [\"192.0.2.0/24\", \"2001:db8::1\"]";
        manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"\n{access}", echo()));
        if let Some(asked) = asked {
            manager.set("WEBSOCKIFY_CLIENTS", asked);
        }
        let proxy = manager.spawn(&["vnc"]);
        (manager, address, proxy)
    };
    let (manager, _, _proxy) = start(None);
    assert_eq!(manager.told(), "READY=1\nSTATUS=0 sessions, clients checked by the daemon alone\n");

    let (manager, address, proxy) = start(Some("192.0.2.0/24,2001:db8::1/128"));
    let both = "clients checked by the daemon, and by the kernel if it has BPF";
    assert_eq!(manager.told(), format!("READY=1\nSTATUS=0 sessions, {both}\n"));
    Client::connect(address).read_end();
    proxy.log_line("WARN a client that the kernel was to keep away got through");
    assert_eq!(manager.told(), "STATUS=0 sessions, clients checked by the daemon alone\n");

    let (manager, _, proxy) = start(Some("any"));
    let told = manager.told();
    assert!(told.contains("STATUS=vnc: [access] is not what the socket unit was made of"), "{told}");
    let warning = proxy.log_line("WARN [access] is not what");
    assert!(warning.contains("systemctl daemon-reload && systemctl restart websockify@vnc.socket"), "{warning}");
}

/// The unit's rules are those of the file as it was at the last daemon-reload: what they forbid does not answer.
#[test]
fn a_reload_that_names_a_target_beyond_the_unit_s_rules_says_what_to_do() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    let write = |manager: &Manager, target: &str| {
        manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{target}\""));
    };
    write(&manager, "unix:/run/vm/vnc.sock");
    manager.set("WEBSOCKIFY_EGRESS", "none");
    manager.set("WEBSOCKIFY_CLIENTS", "any");
    let proxy = manager.spawn(&["vnc"]);
    assert_eq!(manager.told(), "READY=1\nSTATUS=0 sessions\n");

    let target = refusing();
    write(&manager, &target.to_string());
    proxy.signal(Signal::SIGHUP);
    let problem = format!(
        "the unit was made for another target than {target}, and lets the service reach no network: \
         run 'systemctl daemon-reload && systemctl restart websockify@vnc'"
    );
    assert_eq!(manager.told_of("READY=1"), format!("READY=1\nSTATUS=vnc: {problem} (0 sessions)\n"));
    proxy.log_line(&format!("WARN {problem}"));
    assert_eq!(Client::connect(address).request("/", &[]).status, 502);
    let refused = proxy.log_line("refused: cannot connect to");
    assert!(refused.contains(&problem), "{refused}");

    write(&manager, "unix:/run/vm/other.sock");
    proxy.signal(Signal::SIGHUP);
    assert_eq!(manager.told_of("READY=1"), "READY=1\nSTATUS=0 sessions\n");
}

#[test]
fn a_list_of_targets_that_the_unit_was_not_made_for_is_told_until_the_unit_is_made_again() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    let source = refusing();
    let write = |manager: &Manager, allowed: &str| {
        let tokens = format!("[tokens]\nsource = \"http://{source}/%s\"");
        manager.write("vnc", &format!("listen = \"{address}\"\n{tokens}\n[targets]\nallow = [\"{allowed}\"]"));
    };
    write(&manager, "10.1.0.0/16:5900");
    manager.set("WEBSOCKIFY_EGRESS", "localhost,10.0.0.0/8,2001:db8::/32");
    manager.set("WEBSOCKIFY_CLIENTS", "any");
    let proxy = manager.spawn(&["vnc"]);
    assert_eq!(manager.told(), "READY=1\nSTATUS=0 sessions\n");

    write(&manager, "192.0.2.0/24");
    proxy.signal(Signal::SIGHUP);
    let problem = "the unit was made for other targets than those of tokens and targets.allow, and lets the service reach \
                   localhost,10.0.0.0/8,2001:db8::/32 only: run 'systemctl daemon-reload && systemctl restart websockify@vnc'";
    assert_eq!(manager.told_of("READY=1"), format!("READY=1\nSTATUS=vnc: {problem} (0 sessions)\n"));
    assert_eq!(Client::connect(address).request("/?token=a", &[]).status, 503);
    let refused = proxy.log_line("refused: the token source cannot say");
    assert!(refused.contains(problem), "{refused}");

    write(&manager, "2001:db8:7::/48");
    proxy.signal(Signal::SIGHUP);
    assert_eq!(manager.told_of("READY=1"), "READY=1\nSTATUS=0 sessions\n");
}

/// PID 1 may stand still: everybody else goes on, and what it waits for is told when it turns again.
#[test]
fn a_manager_that_stands_still_stops_nothing_and_hears_everything_later() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.set("WATCHDOG_USEC", "50000"); // which is lost, as it should be
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    let filled = manager.fill();
    let mut proxy = manager.spawn(&["vnc"]);
    let mut client = Client::open(address);
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration reloaded");
    Client::open(address);

    manager.drained(filled);
    // Statuses may come between them, whenever there is room.
    let told: Vec<String> = std::iter::repeat_with(|| manager.told())
        .filter(|told| told != "WATCHDOG=1\n" && !told.starts_with("STATUS="))
        .take(3)
        .collect();
    assert!(told[0].starts_with("READY=1\n"), "{told:?}");
    assert!(told[1].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told:?}");
    assert!(told[2].starts_with("READY=1\n"), "{told:?}");
    // Either the last of them says it already, or it is said on its own.
    if !told[2].contains("STATUS=1 session") {
        manager.told_of("STATUS=1 session");
    }

    manager.fill();
    proxy.signal(Signal::SIGTERM); // nobody reads any more
    assert_eq!(client.read_close().0, 1001);
    client.send_close(1001, "");
    assert_eq!(proxy.exit_code(), 0);
}
