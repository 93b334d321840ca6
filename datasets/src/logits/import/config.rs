//! DistillKit's `compression_config.yaml`: how the bytes of a token are to be read.

use std::path::Path;

use crate::logits::LogitError;

/// A type of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Float {
    /// How many bytes one has.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "float16" => Self::F16,
            "bfloat16" => Self::Bf16,
            "float32" => Self::F32,
            "float64" => Self::F64,
            _ => return None,
        })
    }
}

/// A term of the curve that the entries after the exact ones follow, in their place `t` from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// `t` to a power.
    Power(i32),
    /// The square root of `t`.
    Sqrt,
    /// `e` to the `t`.
    Exp,
}

/// What some entries differ from the curve by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// The type of the scale.
    pub scale: Float,
    /// How many bits an entry has.
    pub bits: u32,
    /// How many entries there are.
    pub entries: usize,
}

/// How the bytes of a token are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistillKit {
    /// The vocabulary's size: ids have as many bits as it needs.
    pub vocab_size: u32,
    /// How many entries a token has.
    pub k: usize,
    /// How many of them are stored as floats.
    pub exact_k: usize,
    /// As which.
    pub exact: Float,
    /// The terms of the curve.
    pub terms: Vec<Term>,
    /// The type of their coefficients.
    pub term: Float,
    /// The residuals.
    pub bins: Vec<Bin>,
    /// Whether each value is the difference from the one before.
    pub delta: bool,
    /// Whether `t` goes from 0 to 1.
    pub normalize: bool,
}

impl DistillKit {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`LogitError::Import`], with the key that is missing or makes no sense.
    pub fn read(path: &Path) -> Result<Self, LogitError> {
        let bad = |what| LogitError::Import { path: path.to_owned(), what };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        Self::parse(&text).map_err(bad)
    }

    /// Reads the text of a configuration: of YAML, what such a file has.
    ///
    /// # Errors
    /// The key that is missing or makes no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = Lines::of(text);
        let number = |key: &str| {
            let value = lines.value(key).ok_or_else(|| format!("it has no `{key}`"))?;
            value.parse::<u32>().map_err(|_| format!("`{key}` is `{value}`, expected a number"))
        };
        let float = |key: &str| match lines.value(key) {
            None => Ok(Float::F32),
            Some(value) => Float::parse(&value)
                .ok_or_else(|| format!("`{key}` is `{value}`, expected a type of floats")),
        };
        let flag = |key: &str, default: bool| lines.value(key).map_or(default, |v| v == "true");
        let terms = lines.list("polynomial_terms").into_iter().map(|item| match item.as_str() {
            "sqrt" => Ok(Term::Sqrt),
            "exp" => Ok(Term::Exp),
            power => power.parse().map(Term::Power).map_err(|_| format!("`{power}` is no term")),
        });
        let config = Self {
            vocab_size: number("d")?,
            k: number("k")? as usize,
            exact_k: number("exact_k")? as usize,
            exact: float("exact_dtype")?,
            terms: terms.collect::<Result<_, _>>()?,
            term: float("term_dtype")?,
            bins: lines.bins()?,
            delta: flag("delta_encoding", true),
            normalize: flag("normalize_t", false),
        };
        let residuals: usize = config.bins.iter().map(|bin| bin.entries).sum();
        if config.k == 0 || config.exact_k > config.k || residuals > config.k - config.exact_k {
            return Err(format!(
                "of {} entries {} are exact and {residuals} have residuals",
                config.k, config.exact_k
            ));
        }
        Ok(config)
    }

    /// How many bytes the values of a token take.
    pub fn value_bytes(&self) -> usize {
        let bins = self
            .bins
            .iter()
            .map(|bin| bin.scale.bytes() + (bin.entries * bin.bits as usize).div_ceil(8));
        self.exact_k * self.exact.bytes()
            + self.terms.len() * self.term.bytes()
            + bins.sum::<usize>()
    }

    /// How many bits an id has.
    pub fn id_bits(&self) -> u32 {
        u32::BITS - self.vocab_size.saturating_sub(1).leading_zeros()
    }
}

/// The lines of such a file: `key: value`, and lists of scalars or of maps under a key.
struct Lines(Vec<(usize, String)>);

impl Lines {
    fn of(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default());
        let lines = lines.filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
        let indent = |line: &str| line.len() - line.trim_start().len();
        Self(lines.map(|line| (indent(line), line.trim().to_owned())).collect())
    }

    fn plain(text: &str) -> String {
        text.trim().trim_matches(['\'', '"']).to_owned()
    }

    fn value(&self, key: &str) -> Option<String> {
        let top = |(indent, line): &&(usize, String)| *indent == 0 && !line.starts_with('-');
        let mut values = self
            .0
            .iter()
            .filter(top)
            .filter_map(|(_, line)| line.strip_prefix(key)?.strip_prefix(':'));
        values.next().map(Self::plain).filter(|value| !value.is_empty() && value != "null")
    }

    /// The lines below a key.
    fn below(&self, key: &str) -> Vec<&str> {
        let start = self.0.iter().position(|(indent, line)| {
            *indent == 0 && line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))
        });
        let rest = start.map_or(&[][..], |start| &self.0[start + 1..]);
        let of_key = |(indent, line): &&(usize, String)| *indent > 0 || line.starts_with('-');
        rest.iter().take_while(of_key).map(|(_, line)| line.as_str()).collect()
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            // Written in one line: `[0, 1, sqrt]`.
            Some(flow) => {
                let items = flow.trim_matches(['[', ']']).split(',').map(Self::plain);
                items.filter(|item| !item.is_empty()).collect()
            }
            None => {
                let items = self.below(key).into_iter().filter_map(|line| line.strip_prefix('-'));
                items.map(Self::plain).collect()
            }
        }
    }

    fn bins(&self) -> Result<Vec<Bin>, String> {
        let mut maps: Vec<Vec<(String, String)>> = Vec::new();
        for line in self.below("residual_bins") {
            let line = match line.strip_prefix('-') {
                Some(rest) => {
                    maps.push(Vec::new());
                    rest.trim()
                }
                None => line,
            };
            if let (Some(map), Some((key, value))) = (maps.last_mut(), line.split_once(':')) {
                map.push((key.trim().to_owned(), Self::plain(value)));
            }
        }
        let bin = |map: &Vec<(String, String)>| {
            let of = |key: &str| {
                let found = map.iter().find(|(found, _)| found == key);
                found
                    .map(|(_, v)| v.as_str())
                    .ok_or_else(|| format!("a residual bin has no `{key}`"))
            };
            let wrong = |key: &str| format!("`{key}` of a residual bin makes no sense");
            let bits = of("element_bits")?.parse().map_err(|_| wrong("element_bits"))?;
            if !(1..=32).contains(&bits) {
                return Err(wrong("element_bits"));
            }
            Ok(Bin {
                scale: Float::parse(of("scale_dtype")?).ok_or_else(|| wrong("scale_dtype"))?,
                bits,
                entries: of("num_elements")?.parse().map_err(|_| wrong("num_elements"))?,
            })
        };
        maps.iter().map(bin).collect()
    }
}
