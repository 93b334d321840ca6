//! The side of a hand: what it is told, whom it meets, and when it ends.

use std::{io, thread};

use dataflows::graphs::cluster::{Cluster, Listening};
use serde::de::DeserializeOwned;

use super::{HandError, MEETING};
use crate::error::Error;

/// What a hand is to do.
///
/// # Errors
/// [`Error::Hand`] if that is not what was told.
pub fn parse<T: DeserializeOwned>(task: &str) -> Result<T, Error> {
    Ok(serde_json::from_str(task).map_err(|source| HandError::Task { source })?)
}

/// What a hand does first: it meets the others. From then on it ends when its parent does.
///
/// # Errors
/// [`Error::Cluster`] if it does not meet them.
pub fn meet() -> Result<Cluster, Error> {
    let met = |source| Error::Cluster { source };
    let listening = Listening::on("127.0.0.1").map_err(met)?;
    let introduced = listening.introduced(&mut io::stdin().lock(), &mut io::stdout());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        #[expect(clippy::exit, reason = "there is nobody left to work for, or to tell")]
        std::process::exit(1);
    });
    introduced.and_then(|introduced| introduced.connect(MEETING)).map_err(met)
}
