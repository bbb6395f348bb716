//! Agents that callers hand in.
