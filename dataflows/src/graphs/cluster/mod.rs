//! The processes of a run, connected.
//!
//! Timely connects processes by itself, but for ever, and it prints on the standard output while it does. So
//! the sockets are made here, within a limit of time, and handed to it.
//!
//! # Meeting
//!
//! Each process binds a [`Listening`] socket to any free port, and says its address on its standard output.
//! Who spawned them reads these, and says all of them to each on its standard input ([`introduce`]; or
//! [`Listening::lead`], where the parent is the first of the processes itself). So
//! a port that is free is never let go to be taken by another before it is used. Each process then connects
//! to all before it, and waits for all after it. It says who it is by 24 bytes: the magic `stillfl1`, the
//! secret that all were told, and its index, both 64 bits, little-endian; whoever says anything else is
//! hung up on.
//!
//! ```text
//!   process 0            parent            process 1
//!     bind                                   bind
//!     address ------------> <------------- address
//!     secret, all <--------- ------------> secret, all
//!     accept <------------------------------ connect
//! ```
//!
//! # Losing one
//!
//! A stream that ends without timely's good-bye, or fails, is a process that died: the [`Halt`] is told
//! which, once, and is expected to end this process too. Until it does, the stream is wedged. A host that
//! vanishes without a word is not noticed before TCP does.
//!
//! The streams are neither encrypted nor authenticated beyond the secret: keep them to the loopback or to a
//! network of your own.

mod link;
mod meet;
mod parent;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

use crate::failure::Halt;

pub(super) use link::Link;
pub use meet::{Introduced, Listening};
pub use parent::introduce;

/// Processes that did not meet, or did not stay together.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// No socket to listen on.
    #[error("could not listen on {address}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// What the processes say to meet is not what it should be.
    #[error("expected {expected} to meet the other processes, found `{found}`")]
    Meet {
        /// What.
        expected: &'static str,
        /// Instead of it.
        found: String,
    },
    /// What the processes say to meet could not be said or heard.
    #[error("could not exchange addresses with the other processes")]
    Talk {
        /// Why.
        source: io::Error,
    },
    /// A process that cannot be connected to.
    #[error("could not connect to process {process} at {address} in {limit:?}")]
    Connect {
        /// Which.
        process: usize,
        /// Where.
        address: SocketAddr,
        /// How long it was tried.
        limit: Duration,
        /// The last reason.
        source: io::Error,
    },
    /// Processes that did not connect.
    #[error("process {process} did not connect to {address} in {limit:?}")]
    Missing {
        /// The first of them.
        process: usize,
        /// To where.
        address: SocketAddr,
        /// How long they were waited for.
        limit: Duration,
    },
    /// A process that died while there was work.
    #[error("lost process {process}")]
    Lost {
        /// Which.
        process: usize,
        /// How it showed.
        source: io::Error,
    },
}

/// A process, and its sockets to all others.
#[derive(Debug)]
pub struct Cluster {
    index: usize,
    sockets: Vec<Option<TcpStream>>,
}

impl Cluster {
    /// The place of this process among them.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    pub fn processes(&self) -> usize {
        self.sockets.len()
    }

    /// The streams as timely takes them. `halt` is told of the first that is lost.
    pub(super) fn links(self, halt: &Halt) -> Vec<Option<Link>> {
        let link = |(process, socket): (usize, Option<TcpStream>)| {
            socket.map(|socket| Link::new(process, socket, halt.clone()))
        };
        self.sockets.into_iter().enumerate().map(link).collect()
    }
}
