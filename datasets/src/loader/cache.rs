//! The decoded windows of one source: a few, each decoded once, whoever asks.
//!
//! A window that nobody decodes yet is decoded by the thread that asks for it; others that ask meanwhile wait. When all
//! slots are taken, the window that was used longest ago and that nobody reads now makes room, and its memory is used
//! for the new one; if all are being read, the thread waits. A thread reads one window at a time, so one always becomes
//! free, and no more than the slots are ever held.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::LoadError;
use super::stats::Counters;
use super::window::Window;

/// An epoch, and a window of it.
pub(super) type Key = (u64, usize);

pub(super) struct Cache {
    max_slots: usize,
    state: Mutex<State>,
    changed: Condvar,
    bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    clock: u64,
    /// Threads that wait for a change.
    waiting: u32,
}

struct Slot {
    key: Option<Key>,
    content: Content,
    /// Threads that read it or wait for it: it stays while there are any.
    users: u32,
    used_at: u64,
    /// Whether the window after it was asked for.
    followed: bool,
}

enum Content {
    Empty,
    Loading,
    Ready(Arc<Window>),
    Failed(LoadError),
}

/// A window that stays while this lives.
pub(super) struct Held<'a> {
    cache: &'a Cache,
    slot: usize,
    window: Option<Arc<Window>>,
    /// Whether the window after it should be asked for now.
    pub(super) follow: bool,
}

impl Deref for Held<'_> {
    type Target = Window;

    fn deref(&self) -> &Window {
        self.window.as_ref().expect("it is taken on drop only")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // First the window: who finds no users takes its memory.
        self.window = None;
        self.cache.leave(&mut self.cache.lock(), self.slot);
    }
}

/// What decodes a window into memory that was used before.
pub(super) type Load<'a> = &'a dyn Fn(&mut Window) -> Result<(), LoadError>;

impl Cache {
    pub(super) fn new(max_slots: usize) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { max_slots, state, changed, bytes: AtomicU64::new(0) }
    }

    /// How many windows may be here.
    pub(super) fn max_slots(&self) -> usize {
        self.max_slots
    }

    /// The memory of all windows.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The window of this key. `follow` says whether the window after it is wanted too, and the first to say so is told
    /// to ask for it.
    pub(super) fn get(
        &self,
        key: Key,
        follow: bool,
        counters: &Counters,
        load: Load<'_>,
    ) -> Result<Held<'_>, LoadError> {
        let mut state = self.lock();
        let slot = match state.slots.iter().position(|slot| slot.key == Some(key)) {
            Some(slot) if matches!(state.slots[slot].content, Content::Ready(_)) => {
                state.slots[slot].users += 1;
                counters.hit();
                slot
            }
            _ => {
                let begun = Instant::now();
                let slot;
                (state, slot) = self.slow(state, key, load)?;
                counters.waited(begun);
                slot
            }
        };
        state.clock += 1;
        let (clock, found) = (state.clock, slot);
        let slot = &mut state.slots[found];
        slot.used_at = clock;
        let follow = follow && !slot.followed;
        slot.followed |= follow;
        let Content::Ready(window) = &slot.content else { unreachable!("a user keeps it there") };
        Ok(Held { cache: self, slot: found, window: Some(Arc::clone(window)), follow })
    }

    /// Decodes the window of this key, if it is not here, and the one `after` which it comes still is: otherwise nobody
    /// waited for it, and it may have come and gone. An error waits for who asks.
    pub(super) fn prepare(&self, after: Key, key: Key, load: Load<'_>) {
        let mut state = self.lock();
        loop {
            let here = |key| state.slots.iter().any(|slot| slot.key == Some(key));
            if here(key) || !here(after) {
                return;
            }
            if let Some(slot) = self.free_slot(&mut state) {
                drop(self.load(state, slot, key, 0, load));
                return;
            }
            state = self.wait(state);
        }
    }

    /// Finds the window being decoded, or decodes it. The slot that is returned counts this user.
    fn slow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        key: Key,
        load: Load<'_>,
    ) -> Result<(MutexGuard<'a, State>, usize), LoadError> {
        let slot = loop {
            if let Some(slot) = state.slots.iter().position(|slot| slot.key == Some(key)) {
                state.slots[slot].users += 1;
                break slot;
            }
            if let Some(slot) = self.free_slot(&mut state) {
                state = self.load(state, slot, key, 1, load);
                break slot;
            }
            state = self.wait(state);
        };
        loop {
            match &state.slots[slot].content {
                Content::Ready(_) => return Ok((state, slot)),
                Content::Failed(error) => {
                    let error = error.clone();
                    self.leave(&mut state, slot);
                    return Err(error);
                }
                Content::Loading | Content::Empty => state = self.wait(state),
            }
        }
    }

    fn load<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        at: usize,
        key: Key,
        users: u32,
        load: Load<'_>,
    ) -> MutexGuard<'a, State> {
        let slot = &mut state.slots[at];
        let before = std::mem::replace(&mut slot.content, Content::Loading);
        (slot.key, slot.users, slot.followed) = (Some(key), users, false);
        drop(state);
        let mut window = match before {
            Content::Ready(window) => Arc::into_inner(window).unwrap_or_default(),
            _ => Window::default(),
        };
        let before = window.bytes();
        let content = match load(&mut window) {
            Ok(()) => Content::Ready(Arc::new(window)),
            Err(error) => Content::Failed(error),
        };
        let after = if let Content::Ready(window) = &content { window.bytes() } else { 0 };
        // One step: in two, others would see what never was.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        let mut state = self.lock();
        state.clock += 1;
        state.slots[at].used_at = state.clock;
        state.slots[at].content = content;
        self.tell(&state);
        state
    }

    /// A slot that nobody uses, the one used longest ago.
    fn free_slot(&self, state: &mut State) -> Option<usize> {
        if state.slots.len() < self.max_slots {
            let content = Content::Empty;
            state.slots.push(Slot { key: None, content, users: 0, used_at: 0, followed: false });
        }
        let free = |slot: &Slot| slot.users == 0 && !matches!(slot.content, Content::Loading);
        let free = state.slots.iter().enumerate().filter(|(_, slot)| free(slot));
        free.min_by_key(|(_, slot)| (slot.key.is_some(), slot.used_at)).map(|(at, _)| at)
    }

    fn leave(&self, state: &mut State, at: usize) {
        let slot = &mut state.slots[at];
        slot.users -= 1;
        if slot.users == 0 {
            if matches!(slot.content, Content::Failed(_)) {
                // Told to all that waited: who asks next tries again.
                (slot.key, slot.content) = (None, Content::Empty);
            }
            self.tell(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs between changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    fn tell(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }
}
