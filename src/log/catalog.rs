//! What there is to say about each kind of record: what happened, why, how to check, what to do.
//!
//! [`catalog`] makes the file `systemd/websockify.catalog` of it, which `journalctl -x` reads. `@FIELD@` stands for the
//! value of that field; only those that each record of the kind has are named, for a missing one would leave a hole.
//! Lines are broken by hand, as they are shown.

use std::fmt::Write as _;

use super::kind::Kind;

/// The message catalog, in the form of systemd's.
pub fn catalog() -> String {
    let mut file = "# What journalctl -x says about the records of websockify(1).\n\
                    # Made from src/log/catalog.rs; a test compares the two.\n"
        .to_owned();
    for kind in Kind::ALL {
        let (subject, text) = entry(*kind);
        let id = kind.id();
        // Writing to a String cannot fail.
        let _ = write!(
            file,
            "\n-- {id:032x}\nSubject: {subject}\nDefined-By: websockify\nDocumentation: man:websockify(1)\n\n{text}\n"
        );
    }
    file
}

/// The subject, and the text.
fn entry(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::SessionOpened => (
            "A WebSocket session has begun",
            "\
The client at @WEBSOCKIFY_CLIENT@ is connected with
@WEBSOCKIFY_TARGET@ by the route @WEBSOCKIFY_ROUTE@.
It speaks WebSocket @WEBSOCKIFY_WEBSOCKET_VERSION@; its payload travels as
@WEBSOCKIFY_ENCODING@.

All that is known about this session:
    journalctl WEBSOCKIFY_SESSION=@WEBSOCKIFY_SESSION@",
        ),
        Kind::SessionEnded => (
            "A WebSocket session has ended, closed by the @WEBSOCKIFY_CLOSED_BY@",
            "\
The session between @WEBSOCKIFY_CLIENT@ and
@WEBSOCKIFY_TARGET@ is over. It moved @WEBSOCKIFY_BYTES_IN@ bytes
to the target and @WEBSOCKIFY_BYTES_OUT@ bytes to the client.

The code of its end is @WEBSOCKIFY_CLOSE_CODE@:
    1000  all was done
    1001  the proxy stopped, or the client was idle or silent for too long
    1002, 1003, 1007  the client did not keep to the protocol
    1005  the client closed without saying why
    1006  the client's connection ended without a word
    1008  its token expired or was withdrawn (`tokens.end-sessions`)
    1011  the target's connection broke
Others are the client's own. Clients of the drafts 75 and 76 can be sent no
code: to them each of these was the end.

Many sessions that end with 1006 after the same time without data point to
a firewall or a reverse proxy between here and the client that forgets
quiet connections: set `heartbeat` below that time (--heartbeat).
Sessions that the target closes at once are explained in its own log.",
        ),
        Kind::RequestRefused => (
            "A request for a WebSocket session was refused",
            "\
The client at @WEBSOCKIFY_CLIENT@ asked for a session with a request
that is not a right WebSocket handshake, and got an HTTP error.

A browser's library does not do this. A reverse proxy in between may have
removed headers: it must pass on Upgrade, Connection and Sec-WebSocket-*,
and for clients of 2010 Origin and Host as they came.
Scanners do this as well; then there is nothing to do.",
        ),
        Kind::TargetUnreachable => (
            "The target @WEBSOCKIFY_TARGET@ cannot be reached",
            "\
A client at @WEBSOCKIFY_CLIENT@ wanted a session on the route
@WEBSOCKIFY_ROUTE@, and no connection to the target came about.
The record itself says why.

\"Connection refused\": nobody listens there; start the service, or correct
the port. No answer in time, \"No route to host\" or \"Network is
unreachable\": a firewall or a wrong address. \"Permission denied\" or \"No
such file or directory\" for a Unix socket: its path, its mode, or the
directories above it.

The unit itself lets the service connect to the target of its file only,
and only as the file was at the last `systemctl daemon-reload`: whatever
else it tries to reach does not answer in time. After a change of `target`:
    systemctl daemon-reload
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@

Check from this machine whether the target answers:
    socat -u OPEN:/dev/null TCP:@WEBSOCKIFY_TARGET@ && echo it does
The target is the key `target` of the route's file.",
        ),
        Kind::TokenRefused => (
            "A client showed no token that leads to a target",
            "\
The client at @WEBSOCKIFY_CLIENT@ asked the route @WEBSOCKIFY_ROUTE@ for
a session, and showed no token, or one that the route's source does not
know. It was told so: a browser by Close 1008, others by the HTTP status
400 (no token) or 404 (unknown).

Tokens are never logged; what the record may show is the beginning of the
hash that `printf %s TOKEN | sha256sum` prints.
No token: it must stand where `tokens.from` of the route's file says, in
the query as ?token= unless it says otherwise; noVNC takes it as
path=websockify%3Ftoken%3D... of its page's address.
Unknown: a mistyped or old link; or somebody guesses. Guesses are not all
logged: a later record says how many were not.",
        ),
        Kind::TokenSourceFailed => (
            "Tokens of the route @WEBSOCKIFY_ROUTE@ cannot be looked up",
            "\
The client at @WEBSOCKIFY_CLIENT@ showed a token, and the source could not
say what it stands for:
    @WEBSOCKIFY_SOURCE@
    @WEBSOCKIFY_ERROR@
The client was told to come back later, by Close 1013 or the HTTP status
503. Running sessions are not affected.

Not each of such clients is logged. Look at the source's own log, and try
it from this machine.",
        ),
        Kind::GrantMade => (
            "A token was made for a session on the route @WEBSOCKIFY_ROUTE@",
            "\
Somebody with the user id @WEBSOCKIFY_UID@ asked for it, by
`websockify grant`. It leads to @WEBSOCKIFY_TARGET@, and is good
for @WEBSOCKIFY_TTL@ and @WEBSOCKIFY_USES@ sessions, whose records have its
name, @WEBSOCKIFY_TOKEN@:
    journalctl WEBSOCKIFY_TOKEN=@WEBSOCKIFY_TOKEN@

The token itself is shown to whoever asked for it, and to nobody else.",
        ),
        Kind::GrantUsed => (
            "A token that was made by `websockify grant` was used",
            "\
The client at @WEBSOCKIFY_CLIENT@ is connected with @WEBSOCKIFY_TARGET@
by the token @WEBSOCKIFY_TOKEN@, which is good for
@WEBSOCKIFY_USES_LEFT@ more sessions. Who asked for it is said by the record
of its making:
    journalctl WEBSOCKIFY_TOKEN=@WEBSOCKIFY_TOKEN@",
        ),
        Kind::GrantExpired => (
            "A token that was made by `websockify grant` has expired",
            "\
The time of @WEBSOCKIFY_TOKEN@, which led to @WEBSOCKIFY_TARGET@, was over
before it was used up: @WEBSOCKIFY_USES_LEFT@ sessions were left. Whoever
comes with it now is told that it is unknown.

If it was wanted, make a new one that is good for longer:
    websockify grant @WEBSOCKIFY_ROUTE@ --ttl 10min --target ...",
        ),
        Kind::GrantRefused => (
            "The route @WEBSOCKIFY_ROUTE@ has refused a grant",
            "\
It was a process of the user id @WEBSOCKIFY_UID@, and the record says why.

Only root and the user of the daemon may make grants. A target has to be
among `targets.allow`, if the route has such a list.",
        ),
        Kind::ControlUnusable => (
            "The route @WEBSOCKIFY_ROUTE@ can make no grants",
            "\
Its control socket cannot be opened:
    @WEBSOCKIFY_ERROR@
Sessions are not affected.

As a service it is in /run/websockify-NAME, which the generator has systemd
make: after `[grants]` was added to the route's file,
    systemctl daemon-reload
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@
By hand, `grants.socket` names another place.",
        ),
        Kind::TargetNotAllowed => (
            "A token leads to a target that is not allowed",
            "\
By its token, the client at @WEBSOCKIFY_CLIENT@ wanted a session with
@WEBSOCKIFY_TARGET@, which is not within what the route
@WEBSOCKIFY_ROUTE@ may reach. It was refused, by Close 1008 or the HTTP
status 403.

If it is wanted, name it in the route's file:
    [targets]
    allow = [\"10.0.0.0/8:5900-5999\", \"unix:/run/vm\"]
or with --allow-target. Without a list, tokens that another program hands
out (HTTP, JWT, Redis) lead to other machines only: not to this one, not
to addresses of its link, not to Unix sockets.
If it is not wanted, whoever hands out the tokens tries to reach it, or
was made to.",
        ),
        Kind::TokensRenewed => (
            "Changed tokens are in force",
            "\
    @WEBSOCKIFY_SOURCE@
has changed, and new sessions use what it says now. Running sessions go on.",
        ),
        Kind::TokensUnusable => (
            "Changed tokens cannot be used",
            "\
    @WEBSOCKIFY_SOURCE@
    @WEBSOCKIFY_ERROR@

The old ones stay in force as they were before the change: of a directory,
those of the files that are broken. When the program has just started, what
can be read is in force. A line of a token file is

    TOKEN: HOST:PORT

with a blank behind the first colon and nothing behind the port. Correct
the file; it is read again by itself.",
        ),
        Kind::AddressFull => (
            "One client address has too many connections",
            "\
@WEBSOCKIFY_CLIENT@ has as many connections on the route
@WEBSOCKIFY_ROUTE@ as one address may have. It was told so; the others
are not affected.

Behind a reverse proxy all clients have the proxy's address. Otherwise
somebody opens too many. To raise the bound, set
`limits.connections-per-address` in the route's file, or remove it.",
        ),
        Kind::CertificateRefused => (
            "A client was refused by its certificate",
            "\
The client at @WEBSOCKIFY_CLIENT@ wanted to connect to the route
@WEBSOCKIFY_ROUTE@, which asks clients for a certificate. It has shown
none, or one that is not believed, or one that names nobody who may. The
record says which rule failed; the client is not told.

Not believed: it is of another CA than `tls.client.ca` names, has expired,
is revoked, or the revocation list (`tls.client.crl`) has ended. Look at it:
    openssl x509 -noout -subject -issuer -dates -in CERTIFICATE
    openssl verify -CAfile CA -CRLfile CRL -crl_check_all CERTIFICATE
A list that has ended refuses everybody: fetch the CA's new one, which is
taken into service by itself.
Not allowed: add what the certificate says to `tls.client.allow`, or to
--auth-source, if its owner may have a session.
Clients without encryption have no certificate: they must use https:// and
wss://.",
        ),
        Kind::AccessRefused => (
            "A client was refused, for what it showed or did not show",
            "\
The client at @WEBSOCKIFY_CLIENT@ asked the route @WEBSOCKIFY_ROUTE@ for
a session, or for a page, and did not show what the table [access] of the
route's file asks for. The record itself says what was wrong; where a
user is named, the password was wrong. Nothing of what was shown is logged.

It was told so: a browser whose script wants a session by Close 1008,
others by the HTTP status 401 or 403. A session without a password is
refused with 401, because that makes a browser send the one it knows.

An origin that is not among those that may connect: a page from elsewhere
tries to use this route with what its visitor's browser knows, or a
reverse proxy does not pass the Host header on. `access.origins` names
pages that may.
Many of these from one address: it has to wait longer each time, and a
record says so. Not each is logged: a later one says how many were not.",
        ),
        Kind::AccessUnknown => (
            "Who the clients of @WEBSOCKIFY_ROUTE@ are cannot be found out",
            "\
The service of access.forward-auth could not say whether the client at
@WEBSOCKIFY_CLIENT@ may connect:
    @WEBSOCKIFY_ERROR@
or more passwords were to be checked than this machine can in time. The
client was told to come back later, by Close 1013 or the HTTP status 503.
Nobody gets in meanwhile; running sessions are not affected.

Look at the service's own log, and try its URL from this machine. It has
to answer 2xx, 401 or 403: a redirect to a login page is none of them.",
        ),
        Kind::AddressBlocked => (
            "An address was wrong too often, and has to wait",
            "\
From the address of @WEBSOCKIFY_CLIENT@ came more wrong passwords or
tokens than `limits.failures-per-address` of the route's file allows.
Nothing that it shows is looked at for a while, which doubles with each
further failure, up to a minute: Close 1008, or the HTTP status 429 with
Retry-After. After ten quiet minutes all is forgotten. An IPv6 network
of 64 bits counts as one address, and the same wrong thing shown again as
one failure.

If all clients come from one address, that of a reverse proxy, they wait
together: raise the bound.",
        ),
        Kind::PasswordsInClear => (
            "Passwords for @WEBSOCKIFY_ROUTE@ can be read on their way",
            "\
The route asks for passwords, and takes connections without TLS from
other machines: whoever sees the packets sees the passwords.

Set tls.mode = \"required\" in the route's file (--ssl-only), or let a
reverse proxy on this machine do TLS, and listen on 127.0.0.1 or a Unix
socket.",
        ),
        Kind::UsersRenewed => (
            "Changed users are in force",
            "\
The file @WEBSOCKIFY_SOURCE@ has changed, and all of it can be used. New
sessions and pages ask for the new users and passwords; running sessions go
on.",
        ),
        Kind::UsersUnusable => (
            "Not all users can be used",
            "\
    @WEBSOCKIFY_ERROR@

If the file has changed while the daemon runs, the users stay as they
were before. Whoever was to be removed can still log in, until the
file is right again.
A line is NAME:HASH, as these print it:
    htpasswd -nB NAME
    mkpasswd -m bcrypt
Hashes that are too weak (MD5, SHA-1, DES) and yescrypt are not taken.",
        ),
        Kind::ClientDenied => (
            "A client may not connect from its address",
            "\
@WEBSOCKIFY_CLIENT@ may not connect to the route @WEBSOCKIFY_ROUTE@ by its
table [access]; the record says by which key. Its connection was closed
without a word. Of many such clients only some are shown, and the others
counted.

If it should come in, change that key, and let systemd know it, too:
    systemctl daemon-reload
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@.socket
Behind a reverse proxy that `access.trusted-proxies` does not name, all
clients have the proxy's address.",
        ),
        Kind::ProxyDisbelieved => (
            "A trusted proxy does not say whose connection it passes on",
            "\
The route @WEBSOCKIFY_ROUTE@ takes the word of `access.trusted-proxies`
about the addresses of their clients, and the one at @WEBSOCKIFY_CLIENT@
said none, or none that can be read. The record says what came in its
place. The client was turned away: it would be taken for the proxy.

`access.proxy-protocol` is for proxies that begin each connection with a
header: `send-proxy` or `send-proxy-v2` in HAProxy, `proxy_protocol on` in
nginx's stream, \"proxy protocol\" of a cloud's load balancer.
A proxy of HTTP writes X-Forwarded-For or Forwarded; which of the two
counts is `access.forwarded-header`.
Who connects from that address without being a proxy must not be among
`access.trusted-proxies`.",
        ),
        Kind::ProxyUnexpected => (
            "A PROXY protocol header came from somebody who is not trusted",
            "\
The connection from @WEBSOCKIFY_CLIENT@ to the route @WEBSOCKIFY_ROUTE@
begins with a header of the PROXY protocol, which nobody expects from
there, and was closed.

If it is a proxy of yours, name it in the route's file:
    [access]
    trusted-proxies = [\"ADDRESS\"]
    proxy-protocol = \"required\"
If two proxies stand in a row, only the last one may send a header.
If it is none of yours, somebody tries to come under another address.",
        ),
        Kind::TargetsUnchecked => (
            "The certificates of the targets are not checked",
            "\
The route @WEBSOCKIFY_ROUTE@ speaks TLS to its targets, and believes that
they are who they should be whatever certificate they show. Whoever can
stand in between can read and change everything.

It was asked for: `targets.tls.insecure` in the route's file, or
--ssl-target on a command line, which checked nothing in the original
either. Better is one of these, in the table [targets.tls]:
    ca = \"/etc/websockify/ca.pem\"
    spki-sha256 = [\"HASH OF THE TARGET'S KEY\"]",
        ),
        Kind::KernelCheckMissing => (
            "The kernel lets clients through that it should keep away",
            "\
The socket unit of the route @WEBSOCKIFY_ROUTE@ tells the kernel to drop
the packets of those who may not connect by the table `[access]`
(IPAddressDeny=), and one of them got through: @WEBSOCKIFY_CLIENT@.
The proxy turns them away by itself, so nobody gets in; but they reach it.

The kernel has no BPF for control groups, or systemd may not use it, as in
many containers:
    journalctl -b | grep -i 'BPF\\|IP firewall'
Or the socket is older than the list:
    systemctl daemon-reload
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@.socket",
        ),
        Kind::ConnectionUnserved => (
            "A connection was accepted and could not be served",
            "\
The kernel did not let the proxy wait for what the client at
@WEBSOCKIFY_CLIENT@ sends, and the connection was closed:
    @WEBSOCKIFY_ERROR@

Memory or watched descriptors have run out (`free`, and
/proc/sys/fs/epoll/max_user_watches). Raise them, or lower
`limits.connections` in the route's file.",
        ),
        Kind::Listening => (
            "The route @WEBSOCKIFY_ROUTE@ is in service",
            "\
Clients can connect, and are connected with @WEBSOCKIFY_TARGET@.",
        ),
        Kind::ListeningOver => (
            "An address is out of service",
            "\
    @MESSAGE@

The new configuration does not name this address any more; or, when it is
an error, another program took it while a reload tried to change it.
Sessions that came by it go on.",
        ),
        Kind::RouteFull => (
            "The route @WEBSOCKIFY_ROUTE@ is full: clients wait",
            "\
There are @WEBSOCKIFY_CONNECTIONS@ connections, as many as the route
may have. New clients wait, unanswered, until one ends.

See who is there:
    journalctl WEBSOCKIFY_ROUTE=@WEBSOCKIFY_ROUTE@
If they are all wanted, raise `limits.connections` in the route's file. If
they are dead, set `heartbeat` or `limits.idle-timeout`, which end them.
One client that takes all places is bounded by
`limits.connections-per-address`.",
        ),
        Kind::RouteHasRoom => (
            "The route @WEBSOCKIFY_ROUTE@ has room again",
            "\
A connection has ended, and the clients that waited are served.",
        ),
        Kind::AcceptShortage => (
            "No more connections can be accepted: clients wait",
            "\
The kernel gives the proxy no more sockets:
    @WEBSOCKIFY_ERROR@
It tries again up to once a second. Running sessions are not affected.

\"Too many open files\": a session needs two descriptors, and
a recorded one three. Raise the bound:
    systemctl edit websockify@@WEBSOCKIFY_ROUTE@.service
    [Service]
    LimitNOFILE=65536
or lower `limits.connections` in the route's file. \"Too many open files in
system\" is the bound of the whole machine, fs.file-max. \"No buffer space\"
and \"Cannot allocate memory\" mean what they say.",
        ),
        Kind::AcceptResumed => (
            "Connections are accepted again",
            "\
The kernel gives sockets again, and the clients that waited are served.",
        ),
        Kind::ReloadDone => (
            "The configuration has been read again",
            "\
New connections use it. Running sessions keep what they began with.",
        ),
        Kind::OutOfOrder => (
            "A client came while its route is out of order",
            "\
The client @WEBSOCKIFY_CLIENT@ asked for a session of the route
@WEBSOCKIFY_ROUTE@, whose configuration is broken. It was told to come back
later: a browser by Close 1013, others by the HTTP status 503.

What is wrong is in the route's own records and in its status:
    systemctl status websockify@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::RouteOutOfOrder => (
            "A route is out of order",
            "\
The configuration of the route @WEBSOCKIFY_ROUTE@ is broken; the records
before this one say where. The program runs all the same, for one that ended
would be started again by its socket until systemd gives the socket up.
Clients are told to come back later.

Correct the mistakes, see that `websockify check` finds no more, and reload:
    systemctl reload websockify@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::ListenDiffers => (
            "A route wants to listen elsewhere than its socket unit",
            "\
    @MESSAGE@

The file was changed, and systemd has not made its sockets anew since. The
sockets that were passed are served. To get those of the file:
    systemctl daemon-reload
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@.socket",
        ),
        Kind::SocketUnusable => (
            "systemd passed a socket that cannot be used",
            "\
    @MESSAGE@

A drop-in of the socket unit, or a unit of your own, makes another kind of
socket than ListenStream= does. The proxy serves the others, if there are
any, and runs on: if it ended, the data that wait in that socket would start
it again at once, until systemd gives the socket up.

See where the line comes from, remove it, and make the sockets anew:
    systemctl cat 'websockify@*.socket'
    systemctl daemon-reload
    systemctl restart UNIT.socket",
        ),
        Kind::UnitOutdated => (
            "The unit was made of an older version of the route's file",
            "\
    @MESSAGE@

The drop-ins of a route's units are made of its file at each
`systemctl daemon-reload`, and hold for a service from its start on. A
reload of the service alone reads the file and changes no unit.
    systemctl daemon-reload
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@
For `access.allow-clients` restart websockify@@WEBSOCKIFY_ROUTE@.socket too.",
        ),
        Kind::ConfigurationMistake => (
            "There is a mistake in the configuration",
            "\
    @MESSAGE@

Correct it, and check before the next reload:
    websockify check",
        ),
        Kind::ReloadFailed => (
            "The configuration was NOT read again",
            "\
There is a mistake in it; the records before this one name each. The old
configuration stays in force, whole, and sessions are not affected.

Correct the mistakes, see that `websockify check` finds no more, and
reload again.",
        ),
        Kind::LifetimeOver => (
            "The proxy ends by itself",
            "\
An option or the routes' files say when: @MESSAGE@.
With `exit-idle` the next connection starts it again.",
        ),
        Kind::Stopping => (
            "The proxy stops, and its sessions are told",
            "\
@WEBSOCKIFY_CONNECTIONS@ connections get Close 1001, \"going away\", and
have time to end, up to `limits.drain-timeout` of the route's file.
A client that is worth its name connects again after a restart.",
        ),
        Kind::SessionsCut => (
            "Sessions were cut off",
            "\
@WEBSOCKIFY_CONNECTIONS@ connections had not ended when the time for it
was over, or when the proxy was told to stop a second time. Data that was
on its way to their clients or targets is lost.

If clients need longer to end, raise `limits.drain-timeout` in the route's
file, and TimeoutStopSec= of the unit above it.",
        ),
        Kind::Stopped => (
            "The proxy has stopped",
            "\
This is its last record.",
        ),
        Kind::CertificateRenewed => (
            "A new certificate is in service",
            "\
@WEBSOCKIFY_CERTIFICATE@
has changed: a certificate, its key, or what clients' certificates are
judged by. New connections get the new one; there is nothing to do.",
        ),
        Kind::CertificateUnusable => (
            "A new certificate cannot be used: the old one stays in service",
            "\
@WEBSOCKIFY_CERTIFICATE@
or its key has changed, and they do not work:
    @WEBSOCKIFY_ERROR@

Clients get the old certificate until its time is over. The usual causes:
the key is of another certificate, only one of the two files was replaced,
or the proxy's user may not read them. Compare the two; the lines must be
the same:
    openssl x509 -noout -pubkey -in CERTIFICATE
    openssl pkey -pubout -in KEY
Once the files are right, they are used without a reload.",
        ),
        Kind::CertificateExpiring => (
            "A certificate is about to expire",
            "\
@WEBSOCKIFY_CERTIFICATE@
of the route @WEBSOCKIFY_ROUTE@ is valid until @WEBSOCKIFY_UNTIL@.
After that clients refuse to connect by TLS. This is told once a day.

Renew it. A file is read again when it changes. A service has got it from
systemd when it was started, so that it is to be restarted:
    systemctl try-restart websockify@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::CertificateExpired => (
            "A certificate has expired",
            "\
@WEBSOCKIFY_CERTIFICATE@
of the route @WEBSOCKIFY_ROUTE@ was valid until @WEBSOCKIFY_UNTIL@. It is
still served, and clients refuse it: browsers do not connect by wss://.

Renew it. A file is read again when it changes. A service has got it from
systemd when it was started, so that it is to be restarted:
    systemctl try-restart websockify@@WEBSOCKIFY_ROUTE@
If it has been renewed already, that restart is what is missing.",
        ),
        Kind::ExitIdleUnused => (
            "The proxy will not end when it is idle",
            "\
The route @WEBSOCKIFY_ROUTE@ says `exit-idle`, and the proxy has made its
sockets by itself: if it ended, nobody would start it again. So it stays.

Let systemd listen:
    systemctl enable --now websockify@@WEBSOCKIFY_ROUTE@.socket
or remove `exit-idle` from the route's file.",
        ),
        Kind::Bug => (
            "A bug of the proxy",
            "\
    @MESSAGE@

A connection in which it happens is lost, and the others go on. Where all
connections depend on it, the proxy ends with the status 70, and systemd
starts it again.

Please report it, with the records of websockify around this one.",
        ),
        Kind::RecordingBegun => (
            "A session is being recorded",
            "\
What is said in the session @WEBSOCKIFY_SESSION@ of the route
@WEBSOCKIFY_ROUTE@, by both sides, is kept in
@WEBSOCKIFY_FILE@.

That includes what the user types. Only the user that the program runs as
can read it. To look into it, and to see it again:
    websockify replay --summary @WEBSOCKIFY_FILE@
    websockify replay --web /usr/share/novnc @WEBSOCKIFY_FILE@
How long it is kept is for `record.keep-files` and `record.keep-age` in the
route's file to say.",
        ),
        Kind::RecordingCut => (
            "A session goes on without being recorded",
            "\
The recording of the session @WEBSOCKIFY_SESSION@ of the route
@WEBSOCKIFY_ROUTE@ has ended before the session, or could not
begin. The session itself is not affected. The record itself says why.

\"Permission denied\" or \"Read-only file system\": the service's user may
not write there. Below /var/lib, /var/log and /var/cache systemd gives it
the directory; run `systemctl daemon-reload` after a change of
`record.directory`.
\"No space left on device\": make room, and let `record.keep-files`,
`record.keep-age` or `record.compression` in the route's file keep it.
The disk does not take it as fast as it comes: so much came in so short a
time, or the disk stood still for so long, that memory was not to hold it.
Somebody has removed the file: nothing is written that nobody could read.

What was recorded until then is a whole file wherever its end could still
be written, and can be replayed in any case.",
        ),
        Kind::RecordingsIncomplete => (
            "Recordings have not been completed",
            "\
The program has ended, and the disk did not take the last of
@WEBSOCKIFY_RECORDINGS@ recordings in time. They have no end, and can
be replayed up to where they stop.

A disk or a network file system that stands still is the cause: see the
records of the kernel (journalctl -k).",
        ),
        Kind::RotationFailed => (
            "Old recordings cannot be removed",
            "\
The route @WEBSOCKIFY_ROUTE@ is to keep so many recordings, or for so
long, and what is beyond that could not be removed:
    @WEBSOCKIFY_ERROR@: @WEBSOCKIFY_CAUSE@

Recordings go on, and may fill the disk; what else is beyond the bound has
been removed. Somebody may have changed the owner or the mode of the
directory that `record.directory` names, or put something there with the
name of a recording that is none, such as a link: remove it. This is told
once, and again only after all could be removed.",
        ),
        Kind::ReplayFailed => (
            "A replay cannot go on",
            "\
The recording @WEBSOCKIFY_FILE@ cannot be read any
further, and the session that it was played to has ended with 1011. The
record says in which line, and what is wrong there.

A recording that merely has no end can be played. This one was changed
after it was written, or the disk cannot read it any more (journalctl -k).",
        ),
        Kind::DescriptorsScarce => (
            "There may not be enough descriptors for all connections",
            "\
The routes may have as many connections as need @WEBSOCKIFY_NEEDED@
descriptors, and the proxy may open @WEBSOCKIFY_LIMIT@. When they are
used up, clients wait.

Raise LimitNOFILE= of the unit (`ulimit -n` in a shell), or lower
`limits.connections` in the route's file.",
        ),
        Kind::StartFailed => (
            "The proxy cannot start",
            "\
    @MESSAGE@

\"Address already in use\": another program listens there, which
`ss -tlnp` names. A mistake in a route's file: its place is named;
`websockify check` shows them all. A file that cannot be read: the proxy's
user is not the one that may.",
        ),
        Kind::LogFileFailing => (
            "The log file takes no more records",
            "\
    @MESSAGE@

Records go on to all other places. Usually the disk is full: `df`.",
        ),
        Kind::RecordsDropped => (
            "@WEBSOCKIFY_DROPPED@ records are missing here",
            "\
The log did not take them in time. The proxy does not wait for its log, so
that no session stands still: what is not taken is counted and dropped.

journald was stopped, was restarted, or had too much to do:
    systemctl status systemd-journald
    journalctl -u systemd-journald",
        ),
        Kind::ProgramStarted => (
            "The program @WEBSOCKIFY_PROGRAM@ was started",
            "\
    @MESSAGE@

It is process @WEBSOCKIFY_PID@. When the proxy moves its port, it binds the
port that it was written for and gets another one of the loopback address;
rebind(1) says how, and which programs cannot be moved.

What it writes:
    journalctl WEBSOCKIFY_PROGRAM=@WEBSOCKIFY_PROGRAM@",
        ),
        Kind::ProgramOutput => (
            "The program @WEBSOCKIFY_PROGRAM@ has written a line",
            "\
It came on @WEBSOCKIFY_STREAM@. The program says it, not the proxy.",
        ),
        Kind::ProgramEnded => (
            "The program @WEBSOCKIFY_PROGRAM@ has ended",
            "\
    @MESSAGE@

What follows is what --wrap-mode says: the proxy ends too (exit), goes on
(ignore), or starts it again (respawn). The program's own words stand
before this record:
    journalctl WEBSOCKIFY_PROGRAM=@WEBSOCKIFY_PROGRAM@",
        ),
        Kind::ProgramTooFast => (
            "The program @WEBSOCKIFY_PROGRAM@ ends too fast",
            "\
It is started again, but only when the mean of its last three starts is ten
seconds ago. What it wrote may say why it ends:
    journalctl WEBSOCKIFY_PROGRAM=@WEBSOCKIFY_PROGRAM@

A program that goes to the background ends at once, although it runs: then
--wrap-mode=ignore is right.",
        ),
        Kind::ProgramNotStarted => (
            "The program @WEBSOCKIFY_PROGRAM@ could not be started",
            "\
    @WEBSOCKIFY_ERROR@

In mode respawn it is tried again: an upgrade may just replace it, or the
machine is short of memory or processes. Otherwise its route is out of order
until a reload or a restart finds it.",
        ),
        Kind::ProgramPortLost => (
            "Somebody else has the port of the program @WEBSOCKIFY_PROGRAM@",
            "\
    @MESSAGE@

While the program was started anew, another process listened at the port of
the loopback address that was held for it. Sessions now go to port
@WEBSOCKIFY_PORT@. Nothing is to be done, unless it happens again:
    ss -ltnp",
        ),
        Kind::ProgramNotMoved => (
            "The port of the program @WEBSOCKIFY_PROGRAM@ cannot be moved",
            "\
    @MESSAGE@

The port is moved by a library that is loaded into the program. That has no
effect on one that is linked statically, nor on one that runs with more
rights than whoever starts it (setuid, setgid).

In the route's file, isolation = \"private-network\" in [program] gives it a
network of its own; that needs supervisor = \"systemd\". With isolation =
\"none\" the program keeps its port, and others may reach it.",
        ),
        Kind::ProgramUnitFailed => (
            "The program of the route @WEBSOCKIFY_ROUTE@ is not started",
            "\
    @MESSAGE@

systemd was to run it as websockify-program@@WEBSOCKIFY_ROUTE@.
The proxy runs all the same, so that clients are told; they cannot get
through.

Put right what the message names, and start both anew:
    systemctl restart websockify@@WEBSOCKIFY_ROUTE@

What the program and its unit have said:
    journalctl -u websockify-program@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::ProgramUnitEnded => (
            "The program of the route @WEBSOCKIFY_ROUTE@ has ended",
            "\
    @MESSAGE@

It ran as the unit websockify-program@@WEBSOCKIFY_ROUTE@.
What follows is what program.on-exit says: the proxy ends too (exit), goes
on (ignore), or systemd starts the program again (respawn). What it wrote
may say why:
    journalctl -u websockify-program@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::ProgramUnitPaced => (
            "The program of the route @WEBSOCKIFY_ROUTE@ ends too fast",
            "\
It is started again, but only when the mean of its last three starts is ten
seconds ago. What it wrote may say why it ends:
    journalctl -u websockify-program@@WEBSOCKIFY_ROUTE@

A program that goes to the background ends at once, although it runs: then
on-exit = \"ignore\" is right.",
        ),
        Kind::ProgramTakenOver => (
            "The program of the route @WEBSOCKIFY_ROUTE@ goes on",
            "\
The proxy was restarted, or has crashed, and the program runs as its file
still says: it was not disturbed. To start it anew:
    systemctl restart websockify-program@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::ProgramHelperFailed => (
            "A step beside the program of @WEBSOCKIFY_ROUTE@ failed",
            "\
    @MESSAGE@

systemd runs 'websockify program' before and after the program of a route:
to find a port, to note how it ended, to stop it. The state of the unit:
    systemctl status websockify-program@@WEBSOCKIFY_ROUTE@",
        ),
        Kind::ProgramStopping => (
            "The program @WEBSOCKIFY_PROGRAM@ is told to end",
            "\
The proxy ends, and with it the program and all that it has started, in the
background too. They get SIGTERM, and five seconds.",
        ),
        Kind::ProgramKilled => (
            "The program @WEBSOCKIFY_PROGRAM@ was killed",
            "\
@WEBSOCKIFY_PROCESSES@ of its processes did not end within five seconds of
SIGTERM, or the proxy was told a second time to stop.",
        ),
    }
}
