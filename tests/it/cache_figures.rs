//! Figures of capture and of learning from a cache, for the log: a real small teacher and real text, everything that is
//! compared interleaved in one run.
//!
//! `cargo test --release --test it -- --ignored --nocapture cache_figures`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use datasets::TokenLists;
use datasets::loader::{Pieces, Sequence};
use datasets::logits::{
    Cache, CacheWriter, Identity, LogitError, Profile, Reader, Scored, Teacher as Whose,
    TokenizerIdentity, stat,
};
use datasets::shard::SampleId;
use datasets::tokenizer::Tokenizer;
use kernels::DType;
use kernels::device::choose;
use kernels::loss::{Objective, Rest, Teacher};
use stillflow::distill::{Batch, LearningRate, Settings, Trainer};
use stillflow::eval::losses::lesson;
use stillflow::logits::{Asked, Lessons, Scorer, sparse};
use stillflow::model::{Decoder, Recompute};
use stillflow::weights::{ModelDirectory, initialise, load};

struct Real {
    teacher: Decoder,
    identity: Identity,
    /// With bos and eos, within the teacher's context.
    documents: Vec<Vec<u32>>,
}

fn real(profile: &Profile) -> Option<Real> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let model = data.join("weights/TinyStories-656K");
    let Ok(text) = std::fs::read_to_string(data.join("text/tinystories_train.txt")) else {
        println!("skipped: no `{}`", data.display());
        return None;
    };
    let device = choose("cpu".parse().unwrap()).unwrap().device;
    let teacher = load(&ModelDirectory::open(&model).unwrap(), &device, DType::F32).unwrap();
    let tokenizer = Tokenizer::load(&model).unwrap();
    let whole = |document: &str| {
        let mut tokens = tokenizer.encode(document).unwrap();
        tokens.truncate(teacher.config.max_position_embeddings - 2);
        let around = (tokenizer.bos_id(), tokenizer.eos_id());
        around.0.into_iter().chain(tokens).chain(around.1).collect::<Vec<u32>>()
    };
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    let documents: Vec<_> = paragraphs.take(400).map(whole).collect();
    let identity = Identity {
        teacher: Whose::of_directory(&model).unwrap(),
        tokenizer: TokenizerIdentity::load(&model).unwrap(),
        template: String::new(),
        context: "figures".into(),
        vocab_size: tokenizer.vocab_size(),
        values: profile.values,
        sampled: profile.is_sampled(),
        label: true,
        temperatures: vec![],
        provenance: BTreeMap::new(),
    };
    Some(Real { teacher, identity, documents })
}

impl Real {
    fn asked(&self) -> Vec<Asked> {
        let names = self.identity.names();
        let of = |tokens: &Vec<u32>| Asked {
            id: names.of(tokens),
            source: "stories".into(),
            tokens: tokens.clone(),
        };
        self.documents.iter().map(of).collect()
    }

    /// Longest first, as capture does.
    fn batches(&self, tokens: usize) -> Vec<Vec<Asked>> {
        let mut all = self.asked();
        all.sort_by_key(|asked| std::cmp::Reverse(asked.tokens.len()));
        let mut batches: Vec<Vec<Asked>> = Vec::new();
        for asked in all {
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * batch[0].tokens.len() <= tokens => {
                    batch.push(asked)
                }
                _ => batches.push(vec![asked]),
            }
        }
        batches
    }

    fn captured(&self, dir: &Path, profile: Profile) -> Cache {
        let scorer = self.scorer(profile);
        let mut writer = CacheWriter::open(dir, &self.identity, profile).unwrap();
        for batch in self.batches(4096) {
            for scored in scorer.score(batch) {
                writer.push(&scored).unwrap();
            }
        }
        writer.commit().unwrap();
        Cache::open(dir, Some(&self.identity)).unwrap()
    }

    fn scorer(&self, profile: Profile) -> Scorer {
        Scorer { teacher: self.teacher.clone(), vocab_size: self.identity.vocab_size, profile }
    }
}

