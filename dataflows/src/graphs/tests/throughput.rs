//! The throughput graph on workers, and on processes: the test runs itself again.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io, process, thread};

use crate::graphs::cluster::{ClusterError, Listening, introduce};
use crate::graphs::{Container, Measured, Throughput, throughput};
use crate::{Failure, Halt};

const CONTAINERS: [Container; 3] = [Container::Records, Container::Bytes, Container::Page];

fn graph(container: Container) -> Throughput {
    Throughput {
        payload_bytes: 1000,
        container,
        exchange: true,
        per_step: 3,
        steps: 200,
        window: 16,
        workers: 1,
        serialize: false,
    }
}

fn is_whole(measured: Measured, graph: &Throughput) {
    assert_eq!(measured.batches, graph.batches());
    assert_eq!(measured.bytes, graph.batches() * graph.payload_bytes as u64);
    assert_eq!(measured.digest, graph.digest());
}

#[test]
fn each_batch_arrives_once_in_any_container_on_any_number_of_workers() {
    for container in CONTAINERS {
        for (workers, serialize) in [(1, false), (2, false), (2, true), (3, true)] {
            for payload_bytes in [0, 1, 1000] {
                let graph = Throughput { workers, serialize, payload_bytes, ..graph(container) };
                let measured = throughput(&graph, None).unwrap();
                is_whole(measured, &graph);
                let all_but_one = 1.0 - 1.0 / workers as f64;
                let crossed = measured.crossed_share();
                assert!((crossed - all_but_one).abs() < 0.1, "{crossed} of {workers} workers");
            }
        }
    }
}

#[test]
fn nothing_crosses_workers_without_an_exchange() {
    for container in CONTAINERS {
        let graph = Throughput { workers: 2, exchange: false, ..graph(container) };
        let measured = throughput(&graph, None).unwrap();
        is_whole(measured, &graph);
        assert_eq!(measured.crossed, 0);
    }
}

#[test]
fn the_digest_tells_a_batch_that_came_twice_or_not_at_all() {
    let few = graph(Container::Page);
    let more = Throughput { steps: few.steps + 1, ..few };
    let longer = Throughput { payload_bytes: 1001, ..few };
    assert_ne!(few.digest(), more.digest());
    assert_ne!(few.digest(), longer.digest());
    let none = Throughput { steps: 0, ..few };
    assert_eq!(throughput(&none, None).unwrap().digest, none.digest());
}

/// The processes speak on standard error: the standard output is the test harness's.
const ASKED: &str = "DATAFLOWS_TEST_PROCESS";

/// What a process does: meets, runs, and says what it measured. On its own it is no test.
#[test]
#[expect(clippy::exit, reason = "a process of a cluster that lost another ends")]
fn a_process() {
    let Ok(asked) = env::var(ASKED) else { return };
    let asked: Vec<usize> = asked.split(' ').map(|word| word.parse().unwrap()).collect();
    let [container, steps, workers, per_step, payload_bytes, dies] = asked[..] else {
        panic!("{asked:?}")
    };
    let graph = Throughput {
        steps: steps as u64,
        workers,
        per_step: u32::try_from(per_step).unwrap(),
        payload_bytes,
        ..graph(CONTAINERS[container])
    };
    let listening = Listening::on("127.0.0.1").unwrap();
    let limit = Duration::from_secs(20);
    let mut input = io::stdin().lock();
    let cluster = listening.meet(&mut input, &mut io::stderr(), limit).unwrap();
    if dies == 1 && cluster.index() == 1 {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(300));
            process::abort();
        });
    }
    let halt: Halt = Arc::new(|failure: Failure| {
        eprintln!("{failure}: {}", failure.cause);
        process::exit(3);
    });
    let measured = throughput(&graph, Some((cluster, halt))).unwrap();
    let Measured { batches, bytes, crossed, seconds, digest } = measured;
    eprintln!("{batches} {bytes} {crossed} {digest} {seconds}");
}

type Process = (Child, BufReader<ChildStderr>, ChildStdin);

fn spawn(asked: &str) -> Process {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "graphs::tests::throughput::a_process", "--nocapture"])
        .env(ASKED, asked)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let heard = child.stdin.take().unwrap();
    (child, said, heard)
}

fn cluster(processes: usize, asked: &str) -> Vec<Process> {
    let mut all: Vec<Process> = (0..processes).map(|_| spawn(asked)).collect();
    let mut ends: Vec<_> = all.iter_mut().map(|(_, said, heard)| (said, heard)).collect();
    introduce(&mut ends, 42).unwrap();
    all
}

fn together(processes: Vec<Process>) -> Measured {
    let mut whole = Measured::default();
    for (mut child, mut said, _heard) in processes {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(child.wait().unwrap().success(), "{line}");
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let (batches, bytes, crossed, digest) = (number(0), number(1), number(2), number(3));
        assert!(batches > 0, "each process has its share");
        let seconds = words[4].parse().unwrap();
        whole = whole.and(Measured { batches, bytes, crossed, seconds, digest });
    }
    whole
}

