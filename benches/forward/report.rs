//! What was found: printed as it comes, kept in a file at the end.

use std::path::Path;

use crate::Outcome;

/// Lines for people.
#[derive(Debug, Default)]
pub(crate) struct Report {
    text: String,
}

/// Rows under headings; the first column is text, the others are numbers.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Report {
    /// Returns an empty report.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds a table with a title above it.
    pub(crate) fn table(&mut self, title: &str, table: &Table) {
        self.line("");
        self.line(title);
        for row in &table.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(table.widths())
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            self.line(&cells.join("  "));
        }
    }

    /// Writes everything to `benches/runs/NAME.txt`, if there is a name.
    pub(crate) fn save(&self, name: Option<&str>) -> Outcome<()> {
        let Some(name) = name else {
            return Ok(());
        };
        if name.contains(['/', '\\']) {
            return Err(format!("`{name}` is no file name").into());
        }
        let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/runs");
        std::fs::create_dir_all(&runs)?;
        std::fs::write(runs.join(format!("{name}.txt")), &self.text)?;
        eprintln!("kept as benches/runs/{name}.txt");
        Ok(())
    }
}

impl Table {
    /// Returns a table with headings only.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![
                headings
                    .iter()
                    .map(|heading| (*heading).to_owned())
                    .collect(),
            ],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

/// Writes a number with so many decimals, a dash where there is none.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() {
        format!("{value:.decimals$}")
    } else {
        "-".to_owned()
    }
}

/// Writes bytes as megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    number(bytes as f64 / f64::from(1 << 20), 1)
}

/// Returns the middle of some values, of which those that are no number are left out; no number if none is left.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    f64::midpoint(values[last / 2], values[last.div_ceil(2)])
}