/// Seconds of each of several things, done in turn, the order changing.
fn in_turn<const N: usize>(turns: usize, mut each: impl FnMut(usize, usize)) -> [f64; N] {
    let mut seconds = [0.0; N];
    for turn in 0..turns {
        for i in 0..N {
            let which = (i + turn) % N;
            let begun = Instant::now();
            each(turn, which);
            seconds[which] += begun.elapsed().as_secs_f64();
        }
    }
    seconds
}

#[test]
#[ignore = "figures"]
fn capture_beside_the_plain_forward_pass() {
    let profile = Profile::default();
    let Some(real) = real(&profile) else { return };
    let (scorer, batches) = (real.scorer(profile), real.batches(4096));
    let tokens: usize = batches.iter().flatten().map(|asked| asked.tokens.len() - 1).sum();
    let padded: usize = batches.iter().map(|b| b.len() * (b[0].tokens.len() - 1)).sum();
    let plain: Vec<Batch> = batches
        .iter()
        .map(|batch| {
            let longest = batch[0].tokens.len();
            let sequence = |asked: &Asked| {
                let mut tokens = asked.tokens.clone();
                tokens.resize(longest, 0);
                let len = asked.tokens.len() as u32;
                Sequence { tokens, starts: vec![0], len, ..Sequence::default() }
            };
            Batch::new(&batch.iter().map(sequence).collect::<Vec<_>>(), false)
        })
        .collect();
    let device = real.teacher.device();
    let mut kept = 0;
    let seconds: [f64; 3] = in_turn(batches.len(), |turn, which| match which {
        0 => {
            let (ids, labels) = (plain[turn].inputs(&device), plain[turn].labels(&device));
            let sums = real.teacher.loss(&ids, None, &labels, None, &Objective::cross_entropy());
            assert!(sums.cross_entropy.is_finite());
        }
        1 => {
            let z = real.teacher.logits(&plain[turn].inputs(&device));
            assert!(kernels::host::take(z.narrow(0, 0, 1))[0].is_finite());
        }
        _ => kept += scorer.score(batches[turn].clone()).len(),
    });
    assert_eq!(kept, real.documents.len());
    let rate = |seconds: f64| tokens as f64 / seconds;
    println!(
        "{tokens} tokens, {:.2}% of the passes padding; forward with its loss {:.0} tokens/s, logits alone {:.0}, capture {:.0}: \
         {:.3} and {:.3} of them",
        100.0 * (padded - tokens) as f64 / padded as f64,
        rate(seconds[0]),
        rate(seconds[1]),
        rate(seconds[2]),
        seconds[0] / seconds[2],
        seconds[1] / seconds[2],
    );
    assert!(seconds[0] / seconds[2] > 0.5, "capture is far from the forward pass: {seconds:?}");
}

#[test]
#[ignore = "figures"]
fn bytes_of_a_token_of_real_text() {
    for name in ["k16", "k32", "k64", "exact", "top-p", "unbiased"] {
        let profile: Profile = name.parse().unwrap();
        let Some(real) = real(&profile) else { return };
        let dir = tempfile::tempdir().unwrap();
        let told = stat(&real.captured(dir.path(), profile)).unwrap();
        let (each, mass) = (told.bytes_per_token, told.mean_mass);
        let entries = told.entries as f64 / told.positions as f64;
        println!(
            "{name}: {each:.1} bytes a token, {entries:.1} entries, mass {mass:.4}, {} tokens",
            told.tokens
        );
        assert!(each > 1.0 && told.samples as usize <= real.documents.len());
    }
}

struct FromCache(Reader);

impl Lessons for FromCache {
    fn of(&mut self, id: SampleId, _: &[u32]) -> Result<Scored, LogitError> {
        self.0.get(id, None)
    }
}

