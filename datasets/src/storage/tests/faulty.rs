//! A server of HTTP/1.1 that fails as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How one request is answered.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Answer {
    /// Right, with this ETag.
    Right(&'static str),
    /// Right, and without ETag or time.
    Anonymous,
    /// A status and further headers, without a body.
    Status(u16, &'static str),
    /// Nothing, until the client goes.
    Hang,
    /// So many bytes of the body, and then nothing.
    Stall(usize),
    /// A byte now and then.
    Trickle,
    /// So many bytes of a body that was announced longer, and the end of the connection.
    Cut(usize),
    /// So many bytes less than asked for, properly announced.
    Less(usize),
    /// No headers: the connection is closed at once.
    Reset,
    /// The whole file, whatever range was asked for.
    Whole,
}

#[derive(Debug)]
struct Plan {
    content: Vec<u8>,
    /// One for each request, and `after` for all that follow.
    answers: Mutex<VecDeque<Answer>>,
    after: Answer,
    requests: AtomicUsize,
}

/// The server; its threads end with the process.
pub(in crate::storage) struct Faulty {
    plan: Arc<Plan>,
    pub(in crate::storage) url: String,
}

impl Faulty {
    /// Serves one content under every name. HEAD is always answered rightly, with `"one"`, unless `after` is `Anonymous`.
    pub(in crate::storage) fn new(content: &[u8], answers: &[Answer], after: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/data", listener.local_addr().unwrap());
        let answers = Mutex::new(answers.iter().cloned().collect());
        let plan = Arc::new(Plan {
            content: content.to_vec(),
            answers,
            after,
            requests: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let plan = Arc::clone(&shared);
                socket.set_nodelay(true).unwrap();
                // What a client makes of a fault is what is tested, not how its connection ends.
                thread::spawn(move || while serve(&socket, &plan).unwrap_or(false) {});
            }
        });
        Self { plan, url }
    }

    /// How many requests for content came.
    pub(in crate::storage) fn requests(&self) -> usize {
        self.plan.requests.load(Ordering::SeqCst)
    }
}

/// Answers one request; whether the connection goes on.
fn serve(mut socket: &TcpStream, plan: &Plan) -> std::io::Result<bool> {
    let mut lines = BufReader::new(socket).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(false) };
    let (mut from, mut to, mut ranged) = (0, plan.content.len(), false);
    let mut if_match = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some((start, end)) =
            line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'))
        {
            (from, to, ranged) = (start.parse().unwrap(), end.parse::<usize>().unwrap() + 1, true);
        } else if let Some(tag) = line.strip_prefix("if-match: ") {
            if_match = Some(tag.to_owned());
        } else if line.is_empty() {
            break;
        }
    }
    let etag = match plan.after {
        Answer::Anonymous => None,
        _ => Some("\"one\""),
    };
    let tag = |etag: Option<&str>| etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
    if first.starts_with("HEAD") {
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {to}\r\n{}\r\n", tag(etag))?;
        return Ok(true);
    }
    plan.requests.fetch_add(1, Ordering::SeqCst);
    let answer = plan.answers.lock().unwrap().pop_front().unwrap_or_else(|| plan.after.clone());
    let body = &plan.content[from..to];
    let range = match ranged {
        true => format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, plan.content.len()),
        false => String::new(),
    };
    let status = if ranged { "206 Partial" } else { "200 OK" };
    let mut head = |etag, length: usize| {
        write!(socket, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}{}\r\n", tag(etag))
    };
    match answer {
        Answer::Right(new) if if_match.as_deref().is_some_and(|tag| tag != new) => {
            write!(socket, "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")?;
        }
        Answer::Right(etag) => {
            head(Some(etag), body.len())?;
            socket.write_all(body)?;
        }
        Answer::Anonymous => {
            head(None, body.len())?;
            socket.write_all(body)?;
        }
        Answer::Status(status, more) => {
            write!(socket, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n{more}\r\n")?;
        }
        Answer::Hang => thread::sleep(Duration::from_secs(30)),
        Answer::Stall(length) => {
            head(etag, body.len())?;
            socket.write_all(&body[..length])?;
            thread::sleep(Duration::from_secs(30));
        }
        Answer::Trickle => {
            head(etag, body.len())?;
            for byte in body {
                socket.write_all(&[*byte])?;
                thread::sleep(Duration::from_millis(20));
            }
        }
        Answer::Cut(length) => {
            head(etag, body.len())?;
            socket.write_all(&body[..length])?;
            socket.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        Answer::Less(by) => {
            let (length, etag) = (body.len() - by, tag(etag));
            write!(socket, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}{etag}\r\n")?;
            socket.write_all(&body[..length])?;
        }
        Answer::Reset => {
            socket.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        Answer::Whole => {
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", plan.content.len())?;
            socket.write_all(&plan.content)?;
        }
    }
    Ok(true)
}
