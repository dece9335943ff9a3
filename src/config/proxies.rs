//! Of `[access]`, what it says about proxies in front of the route.

use toml::Spanned;

use super::meaning::Reader;
use super::problem::Mistake;
use crate::access::forwarded::{ForwardedHeader, TrustedProxies};
use crate::access::proxies::{Proxies, ProxyProtocol};

impl Reader<'_> {
    /// Without trusted proxies, nothing that a proxy could say counts.
    pub(super) fn proxies(
        &mut self,
        trusted: Option<Spanned<Vec<Spanned<String>>>>,
        protocol: Option<Spanned<String>>,
        header: Option<Spanned<String>>,
    ) -> Option<Proxies> {
        let Some(trusted) = trusted else {
            let keys = [("proxy-protocol", &protocol), ("forwarded-header", &header)];
            for (key, value) in keys {
                if let Some(value) = value {
                    self.complain(value.span(), Mistake::ProxiesMissing(key));
                }
            }
            return None;
        };
        if trusted.get_ref().is_empty() {
            self.complain(trusted.span(), Mistake::ProxiesEmpty);
        }
        let proxies = self.each(trusted, Mistake::TrustedProxy);
        let protocol = protocol.and_then(|protocol| self.proxy_protocol(&protocol));
        let header = match header {
            Some(header) => self.forwarded_header(&header),
            // Proxies that speak the one need not speak HTTP at all, and what they pass on is the client's own.
            None => protocol.is_none().then_some(ForwardedHeader::XForwardedFor),
        };
        Some(Proxies { trusted: TrustedProxies::new(proxies), protocol, header })
    }

    fn proxy_protocol(&mut self, written: &Spanned<String>) -> Option<ProxyProtocol> {
        match written.get_ref().as_str() {
            "required" => Some(ProxyProtocol::Required),
            "accepted" => Some(ProxyProtocol::Accepted),
            _ => {
                self.choice(written, "access.proxy-protocol", &["required", "accepted"]);
                None
            }
        }
    }

    fn forwarded_header(&mut self, written: &Spanned<String>) -> Option<ForwardedHeader> {
        match written.get_ref().as_str() {
            "x-forwarded-for" => Some(ForwardedHeader::XForwardedFor),
            "forwarded" => Some(ForwardedHeader::Forwarded),
            "none" => None,
            _ => {
                self.choice(written, "access.forwarded-header", &["x-forwarded-for", "forwarded", "none"]);
                None
            }
        }
    }
}
