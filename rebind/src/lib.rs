//! rebind is preloaded into a program (`LD_PRELOAD`) and moves ports that it binds to loopback and to other numbers, so that
//! nobody but a proxy on the same machine reaches them.
//!
//! `bind()` of a stream socket to a port in question, on whatever address, gets the loopback of the same family and the new
//! port; `getsockname()` tells such a socket, and each connection that it accepts, the port that was asked for. Everything
//! else passes through untouched: datagrams, which a proxy of streams cannot serve, other families and ports, addresses
//! that the kernel would refuse.
//!
//! This file and `real` are the only ones with unsafe code, and have no rule of their own; the rule is in [`rule`] and
//! [`address`]. On the way through a hook nothing is allocated, printed or locked, nothing can panic, and `errno` is
//! changed by nothing but what failed. The environment is read once, when the library is loaded: a program that clears or
//! changes it later changes nothing. It does not see system calls that go around the C library, static programs, and those
//! with more rights than who starts them.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "C calls in, and we call C; `rule` and `address` forbid it")]

// What is preloaded has neither std nor a way to unwind (`cargo preload`). The fuzzer and the tests of the rule take the rest
// of this crate into programs that have both.
#[cfg(all(panic = "unwind", not(test)))]
extern crate std as _;

pub mod address;
mod real;
pub mod rule;

use core::ffi::c_int;
use core::{ptr, slice};

use address::{Encoded, KERNEL_BYTES_MAX, socklen};
use libc::{sockaddr, socklen_t};
use rule::{Environment, Ports, Shared};

/// bind(2), as the program calls it.
///
/// # Safety
///
/// As bind(2): `address` is null or has `length` bytes to read, or more than the kernel looks at.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: our caller's promise is this function's condition.
    match unsafe { elsewhere(socket, address, length) } {
        Some(moved) => bind_beside_the_holder(socket, &moved),
        // SAFETY: our caller's promise is this function's condition.
        None => unsafe { real::bind(socket, address, length) },
    }
}

/// getsockname(2), as the program calls it.
///
/// # Safety
///
/// As getsockname(2): whatever of `address` and `length` this process may write to is the caller's to be written.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getsockname(socket: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    let mut whole = [0; KERNEL_BYTES_MAX];
    let Some(asked) = port_asked_for(socket, &mut whole) else {
        // SAFETY: our caller's promise is this function's condition.
        return unsafe { real::getsockname(socket, address, length) };
    };
    // The kernel overwrites the length of the caller's buffer, and a pointer that the kernel refuses must not be followed
    // here. So the kernel is first told to write to a buffer of ours, as much as there is room in the caller's; what
    // differed from the address before and does no more, is that room.
    let mut room = whole.map(|byte| !byte);
    // SAFETY: the buffer is ours and as long as the longest address, however much room the caller says there is; for the
    // length our caller has promised.
    if unsafe { real::getsockname(socket, room.as_mut_ptr().cast(), length) } != 0 {
        return -1;
    }
    let copied = room.iter().zip(&whole).take_while(|(room, whole)| room == whole).count();
    // SAFETY: the kernel has just written there, so it may be written, and our caller has promised that it is for this.
    unsafe { length.write_unaligned(socklen(copied)) };
    // SAFETY: our caller's promise is this function's condition.
    if unsafe { real::getsockname(socket, address, length) } != 0 {
        return -1;
    }
    let port = asked.to_be_bytes();
    let at = size_of::<libc::sa_family_t>();
    let cut = copied.saturating_sub(at).min(port.len());
    // SAFETY: the kernel has just written `copied` bytes there, of which `cut` follow the family.
    unsafe { ptr::copy_nonoverlapping(port.as_ptr(), address.cast::<u8>().wrapping_add(at), cut) };
    0
}

/// What the loader calls before the program begins, when there are no other threads yet.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;

static PORTS: Shared = Shared::new();

#[cfg_attr(test, expect(dead_code, reason = "the unit tests are not preloaded"))]
extern "C" fn load() {
    real::find();
    let ports = read_ports();
    PORTS.store(&ports.unwrap_or(Ports::NONE));
    if let Err(unclear) = ports {
        real::complain(unclear.message());
    }
}

/// What was read when the library was loaded. Another library's constructor may call before ours was: then it is read for
/// this call alone.
fn ports() -> Ports {
    PORTS.load().unwrap_or_else(|| read_ports().unwrap_or(Ports::NONE))
}

fn read_ports() -> Result<Ports, rule::Unclear> {
    // SAFETY: the program has not begun; a constructor that runs threads which change the environment breaks getenv(3)
    // for everybody. The values are taken apart right here.
    let variable = |name| unsafe { real::variable(name) };
    Ports::parse(Environment {
        list: variable(c"REBIND_PORTS"),
        old: variable(c"REBIND_OLD_PORT"),
        new: variable(c"REBIND_NEW_PORT"),
    })
}

/// Where a bind to this address goes instead, if it is moved.
///
/// # Safety
///
/// As for [`bind`].
unsafe fn elsewhere(socket: c_int, address: *const sockaddr, length: socklen_t) -> Option<Encoded> {
    let ports = ports();
    let length = length as usize;
    if ports.is_empty() || address.is_null() || length > KERNEL_BYTES_MAX {
        return None;
    }
    // SAFETY: our caller has promised that these bytes can be read, and nobody writes to them during the call. Bytes need
    // no alignment.
    let asked = address::parse(unsafe { slice::from_raw_parts(address.cast(), length) })?;
    let ipv6_only = || real::option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) == Some(1);
    let moved = ports.elsewhere(asked, ipv6_only)?;
    // The kernel tells an address of the other family from one that is too short, and must see the program's own for that.
    let other_family = if moved.is_ipv4() { libc::AF_INET6 } else { libc::AF_INET };
    let fits = real::option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN) != Some(other_family);
    (fits && is_stream(socket)).then(|| moved.into())
}

/// Binds to the new port, which a proxy may hold for us with a socket that does not listen: two sockets share an address when
/// both allow reuse and none listens yet. Only when the port is in use is reuse allowed for the program, and only then can it
/// see a difference: what is left of ended connections does not keep it from starting again.
fn bind_beside_the_holder(socket: c_int, moved: &Encoded) -> c_int {
    let before = real::errno();
    if real::bind_to(socket, moved) == 0 {
        return 0;
    }
    let reuse = |value| real::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, value);
    if real::errno() != libc::EADDRINUSE
        || real::option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR) != Some(0)
        || !reuse(1)
    {
        return -1;
    }
    if real::bind_to(socket, moved) == 0 {
        real::set_errno(before);
        return 0;
    }
    reuse(0);
    -1
}

/// The port that the program asked for, if this is a socket that was moved. `whole` gets its address.
fn port_asked_for(socket: c_int, whole: &mut [u8; KERNEL_BYTES_MAX]) -> Option<u16> {
    let ports = ports();
    if ports.is_empty() {
        return None;
    }
    let before = real::errno();
    let mut length = socklen(whole.len());
    // SAFETY: both point to values of the caller's and ours, and the length is the value's.
    let done = unsafe { real::getsockname(socket, whole.as_mut_ptr().cast(), &raw mut length) };
    real::set_errno(before);
    let local = address::parse(whole.get(..length as usize).filter(|_| done == 0)?)?;
    ports.asked(local).filter(|_| is_stream(socket))
}

fn is_stream(socket: c_int) -> bool {
    real::option(socket, libc::SOL_SOCKET, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
}

/// A library without std must say what a panic does. Nothing here panics, so the linker leaves it out.
#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it takes nothing and does not return.
    unsafe { libc::abort() }
}
