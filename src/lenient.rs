//! Lenient decoding of the service's JSON, so that one odd execution never invalidates a page of 50.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::error::Category;

/// Decodes a JSON object, and rejects any other value. The error gives the reason without repeating the body.
pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    // Checks all strings for UTF-8 at once, because decoding from bytes would check each of them.
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_ascii_start().as_bytes().first() {
        None => Err("empty".to_owned()),
        // serde_json would decode the elements of an array as the fields of an object.
        Some(b'[') => Err("an array in place of an object".to_owned()),
        Some(_) => serde_json::from_str(text)
            .or_else(|error| match replace_lone_surrogates(text) {
                Cow::Owned(mended) => serde_json::from_str(&mended),
                Cow::Borrowed(_) => Err(error),
            })
            .map_err(|error| describe(&error)),
    }
}

/// Replaces each escape of half a character, such as `\ud83d`, by that of U+FFFD, because services cut titles
/// in the middle of an emoji, and `serde_json` rejects such a document.
fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    const REPLACEMENT: &str = "\\ufffd";
    let mut mended = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(rest @ [first, ..]) = json.as_bytes().get(at..) {
        at += match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
            (Some(_), _) => {
                // The replacement has the same length, so that positions do not change.
                mended.to_mut().replace_range(at..at + REPLACEMENT.len(), REPLACEMENT);
                REPLACEMENT.len()
            }
            (None, _) if *first == b'\\' => 2,
            (None, _) => 1,
        };
    }
    mended
}

/// Returns the surrogate whose escape the text begins with.
fn surrogate(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xD800..0xE000).contains(&unit).then_some(unit)
}

/// Returns the error's message without the value that it quotes, which may be a secret: `invalid type: string
/// "whk_…", expected a map at line 1 column 9`.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (error.classify(), text.split_once(": "), text.rfind(", expected ")) {
        (Category::Data, Some((what @ ("invalid type" | "invalid value"), value)), Some(expected)) => {
            let sort = value.split(['`', '"', ',']).next().unwrap_or_default();
            format!("{what}: {}{}", sort.trim_end(), &text[expected..])
        }
        _ => text,
    }
}

/// Reads a count: `12`, but also the `12.0` or `12.7` of a service that counts in floating point. A negative
/// number becomes 0, and one past 2⁶⁴ becomes the maximum.
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

/// Reads an HTTP status. Returns `None` for a number that cannot be one.
pub(crate) fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    // Transparent, because RON writes and reads the name of a newtype.
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Number(#[serde(deserialize_with = "whole_number")] u64);

    Ok(Option::<Number>::deserialize(deserializer)?.and_then(|Number(number)| number.try_into().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Webhook, WebhookExecutionList};

    #[test]
    fn signed_count_below_zero_is_zero() {
        use serde::de::value::{Error, I64Deserializer};

        // serde_json calls such a number unsigned; not every format does.
        for (number, whole) in [(12, 12), (-12, 0), (i64::MIN, 0)] {
            assert_eq!(whole_number(I64Deserializer::<Error>::new(number)), Ok(whole));
        }
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_kept() {
        for (json, mended) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\uD83D\ud83d\ude00b\udE00""#, r#""a\ufffd\ud83d\ude00b\ufffd""#),
            (r#""\\ud83d \\\ud83d é\u00e9""#, r#""\\ud83d \\\ufffd é\u00e9""#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\\é\\", "\\é\\"),
            ("\\ud83é", "\\ud83é"),
        ] {
            assert_eq!(replace_lone_surrogates(json), mended, "{json}");
        }
    }

    #[test]
    fn decode_error_repeats_nothing_of_the_body() {
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
