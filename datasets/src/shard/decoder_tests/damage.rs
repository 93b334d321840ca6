//! Ways to damage a file.

/// How many kinds of damage there are.
pub(crate) const KINDS: u64 = 9;

/// Damages bytes, in a way that `below` draws: `below(n)` is a number less than `n`. `headers` are the places where page
/// headers begin.
pub(crate) fn damage(
    good: &[u8],
    headers: &[usize],
    mut below: impl FnMut(u64) -> u64,
) -> (&'static str, Vec<u8>) {
    let kind = below(KINDS);
    let mut at = |n: usize| usize::try_from(below(n.max(1) as u64)).expect("a place in memory");
    let (mut bytes, size) = (good.to_vec(), good.len());
    let footer = size - size.min(1500);
    let name = match kind {
        0 => {
            bytes[at(size)] ^= 1 << at(8);
            "a flipped bit"
        }
        1 => {
            bytes[footer + at(size - footer)] ^= 1 << at(8);
            "a flipped bit of the footer"
        }
        2 => {
            let from = at(size);
            let end = size.min(from + 1 + at(512));
            bytes[from..end].fill(0);
            "a hole of zeros"
        }
        3 => {
            bytes.truncate(at(size));
            "cut off"
        }
        4 => {
            let (from, to, length) = (at(size), at(size), 1 + at(256));
            let length = length.min(size - from).min(size - to);
            bytes[to..to + length].copy_from_slice(&good[from..from + length]);
            "a piece of elsewhere"
        }
        5 => {
            bytes.insert(at(size), u8::try_from(at(256)).expect("a byte"));
            "a byte more"
        }
        6 => {
            bytes.remove(at(size));
            "a byte less"
        }
        7 => {
            for _ in 0..=at(16) {
                bytes[at(size)] = u8::try_from(at(256)).expect("a byte");
            }
            "some bytes"
        }
        _ => {
            // Sizes and counts of a page's header are numbers of 7 bits a byte, of which the highest says that more follow.
            let place = (headers[at(headers.len())] + at(24)).min(size - 1);
            for byte in &mut bytes[place..size.min(place + 1 + at(4))] {
                *byte = u8::try_from(127 + 128 * at(2) - at(4)).expect("a byte");
            }
            "an inflated page header"
        }
    };
    (name, bytes)
}
