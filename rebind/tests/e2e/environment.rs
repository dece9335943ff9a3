//! What the library takes from the environment.

use std::process::{Command, Stdio};

use crate::support::{Program, compiled, library, listeners, preloaded};

/// What the library says on standard error with these variables, and what listens then.
fn complaint(variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(compiled("listen"));
    command.args(["5901", "0.0.0.0"]).env("LD_PRELOAD", library()).envs(variables.iter().copied());
    command.stderr(Stdio::from(file.reopen().unwrap()));
    let (_program, _) = Program::until(&mut command, "ready");
    (std::fs::read_to_string(file.path()).unwrap(), listeners())
}

#[test]
fn the_originals_two_variables_mean_what_they_did() {
    alone!();
    let both = [("REBIND_OLD_PORT", "5901"), ("REBIND_NEW_PORT", "43211")];
    assert_eq!(complaint(&both), (String::new(), vec!["127.0.0.1:43211".to_owned()]));
    let other = [("REBIND_OLD_PORT", "5902"), ("REBIND_NEW_PORT", "43211")];
    assert_eq!(complaint(&other), (String::new(), vec!["0.0.0.0:5901".to_owned()]));
}

#[test]
fn without_variables_nothing_moves_and_nothing_is_said() {
    alone!();
    let unmoved = (String::new(), vec!["0.0.0.0:5901".to_owned()]);
    assert_eq!(complaint(&[]), unmoved);
    assert_eq!(complaint(&[("REBIND_PORTS", ""), ("REBIND_OLD_PORT", ""), ("REBIND_NEW_PORT", "")]), unmoved);
}

#[test]
fn variables_that_are_not_clear_are_told_and_move_nothing() {
    alone!();
    for (variables, told) in [
        (
            &[("REBIND_PORTS", "5901:43211")][..],
            "REBIND_PORTS is not a list of ports between 1 and 65535, such as 5901=",
        ),
        (&[("REBIND_PORTS", "5901=43211,5901=43212")], "REBIND_PORTS moves one port to two"),
        (&[("REBIND_PORTS", "5901=43211,5902=43211")], "REBIND_PORTS moves two ports to the same one"),
        (&[("REBIND_OLD_PORT", "5901")], "REBIND_OLD_PORT and REBIND_NEW_PORT are not both a port"),
        (&[("REBIND_OLD_PORT", "5901"), ("REBIND_NEW_PORT", "vnc")], "REBIND_OLD_PORT and REBIND_NEW_PORT are not"),
    ] {
        let (said, listeners) = complaint(variables);
        assert!(said.starts_with(&format!("rebind: {told}")), "{said}");
        assert!(said.ends_with(": no port is moved\n") && said.lines().count() == 1, "{said}");
        assert_eq!(listeners, ["0.0.0.0:5901"], "{variables:?}");
    }
}

#[test]
fn a_program_behind_a_shell_is_moved() {
    alone!();
    let mut command = preloaded("sh", "5901=43211");
    command.args(["-c", "(\"$0\" 5901 0.0.0.0; true); true"]).arg(compiled("listen"));
    let (_program, _) = Program::until(&mut command, "ready");
    assert_eq!(listeners(), ["127.0.0.1:43211"]);
}
