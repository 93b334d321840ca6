//! What a loader gives, by plain loops over everything at once.

use rand_chacha::rand_core::Rng;

use super::super::{Sequence, Settings};
use super::memory::Memory;
use crate::order::Shuffle;
use crate::pack::Method;
use crate::random;

type Document = Vec<u32>;

/// All sequences of some epochs of a source.
pub(super) fn source(
    name: &str,
    groups: &Memory,
    settings: &Settings,
    epochs: u64,
) -> Vec<Sequence> {
    let mut all = Vec::new();
    for epoch in 0..epochs {
        let windows = windows(name, groups, settings, epoch);
        match settings.packing {
            Method::Concat => {
                let permuted = windows.into_iter().enumerate().flat_map(|(w, window)| {
                    let documents: Vec<Document> = window.into_iter().flatten().collect();
                    permuted(name, settings, epoch, w, documents)
                });
                all.extend(cut(&permuted.collect::<Vec<_>>(), settings, epoch));
            }
            Method::BestFit => {
                for (w, window) in windows.into_iter().enumerate() {
                    let bins =
                        window.iter().flat_map(|group| bins(group, settings, epoch)).collect();
                    all.extend(permuted(name, settings, epoch, w, bins));
                }
            }
        }
    }
    all
}

/// Windows of row groups of documents.
fn windows(
    name: &str,
    groups: &Memory,
    settings: &Settings,
    epoch: u64,
) -> Vec<Vec<Vec<Document>>> {
    let n = groups.groups.len() as u64;
    let key = random::key(settings.seed, &format!("groups {name}"), epoch);
    let (mut windows, mut tokens) = (vec![vec![]], 0);
    for i in 0..n {
        if tokens >= settings.window_tokens.unwrap() {
            windows.push(vec![]);
            tokens = 0;
        }
        let group =
            if settings.shuffle == Shuffle::Global { random::permute(i, n, key) } else { i };
        let lists = &groups.groups[usize::try_from(group).unwrap()];
        tokens += lists.tokens.len() as u64;
        let documents = (0..lists.len()).map(|row| {
            settings
                .bos
                .into_iter()
                .chain(lists.get(row).iter().copied())
                .chain(settings.eos)
                .collect()
        });
        windows.last_mut().unwrap().push(documents.collect());
    }
    windows
}

fn permuted<T: Clone>(
    name: &str,
    settings: &Settings,
    epoch: u64,
    window: usize,
    all: Vec<T>,
) -> Vec<T> {
    let purpose = format!("rows {name}");
    let key = random::stream(settings.seed, &purpose, epoch, window as u64).next_u64();
    let n = all.len() as u64;
    let at = |i| if settings.shuffle == Shuffle::None { i } else { random::permute(i, n, key) };
    (0..n).map(|i| all[usize::try_from(at(i)).unwrap()].clone()).collect()
}

fn cut(documents: &[Document], settings: &Settings, epoch: u64) -> Vec<Sequence> {
    // Each token, and whether it begins a document.
    let stream: Vec<(u32, bool)> = documents
        .iter()
        .flat_map(|document| document.iter().enumerate().map(|(i, token)| (*token, i == 0)))
        .collect();
    let size = settings.seq_tokens;
    let mut all = Vec::new();
    let mut begin = 0;
    while begin + size < stream.len() {
        let part = &stream[begin..=begin + size];
        let tokens = part.iter().map(|(token, _)| *token).collect();
        let starts = (0..).zip(part).filter(|(i, (_, begins))| *i == 0 || *begins).map(|(i, _)| i);
        let len = u32::try_from(size + 1).unwrap();
        all.push(Sequence {
            tokens,
            starts: starts.collect(),
            len,
            epoch,
            source: 0,
            pieces: None,
        });
        begin += size;
    }
    all
}

fn bins(documents: &[Document], settings: &Settings, epoch: u64) -> Vec<Sequence> {
    let size = settings.seq_tokens + 1;
    let pieces: Vec<&[u32]> = documents.iter().flat_map(|document| document.chunks(size)).collect();
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|piece| std::cmp::Reverse(pieces[*piece].len()));
    // Room, when it was last filled, pieces.
    let mut bins: Vec<(usize, usize, Vec<usize>)> = Vec::new();
    for (time, piece) in order.into_iter().enumerate() {
        let len = pieces[piece].len();
        let fits = bins.iter_mut().filter(|bin| bin.0 >= len);
        match fits.min_by_key(|bin| (bin.0, std::cmp::Reverse(bin.1))) {
            Some(bin) => *bin = (bin.0 - len, time, [&bin.2[..], &[piece]].concat()),
            None => bins.push((size - len, time, vec![piece])),
        }
    }
    bins.iter_mut().for_each(|bin| bin.2.sort_unstable());
    bins.sort_by_key(|bin| bin.2[0]);
    let sequence = |(room, _, of_bin): (usize, usize, Vec<usize>)| {
        let (mut tokens, mut starts) = (Vec::new(), Vec::new());
        for piece in of_bin {
            starts.push(u32::try_from(tokens.len()).unwrap());
            tokens.extend(pieces[piece]);
        }
        tokens.resize(size, settings.eos.unwrap_or(0));
        let len = u32::try_from(size - room).unwrap();
        Sequence { tokens, starts, len, epoch, source: 0, pieces: None }
    };
    bins.into_iter().map(sequence).collect()
}
