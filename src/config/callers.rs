//! `[access]`: who may connect, and what they show.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use crate::access::certificate::CertificateRule;
use crate::access::origin::Origins;
use crate::access::{AllowedClients, Require, Settings, basic, bearer, forward};
use crate::target::source::http::Url;

/// How long the service that decides may take: as long as a lookup of a token.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What else of the route it matters to.
pub(super) struct Around {
    /// What `[tls.client]` asks for.
    pub(super) certificate: Option<CertificateRule>,
    pub(super) has_web: bool,
    /// Whether `[targets]` says what targets may be.
    pub(super) lists_targets: bool,
}

impl Reader<'_> {
    pub(super) fn access(&mut self, written: file::Access, around: Around) -> Settings {
        let Around { certificate, has_web, lists_targets } = around;
        let proofs = written.proofs();
        let file::Access {
            allow_clients,
            deny_clients,
            trusted_proxies,
            proxy_protocol,
            forwarded_header,
            origins,
            same_origin,
            users,
            require,
            web_auth,
            jwt,
            forward_auth,
        } = written;
        let web_auth = web_auth.filter(|web_auth| *web_auth.get_ref());
        if let Some(web_auth) = &web_auth {
            if proofs == 0 && certificate.is_none() {
                self.complain(web_auth.span(), Mistake::NoProof { key: "web-auth" });
            } else if !has_web {
                self.complain(web_auth.span(), Mistake::WebAuthUnused);
            }
        }
        Settings {
            allow_clients: allow_clients.map(|networks| self.allow_clients(networks)),
            deny_clients: deny_clients
                .map(|networks| self.each(networks, Mistake::AllowClients))
                .filter(|networks| !networks.is_empty()),
            proxies: self.proxies(trusted_proxies, proxy_protocol, forwarded_header),
            certificate,
            origins: Origins {
                listed: origins.map(|origins| self.origins(origins)).unwrap_or_default(),
                // Whoever serves pages means them, unless something else is said.
                own: same_origin.map_or(has_web, Spanned::into_inner),
            },
            users: users
                .and_then(|users| self.fresh_pem("access.users", super::EXAMPLE_USERS, &users))
                .map(basic::Settings::File),
            jwt: jwt.and_then(|jwt| self.jwt(jwt)),
            forward_auth: forward_auth.and_then(|forward| self.forward_auth(forward, lists_targets)),
            require: require.map(|require| self.require(&require, proofs)).unwrap_or_default(),
            web_auth: web_auth.is_some(),
        }
    }

    fn allow_clients(&mut self, written: Spanned<Vec<Spanned<String>>>) -> AllowedClients {
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::AllowClientsEmpty);
        }
        AllowedClients::new(self.each(written, Mistake::AllowClients))
    }

    fn origins(&mut self, written: Spanned<Vec<Spanned<String>>>) -> Vec<crate::access::origin::Origin> {
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::OriginsEmpty);
        }
        self.each(written, Mistake::Origin)
    }

    fn require(&mut self, written: &Spanned<String>, proofs: usize) -> Require {
        match proofs {
            0 => self.complain(written.span(), Mistake::NoProof { key: "require" }),
            1 => self.complain(written.span(), Mistake::OneProof),
            _ => {}
        }
        match written.get_ref().as_str() {
            "all" => Require::All,
            "any" => Require::Any,
            _ => {
                self.choice(written, "access.require", &["all", "any"]);
                Require::All
            }
        }
    }

    fn jwt(&mut self, written: file::Jwt) -> Option<bearer::Settings> {
        let file::Jwt { place, key, issuer, audience, from, user_claim } = written;
        if let Some(none) = from.as_ref().filter(|from| from.get_ref().is_empty()) {
            self.complain(none.span(), Mistake::CarriersEmpty);
        }
        let from = from.map_or_else(|| vec![bearer::Carrier::Header], |from| self.each(from, Mistake::Carrier));
        let Some(key) = key else {
            self.miss(place, "access.jwt.key", super::EXAMPLE_JWT_KEY);
            return None;
        };
        Some(bearer::Settings {
            key: self.pem("access.jwt.key", super::EXAMPLE_JWT_KEY, &key)?,
            issuer: issuer.map(Spanned::into_inner),
            audience: audience.map(Spanned::into_inner),
            from,
            user_claim: user_claim.map_or_else(|| "sub".to_owned(), Spanned::into_inner),
        })
    }

    fn forward_auth(&mut self, written: file::ForwardAuth, lists_targets: bool) -> Option<forward::Settings> {
        let file::ForwardAuth { place, url, ca, headers, user_header, target_header, timeout } = written;
        if let Some(header) = target_header.as_ref().filter(|_| !lists_targets) {
            self.complain(header.span(), Mistake::ForwardTargetsOpen);
        }
        let timeout = self.duration("access.forward-auth.timeout", timeout, "\"3s\"", "it is 3s").unwrap_or(TIMEOUT);
        let headers = match headers {
            None => vec![AUTHORIZATION, COOKIE],
            Some(names) => {
                let names = names.into_inner();
                names.iter().filter_map(|name| self.header("access.forward-auth.headers", name)).collect()
            }
        };
        let user_header = user_header.and_then(|name| self.header("access.forward-auth.user-header", &name));
        let target_header = target_header.and_then(|name| self.header("access.forward-auth.target-header", &name));
        let Some(written) = url else {
            self.miss(place, "access.forward-auth.url", super::EXAMPLE_FORWARD_URL);
            return None;
        };
        let Ok(url) = Url::whole(written.get_ref()) else {
            self.complain(written.span(), Mistake::ForwardUrl);
            return None;
        };
        if let Some(ca) = ca.as_ref().filter(|_| !url.is_https) {
            self.complain(ca.span(), Mistake::ForwardCaUnused);
        }
        let address = self.address("access.forward-auth.ca", url.host.clone(), url.port, url.is_https, ca.as_ref())?;
        Some(forward::Settings { address, url, headers, user_header, target_header, timeout })
    }

    fn header(&mut self, key: &'static str, written: &Spanned<String>) -> Option<HeaderName> {
        let name = written.get_ref().parse().ok();
        if name.is_none() {
            self.complain(written.span(), Mistake::HeaderName { key, text: written.get_ref().clone() });
        }
        name
    }
}
