//! Whether a client's certificate is to be believed: below a CA that the route trusts, in its time, and not revoked.
//!
//! Promise: revocation is asked of the whole chain, and what nobody can tell is refused: a revocation list that is missing or has
//! ended lets nobody in. A CA whose own time is over is not believed either, from that second on. Whom a certificate names is
//! not judged here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::{Demand, TlsError, provider};

/// What a verifier is made of: the content of files, with their paths.
pub(super) struct Evidence<'a> {
    /// The CAs; None: the system's.
    pub(super) authorities: Option<(&'a Path, &'a [u8])>,
    /// The revocation lists, where they are asked for.
    pub(super) revocation_lists: Option<(&'a Path, &'a [u8])>,
    /// Whether a client may come without a certificate.
    pub(super) demand: Demand,
}

/// Judges the certificates of clients.
#[derive(Debug)]
pub(super) struct Verifier {
    recipe: Recipe,
    /// For what does not depend on the time.
    timeless: Arc<dyn ClientCertVerifier>,
    current: Mutex<Current>,
}

/// What does not change with time.
#[derive(Debug)]
struct Recipe {
    anchors: Vec<Anchor>,
    /// CAs that others have made, for clients that do not send them.
    intermediates: Vec<CertificateDer<'static>>,
    revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    demand: Demand,
    /// Whether clients are told which CAs are asked for: the system's would be too many.
    tells_authorities: bool,
}

/// A CA that is believed without anybody's word.
#[derive(Debug)]
struct Anchor {
    certificate: CertificateDer<'static>,
    not_after: UnixTime,
}

/// With the CAs whose time it is.
#[derive(Debug)]
struct Current {
    /// None: no CA is left.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// When they were chosen: before that, as when the clock is set back, others may be in their time.
    since: UnixTime,
    /// When the first of them ends.
    until: UnixTime,
}

impl Verifier {
    pub(super) fn new(evidence: &Evidence<'_>) -> Result<Self, TlsError> {
        let now = UnixTime::now();
        let (anchors, intermediates) = match evidence.authorities {
            Some((path, text)) => authorities(path, text)?,
            None => (system_authorities()?, Vec::new()),
        };
        let revocation_lists = match evidence.revocation_lists {
            Some((path, text)) => revocation_lists(path, text)?,
            None => Vec::new(),
        };
        if let (Some((path, _)), Some(_)) = (evidence.revocation_lists, evidence.authorities) {
            let all = anchors.iter().map(|anchor| &anchor.certificate).chain(&intermediates);
            each_has_a_list(path, all, &revocation_lists)?;
        }
        let tells_authorities = evidence.authorities.is_some();
        let recipe = Recipe { anchors, intermediates, revocation_lists, demand: evidence.demand, tells_authorities };
        let current = recipe.at(now)?;
        let Some(timeless) = current.verifier.clone() else {
            let path = evidence.authorities.map_or_else(PathBuf::new, |(path, _)| path.to_owned());
            return Err(TlsError::ExpiredAuthorities { path });
        };
        Ok(Self { recipe, timeless, current: Mutex::new(current) })
    }
}

impl Recipe {
    /// A verifier with the CAs whose time it is.
    fn at(&self, now: UnixTime) -> Result<Current, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut until = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX));
        for anchor in self.anchors.iter().filter(|anchor| anchor.not_after > now) {
            // What cannot be used was refused when it was read.
            if roots.add(anchor.certificate.clone()).is_ok() {
                until = until.min(anchor.not_after);
            }
        }
        if roots.is_empty() {
            return Ok(Current { verifier: None, since: now, until });
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(self.revocation_lists.iter().cloned())
            .enforce_revocation_expiration();
        if !self.tells_authorities {
            builder = builder.clear_root_hint_subjects();
        }
        if self.demand == Demand::Optional {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|source| TlsError::Verifier { source })?;
        Ok(Current { verifier: Some(verifier), since: now, until })
    }
}

impl ClientCertVerifier for Verifier {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verifier = {
            // A panic while the lock was held leaves the old one behind, which is whole.
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if (now < current.since || now >= current.until)
                && let Ok(renewed) = self.recipe.at(now)
            {
                *current = renewed;
            }
            current.verifier.clone()
        };
        let Some(verifier) = verifier else { return Err(CertificateError::UnknownIssuer.into()) };
        let mut all = intermediates.to_vec();
        all.extend(self.recipe.intermediates.iter().cloned());
        verifier.verify_client_cert(end_entity, &all, now)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.timeless.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.timeless.client_auth_mandatory()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.timeless.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.timeless.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.timeless.supported_verify_schemes()
    }
}

/// The CAs of a file. Those that are their own issuers are believed; the others are links of chains, unless there are no others.
fn authorities(path: &Path, text: &[u8]) -> Result<(Vec<Anchor>, Vec<CertificateDer<'static>>), TlsError> {
    let mut anchors = Vec::new();
    let mut intermediates = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
        let certificate = certificate.map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
        let usable = RootCertStore::empty().add(certificate.clone());
        usable.map_err(|source| TlsError::UnusableAuthority { path: path.to_owned(), number: index + 1, source })?;
        if is_own_issuer(&certificate) {
            anchors.push(Anchor::new(certificate));
        } else {
            intermediates.push(certificate);
        }
    }
    if anchors.is_empty() {
        anchors.extend(intermediates.drain(..).map(Anchor::new));
    }
    if anchors.is_empty() {
        Err(TlsError::NoCertificate { path: path.to_owned() })
    } else {
        Ok((anchors, intermediates))
    }
}

