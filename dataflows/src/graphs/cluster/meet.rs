//! How processes find each other, and connect.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Cluster, ClusterError};

const MAGIC: &[u8; 8] = b"stillfl1";

/// How often is looked again for what is not there yet.
const AGAIN: Duration = Duration::from_millis(5);

/// A process that listens for the others, and is not connected yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Listens on a free port of `host`: `127.0.0.1` where all processes are on one machine.
    ///
    /// # Errors
    /// Where there is none.
    pub fn on(host: &str) -> Result<Self, ClusterError> {
        let bind = || {
            let listener = TcpListener::bind((host, 0))?;
            let address = listener.local_addr()?;
            Ok(Listening { listener, address })
        };
        bind().map_err(|source| ClusterError::Bind { address: host.to_owned(), source })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says its address to who spawned it, hears those of all, and connects: the side of the process, where
    /// [`introduce`](super::introduce) is the other. `heard` and `said` are its standard input and output.
    ///
    /// # Errors
    /// Where it hears something else, or the processes do not connect in `limit`.
    pub fn meet(
        self,
        heard: &mut impl BufRead,
        said: &mut impl Write,
        limit: Duration,
    ) -> Result<Cluster, ClusterError> {
        self.introduced(heard, said)?.connect(limit)
    }

    /// The first half of [`meet`](Self::meet): with it `heard` has said all.
    ///
    /// # Errors
    /// Where it hears something else.
    pub fn introduced(
        self,
        heard: &mut impl BufRead,
        said: &mut impl Write,
    ) -> Result<Introduced, ClusterError> {
        let talk = |source| ClusterError::Talk { source };
        writeln!(said, "{}", self.address).and_then(|()| said.flush()).map_err(talk)?;
        let mut line = String::new();
        heard.read_line(&mut line).map_err(talk)?;
        let mut words = line.split_whitespace();
        let meet = |expected, found: Option<&str>| ClusterError::Meet {
            expected,
            found: found.unwrap_or_default().to_owned(),
        };
        let mut number = |expected| {
            let word = words.next();
            word.and_then(|word| word.parse().ok()).ok_or_else(|| meet(expected, word))
        };
        let (secret, index) = (number("a secret")?, number("an index")?);
        let addresses = words
            .map(|word| word.parse().map_err(|_| meet("an address", Some(word))))
            .collect::<Result<Vec<SocketAddr>, _>>()?;
        let index = usize::try_from(index).ok().filter(|index| *index < addresses.len());
        let index = index.ok_or_else(|| meet("an index of the addresses", Some(line.trim())))?;
        Ok(Introduced { listening: self, index, addresses, secret })
    }

    /// Connects to the others, of which each does the same: this is the process `index` of `addresses`.
    ///
    /// # Errors
    /// Where they are not all connected in `limit`.
    pub fn connect(
        self,
        index: usize,
        addresses: &[SocketAddr],
        secret: u64,
        limit: Duration,
    ) -> Result<Cluster, ClusterError> {
        let until = Instant::now() + limit;
        let mut sockets: Vec<Option<TcpStream>> = addresses.iter().map(|_| None).collect();
        for (process, address) in addresses.iter().enumerate().take(index) {
            let stream = call(*address, hello(secret, index), until);
            sockets[process] = Some(stream.map_err(|source| ClusterError::Connect {
                process,
                address: *address,
                limit,
                source,
            })?);
        }
        let bind = |source| ClusterError::Bind { address: self.address.to_string(), source };
        self.listener.set_nonblocking(true).map_err(bind)?;
        while let Some(process) = (index + 1..sockets.len()).find(|at| sockets[*at].is_none()) {
            let stream = self.listener.accept().ok().map(|(stream, _)| stream);
            let known = stream.and_then(|stream| answer(stream, secret, until).ok());
            match known {
                Some((from, stream)) if from > index && from < sockets.len() => {
                    sockets[from].get_or_insert(stream);
                }
                _ if Instant::now() >= until => {
                    let address = self.address;
                    return Err(ClusterError::Missing { process, address, limit });
                }
                _ => thread::sleep(AGAIN),
            }
        }
        Ok(Cluster { index, sockets })
    }
}

/// A process that knows of the others, and is not connected yet.
#[derive(Debug)]
pub struct Introduced {
    listening: Listening,
    index: usize,
    addresses: Vec<SocketAddr>,
    secret: u64,
}

impl Introduced {
    /// The second half of [`meet`](Listening::meet).
    ///
    /// # Errors
    /// Where the processes do not connect in `limit`.
    pub fn connect(self, limit: Duration) -> Result<Cluster, ClusterError> {
        self.listening.connect(self.index, &self.addresses, self.secret, limit)
    }
}

fn hello(secret: u64, index: usize) -> [u8; 24] {
    let mut hello = [0; 24];
    hello[..8].copy_from_slice(MAGIC);
    hello[8..16].copy_from_slice(&secret.to_le_bytes());
    hello[16..].copy_from_slice(&(index as u64).to_le_bytes());
    hello
}

/// Connects, again and again, and says who it is.
fn call(address: SocketAddr, hello: [u8; 24], until: Instant) -> io::Result<TcpStream> {
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(AGAIN);
        match TcpStream::connect_timeout(&address, left) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                stream.write_all(&hello)?;
                return Ok(stream);
            }
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => thread::sleep(AGAIN),
        }
    }
}

/// Hears who connected. A stranger may say nothing at all, so there is a limit to that too.
fn answer(mut stream: TcpStream, secret: u64, until: Instant) -> io::Result<(usize, TcpStream)> {
    let left = until.saturating_duration_since(Instant::now()).max(AGAIN);
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(left.min(Duration::from_millis(500))))?;
    let mut said = [0; 24];
    stream.read_exact(&mut said)?;
    stream.set_read_timeout(None)?;
    let index = said[16..].try_into().map_or(u64::MAX, u64::from_le_bytes);
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if index == usize::MAX || said != hello(secret, index) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((index, stream))
}
