//! Doing two things at once.

use std::panic::resume_unwind;
use std::thread;

/// Whether a second thread would have a processor of its own.
pub(crate) fn is_parallel() -> bool {
    thread::available_parallelism().is_ok_and(|processors| processors.get() > 1)
}

/// Does `ours` on this thread and `theirs` on another meanwhile, and waits for both. Where no
/// thread can be started, one comes after the other.
pub(crate) fn join<A, B: Send>(
    ours: impl FnOnce() -> A,
    mut theirs: impl FnMut() -> B + Send,
) -> (A, B) {
    let both = thread::scope(|scope| {
        let name = "kvstore-helper".to_owned();
        let Ok(helper) = thread::Builder::new().name(name).spawn_scoped(scope, &mut theirs) else {
            return Err(ours);
        };
        let ours = ours();
        match helper.join() {
            Ok(theirs) => Ok((ours, theirs)),
            // As if it had been called here.
            Err(panic) => resume_unwind(panic),
        }
    });
    both.unwrap_or_else(|ours| (ours(), theirs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_done_on_two_threads() {
        let caller = thread::current().id();
        let (ours, theirs) = join(|| thread::current().id(), || thread::current().id());
        assert_eq!(ours, caller);
        assert_ne!(theirs, caller);
    }
}
