//! What is read from the environment, each case in a process of its own.
