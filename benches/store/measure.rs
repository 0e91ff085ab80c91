//! Timing, and the table of figures against their limits.

use std::time::{Duration, Instant};

/// Nanoseconds per operation of `work`, which does `operations` of them.
pub fn per_operation(operations: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / operations as f64
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Latencies of single operations.
#[derive(Default)]
pub struct Latencies(Vec<u64>);

impl Latencies {
    pub fn with_capacity(operations: usize) -> Latencies {
        Latencies(Vec::with_capacity(operations))
    }

    pub fn push(&mut self, latency: Duration) {
        self.0.push(latency.as_nanos() as u64);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<u64>() as f64 / self.0.len() as f64
    }

    /// The latency that `permille` of a thousand operations stay within.
    pub fn quantile(&mut self, permille: usize) -> f64 {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * permille / 1000] as f64
    }
}

/// Figures and the limits they are held against.
#[derive(Default)]
pub struct Report(Vec<Row>);

struct Row {
    what: String,
    figure: String,
    limit: String,
    met: bool,
}

impl Report {
    pub fn new() -> Report {
        Report::default()
    }

    /// `figure` must be at most `limit`, both in `unit`.
    pub fn at_most(&mut self, what: &str, figure: f64, limit: f64, unit: &str) {
        self.add(what, figure, "at most", limit, unit, figure <= limit);
    }

    /// `figure` must be at least `limit`, both in `unit`.
    pub fn at_least(&mut self, what: &str, figure: f64, limit: f64, unit: &str) {
        self.add(what, figure, "at least", limit, unit, figure >= limit);
    }

    fn add(&mut self, what: &str, figure: f64, bound: &str, limit: f64, unit: &str, met: bool) {
        let row = Row {
            what: what.to_owned(),
            figure: format!("{figure:.2} {unit}"),
            limit: format!("{bound} {limit:.2} {unit}"),
            met,
        };
        println!("  {:<46} {:>16}   {}", row.what, row.figure, row.limit);
        self.0.push(row);
    }

    pub fn print(&self) {
        println!("\n| what | figure | must reach | |\n|---|---|---|---|");
        for Row { what, figure, limit, met } in &self.0 {
            println!("| {what} | {figure} | {limit} | {} |", if *met { "met" } else { "MISSED" });
        }
    }
}
