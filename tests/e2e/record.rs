//! Recordings: what is in them, what they are called, who may read them, and that no disk stalls or ends a session.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;

use crate::support::client::{BINARY, CONTINUATION, Client, FIN, frame};
use crate::support::command::outcome;
use crate::support::proxy::{self, Proxy};
use crate::support::route::{Secure, serve, toml};
use crate::support::target::{Target, echo};
use crate::support::web::get;
use crate::support::{eventually, noise, pass};

/// A proxy that records as `--record DIRECTORY/session` says.
fn classic(directory: &Path, target: &Target) -> Proxy {
    let file = directory.join("session");
    Proxy::classic(&["--record", file.to_str().unwrap(), "127.0.0.1:0", &target.address().to_string()])
}

/// A `[record]` table with these keys more.
fn table(directory: &Path, more: &str) -> String {
    format!("[record]\ndirectory = \"{}\"\n{more}\n", directory.display())
}

/// The recordings in a directory, oldest first.
fn recordings(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    // A fresh file system has a directory of its own.
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The content of a recording once it has its end.
fn whole(path: &Path) -> String {
    eventually("the recording is whole", || fs::read_to_string(path).ok().filter(|text| text.ends_with("\n'EOF'];\n")))
}

/// The only recording in a directory, once it is whole.
fn only(directory: &Path) -> (PathBuf, String) {
    let path = eventually("a recording is there", || match recordings(directory).as_slice() {
        [path] => Some(path.clone()),
        _ => None,
    });
    let text = whole(&path);
    (path, text)
}

/// The entries of a recording: the mark and the escaped payload, and the times apart.
fn entries(text: &str) -> (Vec<String>, Vec<u64>) {
    let lines: Vec<&str> = text.lines().collect();
    let [first, lines @ .., last] = lines.as_slice() else { panic!("no recording: {text}") };
    assert_eq!((*first, *last), ("var VNC_frame_data = [", "'EOF'];"));
    let split = |line: &&str| {
        let inner = line.strip_prefix('\'').and_then(|rest| rest.strip_suffix("',")).expect(line);
        let mark = &inner[..1];
        let (time, payload) = inner[1..].split_once(mark).expect(line);
        (format!("{mark}{payload}"), time.parse::<u64>().expect(line))
    };
    lines.iter().map(split).unzip()
}

/// Both sides say something, one after the other.
fn talk<S: std::io::Read + std::io::Write>(client: &mut Client<S>, server: &mut TcpStream) {
    server.write_all(b"RFB 003.008\n").unwrap();
    assert_eq!(client.read_binary(12), b"RFB 003.008\n");
    client.send_binary(b"it's \"x\"\n");
    server.read_exact(&mut [0; 9]).unwrap();
    server.write_all(b"\x00\x7f\xff\\").unwrap();
    client.read_binary(4);
}

const TALK: [&str; 3] = [r"{RFB 003.008\n", r#"}it\'s "x"\n"#, r"{\x00\x7f\xff\\"];

fn end<S: std::io::Read + std::io::Write>(client: &mut Client<S>) {
    client.send_close(1000, "");
    client.read_to_close();
}

#[test]
fn a_classic_recording_is_the_originals_byte_by_byte() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::listen();
    let proxy = classic(directory.path(), &target);
    let begun = Instant::now();
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    talk(&mut client, &mut server);
    pass(Duration::from_millis(300));
    client.send_binary(b"late");
    server.read_exact(&mut [0; 4]).unwrap();
    let lasted = u64::try_from(begun.elapsed().as_millis()).unwrap();
    drop(server);
    end(&mut client);
    let text = whole(&directory.path().join("session.1"));
    let (said, times) = entries(&text);
    assert_eq!(said, [&TALK[..], &["}late"]].concat());
    assert!(times.is_sorted() && times[3] >= 300 && times[3] <= lasted, "{times:?} in {lasted} ms");
    // Not a byte more than those lines.
    let lines = said.iter().zip(&times).map(|(said, time)| format!("'{0}{time}{0}{1}',\n", &said[..1], &said[1..]));
    assert_eq!(text, format!("var VNC_frame_data = [\n{}'EOF'];\n", lines.collect::<String>()));
}

/// As the original counted: requests for pages are connections too.
#[test]
fn a_classic_recording_has_the_number_of_its_connection() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::listen();
    let proxy = classic(directory.path(), &target);
    assert_eq!(get(proxy.address(), "/").head.status, 405);
    let mut second = Client::open(proxy.address());
    drop(target.accept());
    end(&mut second);
    assert_eq!(get(proxy.address(), "/").head.status, 405);
    let mut fourth = Client::open(proxy.address());
    drop(target.accept());
    end(&mut fourth);
    for name in ["session.2", "session.4"] {
        whole(&directory.path().join(name));
    }
    assert_eq!(recordings(directory.path()).len(), 2);
}

