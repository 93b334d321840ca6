//! Lists of tokens, flat: what a decoder writes and a loader reads.

/// Token lists, one after the other: list `i` is `tokens[bounds[i]..bounds[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLists {
    /// The tokens of all lists.
    pub tokens: Vec<u32>,
    /// Where the lists begin, and the end of the last: one more than there are lists.
    pub bounds: Vec<u32>,
}

impl Default for TokenLists {
    fn default() -> Self {
        Self { tokens: Vec::new(), bounds: vec![0] }
    }
}

impl TokenLists {
    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A list.
    ///
    /// # Panics
    /// If there is no such list.
    pub fn get(&self, index: usize) -> &[u32] {
        &self.tokens[self.bounds[index] as usize..self.bounds[index + 1] as usize]
    }

    /// Forgets the lists, and keeps the memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.bounds.truncate(1);
    }
}
