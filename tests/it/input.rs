//! What is refused before anything is sent, and what is encoded.
