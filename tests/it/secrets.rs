//! Keys, tokens and URLs, which nothing shows.
