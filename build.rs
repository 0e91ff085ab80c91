//! Gives the shared library its name for the dynamic linker: programs record it when they are
//! linked, and look for it when they start. The number in it is that of the C interface, and
//! grows when a program compiled against an older header would no longer work.

const INTERFACE: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Not `rustc-cdylib-link-arg`: that would name the Python extension so, too.
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => {
            println!("cargo:rustc-link-arg=-Wl,-install_name,@rpath/libkvstore.{INTERFACE}.dylib")
        }
        Ok(_) => println!("cargo:rustc-link-arg=-Wl,-soname,libkvstore.so.{INTERFACE}"),
        Err(_) => {}
    }
}
