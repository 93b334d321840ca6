//! The sequences of one source.

use std::sync::{Arc, Mutex, PoisonError};

use super::cache::{Cache, Held, Key};
use super::epoch::Epoch;
use super::pack_plan::PackPlan;
use super::stats::{Counters, SourceStats};
use super::window::Window;
use super::{Groups, LoadError, Sequence, Settings, Source};
use crate::order::{SourceOrder, largest_window};
use crate::pack::Method;

/// How documents become sequences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) method: Method,
    pub(super) seq_tokens: u32,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    /// Tokens around a document.
    pub(super) around: u32,
    pub(super) vocab_size: u32,
}

pub(super) struct Stream {
    pub(super) name: String,
    pub(super) groups: Arc<dyn Groups>,
    pub(super) layout: Layout,
    pub(super) order: SourceOrder,
    pub(super) pack_plan: Option<PackPlan>,
    /// What each row group has of what an epoch is made of: tokens, or bins.
    pub(super) units: Vec<u64>,
    /// Tokens of each row group, as stored.
    tokens: Vec<u64>,
    /// Sequences of an epoch.
    pub(super) per_epoch: u64,
    pub(super) epochs: Option<u64>,
    pub(super) largest_window: u64,
    pub(super) cache: Cache,
    pub(super) counters: Counters,
    /// The epochs asked for last.
    last: Mutex<[Option<Arc<Epoch>>; 2]>,
}

/// A window that should be decoded before it is needed.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    /// The window that was read when it was asked for.
    after: Key,
    key: Key,
}

impl Stream {
    pub(super) fn stats(&self) -> SourceStats {
        self.counters.stats(&self.name, self.groups.fetched())
    }

    pub(super) fn new(
        source: Source,
        settings: &Settings,
        layout: Layout,
        window_tokens: u64,
    ) -> Result<Self, LoadError> {
        let Source { name, groups, epochs, pack_plan, .. } = source;
        let order = SourceOrder::new(&name, settings.shuffle, window_tokens, settings.seed);
        let around = u64::from(layout.around);
        let whole = |tokens: u64, rows: u64| tokens.saturating_add(around.saturating_mul(rows));
        let sizes = groups.sizes();
        let (tokens, rows) =
            largest_window(sizes.iter().map(|size| (size.tokens, size.rows)), window_tokens);
        if whole(tokens, rows) >= u64::from(u32::MAX) {
            return Err(LoadError::WindowTooLarge { name, tokens: whole(tokens, rows) });
        }
        let largest_window = Window::bytes_of(&layout, tokens, rows);
        let all: u64 = sizes.iter().map(|size| whole(size.tokens, size.rows)).sum();
        let pack_plan = match layout.method {
            Method::Concat => None,
            Method::BestFit => Some(match pack_plan {
                Some(plan) if plan.fits(&*groups, layout.seq_tokens, layout.around) => plan,
                _ => PackPlan::new(&name, &*groups, layout.seq_tokens, layout.around)?,
            }),
        };
        let units: Vec<u64> = match &pack_plan {
            None => sizes.iter().map(|size| whole(size.tokens, size.rows)).collect(),
            Some(plan) => plan.bins.iter().map(|bins| u64::from(*bins)).collect(),
        };
        let (per_epoch, need) = match layout.method {
            Method::Concat => (
                all.saturating_sub(1) / u64::from(layout.seq_tokens),
                u64::from(layout.seq_tokens) + 1,
            ),
            Method::BestFit => (units.iter().sum(), 1),
        };
        if per_epoch == 0 {
            return Err(LoadError::TooShort { name, tokens: all, need });
        }
        let tokens = sizes.iter().map(|size| size.tokens).collect();
        Ok(Self {
            name,
            layout,
            order,
            pack_plan,
            units,
            tokens,
            per_epoch,
            epochs,
            largest_window,
            groups,
            cache: Cache::new(2),
            counters: Counters::default(),
            last: Mutex::new([None, None]),
        })
    }

    /// With a cache of so many windows.
    pub(super) fn with_slots(self, slots: usize) -> Self {
        Self { cache: Cache::new(slots), ..self }
    }

