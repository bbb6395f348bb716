//! The examples, run as a person would.
