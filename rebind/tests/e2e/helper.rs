//! `rebind OLD NEW COMMAND...`, as it is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Program, compiled, library, listeners, run};

/// A directory in which the helper and its library lie as they do in /usr.
struct Installed(TempDir);

impl Installed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("bin")).unwrap();
        fs::create_dir_all(root.path().join("lib/websockify")).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(here.join("rebind"), root.path().join("bin/rebind")).unwrap();
        fs::copy(library(), root.path().join("lib/websockify/rebind.so")).unwrap();
        Self(root)
    }

    fn helper(&self) -> PathBuf {
        self.0.path().join("bin/rebind")
    }

    fn library(&self) -> String {
        self.0.path().canonicalize().unwrap().join("lib/websockify/rebind.so").to_str().unwrap().to_owned()
    }

    /// How it ends with these arguments, and what it says to that.
    fn refusal(&self, arguments: &[&str]) -> (i32, String) {
        let done = Command::new(self.helper()).args(arguments).output().unwrap();
        assert!(done.stdout.is_empty());
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    }
}

#[test]
fn the_command_gets_the_new_port_whatever_was_asked_for_around_it() {
    alone!();
    let installed = Installed::new();
    for ports in [&["5901", "43211"][..], &["5901=43211"], &["5801=43212,5901=43211"]] {
        let mut command = Command::new(installed.helper());
        command.args(ports).arg(compiled("listen")).args(["5901", "0.0.0.0", "only:::"]);
        command.envs([("REBIND_PORTS", "5901=1"), ("REBIND_OLD_PORT", "5901"), ("REBIND_NEW_PORT", "2")]);
        let (_program, _) = Program::until(&mut command, "ready");
        assert_eq!(listeners(), ["127.0.0.1:43211", "[::1]:43211"], "{ports:?}");
    }
}

#[test]
fn it_becomes_the_command_and_keeps_what_else_is_preloaded() {
    let installed = Installed::new();
    let mut command = Command::new(installed.helper());
    command.args(["5901", "43211", "sh", "-c", "echo \"$$ $PPID $LD_PRELOAD $1\"", "sh", "an  argument"]);
    let preload = installed.library();
    let child = command.env("LD_PRELOAD", &preload).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (id, parent) = (child.id(), std::process::id());
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said, format!("{id} {parent} {preload}:{preload} an  argument\n"));
    assert_eq!(run(Command::new(installed.helper()).args(["1=2", "printenv", "LD_PRELOAD"])), format!("{preload}\n"));
}

#[test]
fn it_finds_its_library_through_a_link() {
    let installed = Installed::new();
    let link = installed.0.path().join("anywhere");
    symlink(installed.helper(), &link).unwrap();
    assert_eq!(
        run(Command::new(link).args(["1", "2", "printenv", "LD_PRELOAD"])),
        format!("{}\n", installed.library())
    );
}

#[test]
fn it_ends_as_the_command_does() {
    let installed = Installed::new();
    let done = Command::new(installed.helper()).args(["1", "2", "sh", "-c", "exit 42"]).status().unwrap();
    assert_eq!(done.code(), Some(42));
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    let installed = Installed::new();
    for (arguments, told) in [
        (&[][..], "the port that the command binds is missing"),
        (&["5901"], "the port that the command binds is missing"),
        (&["5901", "43211"], "the command is missing"),
        (&["5901=43211"], "the command is missing"),
        (&["5901", "sh"], "'sh' is not a port: a number between 1 and 65535 is"),
        (&["0", "43211", "true"], "'0' is not a port"),
        (&["5901", "65536", "true"], "'65536' is not a port"),
        (&["5901", "99999999999999999999", "true"], "'99999999999999999999' is not a port"),
        (&["5901", "", "true"], "'' is not a port"),
        (&["5901=43211,", "true"], "'' is not a pair of ports, such as 5901=43211"),
        (&["5901=43211,5902", "true"], "'5902' is not a pair of ports"),
        (&["5901=43211=3", "true"], "'43211=3' is not a port"),
        (&["--port", "true"], "there is no option '--port'"),
    ] {
        let (code, said) = installed.refusal(arguments);
        assert_eq!(code, 64, "{arguments:?}");
        assert!(said.starts_with(&format!("rebind: {told}")), "{arguments:?}: {said}");
        assert!(said.contains("usage: rebind OLD NEW COMMAND"), "{said}");
    }
}

#[test]
fn a_command_that_cannot_run_ends_it_as_it_ends_a_shell() {
    let installed = Installed::new();
    let (code, said) = installed.refusal(&["1", "2", "no-such-command"]);
    assert_eq!((code, said.as_str()), (127, "rebind: there is no command 'no-such-command'\n"));
    let (code, said) = installed.refusal(&["1", "2", "./no-such-command"]);
    assert_eq!((code, said.as_str()), (127, "rebind: there is no command './no-such-command'\n"));
    assert_eq!(installed.refusal(&["1", "2", "cd"]).0, 127);
    let (code, said) = installed.refusal(&["1", "2", "/"]);
    assert_eq!((code, said.as_str()), (126, "rebind: '/' is not executable\n"));
    let file = installed.library();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let (code, said) = installed.refusal(&["1", "2", &file]);
    assert_eq!((code, said), (126, format!("rebind: '{file}' is not executable\n")));
}

#[test]
fn a_library_that_is_missing_or_cannot_be_preloaded_is_told() {
    let installed = Installed::new();
    fs::remove_file(installed.library()).unwrap();
    let (code, said) = installed.refusal(&["1", "2", "true"]);
    assert_eq!(code, 71);
    assert_eq!(said, format!("rebind: its library {} is missing: install websockify again\n", installed.library()));

    let odd = installed.0.path().join("a place");
    fs::create_dir(&odd).unwrap();
    for name in ["bin", "lib"] {
        fs::rename(installed.0.path().join(name), odd.join(name)).unwrap();
    }
    fs::write(odd.join("lib/websockify/rebind.so"), "").unwrap();
    let done = Command::new(odd.join("bin/rebind")).args(["1", "2", "true"]).output().unwrap();
    assert_eq!(done.status.code(), Some(71));
    assert!(String::from_utf8(done.stderr).unwrap().contains("a path with neither space nor colon is needed"));
}

#[test]
fn its_help_is_one_screen_on_standard_output() {
    let help = run(Command::new(Installed::new().helper()).arg("--help"));
    assert!(help.starts_with("usage: rebind OLD NEW COMMAND") && help.lines().count() < 24);
}
