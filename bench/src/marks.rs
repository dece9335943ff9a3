//! What this project has set itself, and whether a run shows it.
//!
//! A mark that is missed fails nothing: it stands in the table with its figure, and with the reason that `reasons.txt` has for it,
//! which somebody has to find by profiling.

use crate::candidates::Kind;
use crate::report::{Run, figure, ratio};
use crate::scenarios::Metric;
use crate::statistics::{Estimate, Random, estimate, paired_ratios};

pub struct Mark {
    metric: &'static str,
    against: Against,
    at_most: f64,
}

enum Against {
    /// The figure itself.
    Nothing,
    /// As the ratio to another's.
    Kind(Kind),
    /// As the ratio to its own in another metric.
    Metric(&'static str),
}

pub const ALL: [Mark; 16] = [
    mark("bulk-down", Against::Kind(Kind::Copy256), 0.60),
    mark("bulk-up", Against::Kind(Kind::Copy64), 1.12),
    mark("echo-latency", Against::Kind(Kind::Copy64), 1.05),
    mark("echo", Against::Kind(Kind::Copy64), 1.10),
    mark("frames-up", Against::Kind(Kind::Copy64), 1.5),
    mark("connects", Against::Kind(Kind::Haproxy), 2.0),
    mark("connects-ecdsa", Against::Kind(Kind::Haproxy), 1.0),
    mark("tls-down", Against::Kind(Kind::Haproxy), 0.8),
    mark("tls-up", Against::Kind(Kind::Haproxy), 0.8),
    mark("idle", Against::Nothing, 2.0),
    mark("idle-tls", Against::Nothing, 9.0),
    mark("idle-after", Against::Metric("idle"), 1.1),
    mark("idle-tls-after", Against::Metric("idle-tls"), 1.1),
    mark("blocked", Against::Nothing, 72.0),
    mark("mix", Against::Nothing, 2.0),
    mark("bulk-down", Against::Kind(Kind::Copy64), 1.05),
];

const fn mark(metric: &'static str, against: Against, at_most: f64) -> Mark {
    Mark { metric, against, at_most }
}

/// The predecessor and the nearest relative, to be better than in everything.
const BEATEN: [Kind; 2] = [Kind::Debian, Kind::Websocat];

const REASONS: &str = include_str!("../reasons.txt");

/// A mark, in this run.
pub struct Verdict {
    pub metric: &'static str,
    pub title: String,
    pub mark: String,
    pub figure: Estimate,
    pub met: bool,
}

impl Verdict {
    /// Why it is missed, if somebody has found it out.
    pub fn reason(&self) -> &'static str {
        let reason =
            REASONS.lines().filter_map(|line| line.split_once(": ")).find(|(metric, _)| *metric == self.metric);
        if self.met { "" } else { reason.map_or("not found yet", |(_, reason)| reason) }
    }

    pub fn line(&self) -> String {
        let met = if self.met { "met   " } else { "MISSED" };
        let Self { title, mark, figure, .. } = self;
        format!("{met}  {title}: {}, mark {mark}  {}", ratio(*figure), self.reason()).trim_end().to_owned()
    }
}

/// All marks of which the run has measured what they are about.
pub fn verdicts(run: &Run) -> Vec<Verdict> {
    let mut random = Random::new(run.seed);
    let of = |metric: &Metric, kind| run.figures(metric, kind);
    let own = ALL.iter().filter_map(|mark| {
        let metric = run.metric(mark.metric)?;
        let ours = of(metric, Kind::Websockify);
        let (figures, text) = match mark.against {
            Against::Nothing => (ours, format!("{} {}", figure(Some(mark.at_most)), metric.unit)),
            Against::Kind(kind) => {
                (paired(&ours, &of(metric, kind))?, format!("{} × {}", figure(Some(mark.at_most)), kind.name()))
            }
            Against::Metric(other) => {
                let base = of(run.metric(other)?, Kind::Websockify);
                (paired(&ours, &base)?, format!("{} × {other}", figure(Some(mark.at_most))))
            }
        };
        let figure = estimate(&figures, &mut random)?;
        Some(Verdict {
            metric: mark.metric,
            title: metric.title.to_owned(),
            mark: text,
            figure,
            met: figure.median <= mark.at_most,
        })
    });
    let mut verdicts: Vec<Verdict> = own.collect();
    for kind in BEATEN {
        for metric in run.metrics() {
            let Some(ratios) = paired(&of(metric, Kind::Websockify), &of(metric, kind)) else { continue };
            let Some(figure) = estimate(&ratios, &mut random) else { continue };
            // What is better needs no line of its own; the table has the factor.
            if figure.median >= 1.0 {
                verdicts.push(Verdict {
                    metric: metric.name,
                    title: metric.title.to_owned(),
                    mark: format!("below {}", kind.name()),
                    figure,
                    met: false,
                });
            }
        }
    }
    verdicts
}

/// None where one of them was not measured.
fn paired(figures: &[f64], base: &[f64]) -> Option<Vec<f64>> {
    (!figures.is_empty() && !base.is_empty()).then(|| paired_ratios(figures, base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::run;

    #[test]
    fn a_mark_is_met_by_the_median_of_the_paired_ratios() {
        // copy-256k, websockify, debian in bulk down; the second round ran on a machine three times as slow.
        let kinds = [Kind::Copy256, Kind::Websockify, Kind::Debian];
        let met = verdicts(&run(&kinds, &[&[1.0, 0.5, 5.0], &[3.0, 1.5, 15.0], &[1.0, 0.7, 5.0]]));
        assert_eq!(met.len(), 1);
        assert!(met[0].met && (met[0].figure.median - 0.5).abs() < 1e-9);
        assert!(met[0].line().starts_with("met "), "{}", met[0].line());
        let missed = verdicts(&run(&kinds, &[&[1.0, 0.7, 5.0]]));
        assert!(!missed[0].met && missed[0].line().contains("MISSED"));
    }

    #[test]
    fn a_relative_that_is_better_somewhere_is_told() {
        let kinds = [Kind::Websockify, Kind::Debian];
        let verdicts = verdicts(&run(&kinds, &[&[1.0, 0.5]]));
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0].mark, "below debian");
    }

    #[test]
    fn every_mark_is_about_something_that_is_measured() {
        let metrics: Vec<&str> =
            crate::scenarios::ALL.iter().flat_map(|scenario| scenario.metrics).map(|metric| metric.name).collect();
        for mark in &ALL {
            assert!(metrics.contains(&mark.metric), "{}", mark.metric);
        }
        for line in REASONS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let metric = line.split_once(": ").map(|(metric, _)| metric);
            assert!(metric.is_some_and(|metric| metrics.contains(&metric)), "reasons.txt: {line}");
        }
    }
}
