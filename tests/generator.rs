//! The generator and the units, with the real binary: a directory of routes in, a directory of drop-ins out, byte for byte;
//! and what systemd says of the result.
//!
//! A case is a directory `tests/generator/NN-name` with the routes in `etc/`, the drop-ins in `expected/`, what is told on
//! standard error in `problems` (absent: nothing), and `scope` with the word "user" for a user's manager. The case's own path
//! reads `/CASE`. `WEBSOCKIFY_BLESS=1` writes what comes out in place of comparing it; look at the difference before you keep it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use nix::unistd::geteuid;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_websockify");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn case(name: &str) -> PathBuf {
    repository().join("tests/generator").join(name)
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(case("")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 10, "the cases are not found");
    cases
}

/// The files below a directory: their names, and their texts with the case's path taken out. Empty directories do not count.
fn tree(directory: &Path, case: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                files.insert(name, without_path(&fs::read_to_string(&path).unwrap(), case));
            }
        }
    }
    files
}

fn without_path(text: &str, case: &Path) -> String {
    text.replace(case.to_str().unwrap(), "/CASE")
}

fn is_for_users(case: &Path) -> bool {
    fs::read_to_string(case.join("scope")).is_ok_and(|scope| scope.trim() == "user")
}

/// As somebody types it.
fn generate(case: &Path, out: &Path) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("generate").arg(out).arg("--config").arg(case.join("etc"));
    if is_for_users(case) {
        command.arg("--user");
    }
    command.output().unwrap()
}

/// As systemd runs it: under its other name, with three directories and no options.
fn run_generator(case: &Path, out: &Path) -> Output {
    let link = tempfile::tempdir().unwrap();
    let program = link.path().join("websockify-generator");
    symlink(BINARY, &program).unwrap();
    let mut command = Command::new(program);
    command.args([out, &out.join("early"), &out.join("late")]).env("WEBSOCKIFY_CONFIG", case.join("etc"));
    if is_for_users(case) {
        command.env("SYSTEMD_SCOPE", "user");
    } else {
        command.env_remove("SYSTEMD_SCOPE"); // or else the kernel's log would get what is wrong
    }
    command.output().unwrap()
}

fn check(run: fn(&Path, &Path) -> Output) {
    for case in cases() {
        let out = tempfile::tempdir().unwrap();
        let output = run(&case, out.path());
        let problems = without_path(&String::from_utf8(output.stderr).unwrap(), &case);
        let name = case.display();
        assert_eq!(tree(out.path(), &case), tree(&case.join("expected"), &case), "{name}");
        assert_eq!(problems, fs::read_to_string(case.join("problems")).unwrap_or_default(), "{name}");
        assert_eq!(output.status.code(), Some(if problems.is_empty() { 0 } else { 78 }), "{name}");
    }
}

fn bless(case: &Path) {
    let out = tempfile::tempdir().unwrap();
    let problems = without_path(&String::from_utf8(generate(case, out.path()).stderr).unwrap(), case);
    let _ = fs::remove_dir_all(case.join("expected"));
    for (name, text) in tree(out.path(), case) {
        let path = case.join("expected").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let file = case.join("problems");
    let _ = fs::remove_file(&file);
    if !problems.is_empty() {
        fs::write(file, problems).unwrap();
    }
}

#[test]
fn generate_writes_what_each_case_expects() {
    if env::var_os("WEBSOCKIFY_BLESS").is_some() {
        for case in cases() {
            bless(&case);
        }
    }
    check(generate);
}

#[test]
fn the_generator_writes_the_same_under_its_own_name() {
    check(run_generator);
}

#[test]
fn a_directory_that_is_not_there_is_no_problem() {
    let out = tempfile::tempdir().unwrap();
    let output = generate(&out.path().join("nowhere"), out.path());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(tree(out.path(), out.path()).is_empty());
}

#[test]
fn a_user_s_routes_are_in_the_user_s_configuration() {
    let home = tempfile::tempdir().unwrap();
    let routes = home.path().join("xdg/websockify");
    fs::create_dir_all(&routes).unwrap();
    fs::write(routes.join("vnc.toml"), "listen = \"6080\"\ntarget = \"localhost:5900\"\n").unwrap();
    let program = home.path().join("websockify-generator");
    symlink(BINARY, &program).unwrap();
    for (variable, value) in [("XDG_CONFIG_HOME", "xdg"), ("HOME", "home")] {
        if variable == "HOME" {
            fs::rename(home.path().join("xdg"), home.path().join(".config")).unwrap();
        }
        let value = if variable == "HOME" { home.path().to_owned() } else { home.path().join(value) };
        let out = tempfile::tempdir().unwrap();
        let output = Command::new(&program)
            .args([out.path(), out.path(), out.path()])
            .env_clear()
            .env("SYSTEMD_SCOPE", "user")
            .env(variable, value)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(out.path().join("websockify@vnc.socket.d/50-route.conf").exists(), "{variable}");
    }
}

/// As systemd runs it at boot, with a /dev of the test's own.
fn run_at_boot(case: &Path, out: &Path, dev: &Path) -> Output {
    let link = tempfile::tempdir().unwrap();
    let program = link.path().join("websockify-generator");
    symlink(BINARY, &program).unwrap();
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = "mount --bind \"$1\" /dev && shift && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).args([dev, &program, out, out, out]);
    command.env("WEBSOCKIFY_CONFIG", case.join("etc")).env("SYSTEMD_SCOPE", "system");
    command.output().expect("unshare is missing: install util-linux")
}

#[test]
fn at_boot_the_kernel_s_log_gets_each_problem_as_an_error_of_one_line() {
    const BEGINNING: &str = "<3>websockify-generator: "; // the priority is "error"
    let case = case("07-broken");
    let (dev, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kernel_log = dev.path().join("kmsg");
    fs::write(&kernel_log, "").unwrap();
    let output = run_at_boot(&case, out.path(), dev.path());
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(78), ""));
    let told = without_path(&fs::read_to_string(kernel_log).unwrap(), &case);
    // The kernel ends a record where the write ends; a file keeps only how each begins.
    let told: Vec<&str> = told.split(BEGINNING).collect();
    let problems = fs::read_to_string(case.join("problems")).unwrap();
    assert_eq!(told[0], "");
    assert_eq!(told[1..], problems.lines().collect::<Vec<_>>());
    assert!(told.len() > 2, "{told:?}");
    // And the routes are not lost for it.
    assert_eq!(tree(out.path(), &case), tree(&case.join("expected"), &case));
}