#[test]
fn nobody_else_can_read_a_recording_or_the_directory_that_is_made_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made/for/it");
    let target = Target::listen();
    let mut command = Command::new("sh");
    // The loosest umask there is, as the original's own was in the background.
    command.args(["-c", "umask 0; exec \"$0\" \"$@\"", proxy::BINARY]);
    let file = made.join("session");
    command.args(["--record", file.to_str().unwrap(), "127.0.0.1:0", &target.address().to_string()]);
    let proxy = Proxy::start(&mut command);
    let mut client = Client::open(proxy.address());
    drop(target.accept());
    end(&mut client);
    whole(&made.join("session.1"));
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(made.join("session.1")).unwrap().mode() & 0o7777, 0o600);
}

/// Whoever has the old one open, or owns it, reads nothing new.
#[test]
fn a_file_of_that_name_is_replaced_and_not_written_into() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session.1");
    fs::write(&path, "old").unwrap();
    let mut held = fs::File::open(&path).unwrap();
    let target = Target::listen();
    let proxy = classic(directory.path(), &target);
    let mut client = Client::open(proxy.address());
    talk(&mut client, &mut target.accept());
    end(&mut client);
    assert_eq!(entries(&whole(&path)).0, TALK);
    let mut old = String::new();
    held.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old");
}

#[test]
fn a_link_is_not_followed_and_the_session_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, directory.path().join("session.1")).unwrap();
    let target = Target::listen();
    let proxy = classic(directory.path(), &target);
    let mut client = Client::open(proxy.address());
    talk(&mut client, &mut target.accept());
    let line = proxy.log_line("the session goes on unrecorded: ");
    assert!(line.contains("WARN") && line.contains("session.1 is in the way, and no file"), "{line}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

/// The original's files were complete only at the end of their sessions.
#[test]
fn a_stop_ends_every_recording_with_its_footer() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::listen();
    let mut proxy = classic(directory.path(), &target);
    let mut sessions: Vec<(Client, TcpStream)> =
        (0..5).map(|_| (Client::open(proxy.address()), target.accept())).collect();
    for (client, server) in &mut sessions {
        talk(client, server);
    }
    proxy.signal(Signal::SIGTERM);
    proxy.signal(Signal::SIGTERM); // the sessions are cut
    assert_eq!(proxy.exit_code(), 0);
    for number in 1..=5 {
        let text = fs::read_to_string(directory.path().join(format!("session.{number}"))).unwrap();
        assert_eq!(entries(&text).0, TALK, "at the end of the process everything is there");
    }
}

#[test]
fn the_daemons_recordings_are_where_it_was_started() {
    let directory = tempfile::tempdir().unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let target = Target::listen();
    let mut command = Command::new(proxy::BINARY);
    command.current_dir(directory.path());
    command.args(["-D", "--run-once", "--record", "there/session", &address, &target.address().to_string()]);
    assert_eq!(outcome(&mut command).code, 0);
    let address = address.parse().unwrap();
    eventually("it listens", || TcpStream::connect(address).ok());
    let mut client = Client::open(address);
    talk(&mut client, &mut target.accept());
    end(&mut client);
    assert_eq!(entries(&whole(&directory.path().join("there/session.2"))).0, TALK);
}

/// One read of the proxy's is one entry, whatever frames it came in, and what is encrypted is recorded plain.
#[test]
fn what_is_recorded_is_the_payload_and_nothing_of_frames_or_tls() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::listen();
    let secure = Secure::serve(target.address(), &table(directory.path(), ""));
    let mut client = secure.open();
    let mut server = target.accept();
    talk(&mut client, &mut server);
    let ping = frame(FIN | 0x9, b"are you there?");
    client.send(&[frame(BINARY, b"fr"), ping, frame(CONTINUATION, b"agm"), frame(FIN | CONTINUATION, b"ent")].concat());
    let mut got = [0; 8];
    server.read_exact(&mut got[..8]).unwrap();
    assert_eq!(&got, b"fragment");
    drop(server);
    end(&mut client);
    let (said, _) = entries(&only(directory.path()).1);
    assert_eq!(said[..3], TALK);
    let client_said: String = said[3..].iter().map(|entry| entry.strip_prefix('}').unwrap()).collect();
    assert_eq!(client_said, "fragment");
}

