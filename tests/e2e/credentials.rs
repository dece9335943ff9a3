//! Certificates and keys that systemd passes as credentials: files in the directory of `$CREDENTIALS_DIRECTORY`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::proxy::{BINARY, Proxy};
use crate::support::route::toml;
use crate::support::target::echo;
use crate::support::tls::SelfSigned;

/// A service's directories: of its routes, and of its credentials.
struct Service {
    routes: TempDir,
    credentials: TempDir,
}

impl Service {
    fn new(tls: &str) -> Self {
        let routes = tempfile::tempdir().unwrap();
        fs::write(routes.path().join("vnc.toml"), toml(echo(), tls)).unwrap();
        Self { routes, credentials: tempfile::tempdir().unwrap() }
    }

    fn pass(&self, name: &str, file: &Path) {
        fs::copy(file, self.credentials.path().join(name)).unwrap();
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args([verb, "--config"]).arg(self.routes.path());
        command.env("CREDENTIALS_DIRECTORY", self.credentials.path());
        command
    }

    fn start(&self) -> Proxy {
        Proxy::start(&mut self.command("serve"))
    }

    /// What a start says that does not get far.
    fn failure(&self) -> String {
        let output = self.command("serve").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn what_systemd_passed_is_preferred_to_files_that_nobody_but_root_reads() {
    let service = Service::new("[tls]\ncertificate = \"/nowhere/vnc.pem\"\nkey = \"/nowhere/vnc.key\"");
    let made = SelfSigned::in_directory(service.routes.path());
    service.pass("vnc.tls.certificate", &made.certificate);
    service.pass("vnc.tls.key", &made.key);
    assert!(made.is_served(service.start().address()));
}

#[test]
fn credentials_of_another_route_are_not_taken() {
    let service = Service::new("[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"");
    let own = SelfSigned::in_directory(service.routes.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let other = SelfSigned::in_directory(elsewhere.path());
    service.pass("telnet.tls.certificate", &other.certificate);
    service.pass("telnet.tls.key", &other.key);
    assert!(own.is_served(service.start().address()));
}

#[test]
fn a_credential_whose_file_was_missing_is_told_as_the_missing_file() {
    let service = Service::new("[tls]\ncertificate = \"/nowhere/vnc.pem\"");
    fs::write(service.credentials.path().join("vnc.tls.certificate"), "absent").unwrap();
    let said = service.failure();
    assert!(said.contains("vnc.toml:4:15: 'tls.certificate': cannot read /nowhere/vnc.pem (put it there, or name another): No such file"), "{said}");
}

#[test]
fn a_credential_can_be_named() {
    let service = Service::new("[tls]\ncertificate = \"credential:lab.pem\"\nkey = \"credential:lab.key\"");
    let made = SelfSigned::in_directory(service.routes.path());
    service.pass("lab.pem", &made.certificate);
    assert!(
        service.failure().contains("'tls.key': the service has no credential 'lab.key': add LoadCredential=lab.key:")
    );
    service.pass("lab.key", &made.key);
    assert!(made.is_served(service.start().address()));
}

#[test]
fn check_cannot_see_a_credential_and_says_so_without_failing() {
    let service = Service::new("[tls]\ncertificate = \"credential:lab.pem\"");
    let output = service.command("check").env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("vnc.toml:4:15: warning: credential 'lab.pem' cannot be seen here"), "{said}");
    assert!(output.status.success());
}
