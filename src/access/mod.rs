//! Who may have a session: what a route asks of its clients, and the one place that decides.
//!
//! Promise: only [`Access::admit`] makes an [`Admitted`], without which no target is looked up. Who is at the other end of the
//! connection comes as a value, the [`Caller`]; no header says it. What a client sends to say who it is must be a secret that
//! it shows or a token that somebody signed.
//!
//! Three questions, in this order: [`Access::admits_connection`], before a byte is read, which drops the connection without a
//! word; then, once a request's head is known, whether the page may connect that it comes from ([`origin`]); and who it is,
//! by its [`certificate`] and by the proofs ([`basic`], [`bearer`], [`forward`]), as long as its address was not wrong too
//! often ([`limiter`]). It knows no frames.

mod attempt;
pub mod basic;
pub mod bearer;
pub mod certificate;
mod denied;
pub mod forward;
pub mod forwarded;
pub mod limiter;
pub mod networks;
pub mod origin;
pub mod password;
pub mod proxies;
pub mod users;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Request, header};
use tokio::time::Instant;

use self::attempt::Attempt;
use self::basic::Basic;
use self::bearer::Bearer;
use self::certificate::CertificateRule;
pub use self::denied::Denied;
use self::forward::Forward;
use self::limiter::Limiter;
pub use self::networks::{AllowedClients, Network, NetworkError};
use self::origin::Origins;
use self::proxies::Proxies;
use crate::socket::Peer;
use crate::tag::Tag;
use crate::target::Target;
use crate::target::source::SourceError;
use crate::target::token::TokenName;
use crate::tls::{ClientIdentity, Pem};

/// What a route asks of its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where they may come from; None: from everywhere.
    pub allow_clients: Option<AllowedClients>,
    /// What their certificates must say; None: they need none.
    pub certificate: Option<CertificateRule>,
    /// Where they may not come from, whatever `allow_clients` says.
    pub deny_clients: Option<Vec<Network>>,
    /// Who may stand in between; None: whoever connects is the client.
    pub proxies: Option<Proxies>,
    /// Which pages may connect.
    pub origins: Origins,
    /// Users and their passwords.
    pub users: Option<basic::Settings>,
    /// Tokens that say who somebody is.
    pub jwt: Option<bearer::Settings>,
    /// The service that decides.
    pub forward_auth: Option<forward::Settings>,
    /// Where there are several of these three. A certificate that is asked for is asked for beside any of them.
    pub require: Require,
    /// Whether plain requests for files need them as well.
    pub web_auth: bool,
}

/// How many of several proofs a client has to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// All of them.
    #[default]
    All,
    /// Any one.
    Any,
}

/// What a route asks of its clients, in service.
#[derive(Debug)]
pub struct Access {
    allow_clients: Option<AllowedClients>,
    certificate: Option<CertificateRule>,
    deny_clients: Option<Vec<Network>>,
    proxies: Option<Proxies>,
    origins: Origins,
    /// The cheap ones first.
    proofs: Vec<Proof>,
    require: Require,
    limiter: Limiter,
    challenges: Vec<HeaderValue>,
    guards_files: bool,
}

#[derive(Debug)]
enum Proof {
    Bearer(Box<Bearer>),
    Basic(Box<Basic>),
    Forward(Box<Forward>),
}

/// Who asks, as the connection shows it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where it comes from.
    pub peer: Peer,
    /// Whether nobody between can read or change what it says.
    pub is_encrypted: bool,
    /// Whom its certificate names, which the TLS handshake has judged.
    pub identity: Option<Arc<ClientIdentity>>,
}

/// Proof that a client may have a session, and who it is.
#[derive(Debug)]
pub struct Admitted {
    /// Whether it had to prove anything.
    was_asked: bool,
    proved: Proved,
}

/// Who an admitted client is, for what is meant for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// The route asks nobody, and knows nothing of this one.
    Unasked,
    /// It has shown that it may have a session, and nothing said who it is.
    Unnamed,
    /// This one.
    Named(&'a User),
}