#[test]
fn every_byte_of_a_bulk_transfer_is_recorded_once() {
    let directory = tempfile::tempdir().unwrap();
    let proxy = serve(echo(), &table(directory.path(), ""));
    let bytes = noise(8 << 20);
    let mut client = Client::open(proxy.address());
    for piece in bytes.chunks(100_000) {
        client.send_binary(piece);
        assert_eq!(client.read_binary(piece.len()), piece);
    }
    end(&mut client);
    let (path, _) = only(directory.path());
    let summary = outcome(Command::new(proxy::BINARY).args(["replay", "--summary"]).arg(path)).stdout;
    for side in ["target", "client"] {
        let line = summary.lines().find(|line| line.starts_with(side)).unwrap();
        assert!(line.contains(&format!(" {} bytes ", bytes.len())), "{summary}");
    }
}

#[test]
fn a_routes_recording_says_route_time_and_session_and_so_does_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    let target = Target::listen();
    let proxy = serve(target.address(), &table(&kept, ""));
    let mut client = Client::open(proxy.address());
    talk(&mut client, &mut target.accept());
    let line = proxy.log_line("the session is recorded");
    end(&mut client);
    let (path, text) = only(&kept);
    assert_eq!(entries(&text).0, TALK);
    let name = path.file_name().unwrap().to_str().unwrap();
    let session = line.split_once("session=").unwrap().1.split(' ').next().unwrap();
    let time = name.strip_prefix("test-").and_then(|rest| rest.strip_suffix(&format!("-{session}.js"))).unwrap();
    assert!(time.len() == 16 && time.ends_with('Z'), "{name}");
    assert!(line.contains(&format!("file={}", path.display())), "{line}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn compressed_recordings_are_read_by_the_usual_tools_and_by_replay() {
    for (compression, tool) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::listen();
        let more = format!("compression = \"{compression}\"");
        let mut proxy = serve(target.address(), &table(directory.path(), &more));
        let mut client = Client::open(proxy.address());
        talk(&mut client, &mut target.accept());
        end(&mut client);
        proxy.signal(Signal::SIGTERM);
        proxy.wait();
        let path = recordings(directory.path()).remove(0);
        let plain = Command::new(tool).arg("-dc").arg(&path).output();
        let plain = plain.unwrap_or_else(|error| panic!("{tool} is missing: install it: {error}"));
        assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
        assert_eq!(entries(&String::from_utf8(plain.stdout).unwrap()).0, TALK);
        let summary = outcome(Command::new(proxy::BINARY).args(["replay", "--summary"]).arg(&path));
        assert!(summary.stdout.starts_with(&format!("file       {compression}\nend        whole\n")), "{summary:?}");
    }
}

#[test]
fn a_recording_ends_before_its_size_limit_and_the_session_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let proxy = serve(echo(), &table(directory.path(), "size-limit = \"64KiB\""));
    let mut client = Client::open(proxy.address());
    for _ in 0..40 {
        client.send_binary(&[b'a'; 1000]);
        client.read_binary(1000);
    }
    let line = proxy.log_line("the session goes on unrecorded: ");
    assert!(line.contains("has reached record.size-limit"), "{line}");
    let (path, text) = only(directory.path());
    let length = fs::metadata(path).unwrap().len();
    assert!((60 * 1024..=64 * 1024).contains(&length), "{length}");
    assert!(entries(&text).0.len() > 60);
    client.send_binary(b"on");
    assert_eq!(client.read_binary(2), b"on");
}

#[test]
fn no_more_recordings_are_kept_than_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    for day in 1..=9 {
        fs::write(directory.path().join(format!("test-2020010{day}T000000Z-0000000{day}.js")), "old").unwrap();
    }
    fs::write(directory.path().join("notes"), "mine").unwrap();
    let target = Target::listen();
    let proxy = serve(target.address(), &table(directory.path(), "keep-files = 3"));
    let mut client = Client::open(proxy.address());
    talk(&mut client, &mut target.accept());
    let names = eventually("the oldest are gone", || {
        let names: Vec<String> = recordings(directory.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        // The oldest may go before the new one is there: the new one's name is the last then.
        (names.len() == 4 && !names[3].starts_with("test-2020")).then_some(names)
    });
    assert_eq!(names[..3], ["notes", "test-20200108T000000Z-00000008.js", "test-20200109T000000Z-00000009.js"]);
    end(&mut client);
    whole(&directory.path().join(&names[3]));
}

