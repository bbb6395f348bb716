//! Redirects are not followed.

use handinger::{Error, ErrorKind};

use crate::support::{ANY_BODY, CALLS, Call, Server, client, response, response_with};

/// The error of a call whose one request is redirected.
#[track_caller]
fn redirected(status: u16, headers: &[(&str, &str)], call: Call) -> Error {
    let server = Server::responding([response_with(status, headers, ANY_BODY), response(200, ANY_BODY)]);
    let error = call(&client(server.base_url())).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Redirect, Some(status)), "{error}");
    assert_eq!((server.requests().len(), error.attempts()), (1, 1), "{error}");
    error
}

#[test]
fn redirect_is_not_followed_and_only_a_303_may_have_been_applied() {
    let elsewhere = Server::responding([response(200, ANY_BODY)]);
    let location = format!("{}/elsewhere", elsewhere.base_url());
    for status in [301, 302, 303, 307, 308] {
        for (name, call) in CALLS {
            let error = redirected(status, &[("Location", &location)], call);
            assert_eq!(error.header("location"), Some(&*location));
            let is_change = !matches!(name, "retrieve" | "list");
            assert_eq!(error.may_have_been_applied(), is_change && status == 303, "{name}: {error}");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn any_3xx_without_a_location_is_a_redirect() {
    for status in [300, 304, 399] {
        let error = redirected(status, &[], CALLS[0].1);
        assert!(error.to_string().ends_with(&format!("the server returned {status}")), "{error}");
    }
}
