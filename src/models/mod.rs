//! Models: small programs over the real commit queue, index, epoch, and shares of a snapshot, of
//! which loom runs every interleaving that a few preemptions can make, with every value that the
//! memory model lets a load see. `make test_models` runs them; [`crate::sync`] says how.
//!
//! What they do not cover. loom does not know `membarrier(2)`. So there are two worlds, and both
//! are ways that the real code can go. In [`World::Fences`] the call is missing, and the epoch has
//! a full fence on both sides: there it is shown that nothing is freed too early, or never. In
//! [`World::FailingBarrier`] readers have no fence, as usual, and the call fails, so that nothing
//! is freed: there it is shown that the index needs no help from the epoch's fences. That the
//! kernel's barrier is as good as the fences is taken from its manual. Shards have lines
//! of two slots, there is one of them, a write moves one line of a growing table, and every
//! retirement collects. The log is the real one, over a file in memory.

mod commit;
mod epoch;
mod gate;
mod index;
mod relocate;
mod shares;

use loom::model::Builder;

/// How the epoch's barrier is had.
#[derive(Debug, Clone, Copy)]
enum World {
    Fences,
    FailingBarrier,
}

/// Runs `model` in every way that at most `preemptions` preemptions can bring about: switches,
/// that is, from a thread that could have gone on.
fn explore(
    name: &'static str,
    world: World,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let runs = Arc::new(AtomicU64::new(0));
    let counter = runs.clone();
    let mut builder = Builder::new();
    builder.max_branches = 20_000;
    // `LOOM_MAX_PREEMPTIONS` asks for more.
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    let begin = std::time::Instant::now();
    builder.check(move || {
        crate::sync::begin_run(matches!(world, World::FailingBarrier));
        // Makes the statics, before there are threads.
        drop(crate::io::Epoch.enter());
        counter.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let (runs, bound) =
        (runs.load(Ordering::Relaxed), builder.preemption_bound.unwrap_or_default());
    println!(
        "{name} ({world:?}): {runs} runs, {bound} preemptions, {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    assert!(runs > 1, "there is something to explore");
}
