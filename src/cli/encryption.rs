//! The TLS options of a classic command line, as a route's file writes what they say.

use std::path::Path;

use super::addresses::absolute;
use super::callers::plugin;
use super::classic::{ClassicError, said};
use super::options::Options;
use crate::config::file::{Allow, Client, Tls};
use crate::tls::ciphers::Ciphers;

/// The table `[tls]`; None: there is no certificate.
pub(super) fn tls(
    options: &Options,
    start_directory: &Path,
    notes: &mut Vec<String>,
) -> Result<Option<Tls>, ClassicError> {
    let certificate = start_directory.join(options.cert.as_deref().unwrap_or(Path::new("self.pem")));
    if is_by_certificate(options) && !options.verify_client {
        return Err(ClassicError::Needs { used: "--auth-plugin=ClientCertCNAuth", needed: "--verify-client" });
    }
    if !certificate.exists() {
        if options.ssl_only {
            return Err(ClassicError::SslOnly(certificate));
        }
        if options.verify_client {
            return Err(ClassicError::VerifyClient(certificate));
        }
        notes.push(format!("no TLS: there is no certificate {}", certificate.display()));
        return Ok(None);
    }
    let key = options.key.as_ref().map(|key| absolute("--key", key, start_directory)).transpose()?;
    // The oldest that is spoken is 1.2 under each of the other names, as with the original on a Python of today.
    let min_version = (options.ssl_version.as_deref() == Some("tlsv1_3")).then(|| said("1.3".to_owned()));
    if options.ssl_version.as_deref() == Some("tlsv1_1") {
        notes.push("--ssl-version=tlsv1_1: TLS 1.2 is the oldest that is spoken".to_owned());
    }
    let left_out = options.ssl_ciphers.as_ref().and_then(|list| list.parse::<Ciphers>().ok());
    for word in left_out.iter().flat_map(Ciphers::left_out) {
        notes.push(format!("--ssl-ciphers: '{word}' leads to no cipher suite that is spoken here"));
    }
    Ok(Some(Tls {
        mode: options.ssl_only.then(|| said("required".to_owned())),
        certificate: Some(said(absolute("--cert", &certificate, start_directory)?)),
        key: key.map(said),
        min_version,
        ciphers: options.ssl_ciphers.clone().map(said),
        client: client(options, start_directory)?,
        ..Tls::default()
    }))
}

/// Whether the auth plugin is the one that judges certificates, which belongs to TLS here.
pub(super) fn is_by_certificate(options: &Options) -> bool {
    options.auth_plugin.as_deref().map(plugin) == Some("ClientCertCNAuth")
}

fn client(options: &Options, start_directory: &Path) -> Result<Option<Client>, ClassicError> {
    if !options.verify_client {
        return Ok(None);
    }
    let ca = match &options.cafile {
        Some(file) => absolute("--cafile", file, start_directory)?,
        None => "system".to_owned(),
    };
    Ok(Some(Client { ca: Some(said(ca)), allow: common_names(options)?.map(|allow| vec![allow]), ..Client::default() }))
}

/// The original divides its names at white space, so that one with a blank in it is two.
fn common_names(options: &Options) -> Result<Option<Allow>, ClassicError> {
    if !is_by_certificate(options) {
        return Ok(None);
    }
    let names: Vec<_> = options.auth_source.iter().flat_map(|source| source.split_whitespace()).collect();
    if names.is_empty() {
        return Err(ClassicError::CommonNames);
    }
    let names = names.into_iter().map(|name| said(name.to_owned())).collect();
    Ok(Some(Allow { cn: Some(said(names)), ..Allow::default() }))
}
