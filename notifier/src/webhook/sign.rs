//! Signatures after Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_policies::time::Instant;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// A key that the receiver has too. It is shown by [`Secret::reveal`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A text that is no key. It is not repeated: it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret must be whsec_ and then 24 to 64 bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)"
)]
pub struct BadSecret;

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
        if (24..=64).contains(&key.len()) { Ok(Self(key)) } else { Err(BadSecret) }
    }
}

impl Secret {
    /// A key of random bytes.
    #[must_use]
    pub fn of(random: [u8; 32]) -> Self {
        Self(random.to_vec())
    }

    /// As the receiver needs it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The value of `webhook-signature`. `timestamp` is in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// What a receiver's events are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// The secret that holds.
    pub secret: Secret,
    /// Those that it has replaced, each with the moment until which it signs beside it: the receiver changes over in between.
    pub replaced: Vec<(Secret, Instant)>,
}

impl From<Secret> for Signing {
    fn from(secret: Secret) -> Self {
        Self { secret, replaced: Vec::new() }
    }
}

impl Signing {
    /// The value of `webhook-signature` for an event that is sent now: a signature by each secret that signs now, the latest first. A
    /// receiver takes the event if one of them is right.
    #[must_use]
    pub fn sign(&self, id: &str, now: Instant, body: &[u8]) -> String {
        let replaced = self.replaced.iter().rev().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        let signatures = std::iter::once(&self.secret).chain(replaced);
        let signatures: Vec<String> =
            signatures.map(|secret| secret.sign(id, now.timestamp(), body)).collect();
        signatures.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use drover_policies::time::Span;

    use super::*;

    /// Both are published: the first in the specification (with a key that is shorter than it asks for), the second in the documentation
    /// of Svix, from which it grew.
    #[test]
    fn the_published_examples_are_signed_as_published() {
        for (secret, id, timestamp, body, signature) in [
            (
                "whsec_plJ3nmyCDGBKInavdOK15jsl",
                "msg_loFOjxBNrRLzqYUf",
                1_731_705_121,
                r#"{"event_type":"ping","data":{"success":true}}"#,
                "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ] {
            let key = secret.strip_prefix(PREFIX).expect("a secret");
            let secret = Secret(STANDARD.decode(key).expect("base64"));
            assert_eq!(secret.sign(id, timestamp, body.as_bytes()), signature);
        }
    }

    #[test]
    fn a_replaced_secret_signs_too_until_its_time_is_over() {
        let now = Instant::UNIX_EPOCH;
        let after = |minutes| now + Span::minutes(minutes).delta();
        let [first, second, third] = [1, 2, 3].map(|n| Secret::of([n; 32]));
        let replaced = vec![(first.clone(), after(10)), (second.clone(), after(20))];
        let signing = Signing { secret: third.clone(), replaced };
        let by = |secrets: &[&Secret], at: Instant| {
            secrets.iter().map(|secret| secret.sign("1", at.timestamp(), b"x")).collect::<Vec<_>>().join(" ")
        };
        for (at, secrets) in [
            (after(9), vec![&third, &second, &first]),
            (after(10), vec![&third, &second]),
            (after(20), vec![&third]),
        ] {
            assert_eq!(signing.sign("1", at, b"x"), by(&secrets, at), "{at}");
        }
    }

    #[test]
    fn a_secret_is_read_as_it_was_shown_and_never_shown_by_accident() {
        let secret = Secret::of([7; 32]);
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for bad in ["", "whsec_", "hunter2", "whsec_not base64!", &short] {
            assert_eq!(bad.parse::<Secret>(), Err(BadSecret), "{bad}");
        }
    }
}
