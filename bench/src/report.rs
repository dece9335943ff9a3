//! What a run has shown: a table for people, one for the README, and everything as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::candidates::Kind;
use crate::machine::{Cpus, Description};
use crate::scenarios::{Measurement, Scenario};
use crate::statistics::{Estimate, Random, estimate, median, paired_ratios};

/// A measurement and its place in the run.
pub struct Record {
    pub round: usize,
    pub scenario: &'static str,
    pub kind: Kind,
    pub measurement: Measurement,
}

pub struct Run {
    pub description: Description,
    pub cpus: Cpus,
    pub seed: u64,
    pub rounds: usize,
    pub quick: bool,
    pub scenarios: Vec<Scenario>,
    pub kinds: Vec<Kind>,
    /// In the order in which they were taken.
    pub records: Vec<Record>,
}

/// One scenario, over all rounds.
pub struct Row {
    scenario: Scenario,
    /// In the order of `Kind::ALL`; `None` where the candidate did not take part.
    medians: [Option<f64>; 3],
    /// Websockify and Debian's, each over the floor.
    over_floor: [Option<Estimate>; 2],
    debian_over_websockify: Option<Estimate>,
}

impl Run {
    pub fn rows(&self) -> Vec<Row> {
        let mut random = Random::new(self.seed);
        self.scenarios.iter().map(|&scenario| self.row(scenario, &mut random)).collect()
    }

    fn row(&self, scenario: Scenario, random: &mut Random) -> Row {
        let mut ratio = |kind: Kind, base: Kind| {
            if !self.kinds.contains(&kind) || !self.kinds.contains(&base) {
                return None;
            }
            let ratios = paired_ratios(&self.figures(scenario, kind), &self.figures(scenario, base));
            estimate(&ratios, random)
        };
        let over_floor = [Kind::Websockify, Kind::Debian]
            .map(|kind| scenario.against_floor.then(|| ratio(kind, Kind::Floor)).flatten());
        Row {
            scenario,
            medians: Kind::ALL.map(|kind| median(&self.figures(scenario, kind))),
            over_floor,
            debian_over_websockify: ratio(Kind::Debian, Kind::Websockify),
        }
    }

    /// A candidate's figures in a scenario, one a round, in the order of the rounds.
    fn figures(&self, scenario: Scenario, kind: Kind) -> Vec<f64> {
        self.records
            .iter()
            .filter(|record| record.scenario == scenario.name && record.kind == kind)
            .map(|record| record.measurement.value)
            .collect()
    }

    pub fn heading(&self) -> String {
        let Description { processor, kernel, websockify, debian, revision } = &self.description;
        format!(
            "machine     {processor}, {kernel}\n\
             candidates  floor (in this program), websockify {websockify} (source {revision}), \
             Debian's websockify {debian}\n\
             pinned      proxies to CPU {}, the load to CPU {}{}\n\
             run         {} rounds{}, seed {}",
            self.cpus.proxy,
            self.cpus.generator,
            if self.cpus.apart { "" } else { ", or to the proxies' where all take turns" },
            self.rounds,
            if self.quick { " (quick)" } else { "" },
            self.seed,
        )
    }

    /// Time that other machines took from this one. Such rounds stay in: they are few or the run is worthless.
    pub fn steal(&self) -> String {
        const NOTABLE: f64 = 0.01;
        let steals = || self.records.iter().map(|record| record.measurement.steal);
        let most = steals().fold(0.0, f64::max);
        let notable = steals().filter(|&steal| steal > NOTABLE).count();
        format!(
            "steal       at most {:.1} % in one measurement; above 1 % in {notable} of {}, none left out",
            most * 100.0,
            self.records.len(),
        )
    }

    pub fn json(&self, rows: &[Row]) -> Value {
        let Description { processor, kernel, websockify, debian, revision } = &self.description;
        json!({
            "machine": { "processor": processor, "kernel": kernel,
                "proxy-cpu": self.cpus.proxy, "generator-cpu": self.cpus.generator, "apart": self.cpus.apart },
            "versions": { "websockify": websockify, "source": revision, "debian": debian },
            "run": { "rounds": self.rounds, "seed": self.seed, "quick": self.quick },
            "summary": rows.iter().map(Row::json).collect::<Vec<_>>(),
            "measurements": self.records.iter().map(Record::json).collect::<Vec<_>>(),
        })
    }
}

impl Record {
    fn json(&self) -> Value {
        let Measurement { value, amount, used, wall, steal } = &self.measurement;
        json!({ "round": self.round, "scenario": self.scenario, "candidate": self.kind.name(),
            "value": value, "amount": amount, "used": used,
            "wall-seconds": wall.as_secs_f64(), "steal": steal })
    }
}

