//! Fixed texts by which tokenizers are told apart.

/// What is varied: words, numbers, code, white space, other scripts.
const STEMS: &[&str] = &[
    "the",
    "quick brown fox",
    "Hello, world!",
    "don't",
    "it's we'll they'd",
    "co-operate",
    "naïve café",
    "3.14159",
    "1,000,000",
    "2024-11-25",
    "0xdeadbeef",
    "1e-5",
    "a1b2c3",
    "v2.0.1-rc3",
    "$19.99",
    "50%",
    "http://example.org/a?b=c&d=e#f",
    "name@example.com",
    "C:\\path\\file.txt",
    "/usr/bin/env",
    "#hashtag",
    "fn main() { println!(\"{}\", x); }",
    "for (int i = 0; i < n; ++i)",
    "def f(x):\n    return x**2",
    "SELECT * FROM t WHERE a >= 1;",
    "<div class=\"a\">text</div>",
    "\\frac{a}{b}",
    "{\"key\": [1, 2, null]}",
    "a  b   c",
    "tab\tseparated",
    "line\nbreak",
    "line\r\nbreak",
    "trailing ",
    " leading",
    "\n\n",
    "    ",
    "supercalifragilisticexpialidocious",
    "antidisestablishmentarianism",
    "Donaudampfschifffahrt",
    "iPhone",
    "HTTPServer",
    "snake_case_name",
    "camelCaseName",
    "ALL CAPS",
    "MiXeD cAsE",
    "...",
    "?!?!",
    "—–-",
    "“quoted”",
    "Привет, мир",
    "Γειά σου",
    "שלום",
    "مرحبا",
    "नमस्ते",
    "你好，世界",
    "こんにちは",
    "안녕하세요",
    "สวัสดี",
    "😀👍🏽🏳️‍🌈",
    "e\u{301}",
    "ﬁ",
    "Å",
    "½ ² ™",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "ß ẞ ſ",
    "İı",
    "<s>",
    "</s>",
    "<unk>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "[INST]",
    "[CLS]",
    "<0x0A>",
    "▁",
    "Ġ",
    "\u{0}",
    "\u{7f}",
];

/// About a thousand texts, the same in every version: a change of them makes every cache another's.
pub fn probes() -> Vec<String> {
    let mut texts = Vec::new();
    for stem in STEMS {
        texts.push((*stem).to_owned());
        texts.push(format!(" {stem}"));
        texts.push(format!("{stem} {stem}"));
        texts.push(format!("x{stem}y"));
        texts.push(format!("The {stem}.\n"));
        texts.push(stem.to_uppercase());
    }
    for byte in ' '..='~' {
        texts.push(byte.to_string());
        texts.push(format!(" {byte}"));
    }
    for number in 0..120 {
        texts.push((number * number * 37).to_string());
    }
    for start in (0xa1..0x3100_u32).step_by(64) {
        texts.push((start..start + 4).filter_map(char::from_u32).collect());
    }
    for spaces in 1..20 {
        texts.push(format!("a{}b", " ".repeat(spaces)));
        texts.push(format!("a{}b", "\n".repeat(spaces)));
    }
    texts
}
