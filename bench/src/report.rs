//! What a run has shown: a table for people, one for the README, and everything as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::candidates::Kind;
use crate::machine::{Cpus, Description};
use crate::marks::Verdict;
use crate::scenarios::{Measurement, Metric, Scenario};
use crate::statistics::{Estimate, Random, estimate, paired_ratios};

/// A measurement and its place in the run.
pub struct Record {
    pub round: usize,
    pub metric: &'static Metric,
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

/// One metric, over all rounds.
pub struct Row {
    pub metric: &'static Metric,
    pub chart: &'static str,
    /// Who took part, in the order of `Kind::ALL`.
    pub cells: Vec<Cell>,
}

/// One candidate in one metric.
pub struct Cell {
    pub kind: Kind,
    /// Of the figure itself.
    pub interval: Estimate,
    /// Paired, over the metric's base.
    pub over_base: Option<Estimate>,
    /// Paired, over websockify.
    pub over_ours: Option<Estimate>,
}

impl Cell {
    pub fn is_ours(&self) -> bool {
        self.kind == Kind::Websockify
    }
}

impl Run {
    pub fn rows(&self) -> Vec<Row> {
        let mut random = Random::new(self.seed);
        let scenarios = self.scenarios.iter();
        let metrics = scenarios.flat_map(|scenario| scenario.metrics.iter().map(|metric| (scenario.chart, metric)));
        metrics.map(|(chart, metric)| Row { metric, chart, cells: self.cells(metric, &mut random) }).collect()
    }

    fn cells(&self, metric: &Metric, random: &mut Random) -> Vec<Cell> {
        let mut cells = Vec::new();
        for kind in Kind::ALL {
            let figures = self.figures(metric, kind);
            let Some(interval) = estimate(&figures, random) else { continue };
            let mut over = |base: Kind| {
                let base_figures = self.figures(metric, base);
                (base != kind && !base_figures.is_empty())
                    .then(|| estimate(&paired_ratios(&figures, &base_figures), random))
                    .flatten()
            };
            let (over_base, over_ours) = (metric.base.and_then(&mut over), over(Kind::Websockify));
            cells.push(Cell { kind, interval, over_base, over_ours });
        }
        cells
    }

    pub fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        self.scenarios.iter().flat_map(|scenario| scenario.metrics)
    }

    pub fn metric(&self, name: &str) -> Option<&'static Metric> {
        self.metrics().find(|metric| metric.name == name)
    }

    /// A candidate's figures, one a round, in the order of the rounds.
    pub fn figures(&self, metric: &Metric, kind: Kind) -> Vec<f64> {
        self.records
            .iter()
            .filter(|record| record.metric.name == metric.name && record.kind == kind)
            .map(|record| record.measurement.value)
            .collect()
    }

    pub fn heading(&self) -> String {
        let Description { processor, memory, kernel, revision, versions } = &self.description;
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name}: {version}")).collect();
        format!(
            "machine     {processor}, {memory}, {kernel}\n\
             candidates  {}\n\
             source      {revision}\n\
             pinned      proxies to CPU {}, the load to CPU {}{}\n\
             run         {} rounds{}, seed {}",
            versions.join("; "),
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

    pub fn json(&self, rows: &[Row], verdicts: &[Verdict]) -> Value {
        let Description { processor, memory, kernel, revision, versions } = &self.description;
        let versions: serde_json::Map<_, _> =
            versions.iter().map(|(name, version)| ((*name).to_owned(), version.as_str().into())).collect();
        json!({
            "machine": { "processor": processor, "memory": memory, "kernel": kernel,
                "proxy-cpu": self.cpus.proxy, "generator-cpu": self.cpus.generator, "apart": self.cpus.apart },
            "versions": versions,
            "run": { "source": revision, "rounds": self.rounds, "seed": self.seed, "quick": self.quick },
            "marks": verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
            "summary": rows.iter().flat_map(Row::json).collect::<Vec<_>>(),
            "measurements": self.records.iter().map(Record::json).collect::<Vec<_>>(),
        })
    }
}

impl Record {
    fn json(&self) -> Value {
        let Measurement { value, amount, used, wall, steal } = &self.measurement;
        json!({ "round": self.round, "metric": self.metric.name, "candidate": self.kind.name(),
            "value": value, "amount": amount, "used": used,
            "wall-seconds": wall.as_secs_f64(), "steal": steal })
    }
}

