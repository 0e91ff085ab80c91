//! Figures about a store: `kvstore_stats` and `kvstore_recovery_report`.
//!
//! Both fill a struct of the caller whose first field is its size, so that fields can be added
//! at the end without breaking programs that were compiled before.

use std::ffi::c_char;
use std::ptr;

use super::arguments::MAX_STRUCT_SIZE;
use super::boundary::{Failure, boundary};
use super::error::{KVSTORE_OFFSET_NONE, Text, kvstore_error};
use super::status::{KVSTORE_OK, kvstore_status};
use super::store::{handle_of, kvstore, store_of};

/// Figures about a store, filled by kvstore_stats(). Counters begin at 0 when the store is opened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_stats_info {
    /// In: sizeof(kvstore_stats_info). Out: how much of it this library fills; the rest is 0.
    pub struct_size: usize,
    /// Keys in the store.
    pub records: u64,
    /// Bytes of the logs that are in use, and in no snapshot yet.
    pub log_bytes: u64,
    /// Bytes of the snapshot file; 0 if there is none.
    pub snapshot_bytes: u64,
    /// Bytes of memory that the index occupies.
    pub index_bytes: u64,
    /// Groups of writes that were committed together.
    pub groups: u64,
    /// Disk syncs of the log.
    pub syncs: u64,
    /// Sets and deletes that were committed.
    pub writes: u64,
    /// Checkpoints that have written a snapshot.
    pub checkpoints: u64,
    /// Bytes of those snapshots.
    pub checkpoint_bytes: u64,
    /// Checkpoints that have failed.
    pub checkpoints_failed: u64,
    /// 1 while a checkpoint runs, else 0.
    pub checkpoint_running: u64,
    /// How many records that one has copied.
    pub checkpoint_records: u64,
    /// How many it is going to copy; 0 until that is known.
    pub checkpoint_records_total: u64,
    /// Logs besides the one that is appended to: one while a checkpoint runs, more after failures.
    pub sealed_logs: u64,
    /// Bytes of memory that the order of keys occupies; 0 as long as nobody has needed it for a
    /// cursor or a view.
    pub view_bytes: u64,
}

/// What opening a store found and did, filled by kvstore_recovery_report(). If log_records and
/// bytes_cut are both 0, the store had been closed cleanly.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_recovery_info {
    /// In: sizeof(kvstore_recovery_info). Out: how much of it this library fills; the rest is 0.
    pub struct_size: usize,
    /// Records that were loaded from the snapshot.
    pub snapshot_records: u64,
    /// Sets and deletes that were replayed from the logs.
    pub log_records: u64,
    /// Bytes at the end of the log that were no valid entries, and were cut off.
    pub bytes_cut: u64,
    /// Where in the log they began, or KVSTORE_OFFSET_NONE if nothing was cut.
    pub cut_offset: u64,
    /// The file that they were copied to before, or NULL. The string belongs to the store and is
    /// valid until kvstore_close(); the file stays until you delete it.
    pub quarantine: *const c_char,
    /// 1 if data that had been synced was among the bytes that were cut: a disk or a program has
    /// damaged the log. 0 if not: a crash tore a write that had not been acknowledged as durable.
    pub damaged: u64,
    /// Sealed logs among those that were replayed: a process died amid a checkpoint.
    pub sealed_logs: u64,
    /// The log that had the first of the bytes that were cut, and why it could not be read on there;
    /// or NULL. The strings belong to the store, like quarantine.
    pub cut_log: *const c_char,
    pub cut_reason: *const c_char,
}

const _: () = {
    assert!(size_of::<kvstore_stats_info>() == 128 && align_of::<kvstore_stats_info>() == 8);
    assert!(size_of::<kvstore_recovery_info>() == 80);
    assert!(align_of::<kvstore_recovery_info>() == 8);
};

/// The sizes that the structs had when they were first published. No caller can have less, and
/// a later version that adds fields still accepts these.
const FIRST_STATS: usize = 64;
const FIRST_RECOVERY: usize = 56;

/// An out-parameter that begins with its size: a struct of numbers and pointers without padding.
pub(super) struct SizedOut<T> {
    pointer: *mut T,
    size: usize,
    problem: Option<Failure>,
}

impl<T: Copy> SizedOut<T> {
    /// Sets everything behind the size field to zero, if the size makes sense. `name` is that of
    /// the struct, `first` the size of its first published layout.
    ///
    /// # Safety
    /// `pointer` is NULL, or points to as many writable bytes as its first field says, for as
    /// long as the value of this type exists.
    pub(super) unsafe fn new(pointer: *mut T, first: usize, name: &'static str) -> SizedOut<T> {
        const FIELD: usize = size_of::<usize>();
        if pointer.is_null() {
            let problem = Failure::BadValue(format!("out is NULL; pass a {name}"));
            return SizedOut { pointer, size: 0, problem: Some(problem) };
        }
        // SAFETY: not NULL (checked); the size field is there by the promise of the caller.
        let size = unsafe { pointer.cast::<usize>().read() };
        let problem = if size < first {
            // How much may be written is not known, so nothing is.
            Some(Failure::BadValue(format!(
                "out->struct_size is {size}; set it to sizeof({name}), which is at least {first}"
            )))
        } else if size > MAX_STRUCT_SIZE {
            Some(Failure::BadValue(format!(
                "out->struct_size is {size}; set it to sizeof({name}) before the call"
            )))
        } else {
            // SAFETY: as large as its size field says, by the promise of the caller.
            unsafe { pointer.cast::<u8>().add(FIELD).write_bytes(0, size - FIELD) };
            None
        };
        SizedOut { pointer, size, problem }
    }

