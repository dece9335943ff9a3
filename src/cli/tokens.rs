//! The token options of a classic command line, as a route's file writes what they say.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::addresses::absolute;
use super::classic::{ClassicError, said};
use super::options::Options;
use crate::config::file::{Targets, TargetsTls, Tokens};

/// The table `[tokens]`; None: no token option was typed.
pub(super) fn tokens(options: &Options, start_directory: &Path) -> Result<Option<Tokens>, ClassicError> {
    let tokens = match (&options.target_config, &options.token_plugin) {
        (None, None) => return Ok(None),
        (Some(file), _) => of_source(path("file", "--target-config", file, start_directory)?),
        (None, Some(plugin)) => {
            let source = options.token_source.as_deref().filter(|source| !source.is_empty());
            let source = source.ok_or(ClassicError::Needs { used: "--token-plugin", needed: "--token-source" })?;
            of_plugin(plugin, source, start_directory)?
        }
    };
    Ok(Some(Tokens { from: options.host_token.then(|| said(vec![said("host".to_owned())])), ..tokens }))
}

/// The table `[targets]`.
pub(super) fn targets(options: &Options) -> Option<Targets> {
    let allow: Vec<_> = options.allow_target.iter().cloned().map(said).collect();
    let is_by_token = options.token_plugin.is_some() || options.target_config.is_some();
    // The original looked at no certificate.
    let tls = options.ssl_target.then(|| TargetsTls {
        all: is_by_token.then(|| said(true)),
        insecure: Some(said(true)),
        ..TargetsTls::default()
    });
    let allow = (!allow.is_empty()).then(|| said(allow));
    (allow.is_some() || tls.is_some()).then_some(Targets { allow, tls, send_proxy: None })
}

fn of_source(source: String) -> Tokens {
    Tokens { source: Some(said(source)), ..Tokens::default() }
}

fn path(kind: &str, option: &'static str, path: &str, start_directory: &Path) -> Result<String, ClassicError> {
    Ok(format!("{kind}:{}", absolute(option, Path::new(path), start_directory)?))
}

/// A plugin of the original, by its name or by its place in Python.
fn of_plugin(plugin: &str, source: &str, start_directory: &Path) -> Result<Tokens, ClassicError> {
    let file = |kind| path(kind, "--token-source", source, start_directory).map(of_source);
    match plugin.strip_prefix("websockify.token_plugins.").unwrap_or(plugin) {
        "TokenFile" | "ReadOnlyTokenFile" => file("file"),
        "TokenFileName" => file("names"),
        "UnixDomainSocketDirectory" => file("sockets"),
        "JWTTokenApi" => file("jwt"),
        "BaseTokenAPI" => Ok(of_source(source.to_owned())),
        "JSONTokenApi" => Ok(Tokens { format: Some(said("json".to_owned())), ..of_source(source.to_owned()) }),
        "TokenRedis" => redis(source),
        _ => Err(ClassicError::TokenPlugin(plugin.to_owned())),
    }
}

/// `HOST[:PORT[:DATABASE[:PASSWORD[:NAMESPACE]]]]`. A field may be empty, or in double quotes to hold colons.
fn redis(source: &str) -> Result<Tokens, ClassicError> {
    let fields = fields(source);
    let field = |number: usize| fields.get(number).map(String::as_str).filter(|field| !field.is_empty());
    let number = |number: usize| match field(number) {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Ok(Some(digits)),
        Some(_) => Err(ClassicError::RedisSource),
        None => Ok(None),
    };
    let (Some(host), 1..=5) = (field(0), fields.len()) else { return Err(ClassicError::RedisSource) };
    let host = host.trim_matches(['[', ']']);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let password = field(3).map(|password| format!(":{}@", utf8_percent_encode(password, NON_ALPHANUMERIC)));
    let (port, database) = (number(1)?.unwrap_or("6379"), number(2)?.unwrap_or("0"));
    let url = format!("redis://{}{host}:{port}/{database}", password.unwrap_or_default());
    Ok(Tokens { namespace: field(4).map(|namespace| said(namespace.to_owned())), ..of_source(url) })
}

/// Divided at each colon that is not between quotes; a quote in the middle of a field is a part of it.
fn fields(source: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = source;
    loop {
        let quoted = rest.strip_prefix('"').and_then(|inner| {
            let end = inner.find("\":").or_else(|| inner.ends_with('"').then(|| inner.len() - 1))?;
            Some((&inner[..end], &inner[end + 1..]))
        });
        let (field, behind) = quoted.unwrap_or_else(|| rest.split_at(rest.find(':').unwrap_or(rest.len())));
        fields.push(field.to_owned());
        match behind.strip_prefix(':') {
            Some(next) => rest = next,
            None => return fields,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::target::source::redis::RedisUrl;

    fn read(source: &str) -> Option<(String, Option<String>)> {
        let tokens = redis(source).ok()?;
        let namespace = tokens.namespace.map(toml::Spanned::into_inner);
        Some((tokens.source.unwrap().into_inner(), namespace))
    }

    #[test]
    fn sources_of_redis_are_read_as_the_original_read_them() {
        for (source, url, namespace) in [
            ("h", "redis://h:6379/0", None),
            ("h:6380", "redis://h:6380/0", None),
            ("h:6380:2", "redis://h:6380/2", None),
            ("h:::pw", "redis://:pw@h:6379/0", None),
            ("h::::ns", "redis://h:6379/0", Some("ns")),
            ("h::::\"ns1:ns2\"", "redis://h:6379/0", Some("ns1:ns2")),
            ("\"::1\":6379", "redis://[::1]:6379/0", None),
            ("h:6379:1:\"a:b\":x", "redis://:a%3Ab@h:6379/1", Some("x")),
            ("h:::p\"w:b", "redis://:p%22w@h:6379/0", Some("b")),
        ] {
            assert_eq!(read(source), Some((url.to_owned(), namespace.map(str::to_owned))), "{source}");
        }
        // The original ended with the status 0.
        for source in [":1", "h:x", "h:1:x", "h:1:0:p:n:more", "h:-1"] {
            assert_eq!(read(source), None, "{source}");
        }
    }

    proptest! {
        #[test]
        fn a_password_stays_what_it_is(password in "[^\"\\p{Cc}]{1,20}") {
            let (url, _) = read(&format!("h:::\"{password}\"")).unwrap();
            let found = RedisUrl::parse(&url).unwrap().login.password.unwrap();
            prop_assert_eq!(found.0, password);
        }
    }
}
