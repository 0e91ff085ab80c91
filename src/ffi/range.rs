//! Which keys a scan visits: `kvstore_range`.

use std::ops::Bound;
use std::ptr;

use crate::{Direction, KeyRange};

use super::arguments::MAX_STRUCT_SIZE;
use super::boundary::Failure;
use super::slice::kvstore_slice;

/// Which keys a cursor visits, and in which order. A key must meet all that is given.
///
///     kvstore_range range = { .struct_size = sizeof range };
///     range.prefix.data = (const uint8_t *)"user:";
///     range.prefix.len = 5;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_range {
    /// sizeof(kvstore_range), so that later versions can add fields.
    pub struct_size: usize,
    /// The first key, itself included. data NULL: from the beginning.
    pub start: kvstore_slice,
    /// Where to stop: this key is not included. data NULL: to the end.
    pub end: kvstore_slice,
    /// Only keys that begin with this. len 0: all keys.
    pub prefix: kvstore_slice,
    /// KVSTORE_RANGE_REVERSE, KVSTORE_RANGE_KEYS_ONLY, both (by |) or 0.
    pub flags: u32,
    /// How many pairs to visit at most; 0: all. Seeking begins to count anew.
    pub limit: u64,
}

const _: () = assert!(size_of::<kvstore_range>() == 72 && align_of::<kvstore_range>() == 8);

/// The size that the struct had when it was first published: without the limit.
const FIRST: usize = 64;

/// In descending order; start and end keep their meaning.
pub const KVSTORE_RANGE_REVERSE: u32 = 1;
/// Values are not wanted: they are returned empty.
pub const KVSTORE_RANGE_KEYS_ONLY: u32 = 2;

const KNOWN_FLAGS: u32 = KVSTORE_RANGE_REVERSE | KVSTORE_RANGE_KEYS_ONLY;

/// What a cursor is asked for.
pub(super) struct Request {
    pub(super) keys: KeyRange,
    pub(super) direction: Direction,
    pub(super) keys_only: bool,
    /// How many pairs to visit at most.
    pub(super) limit: u64,
}

/// The request that the caller's range makes; NULL asks for all keys, ascending.
///
/// # Safety
/// `range` is NULL or points to as many readable bytes as its first field says, and the rule for
/// *bytes* holds for its three keys during the call.
pub(super) unsafe fn request(range: *const kvstore_range) -> Result<Request, Failure> {
    // SAFETY: passed on to the caller of this function.
    match unsafe { range_of(range) }? {
        // SAFETY: as above.
        Some(range) => unsafe { request_of(&range) },
        None => Ok(Request {
            keys: KeyRange::all(),
            direction: Direction::Ascending,
            keys_only: false,
            limit: u64::MAX,
        }),
    }
}

/// A copy of the caller's range. What an older version of the struct lacks is 0.
///
/// # Safety
/// `range` is NULL or points to as many readable bytes as its first field says.
unsafe fn range_of(range: *const kvstore_range) -> Result<Option<kvstore_range>, Failure> {
    if range.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL (checked); the size field is there by the promise of the caller.
    let size = unsafe { (&raw const (*range).struct_size).read() };
    if size < FIRST {
        return Err(Failure::BadValue(format!(
            "range.struct_size is {size}; set it to sizeof(kvstore_range), which is at least \
             {FIRST}"
        )));
    }
    if size > MAX_STRUCT_SIZE {
        return Err(Failure::BadValue(format!(
            "range.struct_size is {size}; set the struct to zero, then this to sizeof(kvstore_range)"
        )));
    }
    // SAFETY: not NULL, and as large as its size field says by the promise of the caller.
    let bytes = unsafe { std::slice::from_raw_parts(range.cast::<u8>(), size) };
    let known = size.min(size_of::<kvstore_range>());
    if bytes[known..].iter().any(|&byte| byte != 0) {
        return Err(Failure::Unsupported(
            "range has a field that this version of the library does not know; leave it 0, or \
             link the version of the library that the header came with",
        ));
    }
    let mut copy = kvstore_range {
        struct_size: 0,
        start: kvstore_slice::NONE,
        end: kvstore_slice::NONE,
        prefix: kvstore_slice::NONE,
        flags: 0,
        limit: 0,
    };
    // SAFETY: `known` bytes are readable (checked against the size field) and fit into the local
    // variable; every bit pattern is valid; the two do not overlap.
    unsafe {
        ptr::copy_nonoverlapping(range.cast::<u8>(), (&raw mut copy).cast::<u8>(), known);
    }
    Ok(Some(copy))
}

