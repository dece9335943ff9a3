//! What a source says of one token, as text or as JSON: a target.
//!
//! Pure, and fed by strangers. The errors quote targets, never tokens.

use serde_json::Value;

use crate::target::{Target, TargetError};

/// An answer that is no target.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not JSON, where JSON was expected.
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    /// A key is missing, or is no string and no number.
    #[error("its '{0}' is missing, or neither text nor a number")]
    Key(&'static str),
    /// It names no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It is not text.
    #[error("it is not UTF-8")]
    NotUtf8,
}

/// `host:port`, `unix_socket:/path`, with blanks around it.
pub fn text(bytes: &[u8]) -> Result<Target, AnswerError> {
    let text = std::str::from_utf8(bytes).map_err(|_| AnswerError::NotUtf8)?;
    Ok(Target::foreign(text)?)
}

/// `{"host": "10.0.0.5", "port": 5901}`; the port may be text, and all may be in `host`.
pub fn json(bytes: &[u8]) -> Result<Target, AnswerError> {
    object(&serde_json::from_slice(bytes).map_err(AnswerError::Json)?)
}

/// The same, of JSON that has been read.
pub fn object(object: &Value) -> Result<Target, AnswerError> {
    let Some(Value::String(host)) = object.get("host") else { return Err(AnswerError::Key("host")) };
    let port = match object.get("port") {
        Some(Value::String(port)) => port.clone(),
        Some(Value::Number(port)) => port.to_string(),
        None if host.contains(':') => return Ok(Target::foreign(host)?),
        _ => return Err(AnswerError::Key("port")),
    };
    let host = host.trim();
    // The path of a Unix socket stands where the port would.
    if host.contains(':') && host != "unix_socket" {
        return Ok(Target::foreign(&format!("[{}]:{port}", host.trim_matches(['[', ']'])))?);
    }
    Ok(Target::foreign(&format!("{host}:{port}"))?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_a_target_with_blanks_around_it() {
        // The original kept the line break, and could not connect.
        assert_eq!(text(b"10.0.0.5:5901\n").unwrap().to_string(), "10.0.0.5:5901");
        assert_eq!(text(b" [2001:db8::1]:5901").unwrap().to_string(), "[2001:db8::1]:5901");
        assert_eq!(text(b"unix_socket:/run/vm.vnc").unwrap().to_string(), "unix:/run/vm.vnc");
        for wrong in [&b""[..], b"host", b"host:vnc", b"<html>", b"\xff:1", b"unix_socket:vm.vnc"] {
            assert!(text(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn json_has_a_host_and_a_port() {
        for (said, target) in [
            (r#"{"host": "10.0.0.5", "port": 5901}"#, "10.0.0.5:5901"),
            (r#"{"port": "5901", "host": "vm.example.com", "more": []}"#, "vm.example.com:5901"),
            (r#"{"host": "2001:db8::1", "port": 5901}"#, "[2001:db8::1]:5901"),
            (r#"{"host": "[2001:db8::1]", "port": 5901}"#, "[2001:db8::1]:5901"),
            (r#"{"host": "10.0.0.5:5901"}"#, "10.0.0.5:5901"),
            (r#"{"host": "unix_socket", "port": "/run/vm.vnc"}"#, "unix:/run/vm.vnc"),
        ] {
            assert_eq!(json(said.as_bytes()).unwrap().to_string(), target, "{said}");
        }
        for wrong in [
            "",
            "10.0.0.5:5901",
            "[]",
            "{}",
            r#"{"host": "a"}"#,
            r#"{"port": 1}"#,
            r#"{"host": 1, "port": 1}"#,
            r#"{"host": "a", "port": 70000}"#,
            r#"{"host": "a", "port": 5901.5}"#,
            r#"{"host": "a", "port": null}"#,
            r#"{"host": "a b", "port": 1}"#,
            r#"{"host": "unix_socket", "port": "vm.vnc"}"#,
        ] {
            assert!(json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// The host is what is connected to, whatever it is made of: no part of it becomes a port, and none a path.
        #[test]
        fn a_host_stays_a_host(host in "[a-z0-9.:_\\[\\]/-]{1,20}", port in 1_u16..) {
            prop_assume!(host != "unix_socket");
            let said = serde_json::json!({ "host": host, "port": port });
            if let Ok(target) = object(&said) {
                let is_same = matches!(target, Target::Tcp { port: found, .. } if found == port);
                prop_assert!(is_same || host == "unix", "{} became {}", said, target);
            }
        }
    }
}
