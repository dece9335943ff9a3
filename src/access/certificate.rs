//! Which of the clients whose certificates are believed may have a session.
//!
//! Promise: names are compared whole and exactly, byte for byte: no patterns, no folding of case, no header. A refusal says which
//! rule failed; it is for the log alone. Pure: the certificate has been judged by the TLS handshake.
//!
//! Of several patterns one must fit; of a pattern, each key that is written; of a key, one of its values.

use crate::tls::{ClientIdentity, SpkiHash};

/// What a route asks of a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// None at all: any certificate that is believed.
    patterns: Vec<Pattern>,
}

/// What a certificate must say. None: it does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// A common name of the subject.
    pub cn: Option<Vec<String>>,
    /// An organizational unit of the subject.
    pub ou: Option<Vec<String>>,
    /// A host name among the alternative names.
    pub san_dns: Option<Vec<String>>,
    /// A mail address among them.
    pub san_email: Option<Vec<String>>,
    /// A URI among them.
    pub san_uri: Option<Vec<String>>,
    /// The hash of the public key.
    pub spki_sha256: Option<Vec<SpkiHash>>,
}

/// Why a client's certificate, or its want of one, gives no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateDenied {
    /// No TLS, so that there cannot be one.
    #[error("the connection is not encrypted, and this route asks for a client certificate")]
    Plain,
    /// TLS, without one.
    #[error("the client has shown no certificate")]
    Missing,
    /// One that is believed, and names nobody of those who may.
    #[error("the certificate of '{who}' is not allowed: {}", failed.join("; "))]
    NotAllowed {
        /// Whose.
        who: String,
        /// For each pattern, the first rule that failed.
        failed: Vec<String>,
    },
}

impl CertificateRule {
    /// One of `patterns` must fit; without any, all certificates do.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns }
    }

    /// Whether a client with this certificate may have a session; and whose it is.
    pub fn judge(&self, is_encrypted: bool, identity: Option<&ClientIdentity>) -> Result<String, CertificateDenied> {
        if !is_encrypted {
            return Err(CertificateDenied::Plain);
        }
        let identity = identity.ok_or(CertificateDenied::Missing)?;
        let mut failed = Vec::new();
        for pattern in &self.patterns {
            match pattern.misfit(identity) {
                None => return Ok(identity.name()),
                Some(misfit) => failed.push(misfit),
            }
        }
        if failed.is_empty() {
            return Ok(identity.name());
        }
        Err(CertificateDenied::NotAllowed { who: identity.name(), failed })
    }
}

impl Pattern {
    /// The first key that does not fit. None: all do.
    fn misfit(&self, identity: &ClientIdentity) -> Option<String> {
        let keys = [
            ("cn", &self.cn, &identity.cn),
            ("ou", &self.ou, &identity.ou),
            ("san-dns", &self.san_dns, &identity.san_dns),
            ("san-email", &self.san_email, &identity.san_email),
            ("san-uri", &self.san_uri, &identity.san_uri),
        ];
        for (key, allowed, shown) in keys {
            if allowed.as_ref().is_some_and(|allowed| !shown.iter().any(|name| allowed.contains(name))) {
                return Some(if shown.is_empty() {
                    format!("it has no {key}")
                } else {
                    format!("{key} '{}' is not among tls.client.allow", shown.join("', '"))
                });
            }
        }
        let shown = SpkiHash(identity.spki_sha256);
        let allowed = self.spki_sha256.as_ref();
        allowed
            .is_some_and(|allowed| !allowed.contains(&shown))
            .then(|| format!("spki-sha256 {shown} is not among tls.client.allow"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::SpkiHashError;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn jane() -> ClientIdentity {
        ClientIdentity {
            cn: strings(&["Jane Doe"]),
            ou: strings(&["Ops", "Network"]),
            san_email: strings(&["jane@example.com"]),
            spki_sha256: [7; 32],
            ..ClientIdentity::default()
        }
    }

    fn cn(names: &[&str]) -> Pattern {
        Pattern { cn: Some(strings(names)), ..Pattern::default() }
    }

    fn judge(patterns: Vec<Pattern>) -> Result<String, String> {
        CertificateRule::new(patterns).judge(true, Some(&jane())).map_err(|denied| denied.to_string())
    }

    #[test]
    fn without_a_pattern_any_believed_certificate_will_do_and_none_will_not() {
        let any = CertificateRule::new(Vec::new());
        assert_eq!(any.judge(true, Some(&jane())).unwrap(), "Jane Doe");
        assert_eq!(any.judge(true, None), Err(CertificateDenied::Missing));
    }

    #[test]
    fn a_plain_connection_is_nobodys_whatever_is_claimed() {
        let any = CertificateRule::new(Vec::new());
        assert_eq!(any.judge(false, None), Err(CertificateDenied::Plain));
        assert_eq!(any.judge(false, Some(&jane())), Err(CertificateDenied::Plain));
    }

    #[test]
    fn names_are_compared_whole_and_exactly() {
        assert_eq!(judge(vec![cn(&["Joe", "Jane Doe"])]).unwrap(), "Jane Doe");
        for name in ["Jane", "jane doe", "Jane Doe ", "Jane  Doe", "*", "", "Jane Doe\0"] {
            let denied = judge(vec![cn(&[name])]).unwrap_err();
            assert_eq!(
                denied,
                "the certificate of 'Jane Doe' is not allowed: cn 'Jane Doe' is not among tls.client.allow"
            );
        }
    }

    #[test]
    fn all_keys_of_a_pattern_must_fit_and_one_of_several_patterns() {
        let ops = |email: &str| Pattern {
            ou: Some(strings(&["Ops"])),
            san_email: Some(strings(&[email])),
            ..Pattern::default()
        };
        judge(vec![ops("jane@example.com")]).unwrap();
        let hosts = Pattern { san_dns: Some(strings(&["a.example"])), ..Pattern::default() };
        assert_eq!(
            judge(vec![ops("joe@example.com"), hosts.clone()]).unwrap_err(),
            "the certificate of 'Jane Doe' is not allowed: \
             san-email 'jane@example.com' is not among tls.client.allow; it has no san-dns"
        );
        judge(vec![hosts, cn(&["Jane Doe"])]).unwrap();
        let uri = Pattern { san_uri: Some(strings(&["spiffe://x/jane"])), ..cn(&["Jane Doe"]) };
        judge(vec![uri]).unwrap_err();
    }

    #[test]
    fn a_key_is_known_by_its_hash_in_any_common_form() {
        let hash = |text: &str| text.parse::<SpkiHash>();
        let digits = "07".repeat(32);
        let colons = ["07"; 32].join(":");
        for text in [digits.as_str(), &colons, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="] {
            let pattern = Pattern { spki_sha256: Some(vec![hash(text).unwrap()]), ..Pattern::default() };
            judge(vec![pattern]).unwrap();
        }
        let other = Pattern { spki_sha256: Some(vec![hash(&"08".repeat(32)).unwrap()]), ..Pattern::default() };
        assert!(judge(vec![other]).unwrap_err().contains(&format!("spki-sha256 {digits} is not among")));
        for text in [
            "",
            "07",
            &digits[1..],
            "BwcH",
            &format!("{digits}07"),
            "sha256//BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        ] {
            assert_eq!(hash(text), Err(SpkiHashError((*text).to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_hash_that_is_shown_is_read_back(bytes: [u8; 32]) {
            let hash = SpkiHash(bytes);
            prop_assert_eq!(hash.to_string().parse::<SpkiHash>(), Ok(hash));
        }
    }
}
