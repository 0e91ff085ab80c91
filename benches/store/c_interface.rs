//! The C interface as a C program meets it: the shared library, loaded at run time.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr;

type Open =
    unsafe extern "C" fn(*const c_char, *const c_void, *mut *mut c_void, *mut *mut c_void) -> i32;
type NewOptions = unsafe extern "C" fn() -> *mut c_void;
type SetOption = unsafe extern "C" fn(*mut c_void, u32, u64, *mut *mut c_void) -> i32;
type GetInto = unsafe extern "C" fn(
    *const c_void,
    *const c_void,
    usize,
    *mut c_void,
    usize,
    *mut usize,
    *mut *mut c_void,
) -> i32;
type Close = unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> i32;

const OPTION_READ_ONLY: u32 = 3;

/// A store that was opened read-only through the C interface.
pub struct CStore {
    handle: *mut c_void,
    get_into: GetInto,
    close: Close,
}

impl CStore {
    /// Loads `library` and opens `directory`; `None` when the library has not been built.
    pub fn open(library: &Path, directory: &Path) -> Option<CStore> {
        let name = CString::new(library.to_str()?).ok()?;
        // SAFETY: the library's initializers are those of this very crate.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: asks a loaded library for a name.
            let address = unsafe { libc::dlsym(library, name.as_ptr()) };
            assert!(!address.is_null(), "{name:?}");
            address
        };
        let directory = CString::new(directory.to_str()?).ok()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the types are those of kvstore.h, and the arguments what it asks for.
        unsafe {
            let new_options: NewOptions = std::mem::transmute(symbol(c"kvstore_options_new"));
            let set_option: SetOption = std::mem::transmute(symbol(c"kvstore_options_set"));
            let open: Open = std::mem::transmute(symbol(c"kvstore_open"));
            let options = new_options();
            assert_eq!(set_option(options, OPTION_READ_ONLY, 1, ptr::null_mut()), 0);
            assert_eq!(open(directory.as_ptr(), options, &raw mut handle, ptr::null_mut()), 0);
            Some(CStore {
                handle,
                get_into: std::mem::transmute::<*mut c_void, GetInto>(symbol(c"kvstore_get_into")),
                close: std::mem::transmute::<*mut c_void, Close>(symbol(c"kvstore_close")),
            })
        }
    }

    /// Copies the value of `key`, which is there, into `buffer`. Returns its length.
    pub fn get_into(&self, key: &[u8], buffer: &mut [u8]) -> usize {
        let mut len = 0;
        // SAFETY: the pointers are to the slices whose lengths go with them.
        let status = unsafe {
            (self.get_into)(
                self.handle,
                key.as_ptr().cast(),
                key.len(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut len,
                ptr::null_mut(),
            )
        };
        assert_eq!(status, 0);
        len
    }
}

impl Drop for CStore {
    fn drop(&mut self) {
        // SAFETY: opened above, closed once.
        unsafe { (self.close)(self.handle, ptr::null_mut()) };
    }
}