/// What one proof has shown, or several together.
#[derive(Debug, Default)]
struct Proved {
    user: Option<User>,
    until: Option<SystemTime>,
    target: Option<Target>,
}

/// Who a client has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As whoever vouches for it calls it.
    pub name: String,
}

impl Settings {
    /// The files that hold what is needed to decide, each under its key.
    pub fn pems(&self) -> Vec<(&'static str, &Pem)> {
        let users = self.users.as_ref().and_then(|users| match users {
            basic::Settings::File(pem) => Some(("access.users", pem)),
            basic::Settings::One { .. } => None,
        });
        let jwt = self.jwt.as_ref().map(|jwt| ("access.jwt.key", &jwt.key));
        let ca = self.forward_auth.as_ref().and_then(|forward| forward.address.ca());
        users.into_iter().chain(jwt).chain(ca.map(|ca| ("access.forward-auth.ca", ca))).collect()
    }
}

impl Access {
    /// Takes the settings into service; an address may be wrong `failures` times before it has to wait. The texts say what
    /// of the users cannot be used.
    pub fn open(settings: &Settings, failures: usize) -> Result<(Self, Vec<String>), SourceError> {
        let (mut proofs, mut challenges, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(jwt) = &settings.jwt {
            proofs.push(Proof::Bearer(Box::new(Bearer::open(jwt)?)));
            challenges.push(bearer::CHALLENGE);
        }
        if let Some(users) = &settings.users {
            let (basic, found) = Basic::open(users)?;
            problems = found;
            proofs.push(Proof::Basic(Box::new(basic)));
            // The one that browsers know comes first.
            challenges.insert(0, basic::CHALLENGE);
        }
        if let Some(forward) = &settings.forward_auth {
            proofs.push(Proof::Forward(Box::new(Forward::open(forward)?)));
        }
        let access = Self {
            allow_clients: settings.allow_clients.clone(),
            deny_clients: settings.deny_clients.clone(),
            proxies: settings.proxies.clone(),
            certificate: settings.certificate.clone(),
            origins: settings.origins.clone(),
            proofs,
            require: settings.require,
            limiter: Limiter::new(failures),
            challenges,
            guards_files: settings.web_auth,
        };
        Ok((access, problems))
    }

    /// Of a route that nobody gets past.
    pub fn unguarded() -> Self {
        Self::open(&Settings::default(), 0).expect("default settings name no file").0
    }

    /// Whether plain requests need [`admit_to_files`](Self::admit_to_files).
    pub fn guards_files(&self) -> bool {
        self.guards_files
    }

    /// What is told with a 401.
    pub fn challenges(&self) -> &[HeaderValue] {
        &self.challenges
    }

    /// Whether who sent `request` may have a session. What has to be asked elsewhere is answered before `deadline`.
    pub async fn admit(&self, request: &Request<()>, caller: &Caller, deadline: Instant) -> Result<Admitted, Denied> {
        self.admits_client(&caller.peer)?;
        self.origins.admit(request, caller.is_encrypted)?;
        let was_asked = self.certificate.is_some() || !self.proofs.is_empty();
        Ok(Admitted { was_asked, proved: self.prove(request, caller, deadline).await? })
    }

    /// Whether who sent `request` may have what it names of the files. Of which page it comes is not asked: whoever opens a
    /// page of this route comes from anywhere.
    pub async fn admit_to_files(
        &self,
        request: &Request<()>,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<(), Denied> {
        self.prove(request, caller, deadline).await.map(drop)
    }

    /// Counts a token that leads nowhere like a wrong password.
    pub fn token_failed(&self, caller: &Caller, token: TokenName) {
        self.limiter.failed(&caller.peer, Tag::of(&[token.to_string().as_bytes()]), std::time::Instant::now());
    }

    async fn prove(&self, request: &Request<()>, caller: &Caller, deadline: Instant) -> Result<Proved, Denied> {
        let attempt = Attempt { caller, deadline, limiter: &self.limiter };
        attempt.is_allowed()?;
        let (mut all, mut denied) = (self.identify(caller)?, None);
        for proof in &self.proofs {
            let outcome = match proof {
                Proof::Bearer(bearer) => bearer.prove(request, &attempt).await,
                Proof::Basic(basic) => basic.prove(request.headers(), &attempt).await,
                Proof::Forward(forward) => forward.prove(request, &attempt).await,
            };
            match (outcome, self.require) {
                (Ok(proved), Require::Any) => return Ok(all.and(proved)),
                (Ok(proved), Require::All) => all = all.and(proved),
                (Err(why), Require::All) => return Err(why),
                (Err(why), Require::Any) => {
                    denied = Some(match denied {
                        None => why,
                        Some(other) => Denied::or(other, why),
                    });
                }
            }
        }
        denied.map_or(Ok(all), Err)
    }

    /// Whom the certificate names. Who has shown one where it is not asked for is known by it all the same.
    fn identify(&self, caller: &Caller) -> Result<Proved, Denied> {
        let identity = caller.identity.as_deref();
        let name = match &self.certificate {
            Some(rule) => Some(rule.judge(caller.is_encrypted, identity)?),
            None => identity.map(ClientIdentity::name),
        };
        Ok(name.map_or_else(Proved::default, Proved::user))
    }
}

impl Proved {
    fn user(name: String) -> Self {
        Self { user: Some(User { name }), until: None, target: None }
    }

    /// The later proof has the last word on who it is and where it goes; the earlier end is the end.
    fn and(self, later: Self) -> Self {
        Self {
            user: later.user.or(self.user),
            until: [self.until, later.until].into_iter().flatten().min(),
            target: later.target.or(self.target),
        }
    }
}

impl Admitted {
    /// Who it is; None: nobody asked.
    pub fn user(&self) -> Option<&User> {
        self.proved.user.as_ref()
    }

    /// The same, and why not where it is nobody.
    pub fn who(&self) -> Who<'_> {
        match self.user() {
            Some(user) => Who::Named(user),
            None if self.was_asked => Who::Unnamed,
            None => Who::Unasked,
        }
    }

    /// The user, to keep.
    pub fn into_user(self) -> Option<User> {
        self.proved.user
    }

    /// When what it has shown ends, and a session by it.
    pub fn until(&self) -> Option<SystemTime> {
        self.proved.until
    }

    /// Where it has to go, whatever it asks for; None: where the route says.
    pub fn target(&self) -> Option<&Target> {
        self.proved.target.as_ref()
    }
}

/// As a log names it.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// What a client shows in `Authorization`, for one scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authorization<'a> {
    /// There is no such header.
    Missing,
    /// It is of another scheme, or nothing stands there.
    Other,
    /// This stands behind the scheme.
    Shown(&'a str),
}

impl<'a> Authorization<'a> {
    /// Schemes are the same in small letters and large (RFC 9110, 11.1).
    fn of(headers: &'a HeaderMap, scheme: &str) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Self::Missing };
        let pair = value.to_str().ok().and_then(|value| value.split_once(' '));
        match pair.map(|(found, shown)| (found, shown.trim())) {
            Some((found, shown)) if found.eq_ignore_ascii_case(scheme) && !shown.is_empty() => Self::Shown(shown),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::target::source::service::Secret;

    fn access(failures: usize, change: impl FnOnce(&mut Settings)) -> Access {
        let one = basic::Settings::One { name: "jane".to_owned(), password: Secret("correct horse".to_owned()) };
        let mut settings = Settings { users: Some(one), ..Settings::default() };
        change(&mut settings);
        Access::open(&settings, failures).unwrap().0
    }

    fn caller() -> Caller {
        Caller { peer: Peer::from(SocketAddr::from(([192, 0, 2, 1], 40000))), is_encrypted: false, identity: None }
    }

    async fn admit(access: &Access, headers: &[(&str, &str)]) -> Result<Option<String>, Denied> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let deadline = Instant::now() + Duration::from_mins(1);
        let admitted = access.admit(&request.body(()).unwrap(), &caller(), deadline).await?;
        Ok(admitted.into_user().map(|user| user.name))
    }

    fn password(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("jane:{text}")))
    }

