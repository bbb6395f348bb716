//! Everything that a user of the crate can see, tested over real sockets: one file a theme.

mod support;
