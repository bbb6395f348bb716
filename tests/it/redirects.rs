//! Redirects are not followed.

use handinger::{Error, ErrorKind};

use crate::support::{ANY_BODY, CALLS, Call, Server, client, response, response_with};

const CODES: [u16; 5] = [301, 302, 303, 307, 308];

/// The error of a call whose one request is redirected.
#[track_caller]
fn redirected(status: u16, headers: &[(&str, &str)], call: Call) -> Error {
    let server = Server::responding([response_with(status, headers, ANY_BODY), response(200, ANY_BODY)]);
    let error = call(&client(server.base_url())).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Redirect, Some(status)), "{error}");
    assert_eq!((server.requests().len(), error.attempts()), (1, 1), "{error}");
    assert!(!error.may_have_been_applied(), "{error}");
    error
}

#[test]
fn no_redirect_is_followed_and_the_error_names_the_location() {
    let elsewhere = Server::responding([response(200, ANY_BODY)]);
    let port = elsewhere.address().port();
    for (location, shown) in [
        ("/elsewhere".to_owned(), "/elsewhere".to_owned()),
        ("elsewhere".to_owned(), "elsewhere".to_owned()),
        (format!("http://127.0.0.1:{port}/elsewhere"), format!("http://127.0.0.1:{port}")),
        (format!("http://localhost:{port}/elsewhere"), format!("http://localhost:{port}")),
        (format!("//127.0.0.1:{port}"), format!("http://127.0.0.1:{port}")),
        ("https://handinger.invalid/api".to_owned(), "https://handinger.invalid".to_owned()),
    ] {
        for status in CODES {
            for (name, call) in CALLS {
                let error = redirected(status, &[("Location", &location)], call);
                let expected = format!("the server redirects ({status}) to {shown}, which is not followed");
                assert!(error.to_string().ends_with(&expected), "{name}: {error}");
                assert_eq!(error.header("location"), Some(&*location));
            }
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn any_3xx_without_a_location_is_a_redirect() {
    for status in [300, 301, 304, 307, 399] {
        let error = redirected(status, &[], |client| client.retrieve_webhook("wrk_1").map(drop));
        assert!(
            error.to_string().ends_with(&format!("the server returned {status} without a Location")),
            "{error}"
        );
    }
}

#[test]
fn an_odd_location_is_shown_on_one_short_line() {
    let long = format!("/{}", "x".repeat(50_000));
    for (location, shown) in [
        ("", " to , which"),
        ("https://exämple.com/", " to an invalid URL, which"),
        ("not\ta \u{85}url", " to an invalid URL, which"),
        (&long, "xxx…, which"),
    ] {
        for status in CODES {
            let location = [("Location", location)];
            let error = redirected(status, &location, |client| client.regenerate_token("wrk_1").map(drop));
            assert!(error.to_string().contains(shown), "{error}");
            assert!(
                error.to_string().len() < 400 && !error.to_string().contains(char::is_control),
                "{error}"
            );
        }
    }
}
