//! Many sources in one order, by weights in tokens.
