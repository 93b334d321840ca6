//! Shape-only model descriptions.
