//! Measures, in one interleaved run, what this project's websockify costs beside its predecessor (Debian's
//! package), its peers (websocat, `HAProxy`, nginx) and the floor, raw TCP relays of a few lines.
//!
//! The figures are CPU seconds of the proxy and not wall-clock time: with proxy, generator and target on one
//! small machine the clock shows mostly the generator. Every round measures every candidate in every
//! scenario, in shuffled order; the candidates of one scenario stand next to each other in time, so that
//! the ratio of a pair owes little to the machine's mood. Many short rounds serve that better than few long
//! ones. See `statistics` for what is made of the rounds, `process_tree` for how CPU time and memory are read, and `marks` for
//! what the figures are held against.

mod candidates;
mod chart;
mod configuration;
mod floor;
mod generator;
mod machine;
mod marks;
mod payload;
mod process_tree;
mod recording;
mod report;
mod scenarios;
mod statistics;
mod targets;
mod tls;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use candidates::{Kind, Settings};
use machine::{Cpus, Description};
use report::{Record, Run};
use scenarios::{Bench, Measurement, Scenario};
use statistics::Random;
use targets::Targets;
use tls::Certificates;

const HELP: &str = "\
Measures websockify, its peers and raw relays in one interleaved run.

Usage: websockify-bench [OPTIONS]

  --quick              one round and less work in it: under three minutes
  --rounds N           rounds (default 7, with --quick 1)
  --only LIST          of copy-64k,copy-256k,splice,websockify,haproxy,haproxy-splice,nginx,debian,websocat (default: all)
  --scenarios LIST     of bulk-down,bulk-up,bulk-both,tls-down,tls-up,echo,echo-32,echo-256,echo-1k,echo-1k-32,
                       echo-1k-256,frames-up,frames-both,small-down,connects,connects-ecdsa,connects-rsa,
                       connects-resumed,idle,idle-tls,blocked,mix (default: all)
  --websockify PATH    the program to measure (default: target/release/websockify)
  --debian PATH        its predecessor (default: /usr/bin/websockify)
  --websocat PATH      (default: target/tools/bin/websocat)
  --unpacked PATH      where HAProxy and nginx were unpacked (default: target/unpacked)
  --seed N             repeat the order of an earlier run
  --recording          measure what --record costs instead: with it and without, and with a disk that
                       stands still (as root; --rounds, --websockify and --seed go with it)
  --apart              load and proxy on CPUs of their own in every scenario, not only in bulk
  --markdown           print the README's table, and nothing else, on stdout
  --results PATH       the directory for raw results, tables and pictures (default: target/bench)
  --help               this text

Paths by default are those of the repository this was built in.
";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    Comparison,
    Recording,
}

struct Options {
    quick: bool,
    rounds: Option<usize>,
    kinds: Vec<Kind>,
    scenarios: Vec<Scenario>,
    websockify: PathBuf,
    debian: PathBuf,
    websocat: PathBuf,
    unpacked: PathBuf,
    seed: u64,
    apart: bool,
    topic: Topic,
    markdown: bool,
    results: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let root = root();
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options = Self {
            quick: false,
            rounds: None,
            kinds: Kind::ALL.to_vec(),
            scenarios: scenarios::ALL.to_vec(),
            websockify: root.join("target/release/websockify"),
            debian: PathBuf::from("/usr/bin/websockify"),
            websocat: root.join("target/tools/bin/websocat"),
            unpacked: root.join("target/unpacked"),
            seed: since_epoch.as_secs(),
            apart: false,
            topic: Topic::Comparison,
            markdown: false,
            results: root.join("target/bench"),
        };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = Some(number(&option, &value()?)?),
                "--only" => options.kinds = chosen(&Kind::ALL, |kind| kind.name(), &value()?)?,
                "--scenarios" => {
                    options.scenarios = chosen(&scenarios::ALL, |scenario| scenario.name, &value()?)?;
                }
                "--websockify" => options.websockify = value()?.into(),
                "--debian" => options.debian = value()?.into(),
                "--websocat" => options.websocat = value()?.into(),
                "--unpacked" => options.unpacked = value()?.into(),
                "--seed" => options.seed = number(&option, &value()?)?,
                "--apart" => options.apart = true,
                "--recording" => {
                    options.topic = Topic::Recording;
                    options.kinds = vec![Kind::Websockify];
                }
                "--markdown" => options.markdown = true,
                "--results" => options.results = value()?.into(),
                _ => return Err(format!("unknown option {option} (see --help)")),
            }
        }
        if options.rounds == Some(0) {
            return Err("--rounds: at least one round is needed".to_owned());
        }
        Ok(options)
    }

    fn settings(&self) -> Result<Settings, String> {
        let scratch = root().join("target/bench/scratch");
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        Ok(Settings {
            websockify: self.websockify.clone(),
            debian: self.debian.clone(),
            websocat: self.websocat.clone(),
            unpacked: self.unpacked.clone(),
            certificates: Certificates::make(&scratch)?,
            scratch,
            sessions: scenarios::sessions_max(self.quick),
            cpus: Cpus::choose(self.apart),
        })
    }
}

