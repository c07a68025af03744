//! JSON Web Tokens with RS256 (RFC 7515, 7517, 7519), as the emulated services sign and check them.
//!
//! **The private keys beside this file are published in a repository: they protect nothing and must never be trusted
//! by anything but these emulators.** They are fixed because making an RSA key takes seconds in a debug build.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::sync::Arc;

/// The cluster's first signing key.
pub const INSECURE_CLUSTER_KEY_1: &str = include_str!("insecure-test-key-cluster-1.pem");
/// The key that the cluster rotates to.
pub const INSECURE_CLUSTER_KEY_2: &str = include_str!("insecure-test-key-cluster-2.pem");
/// A key that no emulator publishes, for forged tokens.
pub const INSECURE_STRANGER_KEY: &str = include_str!("insecure-test-key-stranger.pem");
/// Entra's signing key.
pub const INSECURE_ENTRA_KEY: &str = include_str!("insecure-test-key-entra.pem");

/// A private key that signs tokens.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<RsaKeyPair>,
    id: String,
}

/// A public key that checks them: big-endian modulus and exponent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Modulus.
    pub n: Vec<u8>,
    /// Exponent.
    pub e: Vec<u8>,
}

/// A token taken apart. Nothing about it is checked yet.
#[derive(Clone, Debug)]
pub struct Token {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl SigningKey {
    /// Reads a PKCS #8 key in PEM.
    ///
    /// # Panics
    /// When it is none; only fixed test keys come here.
    pub fn from_pem(pem: &str) -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("a test key is PEM");
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a test key is an RSA key");
        let modulus = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public()).n;
        let digest = ring::digest::digest(&ring::digest::SHA256, &modulus);
        Self {
            pair: Arc::new(pair),
            id: BASE64_URL_SAFE_NO_PAD.encode(digest),
        }
    }

    /// The key's id, as in `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair.public());
        PublicKey { n, e }
    }

    /// The public half as a member of a key set (RFC 7517).
    pub fn jwk(&self) -> Value {
        let PublicKey { n, e } = self.public();
        json!({
            "use": "sig", "kty": "RSA", "kid": self.id, "alg": "RS256",
            "n": BASE64_URL_SAFE_NO_PAD.encode(n), "e": BASE64_URL_SAFE_NO_PAD.encode(e),
        })
    }

    /// A signed token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(&json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" }), claims)
    }

    /// A signed token with this header, which may lie.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .expect("an RSA key signs");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

impl PublicKey {
    /// Reads a member of a key set; `None` where it is no RSA key.
    pub fn from_jwk(jwk: &Value) -> Option<Self> {
        let member = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
        (jwk.get("kty")?.as_str()? == "RSA").then_some(())?;
        Some(Self {
            n: member("n")?,
            e: member("e")?,
        })
    }
}

impl Token {
    /// Takes a token apart; `None` where it is no signed JWT.
    pub fn parse(token: &str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| -> Option<Value> {
            let value: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
            value.is_object().then_some(value)
        };
        Some(Self {
            header: decode(header)?,
            claims: decode(claims)?,
            signed: signed.to_owned(),
            signature: BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// A claim that is text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a number, such as `exp`.
    pub fn number(&self, claim: &str) -> Option<i64> {
        self.claims.get(claim)?.as_i64()
    }

    /// Whether the token is for this audience (`aud` may be one or several).
    pub fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            Some(one) => one == audience,
            None => false,
        }
    }

    /// The key id in the header.
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// Whether this key made the signature, with RS256.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.header.get("alg").is_some_and(|alg| alg == "RS256")
            && RsaPublicKeyComponents { n: &key.n, e: &key.e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_signed_verifies() {
        let key = SigningKey::from_pem(INSECURE_ENTRA_KEY);
        let token = Token::parse(&key.sign(&json!({ "aud": ["a", "b"], "exp": 7 }))).unwrap();
        assert!(token.is_signed_by(&PublicKey::from_jwk(&key.jwk()).unwrap()));
        assert!(!token.is_signed_by(&SigningKey::from_pem(INSECURE_STRANGER_KEY).public()));
        assert!(token.is_for("b") && !token.is_for("c"));
        assert_eq!(token.number("exp"), Some(7));
    }
}
