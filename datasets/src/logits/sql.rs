//! The text of a query that decodes a cache in duckdb: nothing of ours is needed to read it.

use super::{Cache, ValueCode};

/// A query of duckdb, one row an entry:
///
/// ```text
/// sample_id  source  position  rank  token_id  logp  tail_logp
/// ```
///
/// `position` is the token that is predicted from, from 0; `rank` is 0 for the most probable. Put it behind
/// `create view logits as`, or count what you like: `select source, avg(exp(logp)) from (…) where rank = 0 group by all`.
pub fn sql(cache: &Cache) -> String {
    let files = cache.shards().map(|(path, _)| {
        let path = path.display().to_string();
        format!("    '{}'", path.replace('\'', "''"))
    });
    decode(&files.collect::<Vec<_>>().join(",\n"), cache.identity().values)
}

/// The query over files, which are given as a list in SQL.
fn decode(files: &str, values: ValueCode) -> String {
    // Of a position whose entries begin at `start` of all: its differences begin at `start - position`, because the first
    // entry of each position has none. Lists count from 1, and slices have both their ends.
    let code = "coalesce(list_sum(dcode[start - position + 1 : start - position + rank]), 0)";
    let distance = values.sql(code);
    let log = |column: &str| {
        format!("case when {column} = 65535 then '-infinity'::double else {column} / -2048.0 end")
    };
    let (first, tail, tau) = (log("top1"), log("tail"), log("tau"));
    format!(
        "-- log-probabilities out of a cache of teacher logits ({values})
with samples as (
  select sample_id, source, ids, dcode,
         case when k_max > 0 then [k_max for i in range(n_tokens - 1)] else k end as ks,
         top1_lp, tail_lp, tau, n_tail, n_tokens
  from read_parquet([
{files}
  ])
),
positions as (
  select sample_id, source, ids, dcode,
         unnest(range(n_tokens - 1))::bigint as position,
         unnest(ks)::bigint as k,
         unnest([coalesce(list_sum(ks[1:i]), 0)::bigint for i in range(n_tokens - 1)]) as start,
         unnest(top1_lp) as top1,
         unnest(tail_lp) as tail,
         unnest(case when len(tau) > 0 then tau else [0 for i in range(n_tokens - 1)] end) as tau,
         unnest(case when len(n_tail) > 0 then n_tail else [0 for i in range(n_tokens - 1)] end) as n_tail
  from samples
),
entries as (
  select *, unnest(range(k)) as rank from positions
)
select lower(hex(sample_id)) as sample_id, source, position, rank,
       ids[start + rank + 1] as token_id,
       case when rank >= k - n_tail then {tau}
            else {first} - {distance} end as logp,
       {tail} as tail_logp
from entries
order by all
"
    )
}
