//! Private keys out of PEM texts, the encrypted ones too.
//!
//! Promise: every form that OpenSSL has written in this century is read: PKCS#8 and the older forms of RSA and of elliptic curves,
//! each plain or encrypted with a passphrase. Which algorithm a key is of, the TLS library judges. Each error names the file and
//! the cure. Pure.

use std::fmt;
use std::path::Path;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipher, BlockDecryptMut, KeyInit, KeyIvInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfo;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use super::TlsError;

/// What opens an encrypted key.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Vec<u8>);

/// An encrypted block of a PEM text.
enum Locked {
    /// `ENCRYPTED PRIVATE KEY`.
    Pkcs8(Vec<u8>),
    /// `RSA PRIVATE KEY` or `EC PRIVATE KEY` with headers.
    Classic { kind: ClassicKind, dek: Option<Dek>, body: Vec<u8> },
    /// With a damaged body.
    Damaged,
}

#[derive(Clone, Copy)]
enum ClassicKind {
    Ec,
    Rsa,
}

/// How a classic block is encrypted: its header `DEK-Info`.
struct Dek {
    cipher: DekCipher,
    iv: Vec<u8>,
}

#[derive(Clone, Copy)]
enum DekCipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
}

impl Passphrase {
    /// From a file's content: without the line's end, which an editor leaves.
    pub fn from_file(mut content: Vec<u8>) -> Self {
        while content.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            content.pop();
        }
        Self(content)
    }
}

impl From<&str> for Passphrase {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

/// It is a secret.
impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// The key in `text`, the content of `path`. A passphrase that an unencrypted key does not need is not used.
pub(super) fn private_key(
    path: &Path,
    text: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    if let Some(locked) = Locked::find(text) {
        let Some(passphrase) = passphrase else { return Err(TlsError::EncryptedKey { path: path.to_owned() }) };
        return locked.open(path, passphrase);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        source => TlsError::Pem { path: path.to_owned(), source },
    })
}

impl Locked {
    /// The first encrypted block, if no plain key comes before it.
    fn find(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        while let Some(line) = lines.next() {
            let kind = match line {
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----" => None,
                b"-----BEGIN RSA PRIVATE KEY-----" => Some(ClassicKind::Rsa),
                b"-----BEGIN EC PRIVATE KEY-----" => Some(ClassicKind::Ec),
                b"-----BEGIN PRIVATE KEY-----" => return None,
                _ => continue,
            };
            let (mut encrypted, mut dek, mut body) = (kind.is_none(), None, Vec::new());
            for line in lines.by_ref().take_while(|line| !line.starts_with(b"-----END ")) {
                if line.starts_with(b"Proc-Type: 4,ENCRYPTED") {
                    encrypted = true;
                } else if let Some(info) = line.strip_prefix(b"DEK-Info: ") {
                    dek = Dek::parse(info);
                } else if !line.contains(&b':') {
                    body.extend_from_slice(line);
                }
            }
            if !encrypted {
                return None;
            }
            return Some(match (kind, STANDARD.decode(body)) {
                (_, Err(_)) => Self::Damaged,
                (None, Ok(body)) => Self::Pkcs8(body),
                (Some(kind), Ok(body)) => Self::Classic { kind, dek, body },
            });
        }
        None
    }

    fn open(self, path: &Path, passphrase: &Passphrase) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = || path.to_owned();
        match self {
            Self::Damaged => Err(TlsError::DamagedKey { path: path() }),
            Self::Pkcs8(der) => {
                let info = EncryptedPrivateKeyInfo::try_from(der.as_slice());
                let info = info.map_err(|_| TlsError::KeyEncryption { path: path() })?;
                match info.decrypt(&passphrase.0) {
                    Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
                    Err(pkcs8::Error::EncryptedPrivateKey(
                        pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs8::pkcs5::Error::NoPbes1CryptSupport,
                    )) => Err(TlsError::KeyEncryption { path: path() }),
                    Err(_) => Err(TlsError::WrongPassphrase { path: path() }),
                }
            }
            Self::Classic { dek: None, .. } => Err(TlsError::KeyEncryption { path: path() }),
            Self::Classic { kind, dek: Some(dek), body } => {
                let der = dek.decrypt(passphrase, body);
                // A wrong passphrase leaves a right padding once in 256 times, and then noise.
                let der =
                    der.filter(|der| is_sequence(der)).ok_or_else(|| TlsError::WrongPassphrase { path: path() })?;
                Ok(match kind {
                    ClassicKind::Rsa => PrivatePkcs1KeyDer::from(der).into(),
                    ClassicKind::Ec => PrivateSec1KeyDer::from(der).into(),
                })
            }
        }
    }
}

