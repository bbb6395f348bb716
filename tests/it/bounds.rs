//! Flat memory, whatever comes.
