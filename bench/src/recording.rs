//! What `--record` costs: websockify with it and without, in one interleaved run, and a disk that stands still.
//!
//! A recording can be no faster than its disk, and one that cannot keep up ends. So the load comes at a pace that it can keep, the
//! same for both, and each measurement proves that the recording is whole. The figures are CPU seconds of the whole process, the
//! writing thread's among them, and the kernel's copying into its page cache; what the kernel does later to bring that to the disk
//! is nobody's.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::candidates::{Kind, Proxy, Settings};
use crate::generator::{BULK_BUFFER, Image, SMALL_BUFFER, Session};
use crate::machine;
use crate::payload::{BLOCK, BLOCK_BYTES};
use crate::scenarios::{Measurement, cpu_cost};
use crate::statistics::{Random, estimate, median, paired_ratios};
use crate::targets::Targets;

const ROUNDS: usize = 7;
/// The pace of the bulk loads.
const BYTES_PER_SECOND: f64 = 100e6;
const PIECE: usize = 1 << 20;
const BULK_BYTES: usize = 256 << 20;
const WARM_UP_BYTES: usize = 16 << 20;
const MESSAGES: usize = 20_000;
const WARM_UP_MESSAGES: usize = 500;
/// How long the disk stands still, and how long the session is watched after that, when all is written at once.
const STILL: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(2);

struct Load {
    name: &'static str,
    unit: &'static str,
    measure: fn(&Recorded, bool) -> Measurement,
}

const LOADS: [Load; 3] = [
    Load { name: "bulk-down", unit: "CPU s/GB", measure: bulk_down },
    Load { name: "bulk-up", unit: "CPU s/GB", measure: bulk_up },
    Load { name: "echo", unit: "CPU us/message", measure: echo },
];

/// What all measurements share.
struct Recorded {
    settings: Settings,
    targets: Targets,
    directory: PathBuf,
}

/// Measures, and prints a table.
pub fn run(settings: Settings, rounds: Option<usize>, seed: u64, directory: &Path) -> Result<(), String> {
    let targets = Targets::start(settings.cpus);
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let recorded = Recorded { settings, targets, directory: directory.to_owned() };
    let mut random = Random::new(seed);
    let mut figures = LOADS.map(|_| [Vec::new(), Vec::new()]);
    let rounds = rounds.unwrap_or(ROUNDS);
    for round in 1..=rounds {
        for (load, figures) in LOADS.iter().zip(&mut figures) {
            let mut ways = [false, true];
            random.shuffle(&mut ways);
            for records in ways {
                let measurement = (load.measure)(&recorded, records);
                let way = if records { "recorded" } else { "plain" };
                eprintln!(
                    "round {round}/{rounds}  {:<9}  {way:<8}  {:>8.3} {}",
                    load.name, measurement.value, load.unit
                );
                figures[usize::from(records)].push(measurement.value);
            }
        }
    }
    println!("{:<10} {:<15} {:>8} {:>9}  ratio, with its 95 % interval", "load", "unit", "plain", "recorded");
    for (load, [plain, with]) in LOADS.iter().zip(&figures) {
        let ratio = estimate(&paired_ratios(with, plain), &mut random).ok_or("no rounds")?;
        println!(
            "{:<10} {:<15} {:>8.3} {:>9.3}  {:.3} ({:.3} to {:.3})",
            load.name,
            load.unit,
            median(plain).unwrap_or_default(),
            median(with).unwrap_or_default(),
            ratio.median,
            ratio.low,
            ratio.high
        );
    }
    let (moving, still) = recorded.longest_round_trips()?;
    println!(
        "longest round trip in {} s: {:.1} ms before the disk stood still, {:.1} ms while it did and just after",
        STILL.as_secs(),
        moving.as_secs_f64() * 1e3,
        still.as_secs_f64() * 1e3
    );
    Ok(())
}

fn bulk_down(recorded: &Recorded, records: bool) -> Measurement {
    machine::pin(recorded.settings.cpus.generator);
    recorded.measure(records, recorded.targets.source, BULK_BUFFER, BULK_BYTES, |session, warm_up| {
        let mut pace = Pace::begin();
        for _ in 0..if warm_up { WARM_UP_BYTES } else { BULK_BYTES } / PIECE {
            session.send_payload(&(PIECE as u64).to_be_bytes());
            session.receive_bulk(PIECE);
            pace.keep(PIECE);
        }
    })
}

fn bulk_up(recorded: &Recorded, records: bool) -> Measurement {
    machine::pin(recorded.settings.cpus.generator);
    recorded.measure(records, recorded.targets.sink, BULK_BUFFER, BULK_BYTES, |session, warm_up| {
        let block = Image::new(session.wire(), &BLOCK);
        let mut pace = Pace::begin();
        for _ in 0..if warm_up { WARM_UP_BYTES } else { BULK_BYTES } / PIECE {
            session.send_payload(&(PIECE as u64).to_be_bytes());
            for _ in 0..PIECE / BLOCK_BYTES {
                session.send(&block);
            }
            session.receive(&mut [0; 8]); // the target has all of it
            pace.keep(PIECE);
        }
    })
}

