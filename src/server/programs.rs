//! The programs of the routes: made ready when their route is opened, run while it is served, and changed by a reload.
//!
//! Promise: a route keeps its program over a reload, unless its `[program]` has changed: then that program alone is ended, and
//! the new one started. What a reload has made ready, and then does not take into service, is gone without a trace.
//!
//! Runs on the thread of the listeners, where all children are started and waited for.

use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tracing::{error, info};

use super::site::SiteError;
use crate::config::{Route, chain};
use crate::log::Kind;
use crate::program::place::{Place, Standing};
use crate::program::session::PerSession;
use crate::program::settings::Role;
use crate::program::watch::Condition;
use crate::program::{Children, Descriptors, Ended, Launcher, Launches, Program, ProgramError, Settings, Supervisor};
use crate::target::{self, Target};

/// Ends of programs that wait to be heard of.
const ENDS: usize = 16;

/// The programs of all routes.
#[derive(Debug)]
pub(super) struct Programs {
    descriptors: Descriptors,
    launcher: Launcher,
    /// Until there are children.
    launches: Option<Launches>,
    /// Once there is a program.
    children: Option<Children>,
    /// By route.
    planned: HashMap<String, Planned>,
    running: HashMap<String, Running>,
    over: mpsc::Sender<Over>,
    ends: Option<mpsc::Receiver<Over>>,
    /// Rings when the status has something new to say.
    news: Rc<Notify>,
}

/// A program that has ended, and its route with it.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) route: String,
    pub(super) ended: Ended,
}

#[derive(Debug)]
enum Planned {
    Service(Box<Program>),
    /// Nothing is run before there is a session.
    PerSession,
}

#[derive(Debug)]
struct Running {
    settings: Settings,
    place: Place,
    /// Dropped, it ends the program. None: that is done.
    stop: Option<oneshot::Sender<()>>,
    care: JoinHandle<()>,
}

impl Default for Programs {
    /// To be called before the process raises its limits.
    fn default() -> Self {
        let descriptors = Descriptors::of_this_process();
        let (launcher, launches) = descriptors.launcher();
        let (over, ends) = mpsc::channel(ENDS);
        Self {
            descriptors,
            launcher,
            launches: Some(launches),
            children: None,
            planned: HashMap::new(),
            running: HashMap::new(),
            over,
            ends: Some(ends),
            news: Rc::default(),
        }
    }
}

impl Programs {
    /// Makes the program of `route` ready, if it has one that is not running. Says where its sessions go, if that is there.
    pub(super) fn plan(&mut self, route: &Route) -> Result<Option<Target>, SiteError> {
        let Some(settings) = &route.program else { return Ok(None) };
        if let Some(program) = PerSession::new(settings, &route.name, &self.launcher) {
            self.planned.insert(route.name.clone(), Planned::PerSession);
            return Ok(Some(Target::PerSession(program)));
        }
        let place = match self.running.get(&route.name) {
            Some(running) if running.settings == *settings && !running.place.is_deserted() => running.place.clone(),
            _ => {
                let prepared = Program::prepare(settings.clone(), self.descriptors);
                let failed = |source| SiteError::Program { route: route.name.clone(), source };
                let program = prepared.map_err(failed)?;
                let place = program.place().clone();
                self.planned.insert(route.name.clone(), Planned::Service(Box::new(program)));
                place
            }
        };
        Ok((route.target == target::Settings::Program).then_some(Target::Program(place)))
    }

    /// Forgets what was made ready.
    pub(super) fn discard(&mut self) {
        self.planned.clear();
    }

    /// Ends the programs whose routes are gone or have another one now, and starts what was made ready. Says what could not be
    /// started; those routes stay, and are out of order.
    pub(super) fn commit(&mut self, routes: &[&Route]) -> Result<Vec<NotStarted>, ProgramError> {
        let kept = |route: &String| {
            let route = routes.iter().find(|wanted| wanted.name == *route);
            let service = route.and_then(|route| route.program.as_ref());
            service.is_some_and(|program| matches!(program.role, Role::Service { .. }))
        };
        let mut planned = std::mem::take(&mut self.planned);
        planned.retain(|route, _| routes.iter().any(|served| served.name == *route));
        self.running.retain(|route, _| kept(route));
        let mut failed = Vec::new();
        for (route, planned) in planned {
            let children = self.children()?;
            let Planned::Service(program) = planned else { continue };
            let (settings, place) = (program.settings().clone(), program.place().clone());
            let name = settings.command.name();
            let running = if let Some(Running { care: former, .. }) = self.running.remove(&route) {
                self.succeed(&route, former, program, children)
            } else {
                match Supervisor::start(*program, &route, &children) {
                    Ok(supervisor) => self.care(&route, supervisor, settings, place),
                    Err(error) => {
                        failed.push(NotStarted { route, program: name, error });
                        continue;
                    }
                }
            };
            self.running.insert(route, running);
        }
        Ok(failed)
    }

    fn children(&mut self) -> Result<Children, ProgramError> {
        if let Some(children) = &self.children {
            return Ok(children.clone());
        }
        let children = Children::new()?;
        self.children = Some(children.clone());
        if let Some(launches) = self.launches.take() {
            spawn_local(launches.serve(children.clone()));
        }
        Ok(children)
    }

