//! A route's file as it is written: a struct for each table, with kebab-case keys and the place of every value.
//!
//! Nothing is understood here: durations, sizes and addresses are still text. [`File::read`] makes it of TOML, the
//! classic command line makes it of its options, `convert` prints it; [`super::meaning`] says what it means. Unknown
//! keys and wrong types are complaints of `read`.

use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeTable;

use super::document::{Complaint, Table, Values};
use super::problem::Mistake;
pub(crate) use super::tls::file::{Allow, Client, Tls};

/// The whole file.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct File {
    pub(crate) description: Option<Spanned<String>>,
    pub(crate) listen: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) listen_mode: Option<Spanned<String>>,
    pub(crate) target: Option<Spanned<String>>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) grants: Option<Grants>,
    pub(crate) targets: Option<Targets>,
    pub(crate) program: Option<Program>,
    pub(crate) exit_idle: Option<Spanned<String>>,
    pub(crate) web: Option<Web>,
    pub(crate) tls: Option<Tls>,
    pub(crate) access: Option<Access>,
    pub(crate) websocket: Option<WebSocket>,
    pub(crate) record: Option<Record>,
    pub(crate) limits: Option<Limits>,
}

/// `web = "DIR"`, `web = "builtin:NAME"`, or `[web]`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Web {
    Short(Spanned<String>),
    Table(WebTable),
}

/// `[web]`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct WebTable {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) root: Option<Spanned<String>>,
    pub(crate) follow_symlinks: Option<Spanned<bool>>,
    pub(crate) listing: Option<Spanned<bool>>,
}

/// `[tokens]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Tokens {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) source: Option<Spanned<String>>,
    pub(crate) from: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) timeout: Option<Spanned<String>>,
    pub(crate) format: Option<Spanned<String>>,
    pub(crate) ca: Option<Spanned<String>>,
    pub(crate) password: Option<Spanned<String>>,
    pub(crate) namespace: Option<Spanned<String>>,
    pub(crate) end_sessions: Option<Spanned<bool>>,
    pub(crate) recheck_interval: Option<Spanned<String>>,
}

/// `[grants]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Grants {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) socket: Option<Spanned<String>>,
    pub(crate) url: Option<Spanned<String>>,
}

/// `[targets]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Targets {
    pub(crate) allow: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) send_proxy: Option<Spanned<String>>,
    pub(crate) tls: Option<TargetsTls>,
}

/// `[targets.tls]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TargetsTls {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) all: Option<Spanned<bool>>,
    pub(crate) ca: Option<Spanned<String>>,
    pub(crate) spki_sha256: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) server_name: Option<Spanned<String>>,
    pub(crate) certificate: Option<Spanned<String>>,
    pub(crate) key: Option<Spanned<String>>,
    pub(crate) insecure: Option<Spanned<bool>>,
}

/// `[program]`. No command line says what is skipped.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Program {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) command: Option<Spanned<Words>>,
    pub(crate) port: Option<Spanned<i64>>,
    pub(crate) on_exit: Option<Spanned<String>>,
    pub(crate) supervisor: Option<Spanned<String>>,
    pub(crate) isolation: Option<Spanned<String>>,
    pub(crate) start_timeout: Option<Spanned<String>>,
    pub(crate) user: Option<Spanned<String>>,
    pub(crate) group: Option<Spanned<String>>,
    pub(crate) working_directory: Option<Spanned<String>>,
    pub(crate) per_session: Option<Spanned<bool>>,
    pub(crate) pty: Option<Spanned<bool>>,
    #[serde(skip)]
    pub(crate) environment: Vec<(Spanned<String>, Spanned<String>)>,
    #[serde(skip)]
    pub(crate) properties: Option<(Vec<Property>, Range<usize>)>,
}

/// The words of a command: an array, for one string would have to be taken apart.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Words(pub(crate) Vec<Spanned<String>>);

/// A property of a unit, its values as systemd writes them.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub(crate) name: Spanned<String>,
    pub(crate) values: Vec<String>,
}

/// `[access]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Access {
    pub(crate) allow_clients: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) deny_clients: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) trusted_proxies: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) proxy_protocol: Option<Spanned<String>>,
    pub(crate) forwarded_header: Option<Spanned<String>>,
    pub(crate) origins: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) same_origin: Option<Spanned<bool>>,
    pub(crate) users: Option<Spanned<String>>,
    pub(crate) require: Option<Spanned<String>>,
    pub(crate) web_auth: Option<Spanned<bool>>,
    pub(crate) jwt: Option<Jwt>,
    pub(crate) forward_auth: Option<ForwardAuth>,
}

/// `[access.jwt]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Jwt {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) key: Option<Spanned<String>>,
    pub(crate) issuer: Option<Spanned<String>>,
    pub(crate) audience: Option<Spanned<String>>,
    pub(crate) from: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) user_claim: Option<Spanned<String>>,
}

/// `[access.forward-auth]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ForwardAuth {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) url: Option<Spanned<String>>,
    pub(crate) ca: Option<Spanned<String>>,
    pub(crate) headers: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) user_header: Option<Spanned<String>>,
    pub(crate) target_header: Option<Spanned<String>>,
    pub(crate) timeout: Option<Spanned<String>>,
}