fn echo(recorded: &Recorded, records: bool) -> Measurement {
    machine::pin(recorded.settings.cpus.turns());
    let mut number = 0;
    let mut measurement =
        recorded.measure(records, recorded.targets.echo, SMALL_BUFFER, MESSAGES, |session, warm_up| {
            let mut message = Image::new(session.wire(), &[0x5a; 64]);
            for _ in 0..if warm_up { WARM_UP_MESSAGES } else { MESSAGES } {
                number += 1;
                session.echo(&mut message, number);
            }
        });
    measurement.value /= 1e3; // microseconds a message, and not seconds a thousand million
    measurement
}

/// Keeps the load to [`BYTES_PER_SECOND`].
struct Pace {
    begun: Instant,
    moved: usize,
}

impl Pace {
    fn begin() -> Self {
        Self { begun: Instant::now(), moved: 0 }
    }

    fn keep(&mut self, bytes: usize) {
        self.moved += bytes;
        let due = Duration::from_secs_f64(self.moved as f64 / BYTES_PER_SECOND);
        thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }
}

impl Recorded {
    fn start(&self, directory: Option<&Path>, target: std::net::SocketAddr) -> Proxy {
        let file = directory.map(|directory| directory.join("session").display().to_string());
        let options: Vec<&str> = file.iter().flat_map(|file| ["--record", file]).collect();
        Proxy::start_with(&self.settings, target, &options)
    }

    fn measure(
        &self,
        records: bool,
        target: std::net::SocketAddr,
        buffer: usize,
        amount: usize,
        mut work: impl FnMut(&mut Session, bool),
    ) -> Measurement {
        let proxy = self.start(records.then_some(&self.directory), target);
        let mut session = Session::open(proxy.address, Kind::Websockify.wire(), buffer, 0);
        work(&mut session, true);
        let measurement = cpu_cost(&proxy, amount, 1e9, || work(&mut session, false));
        session.close();
        proxy.stop();
        if records {
            self.take_recording(amount);
        }
        measurement
    }

    /// The one recording, which must be whole.
    fn take_recording(&self, at_least: usize) {
        let path = self.directory.join("session.1");
        let mut file = fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let length = file.seek(SeekFrom::End(0)).expect("a file has a length");
        assert!(length > at_least as u64, "{} has {length} bytes", path.display());
        file.seek(SeekFrom::End(-8)).expect("it is longer than that");
        let mut end = String::new();
        file.read_to_string(&mut end).expect("a recording is ASCII");
        assert_eq!(end, "'EOF'];\n", "{} is not whole", path.display());
        fs::remove_file(&path).expect("it can be removed");
    }

    /// The longest round trips of a session whose recording is on a disk: while it moves, and while it stands still.
    fn longest_round_trips(&self) -> Result<(Duration, Duration), String> {
        let disk = Disk::mount(&self.directory)?;
        machine::pin(self.settings.cpus.generator);
        let proxy = self.start(Some(&disk.mounted), self.targets.echo);
        let mut session = Session::open(proxy.address, Kind::Websockify.wire(), SMALL_BUFFER, 0);
        let mut message = Image::new(session.wire(), &[0x5a; 64]);
        let mut number = 0;
        let mut watch = |time: Duration| {
            let (begun, mut longest) = (Instant::now(), Duration::ZERO);
            while begun.elapsed() < time {
                number += 1;
                let sent = Instant::now();
                session.echo(&mut message, number);
                longest = longest.max(sent.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            longest
        };
        let moving = watch(STILL);
        disk.freeze("--freeze")?;
        let still = watch(STILL);
        disk.freeze("--unfreeze")?;
        let after = watch(AFTER);
        session.close();
        proxy.stop();
        Ok((moving, still.max(after)))
    }
}

/// A file system of its own, in a file.
struct Disk {
    mounted: PathBuf,
}

impl Disk {
    fn mount(directory: &Path) -> Result<Self, String> {
        let (image, mounted) = (directory.join("disk"), directory.join("mounted"));
        let path = |path: &Path| path.display().to_string();
        let made = fs::create_dir_all(&mounted).and_then(|()| fs::File::create(&image)?.set_len(64 << 20));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        command("mkfs.ext4", &["-q", "-F", &path(&image)])?;
        command("mount", &["-o", "loop", &path(&image), &path(&mounted)])?;
        Ok(Self { mounted })
    }

    fn freeze(&self, how: &str) -> Result<(), String> {
        command("fsfreeze", &[how, &self.mounted.display().to_string()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mounted = self.mounted.display().to_string();
        let _ = command("fsfreeze", &["--unfreeze", &mounted]); // it may be moving already
        if let Err(error) = command("umount", &["--lazy", &mounted]) {
            eprintln!("websockify-bench: {error}");
        }
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