/// After a restart without sessions as well: what is in old recordings does not become less secret.
#[test]
fn what_is_too_old_goes_without_any_session() {
    let directory = tempfile::tempdir().unwrap();
    let [old, young] = [3, 1].map(|hours| {
        let path = directory.path().join(format!("test-20200101T000000Z-0000000{hours}.js"));
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
        path
    });
    let target = Target::listen();
    let _proxy = serve(target.address(), &table(directory.path(), "keep-age = \"2h\""));
    eventually("the old one is gone", || (!old.exists()).then_some(()));
    assert!(young.exists());
}

#[test]
fn what_cannot_be_removed_is_told_once_and_by_its_name_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let stuck = directory.path().join("test-20200101T000000Z-00000001.js");
    let old = directory.path().join("test-20200102T000000Z-00000002.js");
    let target = Target::listen();
    let mut proxy = serve(target.address(), &table(directory.path(), "keep-files = 1"));
    let session = || {
        let mut client = Client::open(proxy.address());
        talk(&mut client, &mut target.accept());
        end(&mut client);
    };
    let old_goes = || eventually("the old one is gone", || (!old.exists()).then_some(()));
    // Before the first session nobody has looked yet; both its beginning and its end do.
    fs::create_dir(&stuck).unwrap();
    for _ in 0..2 {
        fs::write(&old, "old").unwrap();
        session();
        old_goes();
    }
    let line = proxy.log_line("old recordings are not removed");
    assert!(line.contains(&format!("error=\"cannot remove {}\" cause=", stuck.display())), "{line}");
    // It succeeds, and is told again when it fails once more.
    fs::remove_dir(&stuck).unwrap();
    fs::write(&old, "old").unwrap();
    session();
    old_goes();
    only(directory.path());
    fs::create_dir(&stuck).unwrap();
    session();
    proxy.nth_log_line("old recordings are not removed", 1);
    proxy.signal(Signal::SIGTERM);
    proxy.wait();
    assert_eq!(proxy.log_lines().iter().filter(|line| line.contains("old recordings are not removed")).count(), 2);
}

#[test]
fn a_reload_changes_where_new_sessions_are_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let target = Target::listen();
    let proxy = serve(target.address(), &table(&old, ""));
    let mut running = Client::open(proxy.address());
    let mut running_server = target.accept();
    proxy.log_line("the session is recorded");
    proxy.write_route("test", &toml(target.address(), &table(&new, "")));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration reloaded");
    let mut later = Client::open(proxy.address());
    talk(&mut later, &mut target.accept());
    talk(&mut running, &mut running_server);
    proxy.write_route("test", &toml(target.address(), ""));
    proxy.signal(Signal::SIGHUP);
    proxy.nth_log_line("configuration reloaded", 1);
    let mut unrecorded = Client::open(proxy.address());
    talk(&mut unrecorded, &mut target.accept());
    drop(running_server);
    for client in [&mut running, &mut later, &mut unrecorded] {
        end(client);
    }
    for directory in [&old, &new] {
        assert_eq!(entries(&only(directory).1).0, TALK);
    }
}

/// A file system of its own, which ends with the test.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// In memory, and soon full.
    fn tiny() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self { directory };
        root("mount", &["-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", disk.mounted()]);
        disk
    }

    /// One that can be made to stand still.
    fn freezable() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let path = image.path().to_str().unwrap();
        root("mkfs.ext4", &["-q", "-F", path]);
        let disk = Self { directory };
        root("mount", &["-o", "loop", path, disk.mounted()]);
        disk
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn mounted(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").args(["--unfreeze", self.mounted()]).output(); // it may move already
        let _ = Command::new("umount").args(["--lazy", self.mounted()]).output();
    }
}

/// A command that only root can do, and that must work.
fn root(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} is missing: install util-linux and e2fsprogs: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test makes file systems and needs root: {program} {arguments:?}: {said}");
}

#[test]
fn a_full_disk_ends_the_recording_with_its_footer_and_not_the_session() {
    let disk = Disk::tiny();
    let proxy = serve(echo(), &table(disk.path(), ""));
    let mut client = Client::open(proxy.address());
    let bytes = noise(20_000);
    let exchange = |client: &mut Client| {
        client.send_binary(&bytes);
        assert_eq!(client.read_binary(bytes.len()), bytes);
    };
    for _ in 0..20 {
        exchange(&mut client);
    }
    let line = proxy.log_line("the session goes on unrecorded: ");
    assert!(line.contains("cannot write") && line.contains("No space left on device"), "{line}");
    let (path, text) = only(disk.path());
    assert!(fs::metadata(path).unwrap().len() <= 256 * 1024);
    entries(&text);
    for _ in 0..20 {
        exchange(&mut client);
    }
    end(&mut client);
    // Another session finds no room at all: the same record, once, and nothing else happens.
    let mut another = Client::open(proxy.address());
    exchange(&mut another);
    end(&mut another);
    proxy.log_line("session ended: client closed");
    assert!(proxy.log_lines().iter().filter(|line| line.contains("goes on unrecorded")).count() <= 2);
}

