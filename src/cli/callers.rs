//! The authentication options of a classic command line: the original's plugins, as a route's file or a route says the same.

use super::classic::{ClassicError, said};
use super::options::Options;
use crate::access::basic;
use crate::config::Route;
use crate::config::file::Access;
use crate::target::source::service::Secret;

/// Where `convert` puts the users.
const USERS: &str = "/etc/websockify/users";

/// What was typed of access.
pub(super) struct Callers {
    /// The table `[access]`.
    pub(super) access: Option<Access>,
    /// The user, whose password has no place in a file.
    pub(super) user: Option<User>,
    /// What has no effect.
    pub(super) note: Option<&'static str>,
}

/// The one user of `BasicHTTPAuth`.
pub(super) struct User {
    name: String,
    password: Secret,
    guards_files: bool,
}

impl Callers {
    pub(super) fn of(options: &Options) -> Result<Self, ClassicError> {
        // The original never asked which page a client acts for.
        let open = || Access { same_origin: Some(said(false)), ..Access::default() };
        let mut callers = Self { access: options.web.is_some().then(open), user: None, note: None };
        let Some(typed) = &options.auth_plugin else { return Ok(callers) };
        let source = options.auth_source.as_deref().filter(|source| !source.is_empty());
        let source = source.ok_or(ClassicError::Needs { used: "--auth-plugin", needed: "--auth-source" });
        match plugin(typed) {
            "BasicHTTPAuth" => {
                let (name, password) = source?.split_once(':').ok_or(ClassicError::BasicSource)?;
                let password = Secret(password.to_owned());
                callers.user = Some(User { name: name.to_owned(), password, guards_files: options.web_auth });
            }
            "ExpectOrigin" => {
                let origins = source?.split_whitespace().map(|origin| said(origin.to_owned())).collect();
                callers.access.get_or_insert_with(Access::default).origins = Some(said(origins));
                if options.web_auth {
                    let note = "--web-auth has no effect with ExpectOrigin: a request for a page has no Origin";
                    callers.note = Some(note);
                }
            }
            // What it asks for stands with TLS.
            "ClientCertCNAuth" => {
                let access = &mut callers.access;
                if options.web_auth {
                    access.get_or_insert_with(Access::default).web_auth = Some(said(true));
                }
            }
            _ => return Err(ClassicError::AuthPlugin(typed.clone())),
        }
        Ok(callers)
    }
}

/// The name of an auth plugin, which the original knew as a class of a module too.
pub(super) fn plugin(typed: &str) -> &str {
    typed.strip_prefix("websockify.auth_plugins.").unwrap_or(typed)
}

impl User {
    /// Lets the user in, and nobody else.
    pub(super) fn guard(self, route: &mut Route) {
        route.access.users = Some(basic::Settings::One { name: self.name, password: self.password });
        route.access.web_auth = self.guards_files;
    }

    /// What a file says of it, once the hash of its password is where it belongs; and how that gets there.
    pub(super) fn convert(&self, access: &mut Access) -> String {
        access.users = Some(said(USERS.to_owned()));
        access.web_auth = self.guards_files.then(|| said(true));
        format!("--auth-source: not in the file; put its hash where `users` says: htpasswd -B -c {USERS} {}", self.name)
    }
}
