//! Redirects, none of which is followed.
