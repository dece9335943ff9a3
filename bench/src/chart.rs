//! Bars with their intervals, as SVG: one picture for a topic, one panel for a metric.

use std::fmt::Write;

use crate::report::{Cell, Row, figure};

const WIDTH: f64 = 860.0;
const NAMES: f64 = 130.0;
const BARS: f64 = 560.0;
const LINE: f64 = 22.0;
const HEAD: f64 = 40.0;
const MARGIN: f64 = 14.0;
/// So many times ours is the end of the axis: a bar that is longer is cut, and its figure says how long it is.
const AXIS: f64 = 4.0;

/// The rows' panels, one below the other.
pub fn svg(rows: &[&Row]) -> String {
    let height: f64 = rows.iter().map(|row| panel_height(row)).sum::<f64>() + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut top = MARGIN;
    for row in rows {
        panel(&mut text, row, top);
        top += panel_height(row);
    }
    text.push_str("</svg>\n");
    text
}

fn panel_height(row: &Row) -> f64 {
    HEAD + LINE * row.cells.len() as f64
}

fn panel(text: &mut String, row: &Row, top: f64) {
    let (title, unit) = (escaped(row.metric.title), escaped(row.metric.unit));
    line(text, MARGIN, top + 16.0, &format!("<tspan font-weight=\"bold\">{title}</tspan>, {unit}"));
    let axis = axis(row);
    for (number, cell) in row.cells.iter().enumerate() {
        bar(text, cell, top + HEAD - 12.0 + LINE * number as f64, axis);
    }
}

/// The largest value that is drawn.
fn axis(row: &Row) -> f64 {
    let largest = row.cells.iter().map(|cell| cell.interval.high).fold(0.0, f64::max);
    let ours = row.cells.iter().find(|cell| cell.is_ours()).map_or(largest, |cell| cell.interval.median * AXIS);
    if ours > 0.0 { largest.min(ours) } else { largest }.max(f64::MIN_POSITIVE)
}

fn bar(text: &mut String, cell: &Cell, top: f64, axis: f64) {
    let length = |value: f64| (value / axis).clamp(0.0, 1.0) * BARS;
    let (low, median, high) = (cell.interval.low, cell.interval.median, cell.interval.high);
    let colour = if cell.is_ours() { "#2b6cb0" } else { "#a0aec0" };
    let middle = top + 8.0;
    line(text, MARGIN, top + 13.0, cell.kind.name());
    rectangle(text, NAMES, top, length(median), colour);
    if median > axis {
        // A slanted gap near the end: the bar goes on.
        let at = NAMES + BARS - 24.0;
        let points = format!(
            "{},{} {},{} {},{} {},{}",
            at,
            top + 17.0,
            at + 8.0,
            top - 1.0,
            at + 14.0,
            top - 1.0,
            at + 6.0,
            top + 17.0
        );
        writeln!(text, "<polygon points=\"{points}\" fill=\"white\"/>").expect("a string takes everything");
    } else {
        let (from, to) = (NAMES + length(low), NAMES + length(high));
        writeln!(
            text,
            "<path d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {}v8M{to:.1} {}v8\" stroke=\"black\" fill=\"none\"/>",
            middle - 4.0,
            middle - 4.0
        )
        .expect("a string takes everything");
    }
    let end = if median > axis { BARS } else { length(median).max(length(high)) };
    line(text, NAMES + end + 6.0, top + 13.0, &figure(Some(median)));
}

fn rectangle(text: &mut String, left: f64, top: f64, width: f64, colour: &str) {
    writeln!(text, "<rect x=\"{left}\" y=\"{top}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>")
        .expect("a string takes everything");
}

fn line(text: &mut String, left: f64, bottom: f64, content: &str) {
    writeln!(text, "<text x=\"{left:.1}\" y=\"{bottom}\">{content}</text>").expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Kind;
    use crate::report::testing::run;

    #[test]
    fn bars_are_as_long_as_their_medians_and_cut_where_they_would_hide_the_others() {
        let kinds = [Kind::Copy64, Kind::Websockify, Kind::Debian];
        let rows = run(&kinds, &[&[1.0, 2.0, 80.0]]).rows();
        let text = svg(&rows.iter().collect::<Vec<_>>());
        // The axis ends at four times ours.
        assert!(
            text.contains("width=\"70.0\"") && text.contains("width=\"140.0\"") && text.contains("width=\"560.0\"")
        );
        assert_eq!(text.matches("<polygon").count(), 1);
        assert!(text.contains(">80.0</text>"));
    }
}