impl Dek {
    /// `AES-128-CBC,0123...`: a cipher and its initialization vector.
    fn parse(info: &[u8]) -> Option<Self> {
        let (cipher, iv) = std::str::from_utf8(info).ok()?.trim().split_once(',')?;
        let (cipher, iv_bytes) = match cipher {
            "AES-128-CBC" => (DekCipher::Aes128, 16),
            "AES-192-CBC" => (DekCipher::Aes192, 16),
            "AES-256-CBC" => (DekCipher::Aes256, 16),
            "DES-EDE3-CBC" => (DekCipher::TripleDes, 8),
            _ => return None,
        };
        let digits = (0..iv.len()).step_by(2).map(|index| u8::from_str_radix(iv.get(index..index + 2)?, 16).ok());
        let iv: Vec<u8> = digits.collect::<Option<_>>()?;
        (iv.len() == iv_bytes).then_some(Self { cipher, iv })
    }

    /// None: the passphrase is another.
    fn decrypt(&self, passphrase: &Passphrase, body: Vec<u8>) -> Option<Vec<u8>> {
        match self.cipher {
            DekCipher::Aes128 => decrypt::<aes::Aes128>(&self.key(passphrase, 16), &self.iv, body),
            DekCipher::Aes192 => decrypt::<aes::Aes192>(&self.key(passphrase, 24), &self.iv, body),
            DekCipher::Aes256 => decrypt::<aes::Aes256>(&self.key(passphrase, 32), &self.iv, body),
            DekCipher::TripleDes => decrypt::<des::TdesEde3>(&self.key(passphrase, 24), &self.iv, body),
        }
    }

    /// OpenSSL's `EVP_BytesToKey` with MD5, once, and the first half of the vector as the salt.
    fn key(&self, passphrase: &Passphrase, length: usize) -> Vec<u8> {
        let mut key: Vec<u8> = Vec::new();
        let mut block = Vec::new();
        while key.len() < length {
            let digest = Md5::new().chain_update(&block).chain_update(&passphrase.0).chain_update(&self.iv[..8]);
            block = digest.finalize().to_vec();
            key.extend_from_slice(&block);
        }
        key.truncate(length);
        key
    }
}

