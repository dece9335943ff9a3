//! Redis: a token is a key, its value a target.
//!
//! Promise: one connection, made when it is first needed, kept, and made anew when it broke; a lookup that is given up
//! halfway leaves no reply behind for the next one. Lookups wait for each other, and each of them only as long as it may. What
//! is asked about many tokens goes in one breath, by GET as for one: a user of the server's list needs no other right.

use std::fmt;
use std::time::{Duration, Instant};

use http::Uri;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::resp::{Reply, command};
use super::service::{Address, Secret, Service, port};
use super::{LookupError, SourceError, answer};
use crate::target::Target;
use crate::target::token::Token;
use crate::tls::{Outward, Pem};

/// A server and what is said to it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// What is said to it.
    pub login: Login,
    /// A file with the password in place of the one that `login` has.
    pub password_file: Option<Pem>,
    /// What stands before a token and a colon in a key.
    pub namespace: Option<String>,
}

/// What is said to a server first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// A user of the server's list; None: its default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The number of the database; 0 is where a connection begins.
    pub database: u32,
}

/// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`; `rediss` is with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// By TLS.
    pub is_tls: bool,
    /// Without brackets.
    pub host: String,
    /// 6379, unless it is written.
    pub port: u16,
    /// The rest.
    pub login: Login,
}

/// A URL was written in a way that none is. The message does not repeat it: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a URL of Redis: write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS")]
pub struct RedisUrlError;

/// A server in use.
#[derive(Debug)]
pub struct Redis {
    service: Service,
    login: Login,
    namespace: Option<String>,
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    wire: Outward,
    received: Vec<u8>,
    used: Instant,
}

/// A connection that was quiet for longer may have been forgotten by a firewall on the way, which a lookup would only learn
/// by waiting in vain.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// Keys that are asked for in one breath: a lookup of a client who waits comes behind no more than these.
const BATCH: usize = 64;

impl RedisUrl {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let uri: Uri = text.parse().map_err(|_| RedisUrlError)?;
        let is_tls = match uri.scheme_str() {
            Some("redis") => false,
            Some("rediss") => true,
            _ => return Err(RedisUrlError),
        };
        let authority = uri.authority().ok_or(RedisUrlError)?;
        let decoded = |text: &str| {
            percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| RedisUrlError)
        };
        let (userinfo, place) = match authority.as_str().rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority.as_str()),
        };
        let (user, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => match userinfo.split_once(':') {
                None => (Some(decoded(userinfo)?), None),
                Some((user, password)) => (Some(decoded(user)?), Some(Secret(decoded(password)?))),
            },
        };
        let host = authority.host().trim_matches(['[', ']']);
        let database = match uri.path().strip_prefix('/').unwrap_or_default() {
            "" => 0,
            digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| RedisUrlError)?
            }
            _ => return Err(RedisUrlError),
        };
        let port = port(place, 6379).ok_or(RedisUrlError)?;
        if host.is_empty() || uri.query().is_some() {
            return Err(RedisUrlError);
        }
        let user = user.filter(|user| !user.is_empty());
        let login = Login { user, password, database };
        Ok(Self { is_tls, host: host.to_owned(), port, login })
    }
}

/// Without user and password.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.address.tls.is_some() { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}/{}", self.address, self.login.database)
    }
}

impl Redis {
    /// Loads what its certificate is judged by. The server need not be there yet.
    pub fn open(settings: &Settings) -> Result<Self, SourceError> {
        let Settings { address, mut login, password_file, namespace } = settings.clone();
        if let Some(file) = password_file {
            let path = file.file()?;
            let failed = |source| SourceError::Read { path: path.clone(), source };
            let password = std::fs::read_to_string(&path).map_err(failed)?;
            login.password = Some(Secret(password.trim_end_matches(['\r', '\n']).to_owned()));
        }
        Ok(Self { service: Service::open(&address)?, login, namespace, connection: Mutex::new(None) })
    }

    /// What `token` stands for.
    pub async fn look_up(&self, token: &Token, limit: Duration) -> Result<Target, LookupError> {
        match value_of(self.get([token], limit).await?.remove(0))? {
            None => Err(LookupError::Unknown),
            Some(value) if value.trim_ascii().starts_with(b"{") => Ok(answer::json(&value).map_err(SourceError::from)?),
            Some(value) => Ok(answer::text(&value).map_err(SourceError::from)?),
        }
    }

    /// Which of `tokens` are no keys any more. None of those that the server does not say it of.
    pub async fn unknown_among(&self, tokens: Vec<Token>, limit: Duration) -> Vec<Token> {
        let mut unknown = Vec::new();
        for asked in tokens.chunks(BATCH) {
            let Ok(Ok(replies)) = timeout(limit, self.get(asked, limit)).await else { break };
            let missing = asked.iter().zip(replies).filter(|(_, reply)| *reply == Reply::Bulk(None));
            unknown.extend(missing.map(|(token, _)| token.clone()));
        }
        unknown
    }

