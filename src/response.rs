//! What comes back: the body of an answer, read within bounds and decoded, and what an error's body says.

use std::error::Error as StdError;
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use ureq::Body;

use crate::types::free_text;

/// The largest body of a successful answer that is read, in bytes, after decompression.
const LARGEST_BODY: u64 = 10 * 1024 * 1024;
/// How much of an unsuccessful answer's body is kept, in bytes.
pub(crate) const KEPT_BODY: usize = 64 * 1024;

/// Appends the whole body to `bytes`; after an error (too large, broken off, too slow) they hold what came.
pub(crate) fn read_whole(body: &mut Body, bytes: &mut Vec<u8>) -> Result<(), ureq::Error> {
    let announced = body.content_length().unwrap_or(0).min(LARGEST_BODY);
    bytes.reserve_exact(usize::try_from(announced).unwrap_or(0));
    body.with_config().limit(LARGEST_BODY).reader().read_to_end(bytes)?;
    Ok(())
}

/// The beginning of a body. That it breaks off does not matter: the status has come, and says more.
pub(crate) fn read_beginning(body: &mut Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = body.as_reader().take(KEPT_BODY as u64).read_to_end(&mut bytes);
    bytes
}

/// Decodes a whole JSON object, and nothing but that.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    // Checked once for all strings in it: decoding from bytes would check each of them.
    let text = std::str::from_utf8(body).map_err(|_| DecodeError("not UTF-8".into()))?;
    match text.trim_ascii_start().as_bytes().first() {
        None => Err(DecodeError("empty".into())),
        // serde_json would take the elements of an array for the fields of an object.
        Some(b'[') => Err(DecodeError("an array in place of an object".into())),
        Some(_) => serde_json::from_str(text).map_err(|error| DecodeError::from_json(&error)),
    }
}

/// Why an answer did not decode, in words that repeat nothing of the answer.
#[derive(Debug)]
pub(crate) struct DecodeError(String);

impl DecodeError {
    fn from_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // `invalid type: string "whk_…", expected a map at line 1 column 9`: the value may be a secret.
        let text = match (error.classify(), text.split_once(": "), text.rfind(", expected ")) {
            (Category::Data, Some((what @ ("invalid type" | "invalid value"), value)), Some(expected)) => {
                let sort = value.split(['`', '"', ',']).next().unwrap_or_default();
                format!("{what}: {}{}", sort.trim_end(), &text[expected..])
            }
            _ => text,
        };
        Self(text)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for DecodeError {}

/// What an error's body says: JSON in three shapes, or a plain text.
pub(crate) fn message_in(body: &[u8]) -> Option<String> {
    let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let text = String::from_utf8_lossy(body);
    if !text.trim_start().starts_with('{') {
        return said(plain_text(body)?);
    }
    // Each shape by itself, so that a field that is odd in one of them does not hide another.
    let shapes = [
        serde_json::from_str::<Nested>(&text).ok().and_then(|body| body.error.message),
        serde_json::from_str::<Flat>(&text).ok().and_then(|body| body.error),
        serde_json::from_str::<Bare>(&text).ok().and_then(|body| body.message),
    ];
    shapes.into_iter().flatten().find_map(|text| said(&text))
}

/// `{"error": {"message": "…"}}`
#[derive(Deserialize)]
struct Nested {
    error: Bare,
}

/// `{"error": "…"}`
#[derive(Deserialize)]
struct Flat {
    #[serde(deserialize_with = "free_text")]
    error: Option<String>,
}

/// `{"message": "…"}`
#[derive(Deserialize)]
struct Bare {
    #[serde(deserialize_with = "free_text")]
    message: Option<String>,
}

/// A body that a person wrote as plain text: neither a broken JSON, nor HTML, nor binary.
fn plain_text(body: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        // Where the body was cut, so may be its last character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let starts_like_markup = text.trim_ascii_start().starts_with(['{', '[', '<', '"']);
    let is_binary = text.contains(|c: char| c.is_control() && !c.is_whitespace());
    (!starts_like_markup && !is_binary).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Webhook, WebhookExecutionList};

    #[test]
    fn a_decode_error_repeats_nothing_of_the_answer() {
        for value in [
            r#""s3cret""#,
            r#""s3cret, expected s3cret""#,
            r#""x\", expected s3cret at line 1""#,
            r#""`s3cret`: s3cret""#,
            r#"{"s3cret":"s3cret"}"#,
            r#"["s3cret"]"#,
            "53123.5",
            "-53123",
            "53123",
            "s3cret",
            "\"s3cret",
            "\"s3cret\\x\"",
            "\"s3cret\\ud83d\"",
            "\"s3cret\u{1}\"",
        ] {
            let field = |name: &str| format!(r#"{{"logs":[],"token":null,"{name}":{value}}}"#);
            for body in [value.to_owned(), field("url"), field("logs"), field("page"), field("pageCount")] {
                let errors = [
                    decode::<Webhook>(body.as_bytes()).err(),
                    decode::<WebhookExecutionList>(body.as_bytes()).err(),
                ];
                for shown in errors.into_iter().flatten().map(|error| format!("{error} {error:?}")) {
                    assert!(!shown.contains("s3cret") && !shown.contains("53123"), "{body}: {shown}");
                }
            }
        }
    }

    #[test]
    fn no_more_of_a_text_is_lost_than_its_last_half_of_a_character() {
        assert_eq!(plain_text(b"no\xc3"), Some("no"));
        assert_eq!(plain_text(b"no\xf0\x9f\xa6"), Some("no"));
        assert_eq!(plain_text(b"no\xff"), None);
        assert_eq!(plain_text(b"\xc3no"), None);
    }
}