    /// Watches a program until it is to be ended.
    fn care(&self, route: &str, supervisor: Supervisor, settings: Settings, place: Place) -> Running {
        let (stop, stopped) = oneshot::channel();
        let care = Care { route: route.to_owned(), over: self.over.clone(), news: Rc::clone(&self.news), stopped };
        let care = spawn_local(care.of(supervisor, place.watch()));
        Running { settings, place, stop: Some(stop), care }
    }

    /// The same for a program that takes another one's place: it is started when that is gone, whose port, display or lock it may
    /// want to have. The former one has been told to end.
    fn succeed(&self, route: &str, former: JoinHandle<()>, program: Box<Program>, children: Children) -> Running {
        let (settings, place) = (program.settings().clone(), program.place().clone());
        let (stop, stopped) = oneshot::channel();
        let (route, name) = (route.to_owned(), settings.command.name());
        let care = Care { route, over: self.over.clone(), news: Rc::clone(&self.news), stopped };
        let standing = place.watch();
        let care = spawn_local(async move {
            let _ = former.await;
            match Supervisor::start(*program, &care.route, &children) {
                Ok(supervisor) => care.of(supervisor, standing).await,
                Err(error) => {
                    let Care { route, news, .. } = care;
                    NotStarted { route, program: name, error }.tell();
                    news.notify_one();
                }
            }
        });
        Running { settings, place, stop: Some(stop), care }
    }

    /// What ends with its route is heard of here. To be taken once.
    pub(super) fn ends(&mut self) -> Option<mpsc::Receiver<Over>> {
        self.ends.take()
    }

    /// Rings when the status has something new to say.
    pub(super) fn news(&self) -> Rc<Notify> {
        Rc::clone(&self.news)
    }

    /// The program of a route that goes on without it: what is left of it ends.
    pub(super) fn give_up(&mut self, route: &str, ended: Ended) {
        if let Some(running) = self.running.get_mut(route) {
            drop(running.stop.take());
            let (program, status) = (running.settings.command.name(), ended.status());
            error!(
                kind = Kind::RouteOutOfOrder.id(),
                route,
                program,
                "the route is out of order: its program has ended with status {status}, and 'on-exit' is \"exit\""
            );
            self.news.notify_one();
        }
    }

    /// How the programs stand, in the order of their routes.
    pub(super) fn report(&self) -> Vec<Condition> {
        let mut routes: Vec<&String> = self.running.keys().collect();
        routes.sort();
        let several = routes.len() > 1;
        let sentence = |route: &String| {
            let Running { settings, place, .. } = &self.running[route];
            let standing = place.standing();
            let whose = if several { format!("{route}: ") } else { String::new() };
            let is_wrong = standing.is_over() || standing == Standing::NotMoved;
            let words = format!("{whose}{} {standing}", settings.command.name());
            if is_wrong { Condition::Ill(words) } else { Condition::Well(words) }
        };
        routes.into_iter().map(sentence).collect()
    }

    /// The end of all of them: nothing is started again. What is left to do is to end the children; and their names, for people.
    pub(super) fn end(&mut self) -> Option<(Children, String)> {
        let children = self.children.take()?;
        let mut names = Vec::new();
        for (route, Running { settings, care, place, .. }) in self.running.drain() {
            let name = settings.command.name();
            care.abort();
            if !place.is_deserted() {
                info!(kind = Kind::ProgramStopping.id(), program = name, route, "ending the program");
            }
            names.push(name);
        }
        Some((children, names.join(", ")))
    }
}

/// Who watches a program.
struct Care {
    route: String,
    over: mpsc::Sender<Over>,
    news: Rc<Notify>,
    stopped: oneshot::Receiver<()>,
}

impl Care {
    /// Until it has ended the program, and all that this has started.
    async fn of(self, mut supervisor: Supervisor, mut standing: watch::Receiver<Standing>) {
        let Self { route, over, news, mut stopped } = self;
        tokio::select! {
            ended = supervisor.over() => {
                let _ = over.send(Over { route, ended }).await;
                let _ = (&mut stopped).await;
            }
            () = ring(&mut standing, &news) => {}
            _ = &mut stopped => {}
        }
        supervisor.stop(std::future::pending()).await;
    }
}

/// Rings at each change, and never resolves.
async fn ring(standing: &mut watch::Receiver<Standing>, news: &Notify) {
    while standing.changed().await.is_ok() {
        news.notify_one();
    }
    std::future::pending::<()>().await;
}

/// A program that could not be started.
#[derive(Debug)]
pub(super) struct NotStarted {
    route: String,
    program: String,
    pub(super) error: ProgramError,
}

impl NotStarted {
    /// Tells that its route is out of order; the answer is for the status.
    pub(super) fn tell(self) -> String {
        let Self { route, program, error } = self;
        let error = chain(&error);
        let kind = Kind::ProgramNotStarted.id();
        error!(kind, program, route, error, "the route is out of order: its program cannot be started");
        format!("{route} is out of order: {error}")
    }
}
