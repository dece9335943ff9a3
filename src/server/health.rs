//! What the service manager hears of the daemon while it runs: how it stands, in words, and that it still turns.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use super::census::Census;
use super::expiry::{Expiries, Expiry, date};
use super::reload::Routes;
use crate::program::watch::Condition;
use crate::systemd::notify::{self, Notifier};

/// Sessions come and go faster than anybody reads.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// All that the manager hears.
#[derive(Debug)]
pub(super) struct Health {
    notifier: Notifier,
    status: Status,
    expiries: Expiries,
    watchdog: Watchdog,
    /// Rings when the status has something new to say.
    news: Rc<Notify>,
}

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    LookAtCertificates,
    SayStatus,
    SignOfLife,
}

impl Health {
    /// `unusable`: what is wrong with passed sockets. `problems`: what is wrong with routes.
    pub(super) fn new(routes: &Routes, unusable: Vec<String>, problems: Vec<String>) -> Self {
        Self {
            notifier: Notifier::new(),
            status: Status::new(unusable, problems),
            expiries: Expiries::default(),
            watchdog: Watchdog::new(),
            news: routes.news(),
        }
    }

    /// Tells that everything is loaded and served.
    pub(super) fn ready(&mut self, routes: &Routes) {
        self.look(routes);
        self.notifier.ready(self.status.text());
    }

    pub(super) fn reload_begins(&self) {
        self.notifier.reloading();
    }

    /// Tells the outcome of a reload, with what is to be said of the routes' new state.
    pub(super) fn reloaded(&mut self, outcome: Result<Vec<String>, String>, routes: &Routes) {
        self.status.reloaded(outcome);
        self.ready(routes);
    }

    /// Tells how the program stands that systemd runs.
    pub(super) fn program(&mut self, condition: Condition) {
        self.status.program = Some(condition);
        self.news.notify_one();
    }

    /// Tells that the end has begun.
    pub(super) fn stopping(&self, status: &str) {
        self.notifier.stopping(status);
    }

    /// Tells that the end may take so long.
    pub(super) fn extend_timeout(&self, by: Duration) {
        self.notifier.extend_timeout(by);
    }

    /// Resolves when there is something to do.
    pub(super) async fn due(&mut self, census: &Census) -> Due {
        tokio::select! {
            () = self.watchdog.due() => Due::SignOfLife,
            () = self.expiries.due() => Due::LookAtCertificates,
            () = self.status.changed(census, &self.news) => Due::SayStatus,
        }
    }

    /// Does it.
    pub(super) fn attend(&mut self, due: Due, routes: &Routes) {
        match due {
            Due::SignOfLife => Watchdog::feed(routes),
            Due::LookAtCertificates => {
                self.look(routes);
                self.news.notify_one();
            }
            Due::SayStatus => {
                self.look(routes);
                self.status.say(&self.notifier, &self.news);
            }
        }
    }

    fn look(&mut self, routes: &Routes) {
        self.expiries.look(routes.sites().iter().map(AsRef::as_ref), SystemTime::now());
        self.status.describe(routes, self.expiries.first());
    }
}

/// The line that `systemctl status` shows.
#[derive(Debug)]
struct Status {
    /// What was said last.
    said: String,
    /// A moment, for other things happen while it is waited for.
    not_before: Instant,
    sessions: usize,
    /// Of sockets that are of no use, whatever the routes say.
    lasting: Vec<String>,
    /// Of routes that are out of order, or that their units are not made for.
    problems: Vec<String>,
    /// Why the last reload failed.
    reload_failed: Option<String>,
    /// The certificate that ends first, and whether there are several routes.
    certificate: Option<(Expiry, bool)>,
    /// Who looks at the addresses of clients. None: nobody does, for all may come.
    check: Option<ClientCheck>,
    /// How the program stands that systemd runs. None: there is none.
    program: Option<Condition>,
    /// How those stand that are this process's own.
    programs: Vec<Condition>,
}

/// Who keeps away the clients that `[access]` does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientCheck {
    /// The daemon does, and the kernel was asked to. Whether it can, only a client that gets through would show.
    Both,
    /// The daemon does: the kernel was not asked, or was seen not to do it.
    DaemonAlone,
}

impl Status {
    fn new(lasting: Vec<String>, problems: Vec<String>) -> Self {
        Self {
            said: String::new(),
            not_before: Instant::now(),
            sessions: 0,
            lasting,
            problems,
            reload_failed: None,
            certificate: None,
            check: None,
            program: None,
            programs: Vec::new(),
        }
    }

    /// The outcome of a reload, with what is to be said of the routes' new state.
    fn reloaded(&mut self, outcome: Result<Vec<String>, String>) {
        match outcome {
            Ok(problems) => {
                self.problems = problems;
                self.reload_failed = None;
            }
            Err(problem) => self.reload_failed = Some(problem),
        }
    }

