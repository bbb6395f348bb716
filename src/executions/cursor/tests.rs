//! What a cursor accepts to be. Its rule is tested with [`Follow`](crate::Follow).

use super::*;
use crate::error::ErrorKind;

const SAVED: &str = r#"{"version":1,"workerId":"wrk_1","started":true,"floor":5,"known":[["whe_1",5],["whe_2",7]],"shortened":false,"lostAll":false}"#;

#[test]
fn it_is_saved_as_text_and_in_any_format_of_serde() {
    let cursor: Cursor = SAVED.parse().unwrap();
    assert_eq!(cursor.to_string(), SAVED);
    assert_eq!(serde_json::to_string(&cursor).unwrap(), SAVED);
    let value = serde_json::to_value(&cursor).unwrap();
    assert_eq!(serde_json::from_value::<Cursor>(value).unwrap(), cursor);
    let new = Cursor::new("wrk_1");
    assert_eq!(new.to_string().parse::<Cursor>().unwrap(), new);
}

#[test]
fn garbage_is_no_cursor() {
    for (from, to) in [
        (SAVED, ""),
        (SAVED, "garbage"),
        (SAVED, "{}"),
        (SAVED, "null"),
        ("false}", "false"),
        ("false}", "false} {}"),
        (r#""version":1"#, r#""version":2"#),
        (r#""version":1"#, r#""version":1,"more":1"#),
        (r#""version":1,"#, ""),
        (r#""lostAll":false"#, r#""lostAll":0"#),
        // An id below the floor, or known without one, or before the start.
        (r#""whe_2",7"#, r#""whe_2",4"#),
        (r#""floor":5"#, r#""floor":null"#),
        (r#""started":true"#, r#""started":false"#),
        (r#"true,"floor":5,"known":[["whe_1",5],["whe_2",7]]"#, r#"false,"floor":5,"known":[]"#),
        (r#"true,"floor":5,"#, r#"false,"floor":null,"#),
        // Times that are none: nothing could be later than them.
        (r#""whe_2",7"#, r#""whe_2",9223372036854775807"#),
        (r#""floor":5,"known":[["whe_1",5],["whe_2",7]]"#, r#""floor":9223372036854775807,"known":[]"#),
        // Ids that are not in order, or known twice.
        ("whe_1", "whe_3"),
        ("whe_1", "whe_2"),
        // What an error must not repeat.
        (SAVED, r#""whk_s3cret""#),
        (SAVED, "{\"a\\nb\u{1b}[31m\":1}"),
    ] {
        let text = SAVED.replace(from, to);
        let error = text.parse::<Cursor>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert_eq!(error.to_string(), "read cursor: not a cursor that this version can read");
        assert!(serde_json::from_str::<Cursor>(&text).is_err(), "{text}");
    }
}

#[test]
fn a_time_is_rounded_down_to_a_millisecond() {
    for (nanos, expected) in
        [(0, 0), (1_999_999, 1), (2_000_000, 2), (-1, -1), (-1_000_000, -1), (-1_000_000_001, -1_001)]
    {
        assert_eq!(millis(OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap()), expected);
    }
}

#[test]
fn a_floor_may_be_too_early_for_a_date() {
    let text = SAVED.replace(r#""floor":5"#, &format!(r#""floor":{}"#, i64::MIN));
    assert_eq!(text.parse::<Cursor>().unwrap().floor(), None);
}

#[test]
fn more_ids_than_a_cursor_can_know_are_no_cursor() {
    for (count, is_cursor) in [(LIMITS.known, true), (LIMITS.known + 1, false)] {
        let known: Vec<_> = (0..count).map(|number| format!(r#"["whe_{number:04}",7]"#)).collect();
        let text = SAVED.replace(r#"["whe_1",5],["whe_2",7]"#, &known.join(","));
        assert_eq!(text.parse::<Cursor>().is_ok(), is_cursor, "{count}");
    }
}