impl Row {
    fn json(&self) -> Value {
        let [floor, websockify, debian] = self.medians;
        let ratio = |estimate: Option<Estimate>| {
            estimate.map(|Estimate { median, low, high }| json!({ "median": median, "low": low, "high": high }))
        };
        json!({ "scenario": self.scenario.name, "unit": self.scenario.unit,
            "floor": floor, "websockify": websockify, "debian": debian,
            "websockify-over-floor": ratio(self.over_floor[0]),
            "debian-over-floor": ratio(self.over_floor[1]),
            "debian-over-websockify": ratio(self.debian_over_websockify) })
    }

    fn cells(&self, bounds: bool) -> [String; 7] {
        let [floor, websockify, debian] = self.medians.map(figure);
        let ratio = |estimate| ratio(estimate, bounds);
        [
            format!("{} ({})", self.scenario.title, self.scenario.unit),
            floor,
            websockify,
            ratio(self.over_floor[0]),
            debian,
            ratio(self.over_floor[1]),
            ratio(self.debian_over_websockify),
        ]
    }
}

const HEAD: [&str; 7] = ["scenario", "floor", "websockify", "÷ floor", "Debian's", "÷ floor", "Debian's ÷ websockify"];
const ABSENT: &str = "–";

/// Three significant digits, and no more decimals than that takes.
fn figure(value: Option<f64>) -> String {
    value.map_or(ABSENT.to_owned(), |value| match value.abs() {
        ..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    })
}

fn ratio(estimate: Option<Estimate>, bounds: bool) -> String {
    let digits = |value| if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    match estimate {
        None => ABSENT.to_owned(),
        Some(Estimate { median, .. }) if !bounds => format!("{} ×", digits(median)),
        Some(Estimate { median, low, high }) => {
            format!("{} [{} … {}]", digits(median), digits(low), digits(high))
        }
    }
}

/// The table for the terminal, with the interval of every ratio.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<[String; 7]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(|row| row.cells(true))).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let mut padded = format!("{:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(widths).skip(1) {
            write!(padded, " | {cell:>width$}").expect("a string takes everything");
        }
        text.push_str(&padded);
        text.push('\n');
    }
    text
}

/// The README's table.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|---|{}\n", HEAD.join(" | "), "---:|".repeat(HEAD.len() - 1));
    for row in rows {
        writeln!(text, "| {} |", row.cells(false).join(" | ")).expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenarios;

    fn run(kinds: &[Kind], values: &[[f64; 3]]) -> Run {
        let unknown = || "unknown".to_owned();
        let mut records = Vec::new();
        for (round, values) in values.iter().enumerate() {
            for (kind, value) in Kind::ALL.into_iter().zip(values) {
                if kinds.contains(&kind) {
                    let measurement = Measurement {
                        value: *value,
                        amount: 1,
                        used: *value,
                        wall: Duration::from_secs(1),
                        steal: if round == 0 { 0.02 } else { 0.0 },
                    };
                    records.push(Record { round, scenario: "bulk-down", kind, measurement });
                }
            }
        }
        Run {
            description: Description {
                processor: unknown(),
                kernel: unknown(),
                websockify: unknown(),
                debian: unknown(),
                revision: unknown(),
            },
            cpus: Cpus { proxy: 0, generator: 1, apart: false },
            seed: 1,
            rounds: values.len(),
            quick: false,
            scenarios: vec![scenarios::ALL[0]],
            kinds: kinds.to_vec(),
            records,
        }
    }

    #[test]
    fn the_readme_gets_medians_and_ratios() {
        // The second round ran on a machine three times as slow: no ratio changes.
        let rows = run(&Kind::ALL, &[[0.5, 0.6, 5.0], [1.5, 1.8, 15.0], [0.5, 0.6, 5.0]]).rows();
        let text = markdown(&rows);
        let line = text.lines().last().unwrap();
        assert_eq!(line, "| Bulk, target to client (CPU s/GB) | 0.500 | 0.600 | 1.20 × | 5.00 | 10 × | 8.33 × |");
        let bars = |line: &str| line.matches('|').count();
        assert!(text.lines().all(|other| bars(other) == bars(line)), "{text}");
    }

    #[test]
    fn an_absent_candidate_leaves_its_cells_empty() {
        let rows = run(&[Kind::Floor, Kind::Debian], &[[0.5, 0.0, 5.0]]).rows();
        let line = markdown(&rows).lines().last().unwrap().to_owned();
        assert!(line.ends_with("| 0.500 | – | – | 5.00 | 10 × | – |"), "{line}");
    }

    #[test]
    fn steal_is_told_and_drops_nothing() {
        let run = run(&Kind::ALL, &[[1.0; 3], [1.0; 3]]);
        assert!(run.steal().contains("2.0 %"), "{}", run.steal());
        assert!(run.steal().contains("in 3 of 6"), "{}", run.steal());
        let json = run.json(&run.rows());
        assert_eq!(json["measurements"].as_array().unwrap().len(), 6);
        assert_eq!(json["measurements"][0]["steal"], 0.02);
    }

    #[test]
    fn figures_have_three_digits() {
        let texts = [0.123_4, 1.234, 12.34, 1234.0].map(|value| figure(Some(value)));
        assert_eq!(texts, ["0.123", "1.23", "12.3", "1234"]);
    }
}
