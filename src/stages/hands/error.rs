//! What goes wrong between the processes of a run.

use std::process::ExitStatus;

use datasets::store::Digest;

/// What goes wrong between the processes of a run.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// A process that ended before the run did.
    #[error("process {process} of {processes} ended: {status}{}", quoted(said))]
    Ended {
        /// Its place among them: the first is 0.
        process: usize,
        /// How many there were.
        processes: usize,
        /// How it ended.
        status: ExitStatus,
        /// What it said to people.
        said: String,
    },
    /// A process that does not find what the first one found.
    #[error(
        "other samples are missing here than in the first process: expected {expected}, found {found}"
    )]
    Samples {
        /// The digest of the groups there.
        expected: Digest,
        /// Here.
        found: Digest,
    },
    /// A process on a device of another kind.
    #[error(
        "weights are {found} on the device of this process, and {expected} on that of the first"
    )]
    Weights {
        /// Their type there.
        expected: String,
        /// Here.
        found: String,
    },
    /// A task that cannot be told.
    #[error("what the processes are to do could not be told")]
    Task {
        /// Why.
        source: serde_json::Error,
    },
}

/// What a process said, below the line that it is quoted in.
fn quoted(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!("; it said\n    {}", lines.join("\n    "))
    }
}