#[test]
fn each_batch_arrives_once_on_several_processes() {
    for (which, container) in CONTAINERS.into_iter().enumerate() {
        let processes = 2 + which % 2;
        let whole = together(cluster(processes, &format!("{which} 200 2 3 1000 0")));
        is_whole(whole, &graph(container));
        assert!(whole.crossed_share() > 0.5);
    }
}

#[test]
fn a_process_that_dies_ends_the_others_with_one_line() {
    for which in 0..CONTAINERS.len() {
        let begun = Instant::now();
        let all = cluster(3, &format!("{which} 100000000 2 3 1000 1"));
        for (index, (mut child, mut said, _heard)) in all.into_iter().enumerate() {
            let mut lines = String::new();
            said.read_to_string(&mut lines).unwrap();
            let status = child.wait().unwrap();
            if index != 1 {
                assert_eq!(status.code(), Some(3), "{lines}");
                assert_eq!(lines.lines().count(), 1, "{lines}");
                // Whichever of the others was seen to be gone first.
                assert!(lines.starts_with("stage `exchange` failed: lost process "), "{lines}");
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "they end by themselves");
    }
}

#[test]
fn processes_that_do_not_come_are_named_when_the_time_is_over() {
    let limit = Duration::from_millis(50);
    let gone = Listening::on("127.0.0.1").unwrap().address();
    let here = Listening::on("127.0.0.1").unwrap();
    let addresses = [here.address(), gone];
    let missing = here.connect(0, &addresses, 1, limit).unwrap_err();
    assert!(matches!(missing, ClusterError::Missing { process: 1, .. }), "{missing}");

    let here = Listening::on("127.0.0.1").unwrap();
    let addresses = [gone, here.address()];
    let refused = here.connect(1, &addresses, 1, limit).unwrap_err();
    assert!(matches!(refused, ClusterError::Connect { process: 0, .. }), "{refused}");
}

#[test]
fn a_stranger_that_connects_is_hung_up_on() {
    let (first, second) =
        (Listening::on("127.0.0.1").unwrap(), Listening::on("127.0.0.1").unwrap());
    let addresses = [first.address(), second.address()];
    let mut stranger = std::net::TcpStream::connect(first.address()).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n").unwrap();
    let silent = std::net::TcpStream::connect(first.address()).unwrap();
    let limit = Duration::from_secs(10);
    let other = thread::spawn(move || second.connect(1, &addresses, 7, limit).unwrap());
    let cluster = first.connect(0, &addresses, 7, limit).unwrap();
    assert_eq!((cluster.index(), cluster.processes()), (0, 2));
    drop((silent, other.join().unwrap()));
}

#[test]
fn who_hears_nonsense_does_not_meet() {
    let cases = [
        ("", "expected a secret to meet the other processes, found ``"),
        ("1 x\n", "expected an index to meet the other processes, found `x`"),
        ("1 0 localhost\n", "expected an address to meet the other processes, found `localhost`"),
        (
            "1 2 127.0.0.1:1\n",
            "expected an index of the addresses to meet the other processes, found `1 2 127.0.0.1:1`",
        ),
    ];
    for (heard, error) in cases {
        let listening = Listening::on("127.0.0.1").unwrap();
        let met = listening.meet(&mut heard.as_bytes(), &mut io::sink(), Duration::ZERO);
        assert_eq!(met.unwrap_err().to_string(), error);
    }
    let mut processes = [(&b"thread panicked\n"[..], io::sink())];
    assert!(matches!(introduce(&mut processes, 1), Err(ClusterError::Meet { .. })));
}

/// `cargo test --release -p dataflows --lib throughput::what_it_costs -- --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn what_it_costs() {
    println!("us a batch, best of 20: 1 worker, 2 workers, 2 that serialise, 2 processes");
    // Short runs: on a machine that is shared the best of them is one that was not interrupted.
    let best = |once: &dyn Fn() -> Measured| {
        let each = (0..20).map(|_| once()).map(|one| one.seconds * 1e6 / one.batches as f64);
        each.fold(f64::MAX, f64::min)
    };
    for (payload_bytes, per_step) in [(64, 1), (64, 16), (64 << 10, 1)] {
        for (which, container) in CONTAINERS.into_iter().enumerate() {
            let mut line = format!("{payload_bytes:6} B, {per_step:2} a step, {container:?}");
            let steps = if payload_bytes > 64 { 200 } else { 1000 };
            for (workers, serialize) in [(1, false), (2, false), (2, true)] {
                let graph = Throughput {
                    payload_bytes,
                    per_step,
                    steps,
                    workers,
                    serialize,
                    ..graph(container)
                };
                line += &format!("  {:9.2}", best(&|| throughput(&graph, None).unwrap()));
            }
            let asked = format!("{which} {steps} 1 {per_step} {payload_bytes} 0");
            println!("{line}  {:9.2}", best(&|| together(cluster(2, &asked))));
        }
    }
}
