//! A JSON Web Token that says who a client is: `Authorization: Bearer`, or a cookie, which is all that a browser's script can
//! send with a WebSocket.
//!
//! Promise: one way to verify such tokens, that of [`crate::target::source::jwt`]; who has issued it and for whom is compared
//! when the route says so, and a token that is for somebody else is never taken. Each has an end, and the session ends then.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderValue, Request};
use serde_json::Value;

use super::attempt::Attempt;
use super::denied::Denied;
use super::{Authorization, Proved};
use crate::tag::Tag;
use crate::target::source::jwt::{Claims, Jwt};
use crate::target::source::{LookupError, SourceError};
use crate::target::token::{Place, Token};
use crate::tls::Pem;

/// What a client is to show (RFC 6750, 3).
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"Websockify\"");

/// Of waiting for the key's file, when its disk hangs.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// What tokens have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What they are verified with.
    pub key: Pem,
    /// Their `iss`; None: anybody who has the key.
    pub issuer: Option<String>,
    /// One of their `aud`; None: they have none.
    pub audience: Option<String>,
    /// Where they stand; the first that is there counts.
    pub from: Vec<Carrier>,
    /// The claim that names the user.
    pub user_claim: String,
}

/// Where in a request a bearer token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A cookie of that name.
    Cookie(String),
    /// `Authorization: Bearer`.
    Header,
}

/// A carrier was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no place of a bearer token: write \"header\" or \"cookie:NAME\"")]
pub struct CarrierError(String);

/// The key, in service.
#[derive(Debug)]
pub(super) struct Bearer {
    jwt: Jwt,
    settings: Settings,
}

impl Bearer {
    /// Reads the key.
    pub(super) fn open(settings: &Settings) -> Result<Self, SourceError> {
        Ok(Self { jwt: Jwt::open(&settings.key.file()?)?, settings: settings.clone() })
    }

    /// Who sent `request`.
    pub(super) async fn prove(&self, request: &Request<()>, attempt: &Attempt<'_>) -> Result<Proved, Denied> {
        let token = self.find(request)?;
        let guess = Tag::of(&[token.as_bytes()]);
        let claims = self.jwt.key(LOOK_TIMEOUT).await.claims(&token);
        claims.and_then(|claims| self.judge(&claims)).map_err(|error| {
            if !matches!(error, LookupError::Expired | LookupError::TooEarly) {
                attempt.failed(guess);
            }
            Denied::Token(error)
        })
    }

