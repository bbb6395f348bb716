//! The shared secret of a webhook.

use std::fmt;
use std::hint::black_box;

use serde::{Deserialize, Serialize};

/// The secret that Handinger sends in the `X-Handinger-Token` header of each delivery.
///
/// Whoever knows it can forge deliveries, so `Debug` does not print it and there is no `Display`: use
/// [`as_str`](Self::as_str) where the text itself is needed. Two tokens are compared in constant time.
///
/// ```
/// use handinger::WebhookToken;
///
/// let token = WebhookToken::new("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D");
/// assert!(token.verify("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D"));
/// assert!(!token.verify("whk_guess"));
/// assert_eq!(format!("{token:?}"), "WebhookToken([redacted])");
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookToken(String);

impl WebhookToken {
    /// A token from where it was stored, say the environment of the program that receives deliveries.
    ///
    /// ```
    /// let token = handinger::WebhookToken::new("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D");
    /// assert_eq!(token.as_str(), "whk_01HZY31W2SZJ8MJ2FQTR3M1K9D");
    /// ```
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token's text, to be kept as carefully as a password.
    ///
    /// ```
    /// assert_eq!(handinger::WebhookToken::new("whk_1").as_str(), "whk_1");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value of a delivery's `X-Handinger-Token` header is this token.
    ///
    /// The time it takes depends on the length of what was presented, not on how much of it is right. An empty
    /// token verifies nothing, so that a blank setting does not open the door to a blank header.
    ///
    /// ```
    /// # use handinger::WebhookToken;
    /// let token = WebhookToken::new("whk_1");
    /// assert!(token.verify("whk_1"));
    /// assert!(token.verify(b"whk_1")); // as bytes, the way some servers hand headers out
    /// assert!(!token.verify("whk_2"));
    /// assert!(!WebhookToken::new("").verify(""));
    /// ```
    #[must_use]
    pub fn verify(&self, presented: impl AsRef<[u8]>) -> bool {
        !self.0.is_empty() && equal_in_constant_time(self.0.as_bytes(), presented.as_ref())
    }
}

/// `black_box` keeps the compiler from leaving the loop at the first difference.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| black_box(difference | (a ^ b))) == 0
}

impl PartialEq for WebhookToken {
    fn eq(&self, other: &Self) -> bool {
        equal_in_constant_time(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for WebhookToken {}

impl fmt::Debug for WebhookToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookToken([redacted])")
    }
}