/// The freezing of the file system is what backups do to it. Round trips are watched all the while.
#[test]
fn a_disk_that_stands_still_for_ten_seconds_stalls_nobody() {
    let disk = Disk::freezable();
    let proxy = serve(echo(), &table(disk.path(), ""));
    let mut client = Client::open(proxy.address());
    let exchange = |client: &mut Client, number: u32| {
        let sent = Instant::now();
        client.send_binary(&number.to_be_bytes());
        assert_eq!(client.read_binary(4), number.to_be_bytes());
        sent.elapsed()
    };
    exchange(&mut client, 0);
    proxy.log_line("the session is recorded");
    root("fsfreeze", &["--freeze", disk.mounted()]);
    let frozen = Instant::now();
    let (mut number, mut longest) = (0, Duration::ZERO);
    while frozen.elapsed() < Duration::from_secs(10) {
        number += 1;
        longest = longest.max(exchange(&mut client, number));
        pass(Duration::from_millis(2));
    }
    // A session that begins meanwhile has no file yet, and does not miss it.
    let mut another = Client::open(proxy.address());
    exchange(&mut another, 1);
    end(&mut another);
    root("fsfreeze", &["--unfreeze", disk.mounted()]);
    assert!(longest < Duration::from_secs(1), "a round trip took {longest:?}");
    end(&mut client);
    let whole = eventually("both recordings are whole", || {
        let files = recordings(disk.path());
        let texts: Vec<String> = files.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        let texts: Vec<String> = texts.into_iter().filter(|text| text.ends_with("\n'EOF'];\n")).collect();
        (texts.len() == 2).then_some(texts)
    });
    let said: usize = whole.iter().map(|text| entries(text).0.len()).sum();
    assert_eq!(said, 2 * (number as usize + 2), "nothing was lost");
}

#[test]
fn what_a_disk_does_not_take_in_time_ends_the_recording_and_not_the_session() {
    let disk = Disk::freezable();
    let proxy = serve(echo(), &table(disk.path(), ""));
    let mut client = Client::open(proxy.address());
    client.send_binary(b"first");
    client.read_binary(5);
    proxy.log_line("the session is recorded");
    root("fsfreeze", &["--freeze", disk.mounted()]);
    let before = proxy.private_memory();
    let piece = noise(1 << 20);
    for _ in 0..60 {
        client.send_binary(&piece);
        assert_eq!(client.read_binary(piece.len()), piece);
    }
    // While it stands still: whoever looks after it should know now.
    let line = proxy.log_line("the session goes on unrecorded: ");
    assert!(line.contains("the disk does not take it as fast as it comes"), "{line}");
    let growth = proxy.private_memory().saturating_sub(before);
    assert!(growth < 48 << 20, "{growth} bytes wait for the disk");
    root("fsfreeze", &["--unfreeze", disk.mounted()]);
    let (_, text) = only(disk.path());
    assert!(entries(&text).0.len() > 100);
    client.send_binary(b"on");
    assert_eq!(client.read_binary(2), b"on");
    assert_eq!(proxy.log_lines().iter().filter(|line| line.contains("unrecorded")).count(), 1);
}

#[test]
fn a_directory_that_is_removed_ends_the_recording_and_is_made_again_for_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    let target = Target::listen();
    let proxy = serve(target.address(), &table(&kept, ""));
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    talk(&mut client, &mut server);
    proxy.log_line("the session is recorded");
    fs::remove_dir_all(&kept).unwrap();
    eventually("it is noticed", || {
        talk(&mut client, &mut server);
        proxy.log_lines().iter().any(|line| line.contains("unrecorded: somebody has removed")).then_some(())
    });
    let mut next = Client::open(proxy.address());
    talk(&mut next, &mut target.accept());
    end(&mut next);
    assert_eq!(entries(&only(&kept).1).0, TALK);
}

#[test]
fn a_directory_that_cannot_be_made_is_told_and_the_session_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let target = Target::listen();
    let proxy = serve(target.address(), &table(&directory.path().join("file/below"), ""));
    let mut client = Client::open(proxy.address());
    talk(&mut client, &mut target.accept());
    let line = proxy.log_line("the session goes on unrecorded: cannot make the directory");
    assert!(line.contains("cause=\"Not a directory"), "{line}");
}
