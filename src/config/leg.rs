//! `[targets]` but for `allow`: what is said on the way to the targets.

use rustls::pki_types::ServerName;
use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use crate::proxy_protocol::Version;
use crate::target::leg::Settings;
use crate::target::{self, Target};
use crate::tls::client::{self, Trust};
use crate::tls::{Authorities, Pem, SpkiHash};

impl Reader<'_> {
    /// `targets`: where sessions go, if that could be understood.
    pub(super) fn leg(
        &mut self,
        send_proxy: Option<Spanned<String>>,
        tls: Option<file::TargetsTls>,
        targets: Option<&target::Settings>,
    ) -> Settings {
        let send_proxy = send_proxy.and_then(|version| self.proxy_version(&version));
        let Some(mut written) = tls else { return Settings { send_proxy, ..Settings::default() } };
        let always = written.all.take();
        match targets {
            Some(target::Settings::Fixed(Target::Tls(_))) => {
                if let Some(all) = &always {
                    self.complain(all.span(), Mistake::TargetsTlsAll);
                }
            }
            Some(target::Settings::Fixed(_)) => self.complain(written.place.clone(), Mistake::TargetsTlsUnused),
            Some(target::Settings::ByToken(_) | target::Settings::Program) | None => {}
        }
        let is_tls_always = always.is_some_and(Spanned::into_inner);
        Settings { send_proxy, tls: self.targets_tls(written), is_tls_always }
    }

    fn proxy_version(&mut self, written: &Spanned<String>) -> Option<Version> {
        match written.get_ref().as_str() {
            "v1" => Some(Version::V1),
            "v2" => Some(Version::V2),
            _ => {
                self.choice(written, "targets.send-proxy", &["v1", "v2"]);
                None
            }
        }
    }

    fn targets_tls(&mut self, written: file::TargetsTls) -> Option<client::Settings> {
        let file::TargetsTls { ca, server_name, spki_sha256, certificate, key, insecure, .. } = written;
        let authorities = ca.as_ref().map(|ca| self.target_authorities(ca));
        let pins = spki_sha256.map(|pins| self.pins(pins));
        let trust = match (authorities, pins, insecure) {
            (None, None, Some(insecure)) if *insecure.get_ref() => Trust::Anything,
            (_, _, Some(insecure)) if *insecure.get_ref() => {
                self.complain(insecure.span(), Mistake::TargetsTlsInsecure);
                return None;
            }
            (authorities, Some(pins), _) => Trust::Pinned(pins?, sound(authorities)?),
            (None, None, _) => Trust::Signed(Authorities::System),
            (Some(authorities), None, _) => Trust::Signed(authorities?),
        };
        let server_name = server_name.as_ref().map(|name| self.server_name(name));
        let key = key.map(|key| (self.pem("targets.tls.key", super::EXAMPLE_KEY, &key), key.span()));
        let identity = match (certificate, key) {
            (None, None) => None,
            (None, Some((_, span))) => {
                self.miss(span, "targets.tls.certificate", super::EXAMPLE_CERTIFICATE);
                return None;
            }
            (Some(certificate), key) => {
                let certificate = self.pem("targets.tls.certificate", super::EXAMPLE_CERTIFICATE, &certificate)?;
                Some((certificate, sound(key.map(|(key, _)| key))?))
            }
        };
        Some(client::Settings { trust, server_name: sound(server_name)?, identity })
    }

    fn target_authorities(&mut self, written: &Spanned<String>) -> Option<Authorities> {
        if written.get_ref() == "system" {
            return Some(Authorities::System);
        }
        let pem: Option<Pem> = self.pem("targets.tls.ca", super::EXAMPLE_CA, written);
        pem.map(Authorities::File)
    }

    fn pins(&mut self, written: Spanned<Vec<Spanned<String>>>) -> Option<Vec<SpkiHash>> {
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::TargetsTlsPins);
            return None;
        }
        let count = written.get_ref().len();
        let pins = self.each(written, Mistake::SpkiHash);
        (pins.len() == count).then_some(pins)
    }

    fn server_name(&mut self, written: &Spanned<String>) -> Option<ServerName<'static>> {
        if let Ok(name) = ServerName::try_from(written.get_ref().clone()) {
            return Some(name);
        }
        self.complain(written.span(), Mistake::ServerName(written.get_ref().clone()));
        None
    }
}

/// What is absent is right; what is there and wrong is a complaint, and nothing.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
fn sound<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    match found {
        Some(None) => None,
        found => Some(found.flatten()),
    }
}
