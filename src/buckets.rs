//! Sorting many items by a number that their order begins with: they are first dealt out into buckets
//! by its upper bits, and then only few have to be compared with each other. Of a million random
//! numbers that takes half the time of comparing alone.

use crate::sync::join;

/// Fewer items are just compared.
const FEW: usize = 4 << 10;

/// Items that a bucket should have: they fit into a processor's nearest cache.
const FULL: usize = 256;

/// Buckets at most: the places where each goes on are all in a near cache, and on a small stack.
const MOST: usize = 1024;

/// How often what is in a bucket is dealt out again.
const DEPTH: usize = 2;

/// How many items each bucket has.
struct Lens {
    lens: [usize; MOST],
    buckets: usize,
}

/// Sorts `items` by `key`. Of two items, the one with the lesser `number` has the lesser key.
pub(crate) fn sort_by_number<T: Copy, K: Ord>(
    items: &mut [T],
    number: impl Fn(&T) -> u64,
    key: impl Fn(&T) -> K,
) {
    sort_deep(items, &number, &key, DEPTH);
}

/// The same by two threads.
pub(crate) fn sort_by_number_by_two<T: Copy + Send, K: Ord>(
    items: &mut [T],
    number: impl Fn(&T) -> u64 + Sync,
    key: impl Fn(&T) -> K + Sync,
) {
    let Some(lens) = deal_out(items, &number) else { return items.sort_unstable_by_key(key) };
    let (half, mut low, mut buckets) = (items.len() / 2, 0, 0);
    while low < half {
        low += lens.lens[buckets];
        buckets += 1;
    }
    let (low, high) = items.split_at_mut(low);
    let (low_lens, high_lens) = lens.lens[..lens.buckets].split_at(buckets);
    let sort = |items: &mut [T], lens: &[usize]| sort_each(items, lens, &number, &key, DEPTH - 1);
    join(|| sort(low, low_lens), || sort(high, high_lens));
}

fn sort_deep<T: Copy, K: Ord>(
    items: &mut [T],
    number: &impl Fn(&T) -> u64,
    key: &impl Fn(&T) -> K,
    depth: usize,
) {
    let lens = if depth > 0 { deal_out(items, number) } else { None };
    match lens {
        Some(lens) => sort_each(items, &lens.lens[..lens.buckets], number, key, depth - 1),
        None => items.sort_unstable_by_key(key),
    }
}

/// Sorts each bucket. Many items again are there where many are close to each other; then they
/// differ in lower bits.
fn sort_each<T: Copy, K: Ord>(
    items: &mut [T],
    lens: &[usize],
    number: &impl Fn(&T) -> u64,
    key: &impl Fn(&T) -> K,
    depth: usize,
) {
    let mut rest = items;
    for &len in lens {
        let (bucket, others) = rest.split_at_mut(len);
        sort_deep(bucket, number, key, depth);
        rest = others;
    }
}

/// Deals `items` out into buckets by the upper bits of their numbers; `None` for a few, or if all
/// numbers are the same, or memory is short: then nothing is done.
fn deal_out<T: Copy>(items: &mut [T], number: &impl Fn(&T) -> u64) -> Option<Lens> {
    if items.len() < FEW {
        return None;
    }
    let (least, greatest) = items.iter().fold((u64::MAX, 0), |(least, greatest), item| {
        let number = number(item);
        (least.min(number), greatest.max(number))
    });
    // So that the numbers there are make use of all buckets, whatever they begin with.
    let used_bits = u64::BITS - (greatest - least).leading_zeros();
    if used_bits == 0 {
        return None;
    }
    let buckets = (items.len() / FULL).next_power_of_two().min(MOST);
    let shift = used_bits.saturating_sub(buckets.ilog2());
    let lens = put_together(items, buckets, |item| ((number(item) - least) >> shift) as usize)?;
    Some(Lens { lens, buckets })
}

/// Puts the items of each of `buckets` buckets together, [`MOST`] at most, in the order of the buckets.
/// Returns how many each has; `None`, and nothing is done, without memory for a copy of the items. (In
/// place each item would have to wait for the one whose place it takes: that takes four times as long.)
fn put_together<T: Copy>(
    items: &mut [T],
    buckets: usize,
    bucket_of: impl Fn(&T) -> usize,
) -> Option<[usize; MOST]> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(items.len()).ok()?;
    let mut lens = [0; MOST];
    for item in &*items {
        lens[bucket_of(item)] += 1;
        copy.push(*item);
    }
    // Where each bucket goes on.
    let mut next = [0; MOST];
    let mut start = 0;
    for bucket in 0..buckets {
        next[bucket] = start;
        start += lens[bucket];
    }
    for item in copy {
        let place = &mut next[bucket_of(&item)];
        items[*place] = item;
        *place += 1;
    }
    Some(lens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::simulated::Random;

    fn check(numbers: impl Iterator<Item = u64>) {
        let mut items: Vec<(u64, u64)> = numbers.zip((0..).map(|number| number % 7)).collect();
        let mut expected = items.clone();
        expected.sort_unstable();
        let mut by_two = items.clone();
        sort_by_number(&mut items, |item| item.0, |item| *item);
        assert_eq!(items, expected);
        sort_by_number_by_two(&mut by_two, |item| item.0, |item| *item);
        assert_eq!(by_two, expected);
    }

    #[test]
    fn whatever_the_numbers_are_they_are_sorted() {
        let mut random = Random::new(1);
        for len in [0, 1, FEW - 1, FEW, 30_000] {
            check((0..len).map(|_| random.next()));
            check((0..len).map(|_| random.next() % 1000 + u64::MAX / 2));
            check((0..len).map(|_| 1 << (random.next() % 64)));
            check((0..len).map(|at| at as u64));
            check((0..len).rev().map(|at| u64::MAX - at as u64));
            check((0..len).map(|_| 7));
            // Nearly all of them close to each other, and one far off.
            check((0..len).map(|at| if at == 3 { u64::MAX } else { random.next() % 5000 }));
        }
    }
}
