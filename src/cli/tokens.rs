//! The token options of a classic command line, as a route's file writes what they say.

use std::path::Path;

use super::addresses::absolute;
use super::classic::{ClassicError, said};
use super::options::Options;
use crate::config::file::{Targets, Tokens};

/// The table `[tokens]`; None: no token option was typed.
pub(super) fn tokens(options: &Options, start_directory: &Path) -> Result<Option<Tokens>, ClassicError> {
    let path = |kind: &str, option, path: &str| {
        Ok::<_, ClassicError>(format!("{kind}:{}", absolute(option, Path::new(path), start_directory)?))
    };
    let source = match (&options.target_config, &options.token_plugin) {
        (None, None) => return Ok(None),
        (Some(file), _) => path("file", "--target-config", file)?,
        (None, Some(plugin)) => {
            let name = plugin.strip_prefix("websockify.token_plugins.").unwrap_or(plugin);
            let kind = match name {
                "TokenFile" | "ReadOnlyTokenFile" => "file",
                "TokenFileName" => "names",
                "UnixDomainSocketDirectory" => "sockets",
                _ => return Err(ClassicError::TokenPlugin(plugin.clone())),
            };
            let source = options.token_source.as_deref().filter(|source| !source.is_empty());
            let source = source.ok_or(ClassicError::Needs { used: "--token-plugin", needed: "--token-source" })?;
            path(kind, "--token-source", source)?
        }
    };
    Ok(Some(Tokens {
        source: Some(said(source)),
        from: options.host_token.then(|| said(vec![said("host".to_owned())])),
        ..Tokens::default()
    }))
}

/// The table `[targets]`.
pub(super) fn targets(options: &Options) -> Option<Targets> {
    let allow: Vec<_> = options.allow_target.iter().cloned().map(said).collect();
    (!allow.is_empty()).then(|| Targets { allow: Some(said(allow)) })
}
