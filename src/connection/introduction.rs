//! What a target is told of a client before the session's bytes: the header of the PROXY protocol.

use http::{Request, header};

use super::origin::Origin;
use crate::proxy_protocol::Version;
use crate::proxy_protocol::write::{self, ClientTls, Description};
use crate::session::SessionId;
use crate::tls::{ClientIdentity, Stream};

/// The bytes that say whose session it is.
pub(super) fn header(
    version: Version,
    id: SessionId,
    origin: &Origin,
    client: &Stream,
    identity: Option<&ClientIdentity>,
    request: &Request<()>,
) -> Vec<u8> {
    let source = origin.client.address();
    let destination = origin.destination.or_else(|| client.local_address());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let tls = client.tls();
    let description = Description {
        addresses: source.zip(destination),
        // What was asked for by TLS, where it was; the specification wants that.
        authority: tls.as_ref().and_then(|(_, name)| *name).or(host),
        tls: tls.map(|(tls, _)| ClientTls {
            certificate: identity.map(|identity| identity.cn.first().map(String::as_str)),
            ..tls
        }),
        unique_id: &id.to_string(),
    };
    write::header(version, &description)
}
