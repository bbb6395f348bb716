//! Redirects, none of which is followed.

use handinger::{Error, ErrorKind};

use crate::support::{ANYTHING, CALLS, KEY, Server, answer, answer_with, client};

const CODES: [u16; 5] = [301, 302, 303, 307, 308];

/// The error of a call that is redirected to `location`, and made once.
#[track_caller]
fn redirected(status: u16, location: &[(&str, &str)], call: crate::support::Call) -> Error {
    let server = Server::answering([answer_with(status, location, ANYTHING), answer(200, ANYTHING)]);
    let error = call(&client(server.base_url())).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Redirect, Some(status)), "{error}");
    assert_eq!((server.requests().len(), error.attempts()), (1, 1), "{error}");
    assert!(!error.may_have_been_applied(), "{error}");
    error
}

#[test]
fn no_redirect_of_any_call_is_followed_and_the_error_names_the_target() {
    let elsewhere = Server::answering([answer(200, ANYTHING)]);
    let port = elsewhere.address().port();
    for target in [
        "/elsewhere".to_owned(),
        "elsewhere".to_owned(),
        format!("http://127.0.0.1:{port}/elsewhere"),
        format!("http://localhost:{port}/elsewhere"),
        format!("//127.0.0.1:{port}"),
        "https://handinger.invalid/api".to_owned(),
    ] {
        for status in CODES {
            for (name, call) in CALLS {
                let error = redirected(status, &[("Location", &target)], call);
                let expected = format!("the server redirects ({status}) to {target}, which is not followed");
                assert!(error.to_string().ends_with(&expected), "{name}: {error}");
                assert_eq!(error.header("location"), Some(&*target));
            }
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_redirect_without_a_target_is_one_all_the_same() {
    for status in [300, 301, 304, 307, 399] {
        let error = redirected(status, &[], |client| client.retrieve_webhook("wrk_1").map(drop));
        assert!(error.to_string().contains(&format!("redirects ({status}) to nowhere")), "{error}");
    }
}

#[test]
fn a_strange_target_is_shown_on_one_short_line_without_secrets() {
    let long = format!("https://example.com/{}", "x".repeat(50_000));
    let with_key = format!("https://example.com/?key={KEY}");
    for (location, shown) in [
        ("", " to , which"),
        ("https://exämple.com/", " to https://exämple.com/, which"),
        ("not\ta \u{85}url", " to not a url, which"),
        (&long, "xxx…, which"),
        (&with_key, " to https://example.com/?key=[redacted], which"),
    ] {
        for status in CODES {
            let location = [("Location", location)];
            let error = redirected(status, &location, |client| client.regenerate_token("wrk_1").map(drop));
            assert!(error.to_string().contains(shown), "{error}");
            assert!(
                error.to_string().len() < 400 && !error.to_string().contains(char::is_control),
                "{error}"
            );
            assert!(!format!("{error:?}").contains(KEY), "{error:?}");
        }
    }
}

#[test]
fn a_target_that_is_the_webhooks_url_is_not_shown() {
    let url = "https://example.com/hook/s3cret?key=1234";
    let server = Server::answering([answer_with(308, &[("Location", url)], "")]);
    let error = client(server.base_url()).update_webhook("wrk_1", url).unwrap_err();
    assert!(error.to_string().contains("to https://example.com[redacted], which"), "{error}");
}
