//! What the README tells to type is understood as it stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::command::outcome;
use crate::support::proxy::BINARY;
use crate::support::tls::SelfSigned;

/// The README, with its directories and files in a place where they exist.
fn readme(directory: &Path) -> String {
    let made = SelfSigned::in_directory(directory);
    fs::rename(made.certificate, directory.join("vnc.pem")).unwrap();
    fs::rename(made.key, directory.join("vnc.key")).unwrap();
    fs::copy(directory.join("vnc.pem"), directory.join("ca.pem")).unwrap();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    text.replace("/usr/share/novnc", directory.to_str().unwrap()).replace("/etc/ssl", directory.to_str().unwrap())
}

/// The blocks of one language.
fn blocks<'text>(text: &'text str, language: &str) -> Vec<&'text str> {
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

#[test]
fn the_readmes_command_lines_are_understood() {
    let directory = tempfile::tempdir().unwrap();
    let text = readme(directory.path());
    let lines = blocks(&text, "sh").into_iter().flat_map(str::lines);
    let commands =
        lines.filter_map(|line| line.strip_prefix("websockify ")).map(|line| line.split('#').next().unwrap());
    let (verbs, classic): (Vec<_>, Vec<_>) = commands.partition(|line| ["check", "serve"].contains(&line.trim()));
    assert!(!verbs.is_empty() && classic.len() >= 4, "the README has lost its command lines");
    for line in classic {
        let mut convert = Command::new(BINARY);
        convert.current_dir(directory.path()).args(["convert", "--"]).args(line.split_whitespace());
        let ended = outcome(&mut convert);
        assert_eq!(ended.code, 0, "websockify {line}: {}", ended.stderr);
    }
}

#[test]
fn the_readmes_route_is_sound() {
    let (directory, routes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = readme(directory.path());
    let blocks = blocks(&text, "toml");
    assert!(!blocks.is_empty(), "the README has lost its route");
    for (number, toml) in blocks.iter().enumerate() {
        fs::write(routes.path().join(format!("route-{number}.toml")), toml).unwrap();
        let mut check = Command::new(BINARY);
        check.args(["check", "--config"]).arg(routes.path());
        let ended = outcome(&mut check);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{toml}");
    }
}
