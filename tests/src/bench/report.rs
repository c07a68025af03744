//! Figures, their goals, and how they are printed.

use std::time::Duration;

use serde::Serialize;

/// One line of the result.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The figure.
    #[serde(flatten)]
    pub value: Value,
    /// The most that it should be, in the same unit; absent where there is no goal.
    pub goal: Option<f64>,
    /// Whether the goal is reached.
    pub met: Option<bool>,
    /// What the figure is made of, or compares with.
    pub parts: Vec<Part>,
}

/// A number and its unit.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Value {
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// A figure beside the figure.
#[derive(Debug, Serialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// How much.
    #[serde(flatten)]
    pub value: Value,
}

impl Row {
    /// A figure without a goal.
    pub fn new(name: impl Into<String>, value: Value) -> Self {
        Self {
            name: name.into(),
            value,
            goal: None,
            met: None,
            parts: Vec::new(),
        }
    }

    /// With the most that it should be.
    #[must_use]
    pub fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self.met = Some(self.value.value <= goal);
        self
    }

    /// With a figure beside it.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, value: Value) -> Self {
        self.parts.push(Part {
            name: name.into(),
            value,
        });
        self
    }
}

/// How often as long.
pub fn times(value: f64) -> Value {
    Value { value, unit: "x" }
}

/// A count.
pub fn count(value: usize) -> Value {
    Value {
        value: value as f64,
        unit: "",
    }
}

/// Memory, in MiB.
pub fn mebibytes(value: f64) -> Value {
    Value { value, unit: "MiB" }
}

/// A file's size, in MB (millions of bytes).
pub fn megabytes(bytes: u64) -> Value {
    Value {
        value: bytes as f64 / 1e6,
        unit: "MB",
    }
}

/// A time in milliseconds.
pub fn milliseconds(seconds: f64) -> Value {
    Value {
        value: seconds * 1e3,
        unit: "ms",
    }
}

/// A time in microseconds.
pub fn microseconds(seconds: f64) -> Value {
    Value {
        value: seconds * 1e6,
        unit: "us",
    }
}

/// The middle one; of two, the mean.
///
/// # Panics
/// There is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    assert!(!values.is_empty(), "a median of nothing");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The time that this share of sorted times does not exceed, in seconds.
///
/// # Panics
/// There is none.
pub fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1].as_secs_f64()
}

/// The table for people.
pub fn table(rows: &[Row]) -> String {
    let cell = |value: Value| format!("{} {}", number(value.value), value.unit).trim_end().to_owned();
    let mut lines = vec![["", "reached", "goal", "met"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.name.clone(),
            cell(row.value),
            row.goal.map_or_else(String::new, |value| {
                format!("<= {}", cell(Value { value, ..row.value }))
            }),
            row.met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let [name, reached, goal, met] = [0, 1, 2, 3].map(width);
    let parts = std::iter::once(String::new()).chain(rows.iter().map(|row| {
        let parts = row
            .parts
            .iter()
            .map(|part| format!("{} {}", part.name, cell(part.value)));
        parts.collect::<Vec<_>>().join(", ")
    }));
    lines
        .iter()
        .zip(parts)
        .map(|(line, parts)| {
            let text = format!(
                "{:name$}  {:>reached$}  {:>goal$}  {:met$}  {parts}",
                line[0], line[1], line[2], line[3]
            );
            text.trim_end().to_owned() + "\n"
        })
        .collect()
}

/// Three significant digits, as far as they lie behind the point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size.fract() == 0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0]), 2.5);
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!((percentile(&sorted, 0.5), percentile(&sorted, 0.99)), (50.0, 99.0));
        assert_eq!(percentile(&sorted[..1], 0.99), 1.0);
    }

    #[test]
    fn a_row_says_whether_its_goal_is_reached() {
        let rows = [
            Row::new("size", megabytes(2_540_000)).goal(6.0).part("of", count(3)),
            Row::new("ratio", times(1.61)).goal(1.5),
        ];
        let expected = [
            "       reached       goal  met\n",
            "size   2.54 MB    <= 6 MB  yes  of 3\n",
            "ratio   1.61 x  <= 1.50 x  NO\n",
        ];
        assert_eq!(table(&rows), expected.concat());
    }
}