fn interval(Estimate { median, low, high }: Estimate) -> Value {
    json!({ "median": median, "low": low, "high": high })
}

impl Verdict {
    fn json(&self) -> Value {
        json!({ "metric": self.metric, "mark": self.mark, "figure": interval(self.figure), "met": self.met,
            "reason": self.reason() })
    }
}

impl Row {
    fn json(&self) -> Vec<Value> {
        let base = self.metric.base.map(Kind::name);
        let cell = |cell: &Cell| {
            json!({ "metric": self.metric.name, "unit": self.metric.unit, "candidate": cell.kind.name(),
                "figure": interval(cell.interval), "base": base, "over-base": cell.over_base.map(interval),
                "over-websockify": cell.over_ours.map(interval) })
        };
        self.cells.iter().map(cell).collect()
    }

    fn cell(&self, kind: Kind) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.kind == kind)
    }

    fn title(&self) -> String {
        format!("{} ({})", self.metric.title, self.metric.unit)
    }
}

const ABSENT: &str = "–";

/// Three significant digits, and no more decimals than that takes.
pub fn figure(value: Option<f64>) -> String {
    value.map_or(ABSENT.to_owned(), |value| match value.abs() {
        ..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    })
}

fn digits(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// With its interval, which one round does not have.
pub fn ratio(Estimate { median, low, high }: Estimate) -> String {
    if (high - low).abs() < f64::EPSILON {
        return digits(median);
    }
    format!("{} [{} … {}]", digits(median), digits(low), digits(high))
}

/// The figures of all candidates, the ratios, and the marks, for `results/` and for the terminal.
pub fn table(run: &Run, rows: &[Row], verdicts: &[Verdict]) -> String {
    let mut text = format!("```\n{}\n{}\n```\n\n## Marks\n\n", run.heading(), run.steal());
    let lines = verdicts.iter().map(|verdict| {
        let met = if verdict.met { "met" } else { "missed" };
        vec![
            verdict.title.clone(),
            verdict.mark.clone(),
            ratio(verdict.figure),
            met.to_owned(),
            verdict.reason().to_owned(),
        ]
    });
    text.push_str(&markdown(&["what", "at most", "is", "", "because"].map(str::to_owned), lines));
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| run.kinds.contains(kind)).collect();
    let head = |first: &str| -> Vec<String> {
        std::iter::once(first.to_owned()).chain(kinds.iter().map(|kind| kind.name().to_owned())).collect()
    };
    let body = |of: &dyn Fn(&Row, Kind) -> String, title: &dyn Fn(&Row) -> String| -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| std::iter::once(title(row)).chain(kinds.iter().map(|&kind| of(row, kind))).collect())
            .collect()
    };
    text.push_str("\n## Figures (medians)\n\n");
    let median = |row: &Row, kind| figure(row.cell(kind).map(|cell| cell.interval.median));
    text.push_str(&markdown(&head("scenario"), body(&median, &Row::title)));
    text.push_str("\n## Ratios (medians of paired ratios, with their 95 % intervals)\n\n");
    let over =
        |row: &Row, kind| row.cell(kind).and_then(|cell| cell.over_base).map_or_else(|| ABSENT.to_owned(), ratio);
    let against = |row: &Row| match row.metric.base {
        Some(base) => format!("{} ÷ {}", row.metric.title, base.name()),
        None => row.metric.title.to_owned(),
    };
    text.push_str(&markdown(&head("scenario"), body(&over, &against)));
    text
}

/// The README's table.
pub fn readme(rows: &[Row]) -> String {
    let head = ["scenario", "raw relay", "websockify", "HAProxy", "nginx", "Debian's websockify", "websocat"];
    let line = |row: &Row| {
        let median = |kind| figure(row.cell(kind).map(|cell| cell.interval.median));
        let beaten = |kind| match row.cell(kind) {
            Some(Cell { interval, over_ours: Some(over), .. }) => {
                format!("{} ({} ×)", figure(Some(interval.median)), digits(over.median))
            }
            _ => median(kind),
        };
        vec![
            row.title(),
            median(Kind::Copy64),
            format!("**{}**", median(Kind::Websockify)),
            median(Kind::Haproxy),
            median(Kind::Nginx),
            beaten(Kind::Debian),
            beaten(Kind::Websocat),
        ]
    };
    markdown(&head.map(str::to_owned), rows.iter().map(line))
}