/// # Safety
/// The rule for *bytes* holds for the three keys during the call.
unsafe fn request_of(range: &kvstore_range) -> Result<Request, Failure> {
    if range.flags & !KNOWN_FLAGS != 0 {
        return Err(Failure::BadValue(format!(
            "range.flags {:#x} has bits that are not known; accepted are KVSTORE_RANGE_REVERSE \
             (0x1), KVSTORE_RANGE_KEYS_ONLY (0x2), both or 0",
            range.flags
        )));
    }
    // SAFETY: the rule for bytes, by the promise of the caller.
    let (start, end, prefix) = unsafe {
        (
            range.start.bytes("range.start")?,
            range.end.bytes("range.end")?,
            range.prefix.bytes("range.prefix")?,
        )
    };
    // NULL means "no bound", so that the empty key can be told from it.
    let start = if range.start.data.is_null() { Bound::Unbounded } else { Bound::Included(start) };
    let end = if range.end.data.is_null() { Bound::Unbounded } else { Bound::Excluded(end) };
    let mut keys = KeyRange::from((start, end));
    if !prefix.is_empty() {
        keys = keys.and_prefix(prefix);
    }
    let reverse = range.flags & KVSTORE_RANGE_REVERSE != 0;
    let direction = if reverse { Direction::Descending } else { Direction::Ascending };
    let keys_only = range.flags & KVSTORE_RANGE_KEYS_ONLY != 0;
    let limit = if range.limit == 0 { u64::MAX } else { range.limit };
    Ok(Request { keys, direction, keys_only, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: kvstore_range = kvstore_range {
        struct_size: size_of::<kvstore_range>(),
        start: kvstore_slice::NONE,
        end: kvstore_slice::NONE,
        prefix: kvstore_slice::NONE,
        flags: 0,
        limit: 0,
    };

    fn request(range: &kvstore_range) -> Result<(KeyRange, Direction, bool), String> {
        // SAFETY: the tests below point at literals, or at nothing.
        let request = unsafe { request_of(range) }.map_err(|failure| failure.to_string())?;
        assert_eq!(request.limit, u64::MAX, "0 is no limit");
        Ok((request.keys, request.direction, request.keys_only))
    }

    #[test]
    fn null_is_no_bound_and_the_empty_key_is_one() {
        let (keys, direction, keys_only) = request(&ALL).unwrap();
        assert_eq!((keys, direction, keys_only), (KeyRange::all(), Direction::Ascending, false));
        let (keys, ..) = request(&kvstore_range { end: kvstore_slice::of(b""), ..ALL }).unwrap();
        assert!(!keys.contains(b""));
        let (keys, ..) = request(&kvstore_range { start: kvstore_slice::of(b""), ..ALL }).unwrap();
        assert!(keys.contains(b""));
    }

    #[test]
    fn a_prefix_narrows_the_bounds() {
        let range = kvstore_range {
            start: kvstore_slice::of(b"ab"),
            prefix: kvstore_slice::of(b"a"),
            flags: KVSTORE_RANGE_REVERSE | KVSTORE_RANGE_KEYS_ONLY,
            ..ALL
        };
        let (keys, direction, keys_only) = request(&range).unwrap();
        assert!(!keys.contains(b"aa") && keys.contains(b"ab") && !keys.contains(b"b"));
        assert_eq!((direction, keys_only), (Direction::Descending, true));
    }

    #[test]
    fn an_unknown_flag_is_named_with_those_that_are_known() {
        let message = request(&kvstore_range { flags: 9, ..ALL }).unwrap_err();
        assert!(message.contains("0x9") && message.contains("KVSTORE_RANGE_REVERSE"));
    }

    #[test]
    fn a_larger_struct_is_accepted_if_the_rest_is_zero() {
        #[repr(C)]
        struct Newer(kvstore_range, u64);
        let size = size_of::<Newer>();
        let mut newer = Newer(kvstore_range { struct_size: size, ..ALL }, 0);
        // SAFETY: the size is that of the local variable.
        assert!(unsafe { range_of((&raw const newer).cast()) }.is_ok());
        newer.1 = 1;
        // SAFETY: as above.
        let refused = unsafe { range_of((&raw const newer).cast()) };
        assert!(matches!(refused, Err(Failure::Unsupported(_))));
        let older = kvstore_range { struct_size: 8, ..ALL };
        // SAFETY: as above; nothing behind the size is read.
        assert!(matches!(unsafe { range_of(&raw const older) }, Err(Failure::BadValue(_))));
        for forgotten in [MAX_STRUCT_SIZE + 1, 0x7ffc_1234_5678, usize::MAX] {
            let range = kvstore_range { struct_size: forgotten, ..ALL };
            // SAFETY: as above; nothing is read but the size.
            assert!(matches!(unsafe { range_of(&raw const range) }, Err(Failure::BadValue(_))));
        }
    }

    #[test]
    fn a_range_of_the_first_version_has_no_limit() {
        let mut range = kvstore_range { struct_size: FIRST, limit: 7, ..ALL };
        // SAFETY: the size is at most that of the local variable.
        let copy = unsafe { range_of(&raw const range) }.ok().flatten().unwrap();
        assert_eq!(copy.limit, 0, "the caller does not know the field");
        range.struct_size = size_of::<kvstore_range>();
        // SAFETY: as above.
        let asked = unsafe { super::request(&raw const range) }.ok().unwrap();
        assert_eq!(asked.limit, 7);
    }
}
