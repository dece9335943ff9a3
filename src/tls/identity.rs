//! Whom a client's certificate names, once the certificate is believed.
//!
//! It comes out of the TLS session as a value, and by no other way: no header of a request can say it.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate};

use super::spki::SpkiHash;

/// What a believed certificate says of its owner. Names that are no text are left out: nobody could name them in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject's common names, most often one.
    pub cn: Vec<String>,
    /// The subject's organizational units.
    pub ou: Vec<String>,
    /// Host names.
    pub san_dns: Vec<String>,
    /// Mail addresses.
    pub san_email: Vec<String>,
    /// URIs, such as SPIFFE's.
    pub san_uri: Vec<String>,
    /// The SHA-256 of the public key's DER.
    pub spki_sha256: [u8; 32],
}

impl ClientIdentity {
    /// Out of the certificate's DER. None: it is not understood, though the TLS library believes it.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut identity = Self { spki_sha256: SpkiHash::of(certificate.public_key().raw).0, ..Self::default() };
        let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        identity.cn.extend(certificate.subject().iter_common_name().filter_map(text));
        identity.ou.extend(certificate.subject().iter_organizational_unit().filter_map(text));
        let alternative = certificate.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|alternative| &alternative.value.general_names) {
            match name {
                GeneralName::DNSName(name) => identity.san_dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => identity.san_email.push((*name).to_owned()),
                GeneralName::URI(name) => identity.san_uri.push((*name).to_owned()),
                _ => {}
            }
        }
        Some(identity)
    }

    /// What people know it by: the first of its names, or else its key.
    pub fn name(&self) -> String {
        let names = [&self.cn, &self.san_email, &self.san_dns, &self.san_uri];
        names
            .into_iter()
            .find_map(|names| names.first().cloned())
            .unwrap_or_else(|| format!("key {}", hex(&self.spki_sha256)))
    }
}

/// In small hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::process::Command;

    use super::*;

    fn identity(subject: &str, names: &str) -> (ClientIdentity, String) {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(directory.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let names = format!("subjectAltName={names}");
        run(&[
            "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "key", "-out", "der", "-outform", "DER",
            "-utf8", "-subj", subject, "-addext", &names,
        ]);
        let public = run(&["pkey", "-in", "key", "-pubout", "-outform", "DER"]);
        std::fs::write(directory.path().join("public"), public).unwrap();
        let hash = String::from_utf8(run(&["dgst", "-sha256", "-r", "public"])).unwrap();
        let identity = ClientIdentity::of(&std::fs::read(directory.path().join("der")).unwrap()).unwrap();
        (identity, hash.split(' ').next().unwrap().to_owned())
    }

    #[test]
    fn names_are_read_as_openssl_writes_them() {
        let (identity, hash) = identity(
            "/O=Lab/OU=Ops/OU=Network/CN=Zoë User",
            "DNS:a.example,DNS:b.example,email:zoe@example.com,URI:spiffe://example/zoe,IP:192.0.2.1",
        );
        assert_eq!(identity.cn, ["Zoë User"]);
        assert_eq!(identity.ou, ["Ops", "Network"]);
        assert_eq!(identity.san_dns, ["a.example", "b.example"]);
        assert_eq!(identity.san_email, ["zoe@example.com"]);
        assert_eq!(identity.san_uri, ["spiffe://example/zoe"]);
        assert_eq!(hex(&identity.spki_sha256), hash);
        assert_eq!(identity.name(), "Zoë User");
    }

    #[test]
    fn one_without_a_common_name_is_known_by_another() {
        let (identity, _) = identity("/O=Lab", "email:zoe@example.com");
        assert_eq!((identity.cn.len(), identity.name().as_str()), (0, "zoe@example.com"));
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert_eq!(ClientIdentity::of(b"no certificate"), None);
    }
}
