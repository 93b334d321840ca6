//! The papers' findings, tried on a teacher that is small enough for anybody.
//!
//! ```text
//! arms (recipes trends-*, each with some seeds) → runs in DIR/arms → what they were worth → T1 … T12 → report.html
//! ```
//!
//! | module | |
//! |---|---|
//! | [`arms`] | which recipes, on which text; each is a run directory named by its content, so none is made twice |
//! | [`results`] | what the arms were worth, by seed |
//! | [`compare`] | when a difference is one |
//! | [`findings`] | T1 to T12: the papers' claim and number, ours, and the verdict |
//! | [`report`] | one page with pictures |

pub mod arms;
pub mod compare;
pub mod findings;
pub mod report;
pub mod results;
