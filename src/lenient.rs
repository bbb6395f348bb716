//! What decoding forgives, so that one odd execution never costs a page of 50, and what it does not.

use std::error::Error as StdError;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::ser::Serializer;
use serde_json::error::Category;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Decodes a JSON object, and nothing but that.
pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    // Checked once for all strings in it: decoding from bytes would check each of them.
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::new("not UTF-8"))?;
    match text.trim_ascii_start().as_bytes().first() {
        None => Err(DecodeError::new("empty")),
        // serde_json would take the elements of an array for the fields of an object.
        Some(b'[') => Err(DecodeError::new("an array in place of an object")),
        Some(_) => serde_json::from_str(text).map_err(|error| DecodeError::from_json(&error)),
    }
}

/// Why a body did not decode, in words that repeat nothing of it.
#[derive(Debug)]
pub(crate) struct DecodeError(String);

impl DecodeError {
    pub(crate) fn new(problem: &str) -> Self {
        Self(problem.into())
    }

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

/// `createdAt`: any date and time of RFC 3339 §5.6.
pub(crate) mod rfc3339 {
    use super::{Deserializer, OffsetDateTime, Rfc3339, Serializer, read_str};
    use serde::ser::Error as _;

    pub(crate) fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.format(&Rfc3339).map_err(S::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OffsetDateTime, D::Error> {
        read_str(deserializer, |text| {
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "not a date and time of RFC 3339")
        })
    }
}

/// Reads a string where it stands in the input, without a copy.
pub(crate) fn read_str<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<T, D::Error> {
    struct StrVisitor<F>(F);

    impl<T, F: FnOnce(&str) -> Result<T, &'static str>> Visitor<'_> for StrVisitor<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(StrVisitor(read))
}

/// A number of things: `12`, but also the `12.0` or `12.7` of a service that counts in floating point. What is
/// below 0 becomes 0, and what is past 2⁶⁴ becomes the largest number there is.
pub(crate) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct WholeNumber;

    impl Visitor<'_> for WholeNumber {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E>(self, number: i64) -> Result<u64, E> {
            Ok(number.max(0).unsigned_abs())
        }

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, as wanted"
        )]
        fn visit_f64<E>(self, number: f64) -> Result<u64, E> {
            Ok(number as u64)
        }
    }

    deserializer.deserialize_u64(WholeNumber)
}

/// An HTTP status; a number that cannot be one is none.
pub(crate) fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    struct Number(#[serde(deserialize_with = "whole_number")] u64);

    Ok(Option::<Number>::deserialize(deserializer)?.and_then(|Number(number)| number.try_into().ok()))
}

/// Text that people wrote and services cut: a lone surrogate, half of a character outside the basic plane, is
/// replaced by U+FFFD where `String` would reject the entire page.
pub(crate) fn free_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct FreeText(String);

    impl<'de> Deserialize<'de> for FreeText {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            // As bytes, since serde_json hands out a lone surrogate only there (as three bytes of WTF-8).
            deserializer.deserialize_bytes(TextVisitor)
        }
    }

    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = FreeText;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E>(self, text: &str) -> Result<FreeText, E> {
            Ok(FreeText(text.to_owned()))
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<FreeText, E> {
            Ok(FreeText(str::from_utf8(bytes).map_or_else(|_| replace_lone_surrogates(bytes), str::to_owned)))
        }
    }

    Ok(Option::<FreeText>::deserialize(deserializer)?.map(|FreeText(text)| text))
}

/// In WTF-8 a surrogate is the byte `ED` and two more, of which none is valid alone: replacing the first and
/// dropping the others gives one U+FFFD for each.
fn replace_lone_surrogates(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if chunk.invalid().first() == Some(&0xED) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Webhook, WebhookExecutionList};

    #[test]
    fn a_signed_number_may_be_positive() {
        use serde::de::value::{Error, I64Deserializer};

        // serde_json calls such a number unsigned; not every format does.
        for (number, whole) in [(12, 12), (-12, 0), (i64::MIN, 0)] {
            assert_eq!(whole_number(I64Deserializer::<Error>::new(number)), Ok(whole));
        }
    }

    #[test]
    fn a_decode_error_repeats_nothing_of_the_body() {
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
                    from_json::<Webhook>(body.as_bytes()).err(),
                    from_json::<WebhookExecutionList>(body.as_bytes()).err(),
                ];
                for shown in errors.into_iter().flatten().map(|error| format!("{error} {error:?}")) {
                    assert!(!shown.contains("s3cret") && !shown.contains("53123"), "{body}: {shown}");
                }
            }
        }
    }
}
