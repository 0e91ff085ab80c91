//! How large a shard's table is.
//!
//! Tables grow by half when four fifths full. All shards hold about the same number of keys, so
//! they would all grow at the same time; to spread that out, each shard has its own *phase*: its
//! sizes are those of its neighbour times 1.5^(1/256). At any number of records, then, some
//! shards have just grown and some are about to, and together they take about 13 bytes a record.

use super::SHARDS;
use super::table::SLOTS_PER_LINE;

const FACTOR: f64 = 1.5;

/// A table is replaced before it is fuller than this: beyond it, probes get long.
const MAX_LOAD: f64 = 0.8;

/// A new table is at most this full, so that some time passes until the next one; less than
/// `MAX_LOAD` and more than `MAX_LOAD / FACTOR`.
const MAX_NEW_LOAD: f64 = 0.65;

/// Slots of the first table of almost every shard.
const FIRST_SLOTS: usize = 2 * SLOTS_PER_LINE;

/// How many keys, deleted ones included, a table with `slots` slots takes.
pub(super) fn max_taken(slots: usize) -> usize {
    (slots as f64 * MAX_LOAD) as usize
}

/// The number of lines of a new table of `shard` for `keys` keys: the least of its sizes that
/// is not too full.
pub(super) fn line_count(shard: usize, keys: usize) -> usize {
    let least = keys as f64 / (MAX_NEW_LOAD * SLOTS_PER_LINE as f64);
    let phase = FACTOR.powf(shard as f64 / SHARDS as f64);
    let step = (least / phase).max(1.0).log(FACTOR).ceil();
    (phase * FACTOR.powf(step)).ceil() as usize
}

/// The number of lines of a table of `shard` that is filled at once with `keys` keys and then
/// expected to grow as usual: anywhere between just grown and about to grow.
pub(super) fn line_count_presized(shard: usize, keys: usize) -> usize {
    let phase = FACTOR.powf(shard as f64 / SHARDS as f64);
    // Hashing spreads keys unevenly; four standard deviations more is next to never too few.
    let most = keys as f64 + 4.0 * (keys as f64).sqrt();
    (phase * most / (MAX_LOAD * SLOTS_PER_LINE as f64)).ceil().max(1.0) as usize
}

/// Whether a shard's first table has room for as many keys, so that nothing is gained by making one
/// for them beforehand, nor by giving it back.
pub(super) fn are_few(keys: usize) -> bool {
    keys <= max_taken(FIRST_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_table_has_room_and_is_not_wasteful() {
        for shard in [0, 1, 100, 255] {
            for keys in [1, 5, 6, 7, 100, 1_000, 4_000, 400_000] {
                let slots = line_count(shard, keys) * SLOTS_PER_LINE;
                assert!(max_taken(slots) > keys, "{shard} {keys} {slots}");
                assert!(slots as f64 <= 16.0 + keys as f64 / MAX_NEW_LOAD * FACTOR + 8.0);
            }
        }
    }

    #[test]
    fn what_are_few_keys_fit_into_the_first_table() {
        for shard in 1..SHARDS {
            assert!(are_few(max_taken(line_count(shard, 1) * SLOTS_PER_LINE)), "{shard}");
        }
        assert!(!are_few(max_taken(3 * SLOTS_PER_LINE)));
    }

    #[test]
    fn growing_a_full_table_makes_it_half_as_large_again() {
        let slots = line_count(7, 10_000) * SLOTS_PER_LINE;
        let grown = line_count(7, max_taken(slots)) * SLOTS_PER_LINE;
        let ratio = grown as f64 / slots as f64;
        assert!((1.49..1.51).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_shards_tables_take_at_most_sixteen_bytes_a_key_on_average() {
        for keys in [1_000, 3_906, 39_062] {
            let slots: usize = (0..SHARDS).map(|shard| line_count_presized(shard, keys) * 8).sum();
            let bytes = (slots * 8) as f64 / (keys * SHARDS) as f64;
            assert!(bytes < 15.0, "{keys}: {bytes}");
        }
    }
}
