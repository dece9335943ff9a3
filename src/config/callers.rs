//! `[access]`: who may connect.

use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use crate::access::{AllowedClients, Settings};

impl Reader<'_> {
    pub(super) fn access(&mut self, written: file::Access) -> Settings {
        let allow_clients = written.allow_clients.map(|networks| self.allow_clients(networks));
        Settings { allow_clients, certificate: None }
    }

    fn allow_clients(&mut self, written: Spanned<Vec<Spanned<String>>>) -> AllowedClients {
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::AllowClientsEmpty);
        }
        let mut networks = Vec::new();
        for network in written.into_inner() {
            match network.get_ref().parse() {
                Ok(parsed) => networks.push(parsed),
                Err(error) => self.complain(network.span(), Mistake::AllowClients(error)),
            }
        }
        AllowedClients::new(networks)
    }
}
