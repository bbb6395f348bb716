//! What an error tells, for each status and body.
