//! Measures, in one interleaved run, what this project's websockify costs beside its predecessor (Debian's
//! package) and beside the floor, a raw TCP relay of a few lines.
//!
//! The figures are CPU seconds of the proxy and not wall-clock time: with proxy, generator and target on one
//! small machine the clock shows mostly the generator. Every round measures every candidate in every
//! scenario, in shuffled order; the candidates of one scenario stand next to each other in time, so that
//! the ratio of a pair owes little to the machine's mood. Many short rounds serve that better than few long
//! ones. See `statistics` for what is made of the rounds
//! and `process_tree` for how CPU time and memory are read.

mod candidates;
mod floor;
mod generator;
mod machine;
mod payload;
mod process_tree;
mod recording;
mod report;
mod scenarios;
mod statistics;
mod targets;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use candidates::{Kind, Settings};
use machine::{Cpus, Description};
use report::{Record, Run};
use scenarios::{Bench, Scenario};
use statistics::Random;
use targets::Targets;

const HELP: &str = "\
Measures websockify, Debian's websockify and a raw relay in one interleaved run.

Usage: websockify-bench [OPTIONS]

  --quick              fewer rounds and less work in each: under two minutes
  --rounds N           rounds (default 15, with --quick 5)
  --only LIST          of floor,websockify,debian (default: all)
  --scenarios LIST     of bulk-down,bulk-up,echo,connects,idle (default: all)
  --websockify PATH    the program to measure (default: target/release/websockify)
  --debian PATH        its predecessor (default: /usr/bin/websockify)
  --seed N             repeat the order of an earlier run
  --recording          measure what --record costs instead: with it and without, and with a disk that
                       stands still (as root; --rounds, --websockify and --seed go with it)
  --apart              load and proxy on CPUs of their own in every scenario, not only in bulk
  --markdown           print the README's table, and nothing else, on stdout
  --json PATH          where the raw results go (default: target/bench/latest.json)
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
    seed: u64,
    apart: bool,
    topic: Topic,
    markdown: bool,
    json: PathBuf,
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
            seed: since_epoch.as_secs(),
            apart: false,
            topic: Topic::Comparison,
            markdown: false,
            json: root.join("target/bench/latest.json"),
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
                "--seed" => options.seed = number(&option, &value()?)?,
                "--apart" => options.apart = true,
                "--recording" => {
                    options.topic = Topic::Recording;
                    options.kinds = vec![Kind::Websockify];
                }
                "--markdown" => options.markdown = true,
                "--json" => options.json = value()?.into(),
                _ => return Err(format!("unknown option {option} (see --help)")),
            }
        }
        if options.rounds == Some(0) {
            return Err("--rounds: at least one round is needed".to_owned());
        }
        Ok(options)
    }

    /// A candidate that is missing is an error, and left out only when the command line says so.
    fn require_candidates(&self) -> Result<(), String> {
        let needed = [
            (Kind::Websockify, &self.websockify, "build it (cargo build --release)"),
            (Kind::Debian, &self.debian, "install Debian's package websockify"),
        ];
        for (kind, path, cure) in needed {
            if self.kinds.contains(&kind) && !path.is_file() {
                return Err(format!("{} is missing: {cure}, or choose with --only", path.display()));
            }
        }
        Ok(())
    }
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
        ["floor", target] => floor(target),
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

fn floor(target: &str) -> Result<(), String> {
    let target: SocketAddr = target.parse().map_err(|_| format!("{target:?} is no address"))?;
    let run = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        eprintln!("listening on {}", listener.local_addr()?);
        floor::run(&listener, target)
    };
    run().map_err(|error| error.to_string())
}

fn bench(options: &Options) -> Result<(), String> {
    options.require_candidates()?;
    machine::allow_open_files(scenarios::OPEN_FILES);
    let cpus = Cpus::choose(options.apart);
    let settings = Settings { websockify: options.websockify.clone(), debian: options.debian.clone(), cpus };
    if options.topic == Topic::Recording {
        return recording::run(settings, options.rounds, options.seed, &root().join("target/bench/recording"));
    }
    let bench = Bench { settings, targets: Targets::start(cpus), quick: options.quick };
    let mut run = Run {
        description: Description::new(&options.websockify, root()),
        cpus,
        seed: options.seed,
        rounds: options.rounds.unwrap_or(if options.quick { 5 } else { 15 }),
        quick: options.quick,
        scenarios: options.scenarios.clone(),
        kinds: options.kinds.clone(),
        records: Vec::new(),
    };
    eprintln!("{}", run.heading());
    measure(&bench, &mut run);
    let rows = run.rows();
    if options.markdown {
        print!("{}", report::markdown(&rows));
    } else {
        println!("{}\n{}\n\n{}", run.heading(), run.steal(), report::table(&rows));
    }
    save(&options.json, &run.json(&rows))
}

fn measure(bench: &Bench, run: &mut Run) {
    let mut random = Random::new(run.seed);
    let (mut scenarios, mut kinds) = (run.scenarios.clone(), run.kinds.clone());
    for round in 1..=run.rounds {
        random.shuffle(&mut scenarios);
        for scenario in &scenarios {
            random.shuffle(&mut kinds);
            for &kind in &kinds {
                let measurement = bench.measure(scenario, kind);
                eprintln!(
                    "round {round}/{}  {:<9}  {:<10}  {:>9.3} {:<17}  {:>6.2} s  steal {:.1} %",
                    run.rounds,
                    scenario.name,
                    kind.name(),
                    measurement.value,
                    scenario.unit,
                    measurement.wall.as_secs_f64(),
                    measurement.steal * 100.0,
                );
                run.records.push(Record { round, scenario: scenario.name, kind, measurement });
            }
        }
    }
}

fn save(path: &Path, results: &serde_json::Value) -> Result<(), String> {
    let write = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, format!("{results:#}\n"))
    };
    write().map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("raw results in {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn lists_choose_in_their_own_order() {
        let options = parse(&["--only", "debian,floor", "--scenarios", "echo"]).unwrap();
        assert_eq!(options.kinds, [Kind::Floor, Kind::Debian]);
        assert_eq!(options.scenarios.len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for words in [&["--only", "nginx"][..], &["--only"], &["--rounds", "many"], &["--rounds", "0"], &["--fast"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_missing_candidate_is_an_error_unless_left_out() {
        let missing = ["--websockify", "/nonexistent/websockify"];
        let with = parse(&missing).unwrap();
        assert!(with.require_candidates().unwrap_err().contains("/nonexistent/websockify"));
        let without = parse(&[&missing[..], &["--only", "floor"]].concat()).unwrap();
        assert!(without.require_candidates().is_ok());
    }
}
