//! Broken transport.
