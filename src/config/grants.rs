//! `[grants]`: tokens that the daemon makes itself, for whoever may speak to the route's control socket.

use toml::Spanned;

use super::document::Table;
use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use crate::target::grants::Settings;
use crate::target::token::Place;

impl file::Grants {
    pub(super) fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            socket: table.take("socket", "socket = \"/run/websockify-lab/lab.control\""),
            url: table.take("url", super::EXAMPLE_URL),
        }
    }
}

impl Reader<'_> {
    /// `from`: where tokens stand in a request.
    pub(super) fn grants(&mut self, written: file::Grants, from: &[Place]) -> Settings {
        let is_in_url = |place: &Place| matches!(place, Place::Query(_) | Place::Path);
        if !from.is_empty() && !from.iter().any(is_in_url) {
            self.complain(written.place, Mistake::GrantsNotInUrl);
        }
        let socket = written.socket.and_then(|socket| {
            self.path("grants.socket", "file", "socket = \"/run/websockify-lab/lab.control\"", &socket)
        });
        Settings { socket, url: written.url.and_then(|url| self.page(&url)) }
    }

    /// The beginning of a URL.
    fn page(&mut self, written: &Spanned<String>) -> Option<String> {
        let uri = written.get_ref().parse::<http::Uri>().ok();
        let is_url = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https" | "ws" | "wss"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        if is_url && !written.get_ref().contains('#') {
            return Some(written.get_ref().clone());
        }
        self.complain(written.span(), Mistake::GrantsUrl(written.get_ref().clone()));
        None
    }
}
