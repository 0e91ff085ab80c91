//! Whether a history of concurrent operations could have happened one at a time, each at some
//! instant between its call and its return: linearizability (Herlihy and Wing, 1990).
//!
//! The search is Wing and Gong's (1993): try every operation that no other one wholly precedes
//! as the next, go on with the rest, go back when stuck. With Lowe's (2017) addition, the set of
//! operations done and the state they led to are remembered, so that no such pair is tried twice.

use std::collections::HashSet;
use std::hash::Hash;

/// What a sequential object does: the state, and what each call does to it.
pub trait Object: Clone + Eq + Hash {
    type Call;
    type Answer: PartialEq;

    /// Carries `call` out, and returns the only right answer to it.
    fn apply(&mut self, call: &Self::Call) -> Self::Answer;
}

/// An operation that was seen to happen between two instants.
#[derive(Debug, Clone)]
pub struct Operation<C, A> {
    pub thread: usize,
    pub invoked: u64,
    pub returned: u64,
    pub call: C,
    pub answer: A,
}

/// The most operations that a history may have.
pub const MOST: usize = 128;

/// An order of `history`, by position, in which `initial` gives every answer that was seen, and
/// no operation comes before one that had returned when it was invoked; `None` when there is no
/// such order.
pub fn linearize<O: Object>(
    initial: &O,
    history: &[Operation<O::Call, O::Answer>],
) -> Option<Vec<usize>> {
    assert!(history.len() <= MOST);
    let mut search = Search { history, tried: HashSet::new(), order: Vec::new() };
    search.extend(0, initial).then_some(search.order)
}

struct Search<'h, O: Object> {
    history: &'h [Operation<O::Call, O::Answer>],
    /// From here no order of the rest was found.
    tried: HashSet<(u128, O)>,
    order: Vec<usize>,
}

impl<O: Object> Search<'_, O> {
    /// Whether the operations that are not in `done` can follow, in some order, on `state`.
    fn extend(&mut self, done: u128, state: &O) -> bool {
        let rest = |&at: &usize| done & (1 << at) == 0;
        let history = self.history;
        // Whatever is invoked after this cannot be next.
        let first_return = (0..history.len()).filter(rest).map(|at| history[at].returned).min();
        let Some(first_return) = first_return else { return true };
        if !self.tried.insert((done, state.clone())) {
            return false;
        }
        for at in (0..history.len()).filter(rest) {
            let operation = &history[at];
            if operation.invoked > first_return {
                continue;
            }
            let mut next = state.clone();
            if next.apply(&operation.call) != operation.answer {
                continue;
            }
            self.order.push(at);
            if self.extend(done | 1 << at, &next) {
                return true;
            }
            self.order.pop();
        }
        false
    }
}