/// A candidate that is missing is an error, and left out only when the command line says so.
fn require_candidates(settings: &Settings, kinds: &[Kind]) -> Result<(), String> {
    for &kind in kinds {
        let Some(path) = settings.program(kind).filter(|path| !path.is_file()) else { continue };
        let cure = match kind {
            Kind::Websockify => "build it (make build)",
            _ => "install it (tests/setup bench)",
        };
        return Err(format!("{} is missing: {cure}, or choose others with --only", path.display()));
    }
    Ok(())
}

/// The items that a list names, in their own order.
fn chosen<T: Copy>(all: &[T], name: impl Fn(&T) -> &str, list: &str) -> Result<Vec<T>, String> {
    let names: Vec<&str> = list.split(',').collect();
    if let Some(unknown) = names.iter().find(|&&wanted| all.iter().all(|item| name(item) != wanted)) {
        let known: Vec<&str> = all.iter().map(name).collect();
        return Err(format!("unknown {unknown:?}: there are {}", known.join(", ")));
    }
    Ok(all.iter().filter(|item| names.contains(&name(item))).copied().collect())
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option}: {text:?} is no number"))
}

/// The repository, as it was when this was built.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the repository")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        // These two are how this program starts itself; see `candidates`.
        ["launch", cpu, program, ..] => launch(cpu, program, &words[3..]),
        ["floor", name, address, target] => floor(name, address, target),
        ["--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Options::parse(arguments.into_iter()).and_then(|options| bench(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("websockify-bench: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes `program`, on its CPU, and to be killed should the benchmark vanish without ending it.
fn launch(cpu: &str, program: &str, arguments: &[&str]) -> Result<(), String> {
    machine::pin(number("launch", cpu)?);
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|error| format!("the parent's death cannot be watched: {error}"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(format!("{program}: {error}"))
}

fn floor(name: &str, address: &str, target: &str) -> Result<(), String> {
    let parse = |text: &str| text.parse::<SocketAddr>().map_err(|_| format!("{text:?} is no address"));
    let (address, target) = (parse(address)?, parse(target)?);
    let way = Kind::ALL.into_iter().find(|kind| kind.name() == name).and_then(Kind::floor);
    let way = way.ok_or_else(|| format!("{name:?} is no floor"))?;
    let run = || floor::run(&TcpListener::bind(address)?, target, way);
    run().map_err(|error| error.to_string())
}

fn bench(options: &Options) -> Result<(), String> {
    let settings = options.settings()?;
    require_candidates(&settings, &options.kinds)?;
    // Two sockets for a session in each proxy, and its ends in this process; what is over is for the rest.
    machine::allow_open_files(2 * settings.sessions as u64 + 500);
    let (seed, cpus) = (options.seed, settings.cpus);
    if options.topic == Topic::Recording {
        return recording::run(settings, options.rounds, seed, &root().join("target/bench/recording"));
    }
    let mut run = Run {
        description: Description::new(&settings, &options.kinds, root()),
        cpus,
        seed,
        rounds: options.rounds.unwrap_or(if options.quick { 1 } else { 7 }),
        quick: options.quick,
        scenarios: options.scenarios.clone(),
        kinds: options.kinds.clone(),
        records: Vec::new(),
    };
    let bench = Bench { settings, targets: Targets::start(cpus), quick: options.quick };
    eprintln!("{}", run.heading());
    measure(&bench, &mut run)?;
    let (rows, verdicts) = (run.rows(), marks::verdicts(&run));
    let table = report::table(&run, &rows, &verdicts);
    if options.markdown {
        print!("{}", report::readme(&rows));
    } else {
        println!("{table}\n{}", report::summary(&verdicts));
    }
    save(&options.results, &run, &table, &rows, &run.json(&rows, &verdicts))
}

/// Of figures that hardly differ, so many rounds are enough.
const STEADY_ROUNDS: usize = 3;

fn measure(bench: &Bench, run: &mut Run) -> Result<(), String> {
    let mut random = Random::new(run.seed);
    let mut scenarios = run.scenarios.clone();
    for round in 1..=run.rounds {
        random.shuffle(&mut scenarios);
        for scenario in scenarios.iter().filter(|scenario| !scenario.steady || round <= STEADY_ROUNDS) {
            let mut kinds: Vec<Kind> = scenario.kinds.iter().copied().filter(|kind| run.kinds.contains(kind)).collect();
            random.shuffle(&mut kinds);
            for kind in kinds {
                let measurements = measure_one(bench, scenario, kind)?;
                for (metric, measurement) in scenario.metrics.iter().zip(measurements) {
                    eprintln!(
                        "round {round}/{}  {:<16}  {:<14}  {:>9.3} {:<17}  {:>6.2} s  steal {:.1} %",
                        run.rounds,
                        metric.name,
                        kind.name(),
                        measurement.value,
                        metric.unit,
                        measurement.wall.as_secs_f64(),
                        measurement.steal * 100.0,
                    );
                    run.records.push(Record { round, metric, kind, measurement });
                }
            }
        }
    }
    Ok(())
}

/// A candidate that hangs, dies or loses bytes ends the run, and is named. Those that are not ours get a second try: on a busy
/// machine websocat now and then hangs.
fn measure_one(bench: &Bench, scenario: &Scenario, kind: Kind) -> Result<Vec<Measurement>, String> {
    let ours = kind == Kind::Websockify || kind.floor().is_some();
    for last in if ours { &[true][..] } else { &[false, true] } {
        match catch_unwind(AssertUnwindSafe(|| bench.measure(scenario, kind))) {
            Ok(measurements) => return Ok(measurements),
            Err(_) if !last => eprintln!("{} in {}: once more", kind.name(), scenario.name),
            Err(_) => {}
        }
    }
    Err(format!("{} does not get through {}: what went wrong stands above", kind.name(), scenario.name))
}

fn save(
    directory: &Path,
    run: &Run,
    table: &str,
    rows: &[report::Row],
    json: &serde_json::Value,
) -> Result<(), String> {
    let mut files = vec![("results.json".to_owned(), format!("{json:#}\n")), ("README.md".to_owned(), results(table))];
    let mut charts: Vec<&str> = run.scenarios.iter().map(|scenario| scenario.chart).collect();
    charts.sort_unstable();
    charts.dedup();
    for chart in charts {
        let panels: Vec<&report::Row> = rows.iter().filter(|row| row.chart == chart).collect();
        files.push((format!("{chart}.svg"), chart::svg(&panels)));
    }
    let write = || {
        fs::create_dir_all(directory)?;
        files.iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
    };
    write().map_err(|error| format!("{}: {error}", directory.display()))?;
    eprintln!("raw results, tables and pictures are in {}", directory.display());
    Ok(())
}

/// The tables as a page.
fn results(table: &str) -> String {
    format!(
        "# The last full run of `make bench`\n\n\
         Less is better everywhere. Pictures: the `.svg` files beside this one; everything that was measured: `results.json`. What the \
         scenarios are is said in `bench/src/scenarios`.\n\n{table}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn lists_choose_in_their_own_order() {
        let options = parse(&["--only", "debian,copy-64k", "--scenarios", "echo"]).unwrap();
        assert_eq!(options.kinds, [Kind::Copy64, Kind::Debian]);
        assert_eq!(options.scenarios.len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for words in [&["--only", "apache"][..], &["--only"], &["--rounds", "many"], &["--rounds", "0"], &["--fast"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_help_names_every_candidate_and_scenario() {
        let words: Vec<&str> = HELP.split([',', ' ', '\n']).collect();
        let names = Kind::ALL.iter().map(|kind| kind.name()).chain(scenarios::ALL.iter().map(|scenario| scenario.name));
        for name in names {
            assert!(words.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_missing_candidate_is_an_error_unless_left_out() {
        let options = parse(&["--websockify", "/nonexistent/websockify"]).unwrap();
        let settings = options.settings().unwrap();
        assert!(require_candidates(&settings, &[Kind::Websockify]).unwrap_err().contains("/nonexistent/websockify"));
        assert!(require_candidates(&settings, &[Kind::Copy64]).is_ok());
    }
}
