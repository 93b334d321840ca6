//! The side of who spawned the processes.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Cluster, ClusterError, Listening};

/// Reads the address that each process says, and says to each the secret, its index, and all addresses: the
/// side of who spawned them, in the order of their indices.
///
/// # Errors
/// Where one says something else or nothing.
pub fn introduce<R: BufRead, W: Write>(
    processes: &mut [(R, W)],
    secret: u64,
) -> Result<(), ClusterError> {
    let all = addresses(processes)?;
    tell(processes, 0, secret, &all)
}

impl Listening {
    /// Introduces the processes that this one spawned to one another and to itself, and connects: it is the first of
    /// them, and `others` are the ends of the second and so on.
    ///
    /// # Errors
    /// Where one says something else or nothing, or the processes do not connect in `limit`.
    pub fn lead<R: BufRead, W: Write>(
        self,
        others: &mut [(R, W)],
        secret: u64,
        limit: Duration,
    ) -> Result<Cluster, ClusterError> {
        let mut all = vec![self.address()];
        all.extend(addresses(others)?);
        tell(others, 1, secret, &all)?;
        self.connect(0, &all, secret, limit)
    }
}

fn addresses<R: BufRead, W>(processes: &mut [(R, W)]) -> Result<Vec<SocketAddr>, ClusterError> {
    let mut addresses = Vec::new();
    for (said, _) in processes {
        let mut line = String::new();
        said.read_line(&mut line).map_err(|source| ClusterError::Talk { source })?;
        addresses.push(line.trim().parse().map_err(|_| ClusterError::Meet {
            expected: "an address",
            found: line.trim().to_owned(),
        })?);
    }
    Ok(addresses)
}

/// Says to each process, of which the first has the index `first`, all that it needs to connect.
fn tell<R, W: Write>(
    processes: &mut [(R, W)],
    first: usize,
    secret: u64,
    addresses: &[SocketAddr],
) -> Result<(), ClusterError> {
    let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    for (index, (_, heard)) in (first..).zip(processes) {
        writeln!(heard, "{secret} {index} {}", all.join(" "))
            .and_then(|()| heard.flush())
            .map_err(|source| ClusterError::Talk { source })?;
    }
    Ok(())
}
