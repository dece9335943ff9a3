//! Which cipher suites are spoken, as OpenSSL's lists say it.
//!
//! Promise: a list means what it means to OpenSSL, as far as the suites go that are spoken here: forward secret, with
//! authenticated encryption. A word that OpenSSL does not know is refused by name; one that it knows, and that leads to no suite of
//! ours, is left out and can be told. Pure.
//!
//! OpenSSL's lists are about TLS up to 1.2; the suites of 1.3 stay as they are unless a list names some of them.

use std::str::FromStr;

use rustls::CipherSuite;

/// The suites of a list, in the order of the server's preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphers {
    suites: Vec<CipherSuite>,
    left_out: Vec<String>,
}

/// A list that no suite comes of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiphersError {
    /// A word that means nothing.
    #[error(
        "'{0}' is not a cipher suite or a word for some: write OpenSSL's names, such as \
         \"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384\" or \"HIGH:!AES128\""
    )]
    Unknown(String),
    /// Nothing is left of it.
    #[error(
        "no cipher suite is left of '{0}': those of TLS 1.2 that are spoken here are {names}",
        names = SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
    )]
    Empty(String),
}

/// What OpenSSL's words say of a suite.
struct Suite {
    id: CipherSuite,
    name: &'static str,
    words: &'static [&'static str],
    strength: u16,
}

