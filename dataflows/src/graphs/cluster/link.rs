//! A connection to another process, that tells when it is lost.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use timely::communication::allocator::zero_copy::stream::Stream;

use super::ClusterError;
use crate::failure::{Failure, Halt};

/// A stream to another process, that tells when it is lost.
pub(in crate::graphs) struct Link {
    socket: TcpStream,
    process: usize,
    /// How many of the last bytes read are zero. Timely's good-bye is a header of zeros, which no other
    /// header is. Where a payload ended so before its process died, timely panics instead.
    zeros: usize,
    halt: Halt,
}

/// The bytes of a header.
const HEADER: usize = 48;

impl Link {
    pub(super) fn new(process: usize, socket: TcpStream, halt: Halt) -> Self {
        Link { socket, process, zeros: 0, halt }
    }

    /// Tells, and never returns: who believed that the stream has ended could believe that all is done.
    fn lost<T>(&self, source: io::Error) -> io::Result<T> {
        let lost = ClusterError::Lost { process: self.process, source };
        let stage = "exchange".to_owned();
        (self.halt)(Failure { stage, step: None, shard: None, cause: lost.into() });
        loop {
            thread::park();
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = loop {
            match self.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) if self.zeros < HEADER => self.lost(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                let last = buffer[..count].iter().rev().take(HEADER);
                let zeros = last.take_while(|byte| **byte == 0).count();
                self.zeros = if zeros == count { (self.zeros + count).min(HEADER) } else { zeros };
                Ok(count)
            }
            Err(error) => self.lost(error),
        }
    }
}

impl Write for Link {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self.socket.write(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.lost(error),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Self> {
        let socket = self.socket.try_clone()?;
        Ok(Link { socket, process: self.process, zeros: 0, halt: self.halt.clone() })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}
