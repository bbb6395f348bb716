//! No try outlasts its timeout, no call its total timeout.
