//! What `[tls]` means: certificates, what is spoken, and which clients are believed and let in.

pub(super) mod file;

use toml::Spanned;

use self::file::{Allow, Client, Served, Tls};
use super::meaning::Reader;
use super::problem::Mistake;
use super::{EXAMPLE_CA, EXAMPLE_CERTIFICATE, EXAMPLE_KEY};
use crate::access::certificate::{CertificateRule, Pattern};
use crate::tls::numbered;
use crate::tls::{
    Authorities, CertificateSettings, ClientSettings, Demand, MinVersion, Mode, PassphraseSettings, Rules, Settings,
    SpkiHash,
};

const EXAMPLE_PASSPHRASE: &str = "key-password = \"/etc/ssl/vnc.password\"";
const EXAMPLE_CRL: &str = "crl = \"/etc/websockify/clients.crl\"";

impl Reader<'_> {
    /// What is spoken, and what is asked of clients' certificates.
    pub(super) fn tls(&mut self, written: Tls) -> Option<(Settings, Option<CertificateRule>)> {
        let Tls { place, mode, certificate, key, key_password, min_version, ciphers, certificates, client } = written;
        let mode = self.one_of("tls.mode", mode.as_ref(), &["sniff", "required"], &[Mode::Sniff, Mode::Required]);
        let versions = [MinVersion::Tls12, MinVersion::Tls13];
        let min_version = self.one_of("tls.min-version", min_version.as_ref(), &["1.2", "1.3"], &versions);
        let ciphers = ciphers.and_then(|list| match list.get_ref().parse() {
            Ok(ciphers) => Some(ciphers),
            Err(error) => {
                self.complain(list.span(), Mistake::Ciphers { key: "tls.ciphers".to_owned(), error });
                None
            }
        });
        let asked = client.map(|client| self.client(client));
        let first = Served { place, certificate, key, key_password };
        let default = self.certificate(first, |key| format!("tls.{key}"));
        let others = certificates.into_iter().flatten().enumerate();
        let others: Vec<_> =
            others.map(|(index, written)| self.certificate(written, |key| numbered(index, key))).collect();
        let (clients, rule) = asked.unwrap_or_default();
        let others = others.into_iter().collect::<Option<Vec<_>>>()?;
        let rules = Rules { min_version, ciphers };
        Some((Settings { mode, default: default?, others, rules, clients }, rule))
    }

    fn certificate(&mut self, written: Served, named: impl Fn(&str) -> String) -> Option<CertificateSettings> {
        let Served { place, certificate, key, key_password } = written;
        let key = key.and_then(|key| self.pem(&named("key"), EXAMPLE_KEY, &key));
        let passphrase = key_password.and_then(|file| self.pem(&named("key-password"), EXAMPLE_PASSPHRASE, &file));
        let Some(certificate) = certificate else {
            self.miss(place, &named("certificate"), EXAMPLE_CERTIFICATE);
            return None;
        };
        let certificate = self.pem(&named("certificate"), EXAMPLE_CERTIFICATE, &certificate)?;
        Some(CertificateSettings { certificate, key, passphrase: passphrase.map(PassphraseSettings::File) })
    }

    /// What certificates are judged by, and which of the good ones may have a session.
    fn client(&mut self, written: Client) -> (Option<ClientSettings>, Option<CertificateRule>) {
        let demands = [Demand::Required, Demand::Optional];
        let demand = self.one_of("tls.client.mode", written.mode.as_ref(), &["required", "optional"], &demands);
        let asks_names = written.allow.is_some();
        let patterns: Vec<Pattern> =
            written.allow.into_iter().flatten().filter_map(|allow| self.pattern(allow)).collect();
        // Whoever may come without a certificate may have a session without, unless names are asked for.
        let rule = (asks_names || demand == Demand::Required).then(|| CertificateRule::new(patterns));
        let revocation_lists = written.crl.and_then(|crl| self.fresh_pem("tls.client.crl", EXAMPLE_CRL, &crl));
        let authorities = match written.ca {
            None => {
                self.miss(written.place, "tls.client.ca", EXAMPLE_CA);
                None
            }
            Some(ca) if ca.get_ref() == "system" => Some(Authorities::System),
            Some(ca) => self.fresh_pem("tls.client.ca", EXAMPLE_CA, &ca).map(Authorities::File),
        };
        (authorities.map(|authorities| ClientSettings { authorities, revocation_lists, demand }), rule)
    }

    fn pattern(&mut self, written: Allow) -> Option<Pattern> {
        let Allow { place, cn, ou, san_dns, san_email, san_uri, spki_sha256 } = written;
        let mut is_empty = true;
        let mut values = |strings: Option<Spanned<Vec<Spanned<String>>>>| {
            let strings = strings?.into_inner();
            is_empty = false;
            Some(strings)
        };
        let texts = [cn, ou, san_dns, san_email, san_uri].map(&mut values);
        let hashes = values(spki_sha256);
        let has_empty_list = texts.iter().chain([&hashes]).flatten().any(Vec::is_empty);
        if is_empty || has_empty_list {
            self.complain(place, Mistake::AllowEmpty);
            return None;
        }
        let hashes = hashes.map(|hashes| {
            let parse = |text: Spanned<String>| match text.get_ref().parse::<SpkiHash>() {
                Ok(hash) => Some(hash),
                Err(error) => {
                    self.complain(text.span(), Mistake::SpkiHash(error));
                    None
                }
            };
            hashes.into_iter().filter_map(parse).collect()
        });
        let plain = |texts: Option<Vec<Spanned<String>>>| {
            texts.map(|texts| texts.into_iter().map(Spanned::into_inner).collect())
        };
        let [cn, ou, san_dns, san_email, san_uri] = texts.map(plain);
        Some(Pattern { cn, ou, san_dns, san_email, san_uri, spki_sha256: hashes })
    }

    /// One of a few words, each of which stands for a value; the first is what is meant without.
    fn one_of<T: Copy>(
        &mut self,
        key: &str,
        written: Option<&Spanned<String>>,
        choices: &'static [&'static str],
        values: &[T],
    ) -> T {
        let Some(written) = written else { return values[0] };
        if let Some((_, value)) = choices.iter().zip(values).find(|(choice, _)| *choice == written.get_ref()) {
            return *value;
        }
        self.choice(written, key, choices);
        values[0]
    }
}
