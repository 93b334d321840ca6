//! What other tools make of a shard: duckdb decodes the values, pyarrow and polars read the columns.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// A Python that has the modules, if there is one: the one that `STILLFLOW_PYTHON` names, or `python3`.
fn python(modules: &[&str]) -> Option<String> {
    let python = std::env::var("STILLFLOW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let program = format!("import {}", modules.join(", "));
    let there = Command::new(&python).args(["-c", &program]).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!("skipped: `{python}` has not all of {}", modules.join(", "));
    None
}

/// What a program prints, with a text as its input.
fn run(python: &str, program: &str, input: &str) -> String {
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn duckdb_decodes_the_values_by_our_query_as_we_do() {
    let Some(python) = python(&["duckdb"]) else { return };
    for name in ["k16", "exact", "top-p", "unbiased"] {
        let dir = tempfile::tempdir().unwrap();
        let profile: Profile = name.parse().unwrap();
        let samples = filled(dir.path(), &profile, 12);
        let cache = Cache::open(dir.path(), None).unwrap();
        let mut expected = vec![];
        for sample in &samples {
            let read = &cache.read(&[sample.id], None).unwrap()[0];
            for position in 0..read.num_positions() {
                let (ids, log_probs) = read.entries(position);
                for (rank, (id, log)) in ids.iter().zip(log_probs).enumerate() {
                    let key = (read.id.to_string(), position, rank);
                    expected.push((key, read.source.to_string(), *id, *log, read.tail[position]));
                }
            }
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let program = "import duckdb, sys\n\
            for row in duckdb.sql(sys.stdin.read()).fetchall(): print('\\t'.join(map(str, row)))";
        let printed = run(&python, program, &sql(&cache));
        let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(rows.len(), expected.len(), "{name}");
        let mut by_key: Vec<_> = rows
            .iter()
            .map(|row| {
                let key = (row[0].to_owned(), row[2].parse().unwrap(), row[3].parse().unwrap());
                let (log, tail): (f32, f32) = (row[5].parse().unwrap(), row[6].parse().unwrap());
                (key, row[1].to_owned(), row[4].parse::<u32>().unwrap(), log, tail)
            })
            .collect();
        by_key.sort_by(|a, b| a.0.cmp(&b.0));
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5 || (a == b);
        for (a, b) in by_key.iter().zip(&expected) {
            assert_eq!((&a.0, &a.1, a.2), (&b.0, &b.1, b.2), "{name}");
            assert!(near(a.3, b.3) && near(a.4, b.4), "{name}: {a:?}, {b:?}");
        }
    }
}

#[test]
fn pyarrow_and_polars_and_duckdb_read_every_column() {
    let Some(python) = python(&["duckdb", "pyarrow.parquet", "polars"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let profile: Profile = "top-p".parse().unwrap();
    let samples = filled(dir.path(), &profile, 12);
    let cache = Cache::open(dir.path(), None).unwrap();
    let (mut tokens, mut ids, mut rows) = (0, 0, 0);
    for sample in &samples {
        let read = &cache.read(&[sample.id], None).unwrap()[0];
        tokens += read.tokens.iter().map(|id| u64::from(*id)).sum::<u64>();
        ids += read.ids.iter().map(|id| u64::from(*id)).sum::<u64>();
        rows += 1;
    }
    let program = "import sys, duckdb, polars, pyarrow.parquet as pq\n\
        files = sys.stdin.read().split('\\n')\n\
        def show(rows):\n\
        \x20   flat = lambda name: sum(sum(row[name]) for row in rows)\n\
        \x20   print(len(rows), flat('input_ids'), flat('ids'), flat('dcode') > 0, sorted(rows[0]))\n\
        show([row for f in files for row in pq.read_table(f).to_pylist()])\n\
        show([row for f in files for row in polars.read_parquet(f).to_dicts()])\n\
        table = duckdb.execute('from read_parquet(?)', [files])\n\
        names = [column[0] for column in table.description]\n\
        show([dict(zip(names, row)) for row in table.fetchall()])";
    let files: Vec<String> = cache.shards().map(|(path, _)| path.display().to_string()).collect();
    let printed = run(&python, program, &files.join("\n"));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with(&format!("{rows} {tokens} {ids} True")), "{printed}");
    assert!(lines[0].contains("'sample_id', 'source', 'tail_lp', 'tau', 'top1_lp'"), "{printed}");
    assert!(lines.len() == 3 && lines.iter().all(|line| *line == lines[0]), "{printed}");
}
