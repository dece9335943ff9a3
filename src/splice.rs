//! Bytes that go from one socket to another without coming to this process: the kernel hands their pages on through a pipe.
//!
//! Promise: a thread's pipes are bounded, and are used again. One is used for one session at a time, and never for another
//! while there is something in it. Whoever gets none copies, which is slower and the same.
//!
//! Deliberately not here: when it pays (`relay::stride`), and what the bytes mean.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// The most that a pipe is asked to hold: what `fs.pipe-max-size` lets everybody have. The larger it is, the fewer calls: a
/// raw relay by splice took 0.40 CPU seconds for a gigabyte with the kernel's 64 KiB, and 0.25 with this.
const PIPE_BYTES: usize = 1024 * 1024;

/// A pipe that holds less than a copy takes at a time is no help. The kernel makes such small ones for a user that has many.
const PIPE_BYTES_MIN: usize = 64 * 1024;

/// Pipes in use at a time, of a thread. A client that stops reading in the middle of a frame keeps one until it goes on or ends,
/// and pipes of all processes of a user share `fs.pipe-user-pages-soft`, which is 64 of the largest.
const LENT_MAX: usize = 16;

/// Pipes that wait for the next session. An empty one of this size takes 10 KiB of the kernel's memory.
const IDLE_MAX: usize = 4;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { lent: 0, idle: Vec::new() }) };
}

struct Pool {
    lent: usize,
    idle: Vec<Ends>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    capacity: u32,
}

/// A pipe on loan from its thread. Dropped, it is there for others, unless something is left in it.
#[derive(Debug)]
pub struct Pipe {
    /// Present until the drop.
    ends: Option<Ends>,
    held: usize,
}

/// A stream that may be a socket with nothing in between.
///
/// All of these wait for the stream as `poll_read` and `poll_write` do, with the same wakers.
pub trait Splice {
    /// Whether it is. The others are only for streams that are.
    fn is_bare(&self) -> bool;

    /// Moves at most `limit` bytes from the stream into an empty pipe. 0: the stream has ended, or urgent data is in the way of its end.
    /// `Interrupted`: there is something that only a read takes. In both cases, a read tells.
    fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe, limit: usize) -> Poll<io::Result<usize>>;

    /// Moves what the stream takes from a pipe that is not empty.
    fn poll_drain(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>>;

    /// Writes what is soon to be followed by more, so that both may travel in one packet.
    fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

impl Pipe {
    /// None: there is none to be had now.
    pub fn take() -> Option<Self> {
        POOL.with_borrow_mut(|pool| {
            if pool.lent >= LENT_MAX {
                return None;
            }
            let ends = pool.idle.pop().or_else(Ends::new)?;
            pool.lent += 1;
            Some(Self { ends: Some(ends), held: 0 })
        })
    }

    /// How many bytes are in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many it can hold, more or less: the kernel counts pages, and those of a socket are seldom full.
    pub fn capacity(&self) -> usize {
        self.ends().capacity as usize
    }

    /// Moves bytes from `source`, which does not block, into the pipe, which is empty: so "would block" says that the source has
    /// none.
    pub fn fill(&mut self, source: impl AsFd, limit: usize) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "would block could mean that the pipe is full");
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        let count = splice(source, None, &self.ends().write, None, limit, flags)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what `sink`, which does not block, takes from the pipe.
    ///
    /// Never with `SPLICE_F_MORE`: the kernel would wait for more, up to 200 ms, `TCP_NODELAY` or not.
    pub fn drain(&mut self, sink: impl AsFd) -> io::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        let count = splice(&self.ends().read, None, sink, None, self.held, flags)?;
        self.held -= count;
        Ok(count)
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("the ends are there until the drop")
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // A thread that ends has no pool any more, and closes its pipes.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.lent -= 1;
            if self.held == 0 && pool.idle.len() < IDLE_MAX {
                pool.idle.extend(self.ends.take());
            }
        });
    }
}

impl Ends {
    fn new() -> Option<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        let wanted = i32::try_from(PIPE_BYTES).expect("a megabyte fits");
        // It is refused beyond the user's share; then there is what there is.
        let capacity = fcntl(&write, FcntlArg::F_SETPIPE_SZ(wanted)).or_else(|_| fcntl(&write, FcntlArg::F_GETPIPE_SZ));
        let capacity = u32::try_from(capacity.ok()?).ok()?;
        (capacity as usize >= PIPE_BYTES_MIN).then_some(Self { read, write, capacity })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (near, far)
    }

    fn number(pipe: &Pipe) -> i32 {
        pipe.ends().read.as_raw_fd()
    }

    #[test]
    fn what_goes_in_comes_out_and_the_pipe_is_used_again() {
        let ((source, mut writer), (sink, mut reader)) = (pair(), pair());
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(pipe.fill(&source, 100).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        writer.write_all(b"no copy of this").unwrap();
        assert_eq!(pipe.fill(&source, 7).unwrap(), 7);
        assert_eq!(pipe.drain(&sink).unwrap(), 7);
        assert_eq!(pipe.fill(&source, 100).unwrap(), 8);
        assert_eq!(pipe.drain(&sink).unwrap(), 8);
        assert_eq!(pipe.held(), 0);
        drop((sink, writer));
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"no copy of this");
        assert_eq!(pipe.fill(&source, 100).unwrap(), 0, "the end of the stream");
        let first = number(&pipe);
        drop(pipe);
        assert_eq!(number(&Pipe::take().unwrap()), first);
    }

    #[test]
    fn a_pipe_with_something_in_it_is_nobody_else_s() {
        let (source, mut writer) = pair();
        writer.write_all(b"for one client only").unwrap();
        let mut pipe = Pipe::take().unwrap();
        pipe.fill(&source, 100).unwrap();
        drop(pipe);
        let (sink, _reader) = pair();
        let mut other = Pipe::take().unwrap();
        other.held = 100; // whatever is in it
        assert_eq!(other.drain(&sink).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it is empty");
        other.held = 0;
    }

    #[test]
    fn a_thread_lends_so_many_and_no_more() {
        let mut lent: Vec<Pipe> = (0..LENT_MAX).map(|_| Pipe::take().unwrap()).collect();
        assert!(Pipe::take().is_none());
        lent.pop();
        assert!(Pipe::take().is_some());
        drop(lent);
        assert_eq!(POOL.with_borrow(|pool| (pool.lent, pool.idle.len())), (0, IDLE_MAX));
    }
}