fn decrypt<C: BlockCipher + BlockDecryptMut + KeyInit>(key: &[u8], iv: &[u8], mut body: Vec<u8>) -> Option<Vec<u8>> {
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?;
    let length = cipher.decrypt_padded_mut::<Pkcs7>(&mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}

/// Whether it is one whole SEQUENCE of DER, as every key is.
fn is_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else { return false };
    match rest {
        [length, content @ ..] if *length < 0x80 => content.len() == usize::from(*length),
        [0x81, length, content @ ..] => content.len() == usize::from(*length),
        [0x82, high, low, content @ ..] => content.len() == usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::super::provider;
    use super::super::testing::openssl;
    use super::*;

    /// Whether the key in `text` is read and usable.
    fn read(text: &str, passphrase: Option<&str>) -> Result<(), TlsError> {
        let key = private_key(Path::new("k.pem"), text.as_bytes(), passphrase.map(Passphrase::from).as_ref())?;
        let usable = provider().key_provider.load_private_key(key).map(drop);
        usable.map_err(|source| TlsError::UnusableKey { path: PathBuf::from("k.pem"), source })
    }

    fn message(result: Result<(), TlsError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn every_form_of_key_that_openssl_writes_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let content = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        for (kind, old_form, label) in [
            ("RSA -pkeyopt rsa_keygen_bits:2048", Some("rsa -traditional"), "RSA PRIVATE KEY"),
            ("EC -pkeyopt ec_paramgen_curve:prime256v1", Some("ec"), "EC PRIVATE KEY"),
            ("ED25519", None, ""),
        ] {
            openssl(path, &format!("genpkey -algorithm {kind} -out key"));
            assert!(content("key").contains("BEGIN PRIVATE KEY"));
            read(&content("key"), None).unwrap();
            read(&content("key"), Some("not needed")).unwrap();
            let mut locked = Vec::new();
            for encryption in ["-v2 aes256", "-v2 aes128 -v2prf hmacWithSHA1", "-v2 des3", "-scrypt -scrypt_N 1024"] {
                locked.push(format!("pkcs8 -topk8 -in key {encryption}"));
            }
            if let Some(old_form) = old_form {
                openssl(path, &format!("{old_form} -in key -out old"));
                assert!(content("old").contains(label), "{}", content("old"));
                read(&content("old"), None).unwrap();
                for cipher in ["-aes128", "-aes192", "-aes256", "-des3"] {
                    locked.push(format!("{old_form} -in key {cipher}"));
                }
            }
            for command in locked {
                openssl(path, &format!("{command} -passout pass:s3cret -out locked"));
                let text = content("locked");
                assert!(text.contains("ENCRYPTED"), "{text}");
                read(&text, Some("s3cret")).unwrap_or_else(|error| panic!("{command}: {error}"));
                assert_eq!(
                    message(read(&text, Some("secret"))),
                    "the passphrase does not open the private key in k.pem: correct tls.key-password (--key-password)",
                    "{command}"
                );
                assert_eq!(
                    message(read(&text, None)),
                    "the private key in k.pem is encrypted: name a file with its passphrase as tls.key-password \
                     (--key-password), or write the key unencrypted with `openssl pkey -in k.pem`"
                );
            }
        }
    }

    #[test]
    fn what_is_encrypted_otherwise_is_told_with_the_cure() {
        let directory = tempfile::tempdir().unwrap();
        openssl(directory.path(), "genpkey -algorithm ED25519 -out key");
        openssl(directory.path(), "pkcs8 -topk8 -in key -v1 PBE-SHA1-3DES -passout pass:s3cret -out locked");
        let text = fs::read_to_string(directory.path().join("locked")).unwrap();
        assert_eq!(
            message(read(&text, Some("s3cret"))),
            "the private key in k.pem is encrypted in an old way that is not read here: \
             `openssl pkcs8 -topk8 -v2 aes256 -in k.pem` writes it in today's"
        );
        let classic =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: IDEA-CBC,00\n\nAAAA\n-----END RSA";
        assert!(message(read(classic, Some("s3cret"))).contains("in an old way"));
        let damaged = classic.replace("AAAA", "A!");
        assert!(message(read(&damaged, Some("s3cret"))).contains("is damaged"));
    }

    #[test]
    fn the_first_key_of_a_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        openssl(directory.path(), "genpkey -algorithm ED25519 -out key");
        openssl(directory.path(), "pkcs8 -topk8 -in key -passout pass:s3cret -out locked");
        let content = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        read(&format!("{}{}", content("key"), content("locked")), None).unwrap();
        read(&format!("{}{}", content("locked"), content("key")), Some("s3cret")).unwrap();
    }

    #[test]
    fn a_passphrase_is_never_shown() {
        assert_eq!(format!("{:?}", Passphrase::from("s3cret")), "Passphrase(..)");
        assert!(Passphrase::from_file(b"s3cret \r\n".to_vec()) == Passphrase::from("s3cret "));
    }

    proptest! {
        #[test]
        fn no_key_file_panics(pieces in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec![
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "-----END ENCRYPTED PRIVATE KEY-----\n",
                "-----BEGIN RSA PRIVATE KEY-----\n", "-----END RSA PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\n",
                "Proc-Type: 4,ENCRYPTED\n", "DEK-Info: ", "AES-128-CBC,", "DES-EDE3-CBC,0011223344556677\n",
                "000102030405060708090A0B0C0D0E0F\n", "MIIB", "AAAAAAAAAAAAAAAAAAAAAA==\n", "=\n", "\r\n",
            ]).prop_map(|text| text.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..40),
        ], 0..12)) {
            let passphrase = Passphrase::from("s3cret");
            let _ = private_key(Path::new("k.pem"), &pieces.concat(), Some(&passphrase));
        }
    }
}
