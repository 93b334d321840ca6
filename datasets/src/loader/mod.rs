//! Sequences out of token shards: order, packing, mixture, read ahead.
