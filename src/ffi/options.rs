//! How a store is opened: `kvstore_options`.

use std::time::Duration;

use crate::{CloseCheckpoint, Durability, MAX_LEN, Options};

use super::arguments::handle_mut;
use super::boundary::{Failure, boundary, shielded};
use super::error::kvstore_error;
use super::status::{KVSTORE_OK, kvstore_status};

/// How to open a store. One thread at a time uses it; kvstore_open() copies what it needs.
pub struct kvstore_options {
    pub(super) inner: Options,
}

/// A KVSTORE_DURABILITY_* number. Default SYNC.
pub const KVSTORE_OPTION_DURABILITY: u32 = 1;
/// 1: create a missing directory (default). 0: do not.
pub const KVSTORE_OPTION_CREATE: u32 = 2;
/// 1: for reading only, change nothing. Default 0.
pub const KVSTORE_OPTION_READ_ONLY: u32 = 3;
/// Milliseconds to wait for another holder. Default 0.
pub const KVSTORE_OPTION_LOCK_TIMEOUT_MS: u32 = 4;
/// Longest key, in bytes. Default KVSTORE_MAX_LEN.
pub const KVSTORE_OPTION_MAX_KEY_LEN: u32 = 5;
/// Longest value, in bytes. Default KVSTORE_MAX_LEN.
pub const KVSTORE_OPTION_MAX_VALUE_LEN: u32 = 6;
/// A KVSTORE_CLOSE_CHECKPOINT_* number. Default AUTO.
pub const KVSTORE_OPTION_CLOSE_CHECKPOINT: u32 = 7;
/// 1: refuse a log whose synced part is damaged. 0 (default): keep what is before the damage.
pub const KVSTORE_OPTION_STRICT_RECOVERY: u32 = 8;
/// Milliseconds that a write waits for another thread's transaction. Default 5000.
pub const KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS: u32 = 9;
/// Bytes that the log may have before a thread of the library writes a snapshot and removes it,
/// beside readers and writers. 0: none does; kvstore_checkpoint() and kvstore_close() still do.
/// Default: 64 MiB, or the length of the snapshot if that is more.
pub const KVSTORE_OPTION_CHECKPOINT_BYTES: u32 = 10;

/// A write is on the disk when it returns: it survives power loss, a crash of the system and the
/// death of the process. Writes of several threads share one disk sync.
pub const KVSTORE_DURABILITY_SYNC: u32 = 0;
/// A write is with the operating system when it returns: it survives the death of the process, also
/// by SIGKILL. Power loss or a crash of the system may take back the newest writes; what is left
/// is what had been written up to some moment, without holes. kvstore_sync() makes them durable.
pub const KVSTORE_DURABILITY_OS: u32 = 1;

/// Write a snapshot, unless nothing has changed, or the log is shorter than an eighth of a snapshot
/// larger than 64 MiB: replaying it then costs less than writing the snapshot.
pub const KVSTORE_CLOSE_CHECKPOINT_AUTO: u32 = 0;
/// Write a snapshot, unless nothing has changed.
pub const KVSTORE_CLOSE_CHECKPOINT_ALWAYS: u32 = 1;
/// Write no snapshot: sync the log and keep it. The next open replays it.
pub const KVSTORE_CLOSE_CHECKPOINT_NEVER: u32 = 2;

/// The longest key or value that the file format can hold, in bytes: 4 GiB - 1.
pub const KVSTORE_MAX_LEN: u64 = 4_294_967_295;

/// The longest timeout, in milliseconds: about 49 days.
const MAX_TIMEOUT_MS: u64 = u32::MAX as u64;

const _: () = {
    assert!(KVSTORE_MAX_LEN == MAX_LEN);
    assert!(KVSTORE_DURABILITY_SYNC == Durability::Sync as u32);
    assert!(KVSTORE_DURABILITY_OS == Durability::Os as u32);
    assert!(KVSTORE_CLOSE_CHECKPOINT_AUTO == CloseCheckpoint::Auto as u32);
    assert!(KVSTORE_CLOSE_CHECKPOINT_ALWAYS == CloseCheckpoint::Always as u32);
    assert!(KVSTORE_CLOSE_CHECKPOINT_NEVER == CloseCheckpoint::Never as u32);
};

/// Completes "... accepts".
const DURABILITIES: &str = "KVSTORE_DURABILITY_SYNC (0) and KVSTORE_DURABILITY_OS (1)";

/// The durability that a caller passed as a number.
pub(super) fn durability_of(value: u32) -> Result<Durability, Failure> {
    named_durability(value.into()).ok_or_else(|| {
        Failure::BadValue(format!("durability {value} is not known; accepted are {DURABILITIES}"))
    })
}

fn named_durability(value: u64) -> Option<Durability> {
    match value {
        0 => Some(Durability::Sync),
        1 => Some(Durability::Os),
        _ => None,
    }
}

/// New options with their defaults: create what is missing, KVSTORE_DURABILITY_SYNC, do not wait
/// for the lock. Free them with kvstore_options_free(). NULL if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn kvstore_options_new() -> *mut kvstore_options {
    shielded(std::ptr::null_mut(), || {
        super::error::boxed(kvstore_options { inner: Options::new() })
    })
}