fn markdown(head: &[String], lines: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|---|{}\n", head.join(" | "), "---:|".repeat(head.len() - 1));
    for line in lines {
        writeln!(text, "| {} |", line.join(" | ")).expect("a string takes everything");
    }
    text
}

/// What is printed at the end: each mark, met or missed.
pub fn summary(verdicts: &[Verdict]) -> String {
    let met = verdicts.iter().filter(|verdict| verdict.met).count();
    let lines: Vec<String> = verdicts.iter().map(Verdict::line).collect();
    format!("{}\n{met} of {} marks met\n", lines.join("\n"), verdicts.len())
}

#[cfg(test)]
pub mod testing {
    use std::time::Duration;

    use super::*;
    use crate::scenarios;

    /// A run of bulk-down: a line a round, in the order of the kinds.
    pub fn run(kinds: &[Kind], values: &[&[f64]]) -> Run {
        let scenario = scenarios::ALL[0];
        let mut records = Vec::new();
        for (round, values) in values.iter().enumerate() {
            for (&kind, &value) in kinds.iter().zip(*values) {
                let measurement = Measurement {
                    value,
                    amount: 1,
                    used: value,
                    wall: Duration::from_secs(1),
                    steal: if round == 0 { 0.02 } else { 0.0 },
                };
                records.push(Record { round, metric: &scenario.metrics[0], kind, measurement });
            }
        }
        let unknown = || "unknown".to_owned();
        Run {
            description: Description {
                processor: unknown(),
                memory: unknown(),
                kernel: unknown(),
                revision: unknown(),
                versions: vec![("websockify", "1".to_owned())],
            },
            cpus: Cpus { proxy: 0, generator: 1, apart: false },
            seed: 1,
            rounds: values.len(),
            quick: false,
            scenarios: vec![scenario],
            kinds: kinds.to_vec(),
            records,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::run;
    use super::*;
    use crate::marks;

    const KINDS: [Kind; 3] = [Kind::Copy64, Kind::Websockify, Kind::Debian];

    #[test]
    fn the_readme_gets_medians_and_factors() {
        // The second round ran on a machine three times as slow: no ratio changes.
        let rows = run(&KINDS, &[&[0.5, 0.6, 6.0], &[1.5, 1.8, 18.0], &[0.5, 0.6, 6.0]]).rows();
        let text = readme(&rows);
        let line = text.lines().last().unwrap();
        assert_eq!(line, "| Bulk, target to client (CPU s/GB) | 0.500 | **0.600** | – | – | 6.00 (10 ×) | – |");
        let bars = |line: &str| line.matches('|').count();
        assert!(text.lines().all(|other| bars(other) == bars(line)), "{text}");
    }

    #[test]
    fn the_table_has_ratios_to_the_base_and_their_intervals() {
        let run = run(&KINDS, &[&[0.5, 0.6, 6.0], &[0.5, 0.5, 6.0], &[0.5, 0.55, 6.0]]);
        let text = table(&run, &run.rows(), &marks::verdicts(&run));
        assert!(text.contains("| Bulk, target to client ÷ copy-64k | – | 1.10 [1.00 … 1.20] | 12 |"), "{text}");
        assert!(text.contains("| missed | not found yet |"), "{text}");
    }

    #[test]
    fn steal_is_told_and_drops_nothing() {
        let run = run(&KINDS, &[&[1.0; 3], &[1.0; 3]]);
        assert!(run.steal().contains("2.0 %"), "{}", run.steal());
        assert!(run.steal().contains("in 3 of 6"), "{}", run.steal());
        let json = run.json(&run.rows(), &[]);
        assert_eq!(json["measurements"].as_array().unwrap().len(), 6);
        assert_eq!(json["measurements"][0]["steal"], 0.02);
        assert_eq!(json["versions"]["websockify"], "1");
    }

    #[test]
    fn figures_have_three_digits() {
        let texts = [0.123_4, 1.234, 12.34, 1234.0].map(|value| figure(Some(value)));
        assert_eq!(texts, ["0.123", "1.23", "12.3", "1234"]);
    }
}
