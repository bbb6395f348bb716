//! The fake, by itself and as other clients see it.
