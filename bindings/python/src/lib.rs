//! The Python package `kvstore`: the extension module `kvstore._kvstore`.
//!
//! This crate translates and decides nothing that the engine should decide. One file per job:
//!
//! | file | owns |
//! |---|---|
//! | `open.rs` | `open()`, its flags and options |
//! | `store/` | the class `Store`: every method, most of them one line |
//! | `batch.rs` | the class `Batch` |
//! | `bulk.rs` | the calls that take many keys or pairs |
//! | `equality.rs` | `==` between a store, or a view or transaction of one, and another mapping |
//! | `handle.rs` | the engine's handle, and when to release the interpreter lock around it |
//! | `view.rs` | the class `View`: a store at one instant |
//! | `transaction/` | the class `Transaction` |
//! | `backup.rs` | `backup` of a store and of a view |
//! | `cursor.rs` | the iterators that `iter`, `reversed`, `scan` and `scan_keys` return |
//! | `stats.rs` | the dictionaries of `stats` and `recovery_report` |
//! | `pin.rs` | the buffer behind `get_view` |
//! | `bytes.rs` | Python objects to byte slices and back |
//! | `verify.rs` | `verify()`, `repair()` and `salvage()` |
//! | `signals.rs` | signals during long work of the engine |
//! | `errors.rs` | engine errors to the exceptions of `kvstore._errors` |
//!
//! The Python half, in `python/kvstore`, holds what Python expresses better: exceptions with
//! several bases, the views that `keys()`, `values()` and `items()` return, and the types of dictionaries.
//!
//! Docstrings are repeated in `python/kvstore/_kvstore.pyi` for editors; a test compares the two.

#![deny(unsafe_code)]

mod backup;
mod batch;
mod bulk;
mod bytes;
mod cursor;
mod equality;
mod errors;
mod handle;
mod open;
mod pin;
mod signals;
mod stats;
mod store;
mod transaction;
mod verify;
mod view;

/// The compiled part of `kvstore`; import `kvstore` instead.
// The interpreter lock is what keeps other threads from changing the bytes that are being read.
#[pyo3::pymodule(gil_used = true)]
mod _kvstore {
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use crate::batch::Batch;
    #[pymodule_export]
    use crate::open::open;
    #[pymodule_export]
    use crate::store::Store;
    #[pymodule_export]
    use crate::transaction::Transaction;
    #[pymodule_export]
    use crate::verify::{repair, salvage, verify};
    #[pymodule_export]
    use crate::view::View;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
