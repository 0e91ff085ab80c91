//! The C interface: what `include/kvstore.h` declares.
//!
//! This module turns C arguments into Rust ones, calls the public API of the crate, and turns
//! what comes back into status codes, out-parameters and error objects. It contains no storage
//! logic. Nothing in the crate calls it; the linker exports its `kvstore_*` functions.
//!
//! | file | what is in it |
//! |---|---|
//! | `boundary` | stops panics; the one place where a `Result` becomes a status and an error object |
//! | `arguments` | null checks of handles, byte strings and out-parameters |
//! | `status` | status codes, versions |
//! | `slice`, `range` | borrowed bytes, and which keys a scan visits |
//! | `error`, `options`, `store`, `buffer`, `pin`, `many`, `cursor`, `view` | one handle each |
//! | `write`, `read` | operations on one key that return nothing to free |
//! | `batch`, `transaction` | writes that belong together, and those that depend on the value before |
//! | `stats` | structs that the caller provides and later versions may extend |
//! | `backup` | backups, and what their callback is told |
//! | `verify` | checking a directory, repairing, salvaging: the report handle |
//!
//! The doc comments of exported items are the text of the header, and are therefore written for
//! C programmers. After a change to one, run `cargo run -q -p kvstore-header`.
//!
//! # What C callers must keep
//! The `SAFETY` comments of this folder refer to these rules, which the header states as well:
//!
//! - **handles**: a handle is NULL, or came from this library and has not been freed, and no
//!   other thread frees it during the call. Handles other than `kvstore` and `kvstore_view` are used
//!   by one thread at a time.
//! - **bytes**: a pointer with a length has that many readable bytes behind it, which nobody
//!   changes during the call.
//! - **outputs**: a pointer to an out-parameter is NULL, or can be written, and nobody else uses
//!   what it points to during the call.
//! - **strings**: a `const char *` is NULL, or ends in a NUL byte.
#![allow(unsafe_code)]
// Names are those of the header, and `pub` is what the linker exports: no Rust path leads here.
#![allow(non_camel_case_types, unreachable_pub)]

mod arguments;
mod backup;
mod batch;
mod boundary;
mod buffer;
mod cursor;
mod error;
mod many;
mod options;
mod pin;
mod range;
mod read;
mod slice;
mod stats;
mod status;
mod store;
mod transaction;
mod verify;
mod view;
mod write;
