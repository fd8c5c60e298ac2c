//! PEM text to DER: the chain and the key of one certificate, with a sentence for each way the text can be wrong.
//! It does not look inside the DER; an entry does.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why PEM text gives no chain or no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The text is empty or only white space.
    #[error("the {0} is empty; write the PEM text into it")]
    Empty(Part),
    /// The text has no section of the wanted kind.
    #[error("there is no PEM section for a {0}; {hint}", hint = .0.hint())]
    Missing(Part),
    /// A section is cut off, or its Base64 is broken.
    #[error("the PEM text of the {part} is damaged: {why}")]
    Damaged {
        /// Chain or key.
        part: Part,
        /// What the PEM reader says.
        why: String,
    },
    /// The key is protected by a passphrase, which nobody could type in when a server starts.
    #[error("the private key is encrypted with a passphrase; write it without one (openssl pkey -in KEY -out PLAIN)")]
    EncryptedKey,
    /// More than one key: which one belongs to the certificate would be a guess.
    #[error("there are {0} private keys in the text; keep the one of this certificate")]
    ManyKeys(usize),
}

/// The half of a certificate that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate and its intermediates.
    Chain,
    /// The private key of the first certificate.
    Key,
}

impl Part {
    fn hint(self) -> &'static str {
        match self {
            Self::Chain => "it should begin with -----BEGIN CERTIFICATE-----",
            Self::Key => "it should begin with -----BEGIN PRIVATE KEY-----",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Chain => "certificate",
            Self::Key => "private key",
        })
    }
}

/// Every certificate of the text, in its order: the leaf first, then the intermediates. Never empty.
///
/// # Errors
/// [`PemError`] says what is wrong with the text.
pub fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    refuse_empty(text, Part::Chain)?;
    let chain = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(Part::Chain, &error))?;
    if chain.is_empty() {
        return Err(PemError::Missing(Part::Chain));
    }
    Ok(chain)
}

/// The one private key of the text: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// [`PemError`] says what is wrong with the text.
pub fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    refuse_empty(text, Part::Key)?;
    if is_encrypted(text) {
        return Err(PemError::EncryptedKey);
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(Part::Key, &error))?;
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => Ok(key),
        (0, _) | (_, None) => Err(PemError::Missing(Part::Key)),
        (many, Some(_)) => Err(PemError::ManyKeys(many)),
    }
}

fn refuse_empty(text: &[u8], part: Part) -> Result<(), PemError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(PemError::Empty(part));
    }
    Ok(())
}

fn damaged(part: Part, error: &rustls::pki_types::pem::Error) -> PemError {
    PemError::Damaged { part, why: error.to_string() }
}

/// PKCS#8 says so in the section's name, the old formats in a header (RFC 1421, 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let has = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn an_empty_text_and_a_text_of_another_kind_are_told_apart() {
        assert_eq!(chain(b" \n"), Err(PemError::Empty(Part::Chain)));
        assert_eq!(chain(b"hello"), Err(PemError::Missing(Part::Chain)));
        assert_eq!(key(b"").err(), Some(PemError::Empty(Part::Key)));
        let pair = testing::pair(&["a.test"]);
        assert_eq!(key(pair.chain.as_bytes()).err(), Some(PemError::Missing(Part::Key)));
    }

    #[test]
    fn an_encrypted_key_is_named_as_such_in_both_old_and_new_form() {
        let new = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old = b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(key(new).err(), Some(PemError::EncryptedKey));
        assert_eq!(key(old).err(), Some(PemError::EncryptedKey));
    }

    #[test]
    fn two_keys_are_refused_rather_than_guessed() {
        let pair = testing::pair(&["a.test"]);
        let two = format!("{}{}", pair.key, pair.key);
        assert_eq!(key(two.as_bytes()).err(), Some(PemError::ManyKeys(2)));
    }

    #[test]
    fn no_prefix_of_a_chain_or_a_key_panics_or_gives_a_cut_section() {
        let pair = testing::pair(&["a.test"]);
        let whole = chain(pair.chain.as_bytes()).unwrap();
        for cut in 0..pair.chain.len() {
            if let Ok(got) = chain(&pair.chain.as_bytes()[..cut]) {
                assert_eq!(got[..], whole[..got.len()]);
            }
        }
        for cut in 0..pair.key.trim_end().len() - 1 {
            assert!(key(&pair.key.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }
}