/// `[websocket]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct WebSocket {
    pub(crate) heartbeat: Option<Spanned<String>>,
    pub(crate) text: Option<Spanned<String>>,
}

/// `[record]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Record {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) directory: Option<Spanned<String>>,
    pub(crate) compression: Option<Spanned<String>>,
    pub(crate) size_limit: Option<Spanned<String>>,
    pub(crate) keep_files: Option<Spanned<i64>>,
    pub(crate) keep_age: Option<Spanned<String>>,
}

/// `[limits]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Limits {
    pub(crate) connections: Option<Spanned<i64>>,
    pub(crate) connections_per_address: Option<Spanned<i64>>,
    pub(crate) failures_per_address: Option<Spanned<i64>>,
    pub(crate) backlog: Option<Spanned<i64>>,
    pub(crate) handshake_timeout: Option<Spanned<String>>,
    pub(crate) connect_timeout: Option<Spanned<String>>,
    pub(crate) request_size: Option<Spanned<String>>,
    pub(crate) idle_timeout: Option<Spanned<String>>,
    pub(crate) close_timeout: Option<Spanned<String>>,
    pub(crate) drain_timeout: Option<Spanned<String>>,
}

impl File {
    /// Reads TOML. What could be read is there, even beside complaints; None: it is not TOML.
    pub(super) fn read(text: &str, complaints: &mut Vec<Complaint>) -> Option<Self> {
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let mistake = Mistake::Syntax(error.message().replace('\n', ", "));
                complaints.push(Complaint { span: error.span().unwrap_or(0..0), mistake });
                return None;
            }
        };
        let mut table = Table::document(document, complaints);
        let file = Self {
            description: table.take("description", "description = \"the lab's desktop\""),
            listen: table.take("listen", super::EXAMPLE_LISTEN),
            listen_mode: table.take("listen-mode", "listen-mode = \"660\""),
            target: table.take("target", super::EXAMPLE_TARGET),
            tokens: table.table(
                "tokens",
                "a table [tokens] with source = \"file:/etc/websockify/tokens\"",
                Tokens::read,
            ),
            grants: table.table("grants", "a table [grants], which may be empty", Grants::read),
            targets: table.table("targets", "a table [targets] with allow = [\"10.0.0.0/8:5900-5999\"]", Targets::read),
            program: table.table("program", "a table [program] with command = [\"vncserver\", \":1\"]", Program::read),
            exit_idle: table.take("exit-idle", "exit-idle = \"10min\""),
            web: table
                .string_or_table("web", super::EXAMPLE_WEB, Web::Short, |table| Web::Table(WebTable::read(table))),
            tls: table.table("tls", "a table [tls] with certificate = \"/etc/ssl/vnc.pem\"", Tls::read),
            access: table.table("access", "a table [access] with allow-clients = [\"10.0.0.0/8\"]", Access::read),
            websocket: table.table("websocket", "a table [websocket] with heartbeat = \"30s\"", WebSocket::read),
            record: table.table(
                "record",
                "a table [record] with directory = \"/var/lib/websockify/vnc\"",
                Record::read,
            ),
            limits: table.table("limits", "a table [limits] with connections = 100", Limits::read),
        };
        table.finish();
        Some(file)
    }
}

impl Web {
    /// The directory, or the name of a set of pages.
    pub(super) fn root(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Short(root) => Some(root),
            Self::Table(table) => table.root.as_ref(),
        }
    }
}

impl WebTable {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            root: table.take("root", super::EXAMPLE_ROOT),
            follow_symlinks: table.take("follow-symlinks", "follow-symlinks = true"),
            listing: table.take("listing", "listing = true"),
        }
    }
}

impl Tokens {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            source: table.take("source", super::EXAMPLE_SOURCE),
            from: table.take("from", "from = \"query\""),
            timeout: table.take("timeout", "timeout = \"3s\""),
            format: table.take("format", "format = \"json\""),
            ca: table.take("ca", super::EXAMPLE_CA),
            password: table.take("password", super::EXAMPLE_PASSWORD),
            namespace: table.take("namespace", "namespace = \"vnc\""),
            end_sessions: table.take("end-sessions", "end-sessions = true"),
            recheck_interval: table.take("recheck-interval", "recheck-interval = \"30s\""),
        }
    }
}

impl Targets {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            allow: table.take("allow", "allow = [\"10.0.0.0/8:5900-5999\"]"),
            send_proxy: table.take("send-proxy", "send-proxy = \"v2\""),
            tls: table.table("tls", "a table [targets.tls] with ca = \"/etc/websockify/ca.pem\"", TargetsTls::read),
        }
    }
}

impl TargetsTls {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            all: table.take("all", "all = true"),
            ca: table.take("ca", super::EXAMPLE_CA),
            spki_sha256: table.take("spki-sha256", super::EXAMPLE_PIN),
            server_name: table.take("server-name", "server-name = \"vm.example.com\""),
            certificate: table.take("certificate", super::EXAMPLE_CERTIFICATE),
            key: table.take("key", super::EXAMPLE_KEY),
            insecure: table.take("insecure", "insecure = true"),
        }
    }
}

