//! `replay`: a recording is heard again, at its pace or another, and told about.

use std::fmt::Write as _;
use std::fs;
use std::io::BufRead as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::command::{Outcome, outcome, run};
use crate::support::noise;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::web::get;

/// What the target says in [`SESSION`], and nothing of what the client says.
const SAID: &[u8] = b"RFB 003.008\nit's a \xFFdesktop";
const SESSION: &str = "var VNC_frame_data = [\n'{3{RFB 003.008\\n',\n'}17}secret',\n'{600{it\\'s a ',\n\
                       '{1200{\\xffdesktop',\n'EOF'];\n";

fn written(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session.1");
    fs::write(&path, content).unwrap();
    (directory, path)
}

/// A replay, and the address that it printed.
fn replay(path: &Path, options: &[&str]) -> (Proxy, SocketAddr) {
    let mut command = Command::new(BINARY);
    command.arg("replay").args(options).arg(path).arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut proxy = Proxy::start(&mut command);
    let mut line = String::new();
    proxy.stdout().read_line(&mut line).unwrap();
    let address = line.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap().parse().unwrap();
    (proxy, address)
}

fn summary(path: &Path) -> Outcome {
    run(&["replay", "--summary", path.to_str().unwrap()])
}

#[test]
fn a_replay_says_what_the_target_said_when_it_said_it_and_closes_with_1000() {
    let (_directory, path) = written(SESSION);
    let (mut proxy, address) = replay(&path, &[]);
    let begun = Instant::now();
    let mut client = Client::open(address);
    assert_eq!(client.read_binary(12), b"RFB 003.008\n");
    client.read_binary(7);
    assert!(begun.elapsed() >= Duration::from_millis(550), "{:?}", begun.elapsed());
    client.read_binary(8);
    assert!(begun.elapsed() >= Duration::from_millis(1150), "{:?}", begun.elapsed());
    assert_eq!(client.read_close(), (1000, "Target closed".to_owned()));
    proxy.signal(Signal::SIGINT);
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn a_replay_goes_faster_or_as_fast_as_it_can_and_holds_the_end() {
    let minutes = SESSION.replace("{600{", "{60000{").replace("{1200{", "{120000{");
    let (_directory, path) = written(minutes);
    let lasts = |options: &[&str]| {
        let (_proxy, address) = replay(&path, options);
        let begun = Instant::now();
        let mut client = Client::open(address);
        assert_eq!(client.read_to_close(), (SAID.to_vec(), Some((1000, "Target closed".to_owned()))));
        begun.elapsed()
    };
    let bounds = Duration::from_millis(1150)..Duration::from_mins(1);
    for (options, took) in [["--speed", "100"].as_slice(), &["--speed", "0", "--hold", "2"]].map(|it| (it, lasts(it))) {
        assert!(bounds.contains(&took), "{options:?}: {took:?}");
    }
    assert!(lasts(&["--speed", "max"]) < Duration::from_mins(1));
}

#[test]
fn what_a_client_says_to_a_replay_is_ignored_and_each_begins_anew() {
    let (_directory, path) = written(SESSION);
    let (_proxy, address) = replay(&path, &["--speed", "max"]);
    for _ in 0..3 {
        let mut client = Client::open(address);
        client.send_binary(&noise(500_000));
        assert_eq!(client.read_to_close().0, SAID);
    }
    // And one that leaves early disturbs nobody.
    drop(Client::open(address));
    assert_eq!(Client::open(address).read_to_close().0, SAID);
}

#[test]
fn a_replay_serves_pages_beside_it() {
    let (directory, path) = written(SESSION);
    fs::write(directory.path().join("index.html"), "the page").unwrap();
    let (_proxy, address) = replay(&path, &["--web", directory.path().to_str().unwrap()]);
    assert_eq!(get(address, "/").body, "the page");
}

/// What was recorded by each version of the original, and by its relatives, and compressed since.
#[test]
fn recordings_of_every_age_are_replayed() {
    let first = SESSION.replace("'EOF'];", "'EOF']").replace("'{600{it\\'s a '", "\"{600{it's a \"");
    let binary = format!("var VNC_frame_encoding = 'binary';\n{SESSION}");
    let base64 = "var VNC_frame_encoding = 'base64';\nvar VNC_frame_data = [\n'{3{UkZCIDAwMy4wMDgK',\n\
                  '}17}c2VjcmV0',\n'{600{aXQncyBh',\n'{601{IA==',\n'{1200{/2Rlc2t0b3A=',\n'EOF'];\n";
    let unsaid = base64.split_once('\n').unwrap().1;
    let gzip = outcome_of_filter("gzip", SESSION);
    let zstd = outcome_of_filter("zstd", SESSION);
    let files: [&[u8]; 7] =
        [SESSION.as_bytes(), first.as_bytes(), binary.as_bytes(), base64.as_bytes(), unsaid.as_bytes(), &gzip, &zstd];
    for file in files {
        let (_directory, path) = written(file);
        let (_proxy, address) = replay(&path, &["--speed", "max"]);
        let heard = Client::open(address).read_to_close();
        assert_eq!(
            heard,
            (SAID.to_vec(), Some((1000, "Target closed".to_owned()))),
            "{}",
            String::from_utf8_lossy(file)
        );
    }
}

/// What a program makes of the text on its standard input.
fn outcome_of_filter(program: &str, text: &str) -> Vec<u8> {
    let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().unwrap_or_else(|error| panic!("{program} is missing: install it: {error}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let mut made = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut made).unwrap();
    assert!(child.wait().unwrap().success());
    made
}

/// Its writer was killed, which is an end; the middle was damaged, which is none.
#[test]
fn a_recording_without_an_end_is_played_and_a_damaged_one_breaks_where_it_is_broken() {
    let cut = &SESSION[..SESSION.find("desktop").unwrap()];
    let (_directory, path) = written(cut);
    let (_proxy, address) = replay(&path, &["--speed", "max"]);
    let heard = Client::open(address).read_to_close();
    assert_eq!(heard, (SAID[..19].to_vec(), Some((1000, "Target closed".to_owned()))));
    let told = summary(&path);
    assert_eq!(told.code, 0);
    assert!(told.stdout.contains("\nend        none: it was cut off, or is still being written\n"), "{}", told.stdout);

    let (_directory, path) = written(SESSION.replace("'{1200{", "'{1200|"));
    let (proxy, address) = replay(&path, &[]);
    let (heard, close) = Client::open(address).read_to_close();
    assert_eq!((heard.as_slice(), close.unwrap().0), (&SAID[..19], 1011));
    let line = proxy.log_line("the replay ends here: ");
    assert!(line.contains("session.1:5: the string is not an entry"), "{line}");
    let told = summary(&path);
    let said = format!("websockify: error: {}:5: the string is not an entry", path.display());
    assert!(told.code == 65 && told.stdout.is_empty() && told.stderr.starts_with(&said), "{told:?}");
}

#[test]
fn what_is_no_recording_is_refused_before_anybody_connects() {
    let (directory, path) = written("<html>\n");
    let file = path.to_str().unwrap();
    for arguments in [&["replay", file, "127.0.0.1:0"][..], &["replay", "--summary", file]] {
        let refused = run(arguments);
        let said = format!("websockify: error: {file}:1: not a recording: it begins with 'var VNC_frame_data = ['\n");
        assert_eq!((refused.code, refused.stdout, refused.stderr), (65, String::new(), said));
    }
    let missing = directory.path().join("missing");
    let refused = run(&["replay", missing.to_str().unwrap(), "127.0.0.1:0"]);
    let said =
        format!("websockify: error: cannot open {}: No such file or directory (os error 2)\n", missing.display());
    assert_eq!((refused.code, refused.stderr), (71, said));
}

/// Nobody writes into the FIFO: whoever opens it waits.
#[test]
fn what_is_no_file_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    for path in [fifo.as_path(), directory.path(), Path::new("/dev/null")] {
        let file = path.to_str().unwrap();
        for arguments in [&["replay", file, "127.0.0.1:0"][..], &["replay", "--summary", file]] {
            let refused = run(arguments);
            let said = format!("websockify: error: {file} is not a regular file\n");
            assert_eq!((refused.code, refused.stdout, refused.stderr), (65, String::new(), said));
        }
    }
}

#[test]
fn a_summary_that_cannot_be_written_is_an_error_unless_nobody_wants_it() {
    let (_directory, path) = written(SESSION);
    let mut command = Command::new(BINARY);
    command.args(["replay", "--summary"]).arg(&path).stderr(Stdio::piped());
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let told = command.stdout(full).output().unwrap();
    let said = "websockify: error: cannot write the summary: No space left on device (os error 28)\n";
    assert_eq!((told.status.code(), String::from_utf8_lossy(&told.stderr).as_ref()), (Some(71), said));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let told = command.stdout(writer).output().unwrap();
    assert_eq!((told.status.code(), String::from_utf8_lossy(&told.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_summary_tells_what_is_in_a_recording() {
    let (_directory, path) = written(SESSION);
    let told = summary(&path);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let expected = r#"file       not compressed
end        whole
duration   1s 200ms
target     27 bytes in 3 entries
  begins   "RFB 003.008\nit\'s a \xffdesktop"
client     6 bytes in 1 entry
  begins   "secret"

"#;
    assert!(told.stdout.starts_with(expected), "{}", told.stdout);
    let chart: Vec<&str> = told.stdout[expected.len()..].lines().collect();
    assert_eq!(chart.len(), 5, "{chart:#?}");
    assert!(told.stdout.is_ascii() && chart.iter().all(|line| line.len() < 80), "{chart:#?}");
    // The busiest moment is the greeting, then there is nothing for a while.
    assert!(chart[0].starts_with("target     @          "), "{chart:#?}");
    assert!(chart[2].starts_with("client      @") || chart[2].starts_with("client     @"), "{chart:#?}");
    assert!(chart[4].starts_with("           0") && chart[4].ends_with("1s 200ms"), "{chart:#?}");
}

#[test]
fn a_summary_says_when_it_does_not_show_all_and_counts_as_people_do() {
    let (_directory, path) =
        written(format!("var VNC_frame_data = [\n'{{3{{{}',\n'}}17}}k',\n'EOF'];\n", "\\xff".repeat(30)));
    let told = summary(&path).stdout;
    let shown = r"\xff".repeat(16);
    assert!(told.contains(&format!("\ntarget     30 bytes in 1 entry\n  begins   \"{shown}\"...\n")), "{told}");
    assert!(told.contains("\nclient     1 byte in 1 entry\n  begins   \"k\"\n"), "{told}");
}

/// A terminal of that width, by way of script(1).
#[test]
fn on_a_terminal_the_timeline_fits_and_is_drawn_in_blocks() {
    let mut text = String::from("var VNC_frame_data = [\n");
    for second in 0..600_u64 {
        let bytes = "x".repeat(usize::try_from(second % 60).unwrap() + 1);
        writeln!(text, "'{{{0}{{{bytes}',", second * 1000).unwrap();
    }
    text += "'EOF'];\n";
    let (_directory, path) = written(text);
    for columns in [40, 80, 200] {
        let shell = format!("stty rows 24 cols {columns}; '{BINARY}' replay --summary '{}'", path.display());
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &shell, "/dev/null"]).env("LC_ALL", "C.UTF-8");
        let shown = outcome(command.stdin(Stdio::null())).stdout;
        let chart = shown
            .lines()
            .find(|line| line.starts_with("target     ") && line.contains('█'))
            .unwrap_or_else(|| panic!("{shown}"));
        let width = chart.trim_end_matches('\r').chars().count();
        assert!(width < columns && width + 2 >= columns, "{width} of {columns} columns: {chart}");
    }
}

/// Streamed, and not held.
#[test]
fn a_large_recording_is_replayed_in_little_memory() {
    let mut text = String::from("var VNC_frame_data = [\n");
    let piece = "\\xff".repeat(16 * 1024);
    for time in 0..2000 {
        writeln!(text, "'{{{time}{{{piece}',").unwrap();
    }
    text += "'EOF'];\n";
    let (_directory, path) = written(text);
    let (proxy, address) = replay(&path, &["--speed", "max"]);
    let before = proxy.private_memory();
    let mut client = Client::open(address);
    for _ in 0..200 {
        client.read_frame();
    }
    let growth = proxy.private_memory().saturating_sub(before);
    assert!(growth < 4 << 20, "{growth} bytes more");
}
