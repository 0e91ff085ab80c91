//! The buffer behind `get_view`.

use std::ffi::c_int;

use kvstore::PinnedValue;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

/// Keeps a value's mapped bytes alive for the `memoryview`s of it.
#[pyclass(frozen, module = "kvstore", name = "Pin")]
struct Pin(PinnedValue);

/// A read-only `memoryview` of `value`, which stays valid whatever happens to the store.
pub(crate) fn view(py: Python<'_>, value: PinnedValue) -> PyResult<Bound<'_, PyMemoryView>> {
    PyMemoryView::from(Bound::new(py, Pin(value))?.as_any())
}

#[pymethods]
impl Pin {
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let bytes: &[u8] = &slf.get().0;
        let read_only = 1;
        // SAFETY: `view` is not null and the interpreter passes one to fill. The bytes are mapped
        // until the `PinnedValue` is dropped and never change; `slf` owns it, is frozen, and is
        // kept alive by the reference to it that `PyBuffer_FillInfo` stores in the view. A slice
        // is at most `isize::MAX` long.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len() as ffi::Py_ssize_t,
                read_only,
                flags,
            )
        };
        match status {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}
