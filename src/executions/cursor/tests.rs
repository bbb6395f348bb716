//! What a cursor accepts to be. Its rule is tested with [`Follow`](crate::Follow).

use super::*;
use crate::error::ErrorKind;

const SAVED: &str = r#"{"version":1,"workerId":"wrk_1","started":true,"floor":5,"known":{"whe_1":5,"whe_2":7},"shortened":false,"lostAll":false}"#;

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
        (r#""whe_2":7"#, r#""whe_2":4"#),
        (r#""floor":5"#, r#""floor":null"#),
        (r#""started":true"#, r#""started":false"#),
    ] {
        let text = SAVED.replace(from, to);
        let error = text.parse::<Cursor>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert!(error.to_string().starts_with("read cursor: not a cursor: "), "{error}");
        assert!(serde_json::from_str::<Cursor>(&text).is_err(), "{text}");
    }
}

#[test]
fn times_beyond_all_dates_do_no_harm() {
    for floor in [i64::MIN, i64::MAX] {
        let text = SAVED.replace(
            r#""floor":5,"known":{"whe_1":5,"whe_2":7}"#,
            &format!(r#""floor":{floor},"known":{{}}"#),
        );
        assert_eq!(text.parse::<Cursor>().unwrap().floor(), None);
    }
}
