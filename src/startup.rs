//! From a command to a running daemon, and from what stood in its way to an exit status.
//!
//! The order matters: the log first, so that everything after it can be told; then the sockets, while an error can still
//! reach the terminal; then into the background; and only then threads, which would not survive the fork.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::fstat;
use tracing::{error, info, warn};

use crate::access;
use crate::built_in;
use crate::cli::{self, Classic, Command, Exit, Serve};
use crate::config::{self, ConfigError, Loaded, Route, Surroundings, Survey, chain};
use crate::demo;
use crate::http::{Builtin, Directory, Web};
use crate::limits::Limits;
use crate::log::{self, Kind, LogError};
use crate::program::Ended;
use crate::record::reader::{ReadError, Reader};
use crate::replay;
use crate::server::address::ListenAddress;
use crate::server::listener::{ListenError, Listener};
use crate::server::{Lifetime, Reload, Server, ServerError};
use crate::systemd::activation::{self, ActivationError, Claim, Passed, Sockets};
use crate::systemd::notify;
use crate::target::{self, Target};
use crate::websocket::codec::TextFrames;

/// What stood in the way of a start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The sockets that systemd passed, or meant to.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The routes, a line each.
    #[error("{0}")]
    Config(ConfigError),
    /// Into the background.
    #[error("cannot go to the background")]
    Daemon(#[source] nix::Error),
    /// The built-in target of the demo.
    #[error("cannot start the demo's target")]
    Demo(#[source] io::Error),
    /// Where the log was to go.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The recording.
    #[error(transparent)]
    Recording(#[from] ReadError),
    /// The target that plays a recording.
    #[error("cannot start the replay")]
    Replay(#[source] io::Error),
    /// Sockets, certificates, web roots.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Standard input under `--inetd`.
    #[error("cannot take standard input over: --inetd needs a stream socket from inetd or from StandardInput=socket")]
    StandardInput(#[source] ListenError),
}

impl StartupError {
    fn exit(&self) -> Exit {
        match self {
            Self::Server(ServerError::Bug) => Exit::Bug,
            Self::Recording(error) => error.into(),
            Self::Activation(_) | Self::Config(_) | Self::Server(ServerError::Site(_)) => Exit::Config,
            _ => Exit::SystemError,
        }
    }
}

/// Does what the command says, and returns when it is over.
/// A panic is told by the log, or on standard error as long as there is none, and ends in the status of a bug.
pub fn run(command: Command, directory: &Path) -> Exit {
    guarded(|| carry_out(command, directory))
}

fn guarded(work: impl FnOnce() -> Exit) -> Exit {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Exit::Bug)
}

fn carry_out(command: Command, directory: &Path) -> Exit {
    let outcome = match command {
        Command::Check(routes) => {
            // A reader that went away is told by the signal that it was, or does not care.
            return cli::check(&routes, &mut io::stdout(), &mut io::stderr()).unwrap_or(Exit::SystemError);
        }
        Command::Generate(generate) => return generate.run(),
        Command::Program(program) => return program.run(),
        Command::Grant(grant) => return grant.run(),
        Command::Convert(arguments) => return cli::convert(&arguments, directory).print(),
        Command::Classic(classic) => run_classic(*classic),
        Command::Demo(address) => run_demo(address),
        Command::Replay(replay) => run_replay(replay),
        Command::Serve(serve) => run_serve(serve),
        Command::Summarize(file) => return cli::summarize(&file),
    };
    match outcome {
        Ok(None) => Exit::Success,
        Ok(Some(ended)) => Exit::Program(ended.status()),
        Err(error) => {
            // The errors of a configuration are whole lines, each with its place.
            let prefix = if matches!(error, StartupError::Config(_)) { "" } else { "websockify: error: " };
            let text = chain(&error);
            notify::last_word(text.lines().next().unwrap_or_default());
            if log::is_in_journal() {
                text.lines().for_each(|line| error!(kind = Kind::StartFailed.id(), "{line}"));
            } else {
                eprintln!("{prefix}{text}");
            }
            error.exit()
        }
    }
}

fn run_classic(classic: Classic) -> Result<Option<Ended>, StartupError> {
    let Classic { route, lifetime, log, daemon, inetd, traffic, notes } = classic;
    // inetd gives the client's socket as standard error too: what is logged there would be part of the answer.
    let speaks_to_client = inetd && is_same_file(io::stdin().as_fd(), io::stderr().as_fd());
    log::init(&log, daemon || speaks_to_client)?;
    for note in notes {
        info!("{note}");
    }
    let mut server = Server::new(lifetime, traffic);
    raise_descriptor_limit([&route]);
    if inetd {
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(ListenError::Inherited);
        let input = input.and_then(Listener::inherit).map_err(StartupError::StandardInput)?;
        server.inherit(&route, input)?;
    } else {
        server.bind(&route)?;
    }
    if daemon {
        nix::unistd::daemon(false, false).map_err(StartupError::Daemon)?;
    }
    Ok(server.run(None)?)
}

fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let identity = |file| fstat(file).map(|found| (found.st_dev, found.st_ino));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn run_serve(serve: Serve) -> Result<Option<Ended>, StartupError> {
    let Serve { routes: cli::Routes { directory, names }, log } = serve;
    let passed = activation::passed()?; // before anything else opens descriptors
    log::init(&log, false)?;
    let server = if let Some(sockets) = passed {
        adopt(sockets, &directory, &names)
    } else {
        let mut server = Server::new(Lifetime::default(), false);
        let routes = load(&directory, &names).map_err(StartupError::Config)?;
        raise_descriptor_limit(&routes);
        for route in &routes {
            server.bind(route)?;
        }
        server
    };
    let reload: Reload = Box::new(move || {
        load(&directory, &names).map_err(|error| error.problems.iter().map(ToString::to_string).collect())
    });
    Ok(server.run(Some(reload))?)
}

fn load(directory: &Path, names: &[String]) -> Result<Vec<Route>, ConfigError> {
    let loaded = config::load_directory(directory, names)?;
    Ok(loaded.into_iter().map(|loaded| loaded.route).collect())
}

/// Deals systemd's sockets out to the routes. One whose file is broken gets its sockets too, to say so on them; so does a
/// socket that is for no route.
fn adopt(sockets: Sockets, directory: &Path, names: &[String]) -> Server {
    let Survey { loaded, problems, .. } = config::survey(directory, names, &Surroundings::of_this_process());
    let mut broken: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for problem in &problems {
        // What is wrong with a name that has no file, or with the directory, concerns everybody who was asked for.
        let stem = problem.place.file.file_stem().and_then(OsStr::to_str);
        let concerned = stem.filter(|_| problem.place.position.is_some()).into_iter();
        let everybody = names.iter().map(String::as_str).filter(|_| problem.place.position.is_none());
        for name in concerned.chain(everybody).filter(|name| loaded.iter().all(|loaded| loaded.route.name != *name)) {
            broken.entry(name).or_default().push(problem.to_string());
        }
    }
    let sound = loaded.iter().map(|loaded| Claim { route: &loaded.route.name, listen: &loaded.route.listen });
    let claims: Vec<Claim<'_>> = sound.chain(broken.keys().map(|name| Claim { route: name, listen: &[] })).collect();
    let Sockets { usable, mut unusable } = sockets;
    let (dealt, strays) = activation::deal(usable, &claims);
    let stray = |Passed { name, listener }: &Passed| ActivationError::Unclaimed {
        name: name.clone(),
        address: listener.to_string(),
    };
    unusable.extend(strays.iter().map(stray));
    let mut server = Server::activated(&unusable);
    let mut dealt = dealt.into_iter();
    raise_descriptor_limit(loaded.iter().map(|loaded| &loaded.route));
    for (Loaded { route, .. }, listeners) in loaded.iter().zip(&mut dealt) {
        server.adopt(route, listeners);
    }
    for ((name, problems), listeners) in broken.into_iter().zip(dealt) {
        server.adopt_broken(name, listeners, &problems);
    }
    for Passed { name, listener } in strays {
        server.adopt_stray(&name, listener);
    }
    server
}

fn run_demo(address: ListenAddress) -> Result<Option<Ended>, StartupError> {
    log::init(&log::Settings::default(), false)?;
    let target = built_in::start("demo-target", demo::sessions).map_err(StartupError::Demo)?;
    let route = built_in_route("demo", "The built-in page and target", address, target);
    let route = Route { web: Some(Web::Builtin(Builtin::Demo)), ..route };
    run_built_in(&route, |address| format!("http://{address}/ shows the proxy at work. Ctrl-C ends it."))
}

fn run_replay(replay: cli::Replay) -> Result<Option<Ended>, StartupError> {
    let cli::Replay { file, address, speed, hold, web } = replay;
    log::init(&log::Settings::default(), false)?;
    Reader::open(&file)?; // what is no recording at all is said before anybody connects
    let shown = file.display().to_string();
    let target = built_in::start("replay-target", move || replay::sessions(file, speed, hold));
    let target = target.map_err(StartupError::Replay)?;
    let route = built_in_route("replay", "A recording", address, target);
    let has_web = web.is_some();
    let web = web.map(|root| Web::Directory(Directory { root, follow_symlinks: false, listing: false }));
    run_built_in(&Route { web, ..route }, |address| {
        let url = if has_web { format!("http://{address}/") } else { format!("ws://{address}/") };
        format!("{url} plays {shown}. Ctrl-C ends it.")
    })
}

/// A route to a target of this process.
fn built_in_route(name: &str, description: &str, address: ListenAddress, target: SocketAddr) -> Route {
    Route {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        listen: vec![address],
        target: target::Settings::Fixed(Target::Tcp { host: target.ip().to_string(), port: target.port() }),
        allow_targets: None,
        program: None,
        leg: target::leg::Settings::default(),
        web: None,
        tls: None,
        access: access::Settings::default(),
        heartbeat: None,
        exit_idle: None,
        record: None,
        text: TextFrames::default(),
        limits: Limits::default(),
    }
}

/// Serves the route, and says on standard output where.
fn run_built_in(route: &Route, line: impl Fn(SocketAddr) -> String) -> Result<Option<Ended>, StartupError> {
    let mut server = Server::new(Lifetime::default(), false);
    server.bind(route)?;
    if let Some(address) = server.addresses().next() {
        println!("{}", line(address));
        // Whoever reads this through a pipe wants it now, and whoever does not read it misses nothing else.
        let _ = io::stdout().flush();
    }
    Ok(server.run(None)?)
}

/// Sessions need several descriptors each, and the soft limit is low for the sake of programs that use select(2).
fn raise_descriptor_limit<'a>(routes: impl IntoIterator<Item = &'a Route>) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        return; // then the soft limit stays, and is complained about when it is met
    }
    let needed = config::descriptors(routes) as u64;
    if hard < needed {
        warn!(
            kind = Kind::DescriptorsScarce.id(),
            limit = hard,
            needed,
            "fewer descriptors are allowed than limits.connections may need: raise LimitNOFILE= or lower the bound"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_to_whoever_waits_for_the_process() {
        assert_eq!(guarded(|| panic!("a bug, for a test")), Exit::Bug);
        assert_eq!(StartupError::Server(ServerError::Bug).exit(), Exit::Bug);
        assert_eq!(Exit::Bug.status(), 70);
    }
}
