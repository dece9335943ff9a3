//! What is behind the hooks: the real functions, the options of a socket, the environment and `errno`.
//!
//! Only plumbing; the rule is elsewhere. A question that is asked here on the way leaves `errno` as it was.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{sockaddr, socklen_t};

use crate::address::{Encoded, socklen};

type Bind = unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int;
type GetSockName = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;

static BIND: Next = Next::new(c"bind");
static GETSOCKNAME: Next = Next::new(c"getsockname");

/// Finds the real functions, so that no hook has to: looking for them may take a lock of the loader's.
pub(crate) fn find() {
    BIND.find();
    GETSOCKNAME.find();
}

/// The real bind(2).
///
/// # Safety
///
/// As bind(2): `address` is null or has `length` bytes to read.
pub(crate) unsafe fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let found = BIND.find();
    if found.is_null() {
        return missing();
    }
    // SAFETY: the loader found it under the name of the function that has this type.
    let bind: Bind = unsafe { transmute(found) };
    // SAFETY: our caller's promise is this function's condition.
    unsafe { bind(socket, address, length) }
}

/// The real bind(2) with an address of our own.
pub(crate) fn bind_to(socket: c_int, address: &Encoded) -> c_int {
    let (address, length) = address.as_sockaddr();
    // SAFETY: it is the address and the size of a value that lives longer than the call.
    unsafe { bind(socket, address, length) }
}

/// The real getsockname(2).
///
/// # Safety
///
/// As getsockname(2): whatever of `address` and `length` this process may write to is the caller's to be written.
pub(crate) unsafe fn getsockname(socket: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    let found = GETSOCKNAME.find();
    if found.is_null() {
        return missing();
    }
    // SAFETY: the loader found it under the name of the function that has this type.
    let getsockname: GetSockName = unsafe { transmute(found) };
    // SAFETY: our caller's promise is this function's condition.
    unsafe { getsockname(socket, address, length) }
}

/// The value of an option that is a number, if the socket has the option.
pub(crate) fn option(socket: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let before = errno();
    let mut value: c_int = 0;
    let mut length = socklen(size_of::<c_int>());
    // SAFETY: both point to values of ours that live longer than the call, and the length is the value's.
    let done = unsafe { libc::getsockopt(socket, level, name, ptr::from_mut(&mut value).cast(), &raw mut length) };
    set_errno(before);
    (done == 0 && length as usize == size_of::<c_int>()).then_some(value)
}

/// Sets an option that is a number, and says whether that was possible.
pub(crate) fn set_option(socket: c_int, level: c_int, name: c_int, value: c_int) -> bool {
    let before = errno();
    let length = socklen(size_of::<c_int>());
    // SAFETY: the value lives longer than the call, and the length is its own.
    let done = unsafe { libc::setsockopt(socket, level, name, ptr::from_ref(&value).cast(), length) };
    set_errno(before);
    done == 0
}

/// A variable of the environment.
///
/// # Safety
///
/// No other thread changes the environment now, and what is returned is not used after a change.
pub(crate) unsafe fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: the name ends with a zero, and our caller keeps other threads away.
    let value: *const c_char = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returned a string that ends with a zero, which our caller keeps from being changed.
    Some(unsafe { CStr::from_ptr(value) }.to_bytes())
}

/// A line on standard error, as the loader itself writes its own.
pub(crate) fn complain(message: &str) {
    for part in ["rebind: ", message, "\n"] {
        // SAFETY: the pointer and the length are those of a string that lives longer than the call.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

/// The error of this thread's last call that failed.
pub(crate) fn errno() -> c_int {
    // SAFETY: the C library returns a pointer to this thread's own, which lives as long as the thread.
    unsafe { *libc::__errno_location() }
}

/// Says that this thread's last call failed so, or puts back what was there.
pub(crate) fn set_errno(error: c_int) {
    // SAFETY: the C library returns a pointer to this thread's own, which lives as long as the thread.
    unsafe { *libc::__errno_location() = error }
}

/// A function of the next library that has it. Every thread that looks finds the same, so whoever stores it last is right.
struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(ptr::null_mut()) }
    }

    fn find(&self) -> *mut c_void {
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: the name ends with a zero.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.found.store(found, Ordering::Relaxed);
        }
        found
    }
}

/// There is no C library below us that could do it, which cannot be in a process that runs.
fn missing() -> c_int {
    set_errno(libc::ENOSYS);
    -1
}
