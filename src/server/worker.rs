//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on the thread that got it, so that nothing in a session is shared or locked, and no wake-up crosses
//! threads. New ones go to the thread that has fewest: a session lasts for hours, and chance would put the two busy ones
//! together too often.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::admission::Permit;
use super::alarm::Alarm;
use super::census;
use super::site::Site;
use super::stop::Stop;
use crate::connection;
use crate::server::admission::Admission;
use crate::socket::{Accepted, Peer};

/// Connections that a worker may be behind before accepting waits for it.
const QUEUE: usize = 256;

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub struct Job {
    /// The client's socket.
    pub accepted: Accepted,
    /// Who is at its other end.
    pub peer: Peer,
    /// What to serve.
    pub site: Arc<Site>,
    /// Where its address is counted.
    pub admission: Arc<Admission>,
    /// Its place. None: standard input was a connected client, which no route counts.
    pub permit: Option<Permit>,
    /// Counted as the daemon's.
    pub counted: census::Counted,
}

/// The way to the workers.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Worker>,
}

/// The workers' threads, which end when [`Stop`] says that time is up.
#[derive(Debug)]
pub(super) struct Threads {
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Worker {
    errands: mpsc::Sender<Errand>,
    connections: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Errand {
    Connection(Box<Job>),
    /// To be answered, as a sign that the worker still turns.
    Probe(oneshot::Sender<()>),
}

impl Workers {
    /// A thread for each core that this process may use.
    pub(super) fn start(stop: &Stop, alarm: &Alarm) -> io::Result<(Self, Threads)> {
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let started = (0..count).map(|number| Worker::start(number, stop, alarm)).collect::<io::Result<Vec<_>>>()?;
        let (workers, threads) = started.into_iter().unzip();
        Ok((Self { workers }, Threads { threads }))
    }

    /// Hands `job` to the worker with the fewest connections.
    pub(super) async fn assign(&self, job: Job) {
        let idlest = self.workers.iter().min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        if let Some(worker) = idlest {
            worker.connections.fetch_add(1, Ordering::Relaxed);
            // A worker that is gone has been told to go: the client sees its connection close.
            let _ = worker.errands.send(Errand::Connection(Box::new(job))).await;
        }
    }

    /// Resolves when every worker has given a sign of life.
    pub(super) async fn probe(&self) {
        for worker in &self.workers {
            let (sign, answer) = oneshot::channel();
            if worker.errands.send(Errand::Probe(sign)).await.is_err() || answer.await.is_err() {
                return std::future::pending().await; // a worker that is gone gives none
            }
        }
    }
}

impl Threads {
    /// Waits for all of them.
    pub(super) fn join(self) {
        for thread in self.threads {
            let _ = thread.join(); // a panic was printed when it happened
        }
    }
}

impl Worker {
    fn start(number: usize, stop: &Stop, alarm: &Alarm) -> io::Result<(Self, JoinHandle<()>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (errands, queue) = mpsc::channel(QUEUE);
        let connections = Arc::new(AtomicUsize::new(0));
        let (stop, counter, tripwire) = (stop.clone(), Arc::clone(&connections), alarm.tripwire());
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _tripwire = tripwire;
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = serve(queue, &stop, &counter) => {}
                    () = stop.clone().aborted() => {}
                }
            });
            runtime.shutdown_background(); // a name that is looked up, or a file on a dead share, must not hold the end up
        })?;
        Ok((Self { errands, connections }, thread))
    }
}

async fn serve(mut queue: mpsc::Receiver<Errand>, stop: &Stop, counter: &Arc<AtomicUsize>) {
    while let Some(errand) = queue.recv().await {
        let job = match errand {
            Errand::Connection(job) => job,
            Errand::Probe(sign) => {
                let _ = sign.send(()); // whoever asked may have stopped waiting
                continue;
            }
        };
        let place = Place { counter: Arc::clone(counter) };
        tokio::task::spawn_local(connection::serve(*job, stop.clone(), place));
    }
    std::future::pending::<()>().await; // the sessions that are left go on until they are told to stop
}

/// A connection of a worker, counted for as long as it lives, panic or not.
#[derive(Debug)]
pub(crate) struct Place {
    counter: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}
