//! `Executions`, over the fake.
