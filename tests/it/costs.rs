//! Allocations, connections and requests, counted.
