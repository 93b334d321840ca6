//! Files, here and on object stores.
