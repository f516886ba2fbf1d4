//! Human passwords: Argon2id (RFC 9106), m = 19 MiB, t = 2, p = 1, parameters stored with the hash.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use unicode_normalization::UnicodeNormalization;

use super::aead::Key;
use super::random;
use crate::secret::Secret;

/// The PHC string of a password, for the users file.
pub fn hash(password: &Secret<String>) -> String {
    let salt: [u8; 16] = random::array();
    let hashed: Result<PasswordHash, _> = hasher(Cost::STANDARD).hash_password_with_salt(normal(password).expose().as_bytes(), &salt);
    match hashed {
        Ok(phc) => phc.to_string(),
        // Refused are only a password of 4 GiB and parameters out of range, which these are not.
        Err(_) => std::process::abort(),
    }
}

/// Whether the password belongs to the PHC string. With `None` (no such user) it costs the same time and says no.
pub fn verify(password: &Secret<String>, phc: Option<&str>) -> bool {
    let parsed = phc.and_then(|text| PasswordHash::new(text).ok()).filter(is_bearable);
    let Some(stored) = parsed else {
        // A stranger must not learn by the time it takes which users exist.
        stretch(password, &[0; 16], Cost::STANDARD);
        return false;
    };
    hasher(Cost::STANDARD).verify_password(normal(password).expose().as_bytes(), &stored).is_ok()
}

/// How slow a hash is; stored beside what it protects, so that it can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// What new hashes take: 19 MiB, two passes, one lane.
    pub const STANDARD: Self = Self { memory: 19 * 1024, passes: 2, lanes: 1 };
}

/// Key material from a password that was told: Argon2id over its NFKC form.
pub fn stretch(password: &Secret<String>, salt: &[u8; 16], cost: Cost) -> Key {
    let mut key = [0; 32];
    if hasher(cost).hash_password_into(normal(password).expose().as_bytes(), salt, &mut key).is_err() {
        std::process::abort();
    }
    Secret::new(key)
}

fn hasher(cost: Cost) -> Argon2<'static> {
    // A cost out of range cannot have made a hash; the standard one then makes a key that opens nothing.
    let parameters = Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
}

/// NFKC: the same word typed on two keyboards is the same password.
fn normal(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfkc().collect())
}

/// A hash in a file must not be able to take all memory.
fn is_bearable(phc: &PasswordHash) -> bool {
    Params::try_from(phc).is_ok_and(|parameters| parameters.m_cost() <= MEMORY_MAX && parameters.t_cost() <= PASSES_MAX)
}

/// 256 MiB, in KiB.
const MEMORY_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER as HEX;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn argon2id_gives_the_answer_of_rfc_9106() {
        // Section 5.3.
        let parameters = argon2::ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(argon2::AssociatedData::new(&[4; 12]).unwrap())
            .output_len(32)
            .build()
            .unwrap();
        let hasher = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, parameters).unwrap();
        let mut tag = [0; 32];
        hasher.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
        assert_eq!(HEX.encode(&tag), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }

    #[test]
    fn a_password_fits_its_hash_and_no_other() {
        let phc = hash(&secret("correct horse"));
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(&secret("correct horse"), Some(&phc)));
        assert!(!verify(&secret("correct horsE"), Some(&phc)));
        assert!(!verify(&secret("correct horse"), None));
        assert!(!verify(&secret("correct horse"), Some("nonsense")));
    }

    #[test]
    fn a_hash_that_would_take_all_memory_is_no_hash() {
        let phc = hash(&secret("x")).replace("m=19456", "m=4194304");
        assert!(!verify(&secret("x"), Some(&phc)));
    }

    #[test]
    fn two_keyboards_write_one_password() {
        // "é" composed and decomposed.
        assert!(verify(&secret("caf\u{e9}"), Some(&hash(&secret("cafe\u{301}")))));
        let salt = [5; 16];
        assert_eq!(stretch(&secret("\u{fb01}n"), &salt, Cost::STANDARD).expose(), stretch(&secret("fin"), &salt, Cost::STANDARD).expose());
    }
}