impl Program {
    fn read(table: &mut Table<'_, '_>) -> Self {
        let environment = table.entries("environment", "LANG = \"C.UTF-8\"");
        let properties = table.entries::<Values>("properties", "MemoryMax = \"1G\"");
        let property = |(name, values): (_, Spanned<Values>)| Property { name, values: values.into_inner().0 };
        Self {
            place: table.span(),
            command: table.take("command", super::EXAMPLE_COMMAND),
            port: table.take("port", "port = 5901"),
            on_exit: table.take("on-exit", "on-exit = \"respawn\""),
            supervisor: table.take("supervisor", "supervisor = \"child\""),
            isolation: table.take("isolation", "isolation = \"private-network\""),
            start_timeout: table.take("start-timeout", "start-timeout = \"30s\""),
            user: table.take("user", "user = \"alice\""),
            group: table.take("group", "group = \"video\""),
            working_directory: table.take("working-directory", super::EXAMPLE_WORKING_DIRECTORY),
            per_session: table.take("per-session", "per-session = true"),
            pty: table.take("pty", "pty = true"),
            environment: environment.map(|(entries, _)| entries).unwrap_or_default(),
            properties: properties.map(|(entries, span)| (entries.into_iter().map(property).collect(), span)),
        }
    }
}

impl Access {
    /// How many proofs of who they are clients can be asked for.
    pub(super) fn proofs(&self) -> usize {
        [self.users.is_some(), self.jwt.is_some(), self.forward_auth.is_some()].into_iter().filter(|is| *is).count()
    }

    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            allow_clients: table.take("allow-clients", "allow-clients = [\"10.0.0.0/8\", \"::1\"]"),
            deny_clients: table.take("deny-clients", "deny-clients = [\"10.66.0.0/16\"]"),
            trusted_proxies: table.take("trusted-proxies", super::EXAMPLE_PROXIES),
            proxy_protocol: table.take("proxy-protocol", "proxy-protocol = \"required\""),
            forwarded_header: table.take("forwarded-header", "forwarded-header = \"x-forwarded-for\""),
            origins: table.take("origins", "origins = [\"https://portal.example.com\"]"),
            same_origin: table.take("same-origin", "same-origin = true"),
            users: table.take("users", super::EXAMPLE_USERS),
            require: table.take("require", "require = \"any\""),
            web_auth: table.take("web-auth", "web-auth = true"),
            jwt: table.table("jwt", "a table [access.jwt] with key = \"/etc/websockify/jwt.pem\"", Jwt::read),
            forward_auth: table.table(
                "forward-auth",
                "a table [access.forward-auth] with url = \"https://auth.example.com/check\"",
                ForwardAuth::read,
            ),
        }
    }
}

impl Jwt {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            key: table.take("key", super::EXAMPLE_JWT_KEY),
            issuer: table.take("issuer", "issuer = \"https://id.example.com\""),
            audience: table.take("audience", "audience = \"vnc\""),
            from: table.take("from", "from = [\"header\", \"cookie:session\"]"),
            user_claim: table.take("user-claim", "user-claim = \"email\""),
        }
    }
}

impl ForwardAuth {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            url: table.take("url", super::EXAMPLE_FORWARD_URL),
            ca: table.take("ca", super::EXAMPLE_CA),
            headers: table.take("headers", "headers = [\"Cookie\", \"Authorization\"]"),
            user_header: table.take("user-header", "user-header = \"Remote-User\""),
            target_header: table.take("target-header", "target-header = \"X-Target\""),
            timeout: table.take("timeout", "timeout = \"3s\""),
        }
    }
}

impl WebSocket {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            heartbeat: table.take("heartbeat", "heartbeat = \"30s\" or \"off\""),
            text: table.take("text", "text = \"reply\""),
        }
    }
}

impl Record {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            directory: table.take("directory", super::EXAMPLE_RECORD),
            compression: table.take("compression", "compression = \"zstd\""),
            size_limit: table.take("size-limit", "size-limit = \"1GiB\""),
            keep_files: table.take("keep-files", "keep-files = 100"),
            keep_age: table.take("keep-age", "keep-age = \"30days\""),
        }
    }
}

impl Limits {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            connections: table.take("connections", "connections = 100"),
            connections_per_address: table.take("connections-per-address", "connections-per-address = 10"),
            failures_per_address: table.take("failures-per-address", "failures-per-address = 10"),
            backlog: table.take("backlog", "backlog = 4096"),
            handshake_timeout: table.take("handshake-timeout", "handshake-timeout = \"15s\""),
            connect_timeout: table.take("connect-timeout", "connect-timeout = \"10s\""),
            request_size: table.take("request-size", "request-size = \"16KiB\""),
            idle_timeout: table.take("idle-timeout", "idle-timeout = \"1h\""),
            close_timeout: table.take("close-timeout", "close-timeout = \"5s\""),
            drain_timeout: table.take("drain-timeout", "drain-timeout = \"10s\""),
        }
    }
}
