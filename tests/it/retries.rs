//! The table of retries, row by row, and the waits.
