//! The agent's RSA key: `.credentials_rsaparams`, and the signature under its client assertion.
//!
//! Keys come from a fixed pool of test keys (`tests/agent/keys/rsa.json`): making one takes seconds in a debug build. They
//! protect nothing.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::{Deserialize, Serialize};
use serde_json::json;

const POOL: &str = include_str!("../keys/rsa.json");

/// Members exactly as the agent writes them (`IRSAKeyManager.cs`); values are padded base64 of big-endian numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyParameters {
    d: String,
    dp: String,
    dq: String,
    pub(crate) exponent: String,
    #[serde(rename = "inverseQ")]
    inverse_q: String,
    pub(crate) modulus: String,
    p: String,
    q: String,
}

impl KeyParameters {
    /// One key of the pool, by chance.
    pub(crate) fn from_the_pool() -> Self {
        let mut pool: Vec<Self> = serde_json::from_str(POOL).expect("the pool of test keys is a list of keys");
        let chance = crate::uuid().bytes().map(usize::from).sum::<usize>();
        pool.swap_remove(chance % pool.len())
    }

    /// The client assertion that the agent trades for its own token (`VssOAuthJwtBearerAssertion.cs`): valid for 5 minutes.
    pub(crate) fn client_assertion(&self, client_id: &str, audience: &str, now: i64) -> anyhow::Result<String> {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(json!({ "alg": "RS256", "typ": "JWT" })),
            part(json!({
                "sub": client_id,
                "jti": crate::uuid(),
                "iss": client_id,
                "aud": audience,
                "nbf": now,
                "exp": now + 300,
            }))
        );
        let pair = self.pair()?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .map_err(|_| anyhow::anyhow!("the agent's key does not sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn pair(&self) -> anyhow::Result<RsaKeyPair> {
        let number = |name: &str, text: &str| {
            STANDARD
                .decode(text)
                .with_context(|| format!("member {name} of the key"))
        };
        let components = ring::rsa::KeyPairComponents {
            public_key: ring::rsa::PublicKeyComponents {
                n: number("modulus", &self.modulus)?,
                e: number("exponent", &self.exponent)?,
            },
            d: number("d", &self.d)?,
            p: number("p", &self.p)?,
            q: number("q", &self.q)?,
            dP: number("dp", &self.dp)?,
            dQ: number("dq", &self.dq)?,
            qInv: number("inverseQ", &self.inverse_q)?,
        };
        RsaKeyPair::from_components(&components).map_err(|error| anyhow::anyhow!("the agent's key is damaged: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    #[test]
    fn every_key_of_the_pool_signs_what_its_public_half_verifies() {
        let pool: Vec<KeyParameters> = serde_json::from_str(POOL).unwrap();
        assert!(pool.len() > 3);
        for key in pool {
            let assertion = key.client_assertion("id", "https://a/token", 1000).unwrap();
            let (signed, signature) = assertion.rsplit_once('.').unwrap();
            RsaPublicKeyComponents {
                n: STANDARD.decode(&key.modulus).unwrap(),
                e: STANDARD.decode(&key.exponent).unwrap(),
            }
            .verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed.as_bytes(),
                &URL_SAFE_NO_PAD.decode(signature).unwrap(),
            )
            .unwrap();
            let claims: serde_json::Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.rsplit_once('.').unwrap().1).unwrap()).unwrap();
            assert_eq!(
                (&claims["iss"], &claims["sub"], &claims["exp"]),
                (&json!("id"), &json!("id"), &json!(1300))
            );
        }
    }
}
