//! Command lines that start nothing: what is printed where, and the exit status.

use std::process::{Command, Stdio};

use crate::support::command::{outcome, run};
use crate::support::proxy::BINARY;

/// A secret on the command line must not come back in an error, which ends in a journal.
#[test]
fn a_refusal_does_not_repeat_a_password() {
    for words in [
        &["--key-password", "hunter2", "0", "no target"][..],
        &["--auth-plugin=BasicHTTPAuth", "--auth-source=hunter2", "0", "127.0.0.1:1"],
    ] {
        let ended = run(words);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn usage_errors_end_with_2_and_say_how_it_is_used() {
    for (words, message) in [
        (&[][..], "Too few arguments"),
        (&["6080"], "Too few arguments"),
        (&["6080", "a:1", "b:2"], "Too many arguments"),
        (&["x", "a:1"], "Error parsing listen port"),
        (&["99999", "a:1"], "Error parsing listen port"),
        (&["6080", "a"], "Error parsing target"),
        (&["6080", "a:b"], "Error parsing target port"),
        (&["--nonsense", "6080", "a:1"], "no such option: --nonsense"),
        (
            &["--t", "6080", "a:1"],
            "ambiguous option: --t (--target-config, --timeout, --token-plugin, --token-source, --traffic?)",
        ),
        (&["--timeout", "soon", "6080", "a:1"], "option --timeout: invalid value: 'soon'"),
        (
            &["--web", "/nonexistent", "6080", "a:1"],
            "'--web': cannot read /nonexistent (put it there, or name another): ",
        ),
        (&["--unix-listen", "x", "--unix-listen-mode", "rw", "a:1"], "Error parsing listen unix socket mode"),
        (&["--legacy-syslog", "6080", "a:1"], "You must use --syslog to use --legacy-syslog"),
        (&["--token-source", "x", "6080", "a:1"], "You must use --token-plugin to use --token-source"),
        (&["--syslog", "host:x", "6080", "a:1"], "Error parsing syslog port"),
    ] {
        let ended = run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("Usage: websockify [options]"), "{words:?}: {}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap();
        assert!(last.starts_with(&format!("websockify: error: {message}")), "{words:?}: {last}");
    }
}

#[test]
fn usage_errors_of_verbs_end_with_64() {
    for words in [
        &["serve", "--nonsense"][..],
        &["check", "--config"],
        &["convert"],
        &["demo", "not-a-port"],
        &["demo", "/a/path"],
        &["demo", "1", "2"],
        &["help", "nonsense"],
    ] {
        let ended = run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (64, ""), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for words in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["serve", "--help"],
        &["check", "--help"],
        &["convert", "--help"],
        &["demo", "--help"],
        &["help", "serve"],
    ] {
        let ended = run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
        assert!(ended.stdout.contains("Usage: websockify"), "{words:?}: {}", ended.stdout);
    }
    for words in [&["--version"], &["-V"]] {
        let ended = run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert_eq!(ended.stdout, format!("websockify {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_reader_of_the_help_may_leave_early() {
    let mut script = Command::new("sh");
    script.args(["-c", "{ \"$0\" --help; echo $? >&2; } | true", BINARY]).stdin(Stdio::null());
    let ended = outcome(&mut script);
    assert_eq!(ended.stderr, "0\n");
}