    /// Writes the fields that the caller's version of the struct has. `make` gets their size.
    pub(super) fn fill(
        self,
        make: impl FnOnce(usize) -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let filled = self.size.min(size_of::<T>());
        let info = make(filled)?;
        let bytes = (&raw const info).cast::<u8>();
        // SAFETY: `filled` is at most the size of both structs; a local variable does not overlap
        // what the caller owns.
        unsafe { ptr::copy_nonoverlapping(bytes, self.pointer.cast::<u8>(), filled) };
        Ok(())
    }
}

/// Fills *out with figures about a store. Set out->struct_size first:
///
///     kvstore_stats_info info = { .struct_size = sizeof info };
///     status = kvstore_stats(store, &info, &error);
///
/// While others write, the figures need not be of the same instant.
///
/// KVSTORE_OK, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT. An error sets all fields but
/// struct_size to 0; only if struct_size cannot be right, which is KVSTORE_ERR_INVALID_ARGUMENT,
/// nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_stats(
    store: *const kvstore,
    out: *mut kvstore_stats_info,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for outputs, kept by the caller.
        let out = unsafe { SizedOut::new(out, FIRST_STATS, "kvstore_stats_info") };
        // SAFETY: the rule for handles, kept by the caller.
        let store = unsafe { store_of(store) };
        out.fill(|struct_size| {
            let store = store?;
            store.check()?;
            let stats = store.stats();
            Ok(kvstore_stats_info {
                struct_size,
                records: stats.records,
                log_bytes: stats.log_bytes,
                snapshot_bytes: stats.snapshot_bytes,
                index_bytes: stats.index_bytes,
                groups: stats.groups,
                syncs: stats.syncs,
                writes: stats.writes,
                checkpoints: stats.checkpoints,
                checkpoint_bytes: stats.checkpoint_bytes,
                checkpoints_failed: stats.checkpoints_failed,
                checkpoint_running: stats.checkpoint_running.into(),
                checkpoint_records: stats.checkpoint_records,
                checkpoint_records_total: stats.checkpoint_records_total,
                sealed_logs: stats.sealed_logs,
                view_bytes: stats.view_bytes,
            })
        })?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Tells what the last checkpoint came to, for those that a thread of the library makes: nobody else
/// sees their errors.
///
/// KVSTORE_OK if it succeeded, or there was none; otherwise what kvstore_checkpoint() would have
/// returned, with *error set. Also KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_checkpoint_error(
    store: *const kvstore,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let store = unsafe { store_of(store) }?;
        store.check()?;
        match store.checkpoint_error() {
            Some(error) => Err(error.into()),
            None => Ok(KVSTORE_OK),
        }
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Fills *out with what opening the store found and did. Set out->struct_size first:
///
///     kvstore_recovery_info info = { .struct_size = sizeof info };
///     status = kvstore_recovery_report(store, &info, &error);
///     if (status == KVSTORE_OK && info.bytes_cut > 0)
///         printf("%llu bytes kept in %s\n", (unsigned long long)info.bytes_cut, info.quarantine);
///
/// KVSTORE_OK, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT. An error sets all fields but
/// struct_size to 0; only if struct_size cannot be right, which is KVSTORE_ERR_INVALID_ARGUMENT,
/// nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_recovery_report(
    store: *const kvstore,
    out: *mut kvstore_recovery_info,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for outputs, kept by the caller.
        let out = unsafe { SizedOut::new(out, FIRST_RECOVERY, "kvstore_recovery_info") };
        // SAFETY: the rule for handles, kept by the caller.
        let handle = unsafe { handle_of(store) };
        out.fill(|struct_size| {
            let handle = handle?;
            handle.store.check()?;
            let report = handle.store.recovery_report();
            Ok(kvstore_recovery_info {
                struct_size,
                snapshot_records: report.snapshot_records,
                log_records: report.log_records,
                bytes_cut: report.bytes_cut,
                cut_offset: report.cut_offset.unwrap_or(KVSTORE_OFFSET_NONE),
                quarantine: lent(&handle.recovery.quarantine),
                damaged: u64::from(report.damaged),
                sealed_logs: report.sealed_logs,
                cut_log: lent(&handle.recovery.cut_log),
                cut_reason: lent(&handle.recovery.cut_reason),
            })
        })?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

pub(super) fn lent(text: &Option<Text>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), Text::as_ptr)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an older, a newer or a careless program would have it: any number of words.
    fn filled(words: &mut [usize], first: usize) -> Result<(), Failure> {
        #[derive(Clone, Copy)]
        #[repr(C)]
        struct Three(usize, u64, u64);
        // SAFETY: every size that the tests put into words[0] and that is not refused is that of
        // the array.
        let out = unsafe { SizedOut::new(words.as_mut_ptr().cast::<Three>(), first, "three") };
        out.fill(|size| Ok(Three(size, 11, 22)))
    }

    #[test]
    fn a_caller_gets_the_fields_that_it_knows() {
        let mut same = [24, 9, 9];
        assert!(filled(&mut same, 24).is_ok());
        assert_eq!(same, [24, 11, 22]);
        let mut older = [16, 9];
        assert!(filled(&mut older, 16).is_ok());
        assert_eq!(older, [16, 11]);
        let mut newer = [40, 9, 9, 9, 9];
        assert!(filled(&mut newer, 24).is_ok());
        assert_eq!(newer, [24, 11, 22, 0, 0]);
    }

    #[test]
    fn a_size_that_cannot_be_is_refused_and_nothing_is_written() {
        for size in [0, 8, 23, MAX_STRUCT_SIZE + 1, 0x7ffc_1234_5678, usize::MAX] {
            let mut words = [size, 9, 9];
            assert!(filled(&mut words, 24).is_err());
            assert_eq!(words, [size, 9, 9]);
        }
    }
}