    fn find(&self, request: &Request<()>) -> Result<String, Denied> {
        for carrier in &self.settings.from {
            let found = match carrier {
                // Another scheme is for another proof.
                Carrier::Header => match Authorization::of(request.headers(), "bearer") {
                    Authorization::Shown(token) => Some(token.to_owned()),
                    Authorization::Missing | Authorization::Other => None,
                },
                Carrier::Cookie(name) => {
                    let found = Token::of(request, &[Place::Cookie(name.clone())]);
                    found.ok().map(|token| token.as_str().to_owned())
                }
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Err(Denied::Missing)
    }

    fn judge(&self, claims: &Claims) -> Result<Proved, LookupError> {
        let Claims { all, until } = claims;
        let Some(until) = *until else {
            return Err(LookupError::Invalid("it has no 'exp', so that it would never end"));
        };
        if self.settings.issuer.as_ref().is_some_and(|issuer| all["iss"].as_str() != Some(issuer)) {
            return Err(LookupError::Invalid("its 'iss' is not access.jwt.issuer"));
        }
        match (&all["aud"], &self.settings.audience) {
            (Value::Null, None) => {}
            // RFC 7519, 4.1.3: whoever is not named must not take it.
            (_, None) => {
                return Err(LookupError::Invalid("it is for an 'aud', and the route has no access.jwt.audience"));
            }
            (Value::String(one), Some(wanted)) if one == wanted => {}
            (Value::Array(several), Some(wanted)) if several.iter().any(|one| one.as_str() == Some(wanted)) => {}
            _ => return Err(LookupError::Invalid("its 'aud' is not access.jwt.audience")),
        }
        let name = all[self.settings.user_claim.as_str()].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or(LookupError::Invalid("its claim access.jwt.user-claim names nobody"))?;
        Ok(Proved { until: Some(until), ..Proved::user(name.to_owned()) })
    }
}

impl FromStr for Carrier {
    type Err = CarrierError;

    fn from_str(text: &str) -> Result<Self, CarrierError> {
        match (text, text.parse()) {
            ("header", _) => Ok(Self::Header),
            (_, Ok(Place::Cookie(name))) => Ok(Self::Cookie(name)),
            _ => Err(CarrierError(text.to_owned())),
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header => f.write_str("header"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

    fn judged(all: Value, change: impl FnOnce(&mut Settings)) -> Result<(String, SystemTime), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), KEY).unwrap();
        let mut settings = Settings {
            key: Pem::File(file.path().to_owned()),
            issuer: None,
            audience: None,
            from: vec![Carrier::Header],
            user_claim: "sub".to_owned(),
        };
        change(&mut settings);
        let until = all["exp"].as_u64().map(|exp| UNIX_EPOCH + Duration::from_secs(exp));
        match Bearer::open(&settings).unwrap().judge(&Claims { all, until }) {
            Ok(Proved { user: Some(user), until: Some(until), .. }) => Ok((user.name, until)),
            Ok(proved) => panic!("{proved:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_token_has_an_end_and_names_somebody() {
        let end = UNIX_EPOCH + Duration::from_secs(9);
        assert_eq!(judged(json!({ "sub": "jane", "exp": 9 }), |_| {}), Ok(("jane".to_owned(), end)));
        let by_mail = judged(json!({ "sub": "1", "email": "j@x", "exp": 9 }), |it| it.user_claim = "email".to_owned());
        assert_eq!(by_mail, Ok(("j@x".to_owned(), end)));
        for (claims, why) in [
            (json!({ "sub": "jane" }), "it has no 'exp'"),
            (json!({ "exp": 9 }), "names nobody"),
            (json!({ "sub": "", "exp": 9 }), "names nobody"),
            (json!({ "sub": 7, "exp": 9 }), "names nobody"),
        ] {
            let refused = judged(claims, |_| {}).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_token_of_another_issuer_or_for_somebody_else_is_not_taken() {
        let with = |name: &str, value: Value| json!({ "sub": "jane", "exp": 9, name: value });
        let issuer = |it: &mut Settings| it.issuer = Some("https://id".to_owned());
        let audience = |it: &mut Settings| it.audience = Some("vnc".to_owned());
        assert!(judged(with("iss", json!("https://id")), issuer).is_ok());
        assert!(judged(with("iss", json!("https://evil")), issuer).is_err());
        assert!(judged(with("sub", json!("jane")), issuer).is_err());
        assert!(judged(with("iss", json!("https://whoever")), |_| {}).is_ok());
        assert!(judged(with("aud", json!("vnc")), audience).is_ok());
        assert!(judged(with("aud", json!(["mail", "vnc"])), audience).is_ok());
        for aud in [json!("mail"), json!(["mail"]), json!([]), json!({ "vnc": 1 }), json!(null)] {
            assert!(judged(with("aud", aud.clone()), audience).is_err(), "{aud}");
        }
        assert!(judged(with("aud", json!("vnc")), |_| {}).is_err());
    }

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in ["header", "cookie:session"] {
            assert_eq!(text.parse::<Carrier>().unwrap().to_string(), text);
        }
        for text in ["", "query", "query:token", "cookie", "cookie:", "path"] {
            assert_eq!(text.parse::<Carrier>(), Err(CarrierError(text.to_owned())));
        }
    }
}
