//! What a cursor accepts to be. Its rule is tested with [`Follow`](crate::Follow).

use std::env;
use std::path::PathBuf;
use std::process;

use super::*;
use crate::error::ErrorKind;

const SAVED: &str = concat!(
    r#"{"version":1,"workerId":"wrk_1","started":true,"floor":5,"known":[["whe_1",5],["whe_2",7]],"#,
    r#""currentAt":9,"quietSince":null}"#
);

#[test]
fn cursor_is_text_that_is_read_back() {
    let cursor: Cursor = SAVED.parse().unwrap();
    assert_eq!(cursor.to_string(), SAVED);
    assert_eq!(format!("\n{SAVED}\n").parse::<Cursor>().unwrap(), cursor);
    let without_null = SAVED.replace(r#","quietSince":null"#, "");
    assert_eq!(without_null.parse::<Cursor>().unwrap(), cursor);
    let new = Cursor::new("wrk_1");
    assert_eq!(new.to_string().parse::<Cursor>().unwrap(), new);
}

#[test]
fn cursor_of_version_0_1_0_is_read() {
    let saved = SAVED.replace(r#""currentAt":9,"quietSince":null"#, r#""shortened":false,"lostAll":false"#);
    let cursor: Cursor = saved.parse().unwrap();
    assert!(cursor.started);
    assert_eq!((cursor.floor, cursor.known.len(), cursor.current_at), (Some(5), 2, None));
}

#[test]
fn garbage_is_no_cursor_and_its_text_is_not_repeated() {
    for text in [
        "",
        "garbage",
        "{}",
        "null",
        r#""whk_s3cret""#,
        "{\"a\\nb\u{1b}[31m\":1}",
        &SAVED[..SAVED.len() - 1],
        &format!("{SAVED} {{}}"),
        &SAVED.replace(r#""version":1"#, r#""version":2"#),
        &SAVED.replace(r#""version":1,"#, ""),
        &SAVED.replace(r#""floor":5"#, r#""floor":"5""#),
    ] {
        let error = text.parse::<Cursor>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert_eq!(error.to_string(), "read cursor: not a cursor that this version can read");
    }
}

#[test]
fn time_is_rounded_down_to_a_millisecond() {
    for (nanos, expected) in
        [(0, 0), (1_999_999, 1), (2_000_000, 2), (-1, -1), (-1_000_000, -1), (-1_000_000_001, -1_001)]
    {
        assert_eq!(millis(OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap()), expected);
    }
}

/// A path in a new directory, which a test that fails leaves behind.
fn new_path(name: &str) -> PathBuf {
    let directory = env::temp_dir().join(format!("handinger-{name}-{}", process::id()));
    fs::create_dir(&directory).unwrap();
    directory.join("hooks.cursor")
}

#[test]
fn saved_file_is_loaded_and_replaced_and_nothing_is_left_beside_it() {
    let path = new_path("saved");
    let directory = path.parent().unwrap();
    assert_eq!(Cursor::load(&path).unwrap(), None);
    // Another process saves to the same path at that moment.
    let other = path.with_extension(format!("cursor.{}.tmp", process::id() + 1));
    fs::write(&other, "{\"vers").unwrap();
    for cursor in [SAVED.parse::<Cursor>().unwrap(), Cursor::new("wrk_2")] {
        cursor.save(&path).unwrap();
        assert_eq!(Cursor::load(&path).unwrap(), Some(cursor.clone()));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{cursor}\n"));
        assert_eq!(fs::read_to_string(&other).unwrap(), "{\"vers");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 2);
    }
    let folder = path.with_extension("folder"); // a file cannot replace it
    fs::create_dir(&folder).unwrap();
    let error = Cursor::new("wrk_3").save(&folder).unwrap_err();
    assert!(error.to_string().starts_with(&folder.display().to_string()), "{error}");
    assert_eq!(fs::read_dir(directory).unwrap().count(), 3);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn empty_or_foreign_file_is_invalid_data() {
    let path = new_path("foreign");
    for content in [&b""[..], b"{}", b"whk_s3cret", b"\xff"] {
        fs::write(&path, content).unwrap();
        let error = Cursor::load(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{content:?}");
        let message = error.to_string();
        assert!(message.starts_with(&path.display().to_string()) && !message.contains("s3cret"), "{message}");
    }
    // A directory is neither absent nor invalid.
    assert!(Cursor::load(path.parent().unwrap()).is_err());
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}
