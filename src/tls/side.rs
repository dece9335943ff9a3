//! The two sides of TLS, as the library has them without buffers of its own.
//!
//! [`Session`](super::Session) drives either; what differs is here, and nothing else: whom the library calls when, and that a
//! server remembers for which name it was asked.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::UnbufferedStatus;
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use super::handshake::take_name_asked_for;

/// A side of TLS: it knows keys, states and records, and owns neither a socket nor a buffer.
pub trait Side: Unpin {
    /// The library's, of which nothing is looked at.
    type Data;

    /// Goes on with the records in `incoming`, to the next thing that its owner must do.
    fn process<'s, 'i>(&'s mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'s, 'i, Self::Data>;

    /// What was agreed on, and what is still to be sent.
    fn common(&self) -> &CommonState;
}

/// The side that is connected to.
pub struct Server {
    connection: UnbufferedServerConnection,
    name: Option<Box<str>>,
}

/// The side that connects.
pub struct Client(UnbufferedClientConnection);

impl Server {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self { connection: UnbufferedServerConnection::new(config)?, name: None })
    }

    /// For which name the client has asked.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Client {
    pub(super) fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        UnbufferedClientConnection::new(config, name).map(Self)
    }
}

impl Side for Server {
    type Data = ServerConnectionData;

    fn process<'s, 'i>(&'s mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'s, 'i, Self::Data> {
        let status = self.connection.process_tls_records(incoming);
        // The hello is seen by whoever chooses the certificate, within that call, and later by nobody.
        if let Some(name) = take_name_asked_for() {
            self.name = Some(name);
        }
        status
    }

    fn common(&self) -> &CommonState {
        &self.connection
    }
}

impl Side for Client {
    type Data = ClientConnectionData;

    fn process<'s, 'i>(&'s mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'s, 'i, Self::Data> {
        self.0.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        &self.0
    }
}
