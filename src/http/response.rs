//! Reading a response: its body within bounds, and the message in an error's body.

use std::io::Read;

use serde::Deserialize;
use ureq::Body;

use super::{MAX_BODY, MAX_KEPT_BODY};
use crate::lenient::free_text;

/// Appends the complete body to `bytes`; after an error (too large, truncated, too slow) they hold what came.
pub(super) fn read_complete(body: &mut Body, bytes: &mut Vec<u8>) -> Result<(), ureq::Error> {
    let announced = body.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    bytes.reserve_exact(announced.min(MAX_BODY));
    body.with_config().limit(MAX_BODY as u64).reader().read_to_end(bytes)?;
    Ok(())
}

/// The beginning of a body. That it is truncated does not matter: the status has come, and says more.
pub(super) fn read_beginning(body: &mut Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = body.as_reader().take(MAX_KEPT_BODY as u64).read_to_end(&mut bytes);
    bytes
}

/// What an error's body says: JSON in three shapes, an HTML page, or plain text.
pub(super) fn message_in(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let message = match text.trim_start().chars().next()? {
        '{' => in_json(&text),
        '<' => in_html(&text),
        _ => plain_text(body).map(str::to_owned),
    };
    Some(message?.trim().to_owned()).filter(|message| !message.is_empty())
}

/// Each shape by itself, so that a field that is odd in one of them does not hide another.
fn in_json(text: &str) -> Option<String> {
    let shapes = [
        serde_json::from_str::<Nested>(text).ok().and_then(|body| body.error.message),
        serde_json::from_str::<Flat>(text).ok().and_then(|body| body.error),
        serde_json::from_str::<Bare>(text).ok().and_then(|body| body.message),
    ];
    shapes.into_iter().flatten().find(|message| !message.trim().is_empty())
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

/// The title of a page or, without one, its first heading: that is where a proxy says `502 Bad Gateway`.
fn in_html(page: &str) -> Option<String> {
    let lowercase = page.to_ascii_lowercase(); // of the same length
    ["title", "h1", "h2", "h3"].into_iter().find_map(|element| {
        let start = lowercase.match_indices(&format!("<{element}")).find_map(|(start, tag)| {
            let rest = &lowercase[start + tag.len()..];
            rest.starts_with(|c: char| c == '>' || c.is_ascii_whitespace()).then_some(())?;
            Some(start + tag.len() + rest.find('>')? + 1)
        })?;
        let end = start + lowercase[start..].find(&format!("</{element}"))?;
        Some(text_of(&page[start..end])).filter(|text| !text.trim().is_empty())
    })
}

/// HTML without its tags and its commonest character references.
fn text_of(html: &str) -> String {
    let mut text = String::new();
    for (index, part) in html.split('<').enumerate() {
        let is_after_tag = index > 0;
        text.push_str(if is_after_tag { part.split_once('>').map_or("", |(_, text)| text) } else { part });
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
        .into_iter()
        .fold(text, |text, (reference, character)| text.replace(reference, character))
}

/// A body that a person wrote as plain text: neither truncated JSON, nor binary.
fn plain_text(body: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        // Where the body is truncated, so may be its last character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let starts_like_json = text.trim_ascii_start().starts_with(['[', '"']);
    let is_binary = text.contains(|c: char| c.is_control() && !c.is_whitespace());
    (!starts_like_json && !is_binary).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_of_a_text_is_lost_than_its_last_half_of_a_character() {
        assert_eq!(plain_text(b"no\xc3"), Some("no"));
        assert_eq!(plain_text(b"no\xf0\x9f\xa6"), Some("no"));
        assert_eq!(plain_text(b"no\xff"), None);
        assert_eq!(plain_text(b"\xc3no"), None);
    }

    #[test]
    fn the_message_of_a_page_is_its_title_or_first_heading() {
        for (page, message) in [
            ("<html><head><title>502 Bad Gateway</title></head><body><h1>Oops</h1>", Some("502 Bad Gateway")),
            ("<!DOCTYPE html>\n<HTML><TITLE lang=en>\n  Not\n found </TITLE>", Some("Not\n found")),
            (
                "<html><title></title><h1 class='x'>504 <b>Gateway</b> Time-out</h1>",
                Some("504 Gateway Time-out"),
            ),
            ("<h2>second</h2>", Some("second")),
            (
                "<html><titles>no</titles><h1>A &lt;b&gt; &amp;amp; &quot;c&quot;</h1>",
                Some("A <b> &amp; \"c\""),
            ),
            ("<html><title>unfinished", None),
            ("<html><title", None),
            ("<html><h1><h1>", None),
            ("<?xml version=\"1.0\"?><error/>", None),
            ("<", None),
        ] {
            assert_eq!(message_in(page.as_bytes()).as_deref(), message, "{page}");
        }
        assert_eq!(message_in(b"<title>caf\xe9 \xc4\xb0</title>").as_deref(), Some("caf\u{fffd} \u{130}"));
    }
}
