//! Near-duplicates: signatures of documents.