    /// Fills with a sequence of the source. Calls `ask` for a window that will be needed.
    pub(super) fn fill(
        &self,
        index: u64,
        out: &mut Sequence,
        ask: &dyn Fn(Ask),
    ) -> Result<(), LoadError> {
        let full = self.layout.seq_tokens as usize + 1;
        out.tokens.clear();
        out.tokens.reserve(full);
        out.starts.clear();
        if let Some(pieces) = &mut out.pieces {
            pieces.clear();
        }
        (out.epoch, out.len) = (index / self.per_epoch, 0);
        let epoch = self.epoch(out.epoch);
        let within = index % self.per_epoch;
        let begin = match self.layout.method {
            Method::Concat => within * u64::from(self.layout.seq_tokens),
            Method::BestFit => within,
        };
        let mut window = epoch.window_of(begin);
        let mut from = begin - epoch.begin(window);
        loop {
            let held = self.window(&epoch, window, from, ask)?;
            let copied = out.tokens.len();
            match self.layout.method {
                Method::Concat => held.copy(&self.layout, in_window(from), out),
                Method::BestFit => held.copy_bin(&self.layout, in_window(from) as usize, out),
            }
            // Here they are near: over a whole window it would be one more way through memory.
            if out.tokens[copied..].iter().copied().fold(0, u32::max) >= self.layout.vocab_size
                && let Some(error) = held.no_id(self, epoch.order.window(window))
            {
                return Err(error);
            }
            if out.tokens.len() == full || self.layout.method == Method::BestFit {
                break;
            }
            (window, from) = (window + 1, 0);
        }
        out.len = u32::try_from(out.tokens.len()).expect("sequences are shorter than 2^32");
        out.tokens.resize(full, self.layout.eos.unwrap_or(0));
        let tokens = out.len.min(self.layout.seq_tokens);
        self.counters.filled(tokens.into(), (self.layout.seq_tokens - tokens).into());
        Ok(())
    }

    fn window<'a>(
        &'a self,
        epoch: &Epoch,
        window: usize,
        from: u64,
        ask: &dyn Fn(Ask),
    ) -> Result<Held<'a>, LoadError> {
        let key = (epoch.number, window);
        let units = epoch.begin(window + 1) - epoch.begin(window);
        // With two slots, reading ahead takes that of the window before, so threads should be done with it.
        let follow = self.cache.max_slots() > 2 || from >= units / 4;
        let held = self.cache.get(key, follow, &self.counters, &|into| self.load(key, into))?;
        if held.follow
            && let Some(next) = self.next(epoch, window)
        {
            ask(Ask { after: key, key: next });
        }
        Ok(held)
    }

    /// Decodes a window that will be needed.
    pub(super) fn prepare(&self, Ask { after, key }: Ask) {
        self.cache.prepare(after, key, &|into| self.load(key, into));
    }

    fn load(&self, (number, window): Key, into: &mut Window) -> Result<(), LoadError> {
        let epoch = self.epoch(number);
        for group in epoch.order.window(window).iter().skip(1) {
            self.groups.will_need(*group as usize);
        }
        if let Some((number, window)) = self.next(&epoch, window) {
            for group in self.epoch(number).order.window(window) {
                self.groups.will_need(*group as usize);
            }
        }
        // A panic must not leave others waiting.
        let load = std::panic::AssertUnwindSafe(|| into.load(self, number, window));
        std::panic::catch_unwind(load)
            .unwrap_or_else(|_| Err(LoadError::Panicked { name: self.name.clone() }))?;
        let sizes = self.groups.sizes();
        let groups = epoch.order.window(window).iter();
        self.counters.decoded(groups.map(|group| sizes[*group as usize].bytes).sum());
        Ok(())
    }

    fn next(&self, epoch: &Epoch, window: usize) -> Option<Key> {
        if window + 1 < epoch.order.num_windows() {
            return Some((epoch.number, window + 1));
        }
        let number = epoch.number.checked_add(1)?;
        self.epochs.is_none_or(|epochs| number < epochs).then_some((number, 0))
    }

    pub(super) fn epoch(&self, number: u64) -> Arc<Epoch> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(epoch) = last.iter().flatten().find(|epoch| epoch.number == number) {
            return Arc::clone(epoch);
        }
        let order = self.order.epoch(number, &self.tokens);
        let epoch = Arc::new(Epoch::new(number, order, &self.units));
        *last = [Some(Arc::clone(&epoch)), last[0].take()];
        epoch
    }

    /// The memory of plans.
    pub(super) fn plan_bytes(&self) -> u64 {
        let epochs = 2 * (4 + 4 + 8) * (self.tokens.len() as u64 + 1);
        let plan = self.pack_plan.as_ref().map_or(0, |plan| 4 * plan.bins.len() as u64);
        epochs + 16 * self.tokens.len() as u64 + plan
    }
}

fn in_window(from: u64) -> u32 {
    u32::try_from(from).expect("`new` checks the largest window")
}