    #[tokio::test]
    async fn who_shows_the_right_password_is_admitted_by_name() {
        let access = access(10, |_| {});
        let admitted = admit(&access, &[("authorization", &password("correct horse"))]).await;
        assert_eq!(admitted.unwrap().as_deref(), Some("jane"));
        let wrong = admit(&access, &[("authorization", &password("correct hors"))]).await;
        assert!(matches!(wrong, Err(Denied::Password { user: None })));
        assert!(matches!(admit(&access, &[]).await, Err(Denied::Missing)));
    }

    /// The original took the name of a certificate from a header, which anybody can send.
    #[tokio::test]
    async fn no_header_says_who_a_client_is() {
        let access = access(10, |_| {});
        for name in [
            "ssl_client_s_dn_cn",
            "SSL_CLIENT_S_DN_CN",
            "Ssl-Client-S-Dn-Cn",
            "X-Remote-User",
            "remote-user",
            "REMOTE_USER",
            "X-Forwarded-User",
            "x-auth-request-user",
            "X-SSL-Client-CN",
            "x_forwarded_for",
        ] {
            assert!(matches!(admit(&access, &[(name, "jane")]).await, Err(Denied::Missing)), "{name}");
        }
    }

    #[tokio::test]
    async fn where_no_proof_is_asked_for_everybody_is_admitted_and_nobody_named() {
        let access = access(10, |settings| settings.users = None);
        assert_eq!(admit(&access, &[("x-remote-user", "jane")]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn ten_thousand_guesses_are_ten_and_then_none() {
        let access = access(10, |_| {});
        let (mut wrong, mut blocked) = (0, 0);
        for number in 0..10_000 {
            match admit(&access, &[("authorization", &password(&number.to_string()))]).await {
                Err(Denied::Password { .. }) => wrong += 1,
                Err(Denied::TooManyFailures(_)) => blocked += 1,
                other => panic!("{other:?}"),
            }
        }
        // One more for each pause that may have ended meanwhile.
        assert!((11..=18).contains(&wrong), "{wrong}");
        assert_eq!(wrong + blocked, 10_000);
        let right = admit(&access, &[("authorization", &password("correct horse"))]).await;
        assert!(matches!(right, Err(Denied::TooManyFailures(_))), "the right one is not told from the others");
    }

    #[tokio::test]
    async fn a_page_from_elsewhere_is_refused_although_it_has_the_password() {
        let access = access(10, |settings| settings.origins.own = true);
        let shown = password("correct horse");
        let from = |origin| [("authorization", shown.as_str()), ("host", "desk:6080"), ("origin", origin)];
        assert!(matches!(admit(&access, &from("https://evil.example")).await, Err(Denied::Origin(_))));
        assert!(admit(&access, &from("http://desk:6080")).await.is_ok());
    }

    #[test]
    fn several_proofs_together_end_with_the_first_that_ends() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let token = Proved { until: Some(at(9)), ..Proved::user("token".to_owned()) };
        let both = token.and(Proved { until: Some(at(7)), ..Proved::default() }).and(Proved::user("users".to_owned()));
        assert_eq!((both.user.unwrap().name.as_str(), both.until), ("users", Some(at(7))));
    }

    #[test]
    fn schemes_are_told_apart_whatever_their_letters() {
        let mut headers = HeaderMap::new();
        assert_eq!(Authorization::of(&headers, "basic"), Authorization::Missing);
        for (value, shown) in [
            ("Basic abc", Authorization::Shown("abc")),
            ("BASIC  abc ", Authorization::Shown("abc")),
            ("Basic", Authorization::Other),
            ("Basic ", Authorization::Other),
            ("Basicabc", Authorization::Other),
            ("Bearer abc", Authorization::Other),
        ] {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(Authorization::of(&headers, "basic"), shown, "{value}");
        }
    }
}
