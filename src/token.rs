//! The shared secret of a webhook.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use subtle::ConstantTimeEq;

/// The secret that Handinger sends in the `X-Handinger-Token` header of each delivery.
///
/// `Debug` prints `[redacted]`, and `Display` is not implemented, because anybody who knows the token can
/// forge deliveries. [`as_str`](Self::as_str) returns the text, to store or print it. `Serialize` writes the
/// text too. `==` compares tokens of the same length in constant time.
///
/// ```
/// use handinger::WebhookToken;
///
/// let token = WebhookToken::new("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D");
/// assert!(token.verify("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D"));
/// assert!(!token.verify("whk_guess"));
/// assert_eq!(format!("{token:?}"), "WebhookToken([redacted])");
/// ```
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct WebhookToken(String);

impl WebhookToken {
    /// The name of the header that carries the token: `X-Handinger-Token`.
    pub const HEADER: &'static str = "X-Handinger-Token";

    /// Creates a token from its text. White space around it is trimmed, because mounted secrets and YAML
    /// blocks end in a newline.
    ///
    /// ```
    /// let token = handinger::WebhookToken::new("whk_1\n");
    /// assert_eq!(token.as_str(), "whk_1");
    /// ```
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        let token = token.into();
        Self(token.trim().to_owned())
    }

    /// Returns the token's text. Keep it as safe as a password.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the value of a delivery's `X-Handinger-Token` header is this token.
    ///
    /// For values of the token's length, the time does not depend on how many bytes match. It reveals whether
    /// the length matches, which is no secret. An empty token matches nothing, so that an empty setting does
    /// not accept an empty header.
    ///
    /// ```
    /// # use handinger::WebhookToken;
    /// let token = WebhookToken::new("whk_1");
    /// assert!(token.verify("whk_1"));
    /// assert!(token.verify(b"whk_1")); // some servers return headers as bytes
    /// assert!(!token.verify("whk_2"));
    /// assert!(!WebhookToken::new("").verify(""));
    /// ```
    #[must_use]
    pub fn verify(&self, presented: impl AsRef<[u8]>) -> bool {
        !self.0.is_empty() && self.0.as_bytes().ct_eq(presented.as_ref()).into()
    }
}

impl<'de> Deserialize<'de> for WebhookToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl PartialEq for WebhookToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for WebhookToken {}

impl fmt::Debug for WebhookToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookToken([redacted])")
    }
}