    fn key(&self, token: &Token) -> Vec<u8> {
        match &self.namespace {
            Some(namespace) => format!("{namespace}:{}", token.as_str()).into_bytes(),
            None => token.as_str().as_bytes().to_vec(),
        }
    }

    /// The replies, one for each token.
    async fn get<'a>(
        &self,
        tokens: impl IntoIterator<Item = &'a Token>,
        limit: Duration,
    ) -> Result<Vec<Reply>, SourceError> {
        let keys: Vec<Vec<u8>> = tokens.into_iter().map(|token| self.key(token)).collect();
        let mut kept = self.connection.lock().await;
        // Taken, so that a lookup that is given up takes the connection with it, and the reply that is still to come.
        if let Some(mut connection) = kept.take().filter(|connection| connection.used.elapsed() < QUIET_MAX)
            && let Ok(replies) = connection.get(&keys).await
        {
            *kept = Some(connection);
            return Ok(replies);
        }
        // The server may have been started anew since: once is enough to know.
        let mut connection = Connection::new(self.service.connect(limit).await?);
        self.login.say(&mut connection).await?;
        let replies = connection.get(&keys).await?;
        *kept = Some(connection);
        Ok(replies)
    }
}

fn value_of(reply: Reply) -> Result<Option<Vec<u8>>, SourceError> {
    match reply {
        Reply::Bulk(value) => Ok(value),
        Reply::Error(error) => Err(refused(&error)),
        Reply::Status(_) | Reply::Integer(_) => Err(SourceError::Redis("GET was not answered with a value".to_owned())),
    }
}

/// An error of the server's, without the token or the password that it may repeat of an unknown command.
fn refused(error: &str) -> SourceError {
    SourceError::Redis(error.split(", with args").next().unwrap_or_default().to_owned())
}

impl Login {
    async fn say(&self, connection: &mut Connection) -> Result<(), SourceError> {
        if let Some(Secret(password)) = &self.password {
            match &self.user {
                Some(user) => connection.must(&[b"AUTH", user.as_bytes(), password.as_bytes()]).await?,
                None => connection.must(&[b"AUTH", password.as_bytes()]).await?,
            }
        }
        if self.database != 0 {
            connection.must(&[b"SELECT", self.database.to_string().as_bytes()]).await?;
        }
        Ok(())
    }
}

impl Connection {
    fn new(wire: Outward) -> Self {
        Self { wire, received: Vec::new(), used: Instant::now() }
    }

    async fn must(&mut self, words: &[&[u8]]) -> Result<(), SourceError> {
        match self.ask(words).await? {
            Reply::Error(error) => Err(refused(&error)),
            _ => Ok(()),
        }
    }

    async fn get(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Reply>, SourceError> {
        let commands: Vec<u8> = keys.iter().flat_map(|key| command(&[b"GET", key])).collect();
        self.say(&commands).await?;
        let mut replies = Vec::with_capacity(keys.len());
        for _ in keys {
            replies.push(self.hear().await?);
        }
        Ok(replies)
    }

    async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, SourceError> {
        self.say(&command(words)).await?;
        self.hear().await
    }

    async fn say(&mut self, commands: &[u8]) -> Result<(), SourceError> {
        self.wire.write_all(commands).await.map_err(SourceError::Lost)?;
        self.wire.flush().await.map_err(SourceError::Lost)
    }

    async fn hear(&mut self) -> Result<Reply, SourceError> {
        loop {
            if let Some((reply, taken)) = Reply::parse(&self.received)? {
                self.received.drain(..taken);
                self.used = Instant::now();
                return Ok(reply);
            }
            if self.wire.read_buf(&mut self.received).await.map_err(SourceError::Lost)? == 0 {
                return Err(SourceError::Lost(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_who_where_and_which_database() {
        let url = RedisUrl::parse("rediss://port%40l:p%3As%2Fw@[2001:db8::1]:6380/3").unwrap();
        assert_eq!((url.is_tls, url.host.as_str(), url.port), (true, "2001:db8::1", 6380));
        let login = Login { user: Some("port@l".to_owned()), password: Some(Secret("p:s/w".to_owned())), database: 3 };
        assert_eq!(url.login, login);
        assert!(!format!("{url:?}").contains("p:s"), "{url:?}");
        let short = RedisUrl::parse("redis://:pw@localhost").unwrap();
        assert_eq!((short.is_tls, short.host.as_str(), short.port), (false, "localhost", 6379));
        assert_eq!(short.login, Login { user: None, password: Some(Secret("pw".to_owned())), database: 0 });
        for wrong in [
            "redis:",
            "redis://",
            "redis:///1",
            "http://h",
            "redis://h/x",
            "redis://h/-1",
            "redis://h:x",
            "redis://h?a=b",
            "redis://h:99999",
        ] {
            assert_eq!(RedisUrl::parse(wrong), Err(RedisUrlError), "{wrong}");
        }
    }
}
