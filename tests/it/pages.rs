//! `PageIter`.
