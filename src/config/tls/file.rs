//! `[tls]` as it is written.

use std::ops::Range;

use serde::Serialize;
use toml::Spanned;

use crate::config::document::Table;
use crate::config::{EXAMPLE_CA, EXAMPLE_CERTIFICATE, EXAMPLE_KEY};

/// An array of strings, or one string.
type Strings = Option<Spanned<Vec<Spanned<String>>>>;

/// `[tls]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Tls {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) mode: Option<Spanned<String>>,
    pub(crate) certificate: Option<Spanned<String>>,
    pub(crate) key: Option<Spanned<String>>,
    pub(crate) key_password: Option<Spanned<String>>,
    pub(crate) min_version: Option<Spanned<String>>,
    pub(crate) ciphers: Option<Spanned<String>>,
    pub(crate) certificates: Option<Vec<Served>>,
    pub(crate) client: Option<Client>,
}

/// One of `[[tls.certificates]]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Served {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) certificate: Option<Spanned<String>>,
    pub(crate) key: Option<Spanned<String>>,
    pub(crate) key_password: Option<Spanned<String>>,
}

/// `[tls.client]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Client {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) ca: Option<Spanned<String>>,
    pub(crate) crl: Option<Spanned<String>>,
    pub(crate) mode: Option<Spanned<String>>,
    pub(crate) allow: Option<Vec<Allow>>,
}

/// `tls.client.allow`, or one of `[[tls.client.allow]]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Allow {
    #[serde(skip)]
    pub(crate) place: Range<usize>,
    pub(crate) cn: Strings,
    pub(crate) ou: Strings,
    pub(crate) san_dns: Strings,
    pub(crate) san_email: Strings,
    pub(crate) san_uri: Strings,
    pub(crate) spki_sha256: Strings,
}

impl Tls {
    pub(in crate::config) fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            mode: table.take("mode", "mode = \"required\""),
            certificate: table.take("certificate", EXAMPLE_CERTIFICATE),
            key: table.take("key", EXAMPLE_KEY),
            key_password: table.take("key-password", super::EXAMPLE_PASSPHRASE),
            min_version: table.take("min-version", "min-version = \"1.3\""),
            ciphers: table.take("ciphers", "ciphers = \"ECDHE+AESGCM:ECDHE+CHACHA20\""),
            certificates: table.tables(
                "certificates",
                "a table [[tls.certificates]] with certificate = \"/etc/ssl/lab.pem\"",
                Served::read,
            ),
            client: table.table(
                "client",
                "a table [tls.client] with ca = \"/etc/websockify/clients.pem\"",
                Client::read,
            ),
        }
    }
}

impl Served {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            certificate: table.take("certificate", EXAMPLE_CERTIFICATE),
            key: table.take("key", EXAMPLE_KEY),
            key_password: table.take("key-password", super::EXAMPLE_PASSPHRASE),
        }
    }
}

impl Client {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            ca: table.take("ca", EXAMPLE_CA),
            crl: table.take("crl", "crl = \"/etc/websockify/clients.crl\""),
            mode: table.take("mode", "mode = \"required\""),
            allow: table.tables("allow", "allow = { cn = [\"jane@example.com\"] }", Allow::read),
        }
    }
}

impl Allow {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            place: table.span(),
            cn: table.take("cn", "cn = [\"jane@example.com\"]"),
            ou: table.take("ou", "ou = [\"Operations\"]"),
            san_dns: table.take("san-dns", "san-dns = [\"desk7.example.com\"]"),
            san_email: table.take("san-email", "san-email = [\"jane@example.com\"]"),
            san_uri: table.take("san-uri", "san-uri = [\"spiffe://example.com/jane\"]"),
            spki_sha256: table.take("spki-sha256", "spki-sha256 = [\"HASH\"]"),
        }
    }
}
