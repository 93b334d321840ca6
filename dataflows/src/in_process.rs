//! A message that stays in its process.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// A message that is handed from worker to worker and never serialised: one that holds device memory, say.
///
/// Workers of one process hand typed values over as they are, but an exchanged message must say how it would
/// be serialised. This one says that it cannot be.
///
/// # Examples
/// ```
/// use dataflows::InProcess;
/// use timely::dataflow::operators::{Exchange, Inspect, ToStream};
///
/// struct Tensor; // neither `Serialize` nor `Deserialize`
///
/// timely::example(|scope| {
///     [InProcess(Tensor)].to_stream(scope).container::<Vec<_>>().exchange(|_| 0);
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InProcess<M>(pub M);

impl<M> Serialize for InProcess<M> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("a message that stays in its process was sent to another"))
    }
}

impl<'de, M> Deserialize<'de> for InProcess<M> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("a message that stays in its process was received from another"))
    }
}