    /// What there is to say of the routes besides.
    fn describe(&mut self, routes: &Routes, certificate: Option<&Expiry>) {
        self.check = routes.client_check();
        self.programs = routes.programs();
        self.certificate = certificate.map(|expiry| (expiry.clone(), routes.are_several()));
    }

    /// Resolves when the number of sessions has changed or there are other news; at most once a second.
    async fn changed(&mut self, census: &Census, news: &Notify) {
        sleep_until(self.not_before).await;
        tokio::select! {
            () = census.sessions_not(self.sessions) => {}
            () = news.notified() => {}
        }
        self.sessions = census.sessions();
        self.not_before = Instant::now() + STATUS_INTERVAL;
    }

    /// What to say.
    fn text(&mut self) -> &str {
        self.said = self.compose(SystemTime::now());
        &self.said
    }

    /// Says it, if it is not what was said last. What the manager does not take is said again.
    fn say(&mut self, notifier: &Notifier, news: &Notify) {
        let text = self.compose(SystemTime::now());
        if text == self.said {
            return;
        }
        if notifier.status(&text) {
            self.said = text;
        } else {
            news.notify_one();
        }
    }

    fn compose(&self, now: SystemTime) -> String {
        let mut text = match self.sessions {
            1 => "1 session".to_owned(),
            sessions => format!("{sessions} sessions"),
        };
        if let Some((Expiry { route, not_after }, several)) = &self.certificate {
            let whose = if *several { format!(" of {route}") } else { String::new() };
            let how = if *not_after > now { "until" } else { "EXPIRED on" };
            text = format!("{text}, certificate{whose} {how} {}", date(*not_after));
        }
        match self.check {
            None => {}
            Some(ClientCheck::Both) => text += ", clients checked by the daemon, and by the kernel if it has BPF",
            Some(ClientCheck::DaemonAlone) => text += ", clients checked by the daemon alone",
        }
        for condition in self.program.iter().chain(&self.programs) {
            text = match condition {
                Condition::Well(words) => format!("{text}, {words}"),
                Condition::Ill(words) => format!("{words} ({text})"),
            };
        }
        if let Some(problem) = &self.reload_failed {
            text = format!("Reload failed, the old configuration stays in force: {problem} ({text})");
        }
        for problem in self.problems.iter().chain(&self.lasting) {
            text = format!("{problem} ({text})");
        }
        text
    }
}

/// Tells the manager that all is well, as long as it is: every listener is accepted from, and every worker answers. A timer
/// alone would say so of a daemon that serves nobody.
#[derive(Debug)]
struct Watchdog {
    /// How often, and when next. None: nobody asks.
    beat: Option<(Duration, Instant)>,
}

impl Watchdog {
    fn new() -> Self {
        Self { beat: notify::watchdog_interval().map(|interval| (interval, Instant::now())) }
    }

    /// Resolves when it is time to look.
    async fn due(&mut self) {
        match &mut self.beat {
            None => std::future::pending().await,
            Some((interval, next)) => {
                sleep_until(*next).await;
                *next = Instant::now() + *interval;
            }
        }
    }

    fn feed(routes: &Routes) {
        if routes.are_open() {
            let workers = routes.workers();
            spawn_local(async move {
                workers.probe().await;
                notify::watchdog();
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn the_words_tell_what_matters_first() {
        let now = UNIX_EPOCH + DAY * 20_000;
        let mut status = Status::new(Vec::new(), Vec::new());
        assert_eq!(status.compose(now), "0 sessions");
        status.sessions = 3;
        let expiry = |not_after| Expiry { route: "vnc".to_owned(), not_after };
        status.certificate = Some((expiry(now + DAY), false));
        assert_eq!(status.compose(now), "3 sessions, certificate until 2024-10-05");
        status.certificate = Some((expiry(now - DAY), true));
        assert_eq!(status.compose(now), "3 sessions, certificate of vnc EXPIRED on 2024-10-03");
        status.certificate = None;
        status.programs =
            vec![Condition::Well("vncserver runs".to_owned()), Condition::Ill("sh has ended with status 3".to_owned())];
        assert_eq!(status.compose(now), "sh has ended with status 3 (3 sessions, vncserver runs)");
        status.programs.clear();
        status.check = Some(ClientCheck::DaemonAlone);
        status.reloaded(Err("a.toml:1:1: what".to_owned()));
        assert_eq!(
            status.compose(now),
            "Reload failed, the old configuration stays in force: a.toml:1:1: what \
             (3 sessions, clients checked by the daemon alone)"
        );
        status.reloaded(Ok(vec!["vnc: the unit".to_owned()]));
        assert_eq!(status.compose(now), "vnc: the unit (3 sessions, clients checked by the daemon alone)");
    }
}