/// Some of a system's many may be unreadable or odd: the others count.
fn system_authorities() -> Result<Vec<Anchor>, TlsError> {
    let found = rustls_native_certs::load_native_certs().certs;
    let usable =
        |certificate: &CertificateDer<'_>| RootCertStore::empty().add(certificate.clone().into_owned()).is_ok();
    let anchors: Vec<Anchor> = found.into_iter().filter(usable).map(Anchor::new).collect();
    if anchors.is_empty() { Err(TlsError::NoSystemAuthorities) } else { Ok(anchors) }
}

impl Anchor {
    /// One whose end cannot be read has ended.
    fn new(certificate: CertificateDer<'static>) -> Self {
        let not_after = match X509Certificate::from_der(&certificate) {
            Ok((_, parsed)) => u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0),
            Err(_) => 0,
        };
        Self { certificate, not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(not_after)) }
    }
}

fn is_own_issuer(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.subject() == parsed.issuer())
}

/// The lists of a file, all of which must be in force.
fn revocation_lists(path: &Path, text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut lists = Vec::new();
    for (index, list) in CertificateRevocationListDer::pem_slice_iter(text).enumerate() {
        let list = list.map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
        let Ok((_, parsed)) = CertificateRevocationList::from_der(&list) else {
            return Err(TlsError::UnreadableRevocationList { path: path.to_owned(), number: index + 1 });
        };
        let until = parsed.next_update().and_then(|until| u64::try_from(until.timestamp()).ok()).unwrap_or(0);
        let until = UNIX_EPOCH + std::time::Duration::from_secs(until);
        if until <= SystemTime::now() {
            return Err(TlsError::ExpiredRevocationList {
                path: path.to_owned(),
                issuer: parsed.issuer().to_string(),
                until: humantime::format_rfc3339_seconds(until).to_string(),
            });
        }
        lists.push(list);
    }
    if lists.is_empty() { Err(TlsError::NoRevocationList { path: path.to_owned() }) } else { Ok(lists) }
}

/// A CA without a list would have all its clients refused, one by one, and nobody would see why.
fn each_has_a_list<'a>(
    path: &Path,
    authorities: impl Iterator<Item = &'a CertificateDer<'static>>,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<(), TlsError> {
    for authority in authorities {
        let Ok((_, authority)) = X509Certificate::from_der(authority) else { continue };
        let is_its_own = |list: &CertificateRevocationListDer<'_>| {
            CertificateRevocationList::from_der(list)
                .is_ok_and(|(_, list)| list.issuer().as_raw() == authority.subject().as_raw())
        };
        if !lists.iter().any(is_its_own) {
            let issuer = authority.subject().to_string();
            return Err(TlsError::MissingRevocationList { path: path.to_owned(), issuer });
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
        KeyPair, KeyUsagePurpose, date_time_ymd,
    };

    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const PATH: &str = "clients.pem";

    fn after(days: u32) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + DAY * days)
    }

    /// A CA that ends in so many days; and a client's certificate of it, which lives on.
    fn authority(name: &str, days: u32) -> (CertifiedIssuer<'static, KeyPair>, CertificateDer<'static>) {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(after(days).as_secs());
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let mut client = CertificateParams::default();
        client.distinguished_name.push(rcgen::DnType::CommonName, "jane");
        let client = client.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
        (authority, client.der().clone())
    }

    fn verifier(authorities: &str, revocation_lists: Option<&str>) -> Result<Verifier, TlsError> {
        Verifier::new(&Evidence {
            authorities: Some((Path::new(PATH), authorities.as_bytes())),
            revocation_lists: revocation_lists.map(|lists| (Path::new("clients.crl"), lists.as_bytes())),
            demand: Demand::Required,
        })
    }

    #[test]
    fn an_authority_is_believed_until_its_own_end() {
        let (soon, of_soon) = authority("soon", 10);
        let (late, of_late) = authority("late", 30);
        let verifier = verifier(&format!("{}{}", soon.pem(), late.pem()), None).unwrap();
        let judge = |client: &CertificateDer<'_>, days| verifier.verify_client_cert(client, &[], after(days)).is_ok();
        assert_eq!([9, 11, 29, 31].map(|days| judge(&of_soon, days)), [true, false, false, false]);
        assert_eq!([9, 11, 29, 31].map(|days| judge(&of_late, days)), [true, true, true, false]);
    }

    #[test]
    fn authorities_that_have_all_ended_stop_the_start() {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        let ended = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert!(
            matches!(verifier(&ended.pem(), None), Err(TlsError::ExpiredAuthorities { path }) if path == Path::new(PATH))
        );
    }

    #[test]
    fn a_revocation_list_that_ends_takes_its_authoritys_clients_with_it() {
        let (authority, client) = authority("house", 30);
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(after(7).as_secs()),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&authority).unwrap().pem().unwrap();
        let verifier = verifier(&authority.pem(), Some(&list)).unwrap();
        verifier.verify_client_cert(&client, &[], after(6)).unwrap();
        let late = verifier.verify_client_cert(&client, &[], after(8)).unwrap_err();
        let rustls::Error::InvalidCertificate(late) = late else { panic!("{late}") };
        let has_ended = matches!(
            late,
            CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. }
        );
        assert!(has_ended, "{late:?}");
    }
}