#[test]
fn where_the_kernel_has_no_log_standard_error_gets_what_is_wrong() {
    let case = case("07-broken");
    let (dev, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = run_at_boot(&case, out.path(), dev.path());
    let said = without_path(&String::from_utf8(output.stderr).unwrap(), &case);
    assert_eq!((output.status.code(), said), (Some(78), fs::read_to_string(case.join("problems")).unwrap()));
    assert!(!dev.path().join("kmsg").exists(), "it made a file in place of the device");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let output = generate(&case("01-desktop"), &file);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        format!(
            "cannot write {}/websockify@vnc.socket.d/50-route.conf: Not a directory (os error 20)\n",
            file.display()
        )
    );
    assert_eq!(output.status.code(), Some(71));
}

/// A directory with the units of the system's or a user's manager, with the drop-ins of all cases for it. They start the binary
/// of this test, as the real one may not be installed.
fn units(users: bool) -> (TempDir, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let source = repository().join(if users { "systemd/user" } else { "systemd" });
    for file in ["websockify@.socket", "websockify@.service", "websockify.target"] {
        let text = fs::read_to_string(source.join(file)).unwrap().replace("/usr/bin/websockify", BINARY);
        // Manual pages that are not installed here are the packages' business.
        let text: String =
            text.lines().filter(|line| !line.starts_with("Documentation=")).collect::<Vec<_>>().join("\n") + "\n";
        fs::write(directory.path().join(file), text).unwrap();
    }
    for case in cases().iter().filter(|case| is_for_users(case) == users) {
        generate(case, directory.path());
    }
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut instances: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".d")?.to_owned())).collect();
    instances.sort();
    (directory, instances)
}

fn analyze(units: &TempDir, arguments: &[&str]) -> Output {
    let mut path = units.path().as_os_str().to_owned();
    path.push(":"); // behind the colon come systemd's own directories
    Command::new("systemd-analyze")
        .args(arguments)
        .env("SYSTEMD_UNIT_PATH", path)
        .env("SYSTEMD_LOG_TARGET", "console")
        .env("XDG_RUNTIME_DIR", units.path()) // a user's manager wants one
        .output()
        .expect("systemd-analyze is missing: install systemd")
}

#[test]
fn systemd_finds_nothing_wrong_with_any_unit() {
    for users in [false, true] {
        let (units, instances) = units(users);
        assert!(instances.len() >= 4);
        for instance in instances {
            let manager = if users { "--user" } else { "--system" };
            let output = analyze(&units, &[manager, "verify", &instance]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && said.is_empty(), "{instance}: {said}");
        }
    }
}

/// Systemd's own measure of how much a service could do, in tenths.
#[test]
fn a_service_can_do_little_and_without_a_network_nearly_nothing() {
    let (units, _) = units(false);
    for (instance, tenths) in [
        ("nothing", 12), // a route without a drop-in
        ("vnc", 12),     // localhost
        ("lab", 12),     // a target by name
        ("files", 12),   // credentials
        ("vm", 3),       // a Unix socket: no network
        ("home", 3),     // the same, with something of a home
        ("temporary", 3),
    ] {
        let service = format!("websockify@{instance}.service");
        let output = analyze(&units, &["security", "--offline=true", &format!("--threshold={tenths}"), &service]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{service}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Each line that restricts, or lets something through, has its reason above it.
#[test]
fn every_setting_of_a_unit_has_its_reason() {
    for unit in ["websockify@.service", "websockify@.socket", "user/websockify@.service", "user/websockify@.socket"] {
        let text = fs::read_to_string(repository().join("systemd").join(unit)).unwrap();
        let mut explained = false;
        let mut section = String::new();
        for line in text.lines() {
            match line.chars().next() {
                Some('#') => explained = true,
                None => explained = false,
                Some('[') => section = line.to_owned(),
                Some(_) => {
                    let plain = ["Type=", "ExecStart=", "Description=", "Documentation=", "WantedBy="];
                    let needs_none = plain.iter().any(|key| line.starts_with(key));
                    assert!(needs_none || explained, "{unit} {section}: {line}");
                }
            }
        }
    }
}