/// Frees options. Stores that were opened with them are not affected. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_options_free(options: *mut kvstore_options) {
    if !options.is_null() {
        // SAFETY: made by `boxed` in `kvstore_options_new`, and freed only here, once: the rule
        // for handles, kept by the caller.
        let options = unsafe { Box::from_raw(options) };
        shielded((), || drop(options));
    }
}

/// Sets one option, a KVSTORE_OPTION_* number, to a value.
///
///     kvstore_options_set(options, KVSTORE_OPTION_LOCK_TIMEOUT_MS, 2000, &error);
///
/// KVSTORE_OK, or KVSTORE_ERR_INVALID_ARGUMENT for an option that does not exist or a value that
/// it does not accept: the message lists what is accepted, and the option keeps its value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_options_set(
    options: *mut kvstore_options,
    option: u32,
    value: u64,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let options = unsafe {
            handle_mut(options, "options is NULL; pass what kvstore_options_new() returned")
        }?;
        options.inner = changed(options.inner.clone(), option, value)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

fn changed(options: Options, option: u32, value: u64) -> Result<Options, Failure> {
    let refuse = |name: &str, accepted: &str| {
        Err(Failure::BadValue(format!("{name} does not accept {value}; it accepts {accepted}")))
    };
    const SWITCH: &str = "0 (no) and 1 (yes)";
    const BYTES: &str = "0 to 4294967295 (KVSTORE_MAX_LEN) bytes";
    match option {
        KVSTORE_OPTION_DURABILITY => match named_durability(value) {
            Some(durability) => Ok(options.durability(durability)),
            None => refuse("KVSTORE_OPTION_DURABILITY", DURABILITIES),
        },
        KVSTORE_OPTION_CREATE if value <= 1 => Ok(options.create(value == 1)),
        KVSTORE_OPTION_CREATE => refuse("KVSTORE_OPTION_CREATE", SWITCH),
        KVSTORE_OPTION_READ_ONLY if value <= 1 => Ok(options.read_only(value == 1)),
        KVSTORE_OPTION_READ_ONLY => refuse("KVSTORE_OPTION_READ_ONLY", SWITCH),
        KVSTORE_OPTION_LOCK_TIMEOUT_MS if value <= MAX_TIMEOUT_MS => {
            Ok(options.lock_timeout(Duration::from_millis(value)))
        }
        KVSTORE_OPTION_LOCK_TIMEOUT_MS => {
            refuse("KVSTORE_OPTION_LOCK_TIMEOUT_MS", "0 to 4294967295 milliseconds")
        }
        KVSTORE_OPTION_MAX_KEY_LEN if value <= MAX_LEN => Ok(options.max_key_len(value)),
        KVSTORE_OPTION_MAX_KEY_LEN => refuse("KVSTORE_OPTION_MAX_KEY_LEN", BYTES),
        KVSTORE_OPTION_MAX_VALUE_LEN if value <= MAX_LEN => Ok(options.max_value_len(value)),
        KVSTORE_OPTION_MAX_VALUE_LEN => refuse("KVSTORE_OPTION_MAX_VALUE_LEN", BYTES),
        KVSTORE_OPTION_CLOSE_CHECKPOINT => match value {
            0 => Ok(options.close_checkpoint(CloseCheckpoint::Auto)),
            1 => Ok(options.close_checkpoint(CloseCheckpoint::Always)),
            2 => Ok(options.close_checkpoint(CloseCheckpoint::Never)),
            _ => refuse(
                "KVSTORE_OPTION_CLOSE_CHECKPOINT",
                "KVSTORE_CLOSE_CHECKPOINT_AUTO (0), _ALWAYS (1) and _NEVER (2)",
            ),
        },
        KVSTORE_OPTION_STRICT_RECOVERY if value <= 1 => Ok(options.strict_recovery(value == 1)),
        KVSTORE_OPTION_STRICT_RECOVERY => refuse("KVSTORE_OPTION_STRICT_RECOVERY", SWITCH),
        KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS if value <= MAX_TIMEOUT_MS => {
            Ok(options.transaction_timeout(Duration::from_millis(value)))
        }
        KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS => {
            refuse("KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS", "0 to 4294967295 milliseconds")
        }
        KVSTORE_OPTION_CHECKPOINT_BYTES => Ok(options.checkpoint_bytes(value)),
        _ => Err(Failure::BadValue(format!(
            "option {option} is not known; accepted are KVSTORE_OPTION_DURABILITY (1), \
             KVSTORE_OPTION_CREATE (2), KVSTORE_OPTION_READ_ONLY (3), \
             KVSTORE_OPTION_LOCK_TIMEOUT_MS (4), KVSTORE_OPTION_MAX_KEY_LEN (5), \
             KVSTORE_OPTION_MAX_VALUE_LEN (6), KVSTORE_OPTION_CLOSE_CHECKPOINT (7), \
             KVSTORE_OPTION_STRICT_RECOVERY (8), KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS (9) and \
             KVSTORE_OPTION_CHECKPOINT_BYTES (10)"
        ))),
    }
}