/// Whole documents, as many as fit, in each sequence.
fn packed(documents: &[Vec<u32>], seq: usize) -> Vec<(Sequence, Pieces)> {
    let mut all: Vec<(Sequence, Pieces)> = Vec::new();
    for document in documents.iter().filter(|document| document.len() <= seq + 1) {
        let fits =
            |(sequence, _): &(Sequence, Pieces)| sequence.tokens.len() + document.len() <= seq + 1;
        if !all.last().is_some_and(fits) {
            all.push((
                Sequence::default(),
                Pieces { documents: TokenLists::default(), from: vec![] },
            ));
        }
        let (sequence, pieces) = all.last_mut().unwrap();
        sequence.starts.push(sequence.tokens.len() as u32);
        sequence.tokens.extend(document);
        sequence.len = sequence.tokens.len() as u32;
        pieces.documents.tokens.extend(document);
        pieces.documents.bounds.push(pieces.documents.tokens.len() as u32);
        pieces.from.push(0);
    }
    all.iter_mut().for_each(|(sequence, _)| sequence.tokens.resize(seq + 1, 0));
    all
}

#[test]
#[ignore = "figures"]
fn a_students_step_from_the_cache_beside_cross_entropy_and_the_live_teacher() {
    let profile = Profile::default();
    let Some(real) = real(&profile) else { return };
    let dir = tempfile::tempdir().unwrap();
    let cache = Arc::new(real.captured(dir.path(), profile));
    let mut lessons = FromCache(Reader::new(cache, 1 << 30));
    let names = real.identity.names();
    let all = packed(&real.documents, 256);
    let batches: Vec<_> = all
        .chunks_exact(8)
        .map(|chunk| {
            let sequences: Vec<Sequence> =
                chunk.iter().map(|(sequence, _)| sequence.clone()).collect();
            let pieces: Vec<_> =
                chunk.iter().map(|(s, pieces)| (s.starts.clone(), pieces.clone())).collect();
            (Batch::new(&sequences, true), pieces)
        })
        .take(24)
        .collect();
    let settings = |objective| Settings {
        learning_rate: LearningRate { peak: 1e-4, min: 1e-5, warmup_steps: 1, steps: 1000 },
        objective,
        cross_entropy_is_dynamic: false,
        hidden: None,
        tokens_per_step: 8 * 256,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.0,
        clip_norm: 1.0,
        recompute: Recompute::None,
    };
    let student = initialise(&real.teacher.config, 7, &real.teacher.device());
    let trainer = |objective| Trainer::new(student.clone(), DType::F32, settings(objective));
    let mut trainers = [
        trainer(Objective::cross_entropy()),
        trainer(Objective::forward_kl()),
        trainer(Objective::forward_kl()),
    ];
    let mut reading = 0.0;
    let seconds: [f64; 3] = in_turn(batches.len(), |turn, which| {
        let (mut batch, pieces) = batches[turn].clone();
        let teacher = match which {
            0 => None,
            1 => {
                let begun = Instant::now();
                let known = sparse(&mut lessons, &names, &mut batch, &pieces, Rest::Ghost).unwrap();
                reading += begun.elapsed().as_secs_f64();
                Some(Teacher::Sparse(known))
            }
            _ => Some(lesson(&real.teacher, &batch)),
        };
        trainers[which].accumulate(&batch, teacher.as_ref(), &[]);
        trainers[which].update(turn as u64).unwrap();
    });
    let [plain, cached, online] = seconds.map(|s| s * 1e3 / batches.len() as f64);
    let read = reading * 1e3 / batches.len() as f64;
    println!(
        "a step of 2,048 positions: cross-entropy {plain:.1} ms; from the cache {cached:.1} ms, of which reading {read:.1} \
         (on a thread of its own in a run): {:.3} of it, {:.3} with reading; live teacher {online:.1} ms: {:.3}",
        (cached - read) / plain,
        cached / plain,
        online / plain
    );
    assert!(cached < online * 1.5, "{seconds:?}");
}