/// Those of TLS 1.2 that the provider has, in OpenSSL's default order.
const SUITES: [Suite; 6] = [
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["aECDSA", "ECDSA", "AES", "AES256", "AESGCM", "FIPS", "SUITEB128", "SUITEB192"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        words: &["aRSA", "AES", "AES256", "AESGCM", "FIPS"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: &["aECDSA", "ECDSA", "CHACHA20"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        words: &["aRSA", "CHACHA20"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["aECDSA", "ECDSA", "AES", "AES128", "AESGCM", "FIPS", "SUITEB128", "SUITEB128ONLY"],
        strength: 128,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        words: &["aRSA", "AES", "AES128", "AESGCM", "FIPS"],
        strength: 128,
    },
];

/// Those of TLS 1.3. OpenSSL has no other names for them.
const SUITES_13: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// Words for all six.
const ALL_OF_OURS: &str = "ALL DEFAULT HIGH ECDHE EECDH kECDHE kEECDH ECDH TLSv1.2";

/// OpenSSL's words for suites of which none is ours.
const NONE_OF_OURS: &str = "3DES AECDH ADH ARIA ARIA128 ARIA256 ARIAGCM AESCCM AESCCM8 CAMELLIA CAMELLIA128 CAMELLIA256 CBC \
    COMPLEMENTOFALL COMPLEMENTOFDEFAULT DES DH DHE DSS EDH EXP EXPORT EXPORT40 EXPORT56 GOST89MAC GOST94 IDEA LOW MD5 MEDIUM NULL \
    PSK RC2 RC4 RSA SEED SHA SHA1 SHA256 SHA384 SRP SSLv2 SSLv3 TLSv1 TLSv1.0 aDH aDSS aECDH aGOST aGOST01 aNULL aPSK aSRP eNULL \
    kDH kDHE kDHEPSK kDHd kDHr kECDH kECDHEPSK kECDHe kECDHr kEDH kGOST kPSK kRSA kRSAPSK kSRP";

/// What a suite's name in OpenSSL begins with: key exchange and authentication, where it is not plain RSA.
const EXCHANGES: &str = "ADH AECDH DH-DSS DH-RSA DHE-DSS DHE-PSK DHE-RSA ECDH-ECDSA ECDH-RSA ECDHE ECDHE-ECDSA ECDHE-PSK ECDHE-RSA \
    EDH-DSS EDH-RSA EXP EXP-ADH EXP-EDH-DSS EXP-EDH-RSA PSK RSA-PSK SRP SRP-DSS SRP-RSA";

/// And what it ends with.
const BULKS: &str = "3DES-EDE-CBC-SHA AES-128-CBC-SHA AES-256-CBC-SHA AES128-CBC-SHA AES128-CBC-SHA256 AES128-CCM AES128-CCM8 \
    AES128-GCM-SHA256 AES128-SHA AES128-SHA256 AES256-CBC-SHA AES256-CBC-SHA384 AES256-CCM AES256-CCM8 AES256-GCM-SHA384 AES256-SHA \
    AES256-SHA256 AES256-SHA384 ARIA128-GCM-SHA256 ARIA256-GCM-SHA384 CAMELLIA128-SHA CAMELLIA128-SHA256 CAMELLIA256-SHA \
    CAMELLIA256-SHA256 CAMELLIA256-SHA384 CHACHA20-POLY1305 DES-CBC-SHA DES-CBC3-SHA IDEA-CBC-SHA NULL-MD5 NULL-SHA NULL-SHA256 \
    NULL-SHA384 RC2-CBC-MD5 RC4-MD5 RC4-SHA SEED-SHA";

/// What a word of a list does with the suites that it means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Forbid,
    MoveToEnd,
    Remove,
}

impl Ciphers {
    /// In the order of preference.
    pub fn suites(&self) -> &[CipherSuite] {
        &self.suites
    }

    /// The words that lead to no suite that is spoken here.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

impl FromStr for Ciphers {
    type Err = CiphersError;

    fn from_str(text: &str) -> Result<Self, CiphersError> {
        let mut active: Vec<usize> = Vec::new();
        let mut forbidden = [false; SUITES.len()];
        let mut named_13: Vec<CipherSuite> = Vec::new();
        let mut removed_13: Vec<CipherSuite> = Vec::new();
        let mut left_out = Vec::new();
        for element in text.split([':', ',', ';', ' ']).filter(|element| !element.is_empty()) {
            if element == "@STRENGTH" {
                active.sort_by_key(|index| std::cmp::Reverse(SUITES[*index].strength)); // stable
                continue;
            }
            if let Some(level) = element.strip_prefix("@SECLEVEL=") {
                if level.parse::<u8>().is_err() {
                    return Err(CiphersError::Unknown(element.to_owned()));
                }
                left_out.push(element.to_owned());
                continue;
            }
            let (action, words) = match element.as_bytes()[0] {
                b'!' => (Action::Forbid, &element[1..]),
                b'-' => (Action::Remove, &element[1..]),
                b'+' => (Action::MoveToEnd, &element[1..]),
                _ => (Action::Add, element),
            };
            if let Some(suite) = suite_13(words) {
                let named = if action == Action::Add { &mut named_13 } else { &mut removed_13 };
                if !named.contains(&suite) {
                    named.push(suite);
                }
                continue;
            }
            let meant = meant(words).ok_or_else(|| CiphersError::Unknown(words.to_owned()))?;
            if action == Action::Add && meant.is_empty() {
                left_out.push(words.to_owned());
            }
            match action {
                Action::Add => {
                    let fresh = |index: &usize| !active.contains(index) && !forbidden[*index];
                    let mut fresh: Vec<usize> = meant.into_iter().filter(fresh).collect();
                    active.append(&mut fresh);
                }
                Action::Remove => active.retain(|index| !meant.contains(index)),
                Action::Forbid => {
                    active.retain(|index| !meant.contains(index));
                    for index in meant {
                        forbidden[index] = true;
                    }
                }
                Action::MoveToEnd => {
                    let (mut moved, kept) = active.into_iter().partition(|index| meant.contains(index));
                    active = kept;
                    active.append(&mut moved);
                }
            }
        }
        if active.is_empty() && named_13.is_empty() {
            return Err(CiphersError::Empty(text.to_owned()));
        }
        let mut suites = if named_13.is_empty() { SUITES_13.to_vec() } else { named_13 };
        suites.retain(|suite| !removed_13.contains(suite));
        suites.extend(active.into_iter().map(|index| SUITES[index].id));
        Ok(Self { suites, left_out })
    }
}

/// The suites that several words, with `+` between them, all mean. None: one of them means nothing.
fn meant(words: &str) -> Option<Vec<usize>> {
    let mut meant: Vec<usize> = (0..SUITES.len()).collect();
    for word in words.split('+') {
        let is_known = is_among(word, ALL_OF_OURS)
            || is_among(word, NONE_OF_OURS)
            || SUITES.iter().any(|suite| suite.words.contains(&word))
            || is_suite(word);
        if !is_known {
            return None;
        }
        meant.retain(|index| {
            let suite = &SUITES[*index];
            suite.name == word
                || suite.id.as_str() == Some(word)
                || suite.words.contains(&word)
                || is_among(word, ALL_OF_OURS)
        });
    }
    Some(meant)
}

/// Whether it is one suite's name in OpenSSL, or the official name of one of ours.
fn is_suite(word: &str) -> bool {
    let has_exchange = |exchange: &str| {
        let rest = word.strip_prefix(exchange).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| is_among(rest, BULKS))
    };
    SUITES.iter().any(|suite| suite.id.as_str() == Some(word))
        || is_among(word, BULKS)
        || EXCHANGES.split_ascii_whitespace().any(has_exchange)
}

/// By OpenSSL's name, which is the official one; rustls says TLS13 in place of TLS.
fn suite_13(word: &str) -> Option<CipherSuite> {
    let rest = word.strip_prefix("TLS_")?;
    let named = |suite: &CipherSuite| suite.as_str().and_then(|name| name.strip_prefix("TLS13_")) == Some(rest);
    SUITES_13.into_iter().find(named)
}

fn is_among(word: &str, words: &str) -> bool {
    words.split_ascii_whitespace().any(|one| one == word)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// The names of the suites of TLS 1.2 that come of a list.
    fn names(list: &str) -> Vec<&'static str> {
        let ciphers: Ciphers = list.parse().unwrap();
        let of_12 = ciphers.suites.iter().filter_map(|id| SUITES.iter().find(|suite| suite.id == *id));
        of_12.map(|suite| suite.name).collect()
    }

    fn suites_13(list: &str) -> Vec<CipherSuite> {
        let mut suites = list.parse::<Ciphers>().unwrap().suites;
        suites.retain(|suite| SUITES_13.contains(suite));
        suites
    }

    /// What OpenSSL makes of the list, as far as we speak it.
    fn names_of_openssl(list: &str) -> Vec<String> {
        let output = Command::new("openssl").args(["ciphers", "-s", "-tls1_2", list]).output().unwrap();
        assert!(output.status.success(), "{list}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let ours = |name: &&str| SUITES.iter().any(|suite| suite.name == *name);
        text.trim().split(':').filter(ours).map(str::to_owned).collect()
    }

    #[test]
    fn a_list_means_what_it_means_to_openssl() {
        for list in [
            "DEFAULT",
            "ALL",
            "HIGH:!aNULL:!MD5",
            "HIGH !aNULL,!RC4",
            "ECDHE+AESGCM:ECDHE+CHACHA20",
            "ECDHE+CHACHA20:ECDHE+AESGCM",
            "EECDH+AESGCM:EDH+AESGCM",
            "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:AES256-SHA:DHE-RSA-AES256-GCM-SHA384",
            "AESGCM:-AES128:AES128",
            "AESGCM:!AES128:AES128",
            "AES128:AES256:@STRENGTH",
            "ALL:+AES256:!kRSA",
            "ALL:+CHACHA20:-aRSA",
            "aECDSA:aRSA",
            "AES+aRSA:CHACHA20",
            "kECDHE+AES128",
            "ALL:!SHA256:!SHA384",
            "TLSv1.2+AES256",
            "ALL:!COMPLEMENTOFDEFAULT:!eNULL",
            // Mozilla's "intermediate" of 2024.
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
             ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
             DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305",
        ] {
            assert_eq!(names(list), names_of_openssl(list), "{list}");
        }
    }

    #[test]
    fn every_suite_and_word_of_openssl_is_known() {
        let output = Command::new("openssl").args(["ciphers", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let suites: Vec<&str> = text.trim().split(':').collect();
        assert!(suites.len() > 100, "{text}");
        for name in suites {
            assert!(suite_13(name).is_some() || is_suite(name), "{name}");
        }
        for word in ["EXP-RC4-MD5", "DES-CBC3-SHA", "EDH-RSA-DES-CBC3-SHA"] {
            assert!(is_suite(word), "{word}");
        }
    }

    #[test]
    fn what_openssl_does_not_know_is_refused_by_its_name() {
        for (list, unknown) in [
            ("HIHG", "HIHG"),
            ("HIGH:!aNUL", "aNUL"),
            ("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES512-GCM-SHA256", "ECDHE-RSA-AES512-GCM-SHA256"),
            ("ECDHE+AESGMC", "ECDHE+AESGMC"),
            ("@SECLEVEL=x", "@SECLEVEL=x"),
            ("high", "high"),
            ("!", ""),
        ] {
            assert_eq!(list.parse::<Ciphers>(), Err(CiphersError::Unknown(unknown.to_owned())), "{list}");
        }
    }

    #[test]
    fn what_is_known_and_not_spoken_here_is_left_out_and_told() {
        let ciphers: Ciphers = "AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256:DHE:!aNULL:@SECLEVEL=2".parse().unwrap();
        assert_eq!(ciphers.left_out(), ["AES256-SHA", "DHE", "@SECLEVEL=2"]);
        for list in ["", "AES256-SHA", "ALL:!ECDHE", "!HIGH"] {
            let error = list.parse::<Ciphers>().unwrap_err();
            assert_eq!(error, CiphersError::Empty(list.to_owned()));
            assert!(error.to_string().ends_with(", ECDHE-RSA-AES128-GCM-SHA256"), "{error}");
        }
    }

    #[test]
    fn suites_of_tls_1_3_stay_unless_some_are_named() {
        assert_eq!(suites_13("ECDHE+AES128"), SUITES_13);
        assert_eq!(suites_13("HIGH:TLS_AES_128_GCM_SHA256"), [CipherSuite::TLS13_AES_128_GCM_SHA256]);
        assert_eq!(suites_13("HIGH:!TLS_CHACHA20_POLY1305_SHA256"), SUITES_13[..2]);
        assert!(names("TLS_AES_128_GCM_SHA256").is_empty());
        assert_eq!(names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    }

    proptest! {
        #[test]
        fn any_list_is_read_or_refused(list in "[A-Za-z0-9:+!@=_,.-]{0,40}") {
            if let Ok(ciphers) = list.parse::<Ciphers>() {
                prop_assert!(!ciphers.suites.is_empty() || list.contains("TLS_"));
            }
        }
    }
}
