//! The peers on the same tokens in the same run: a Python script that is kept beside the notebooks, and what it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::measurement::Measurement;

/// The script, so that a binary alone can run it.
const SCRIPT: &str = include_str!("../../notebooks/peers.py");
/// Which Python to ask, if not `python3`.
pub const PYTHON: &str = "STILLFLOW_PYTHON";

/// The peers could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// No Python.
    #[error("`{}` could not be started", python.display())]
    Start {
        /// The interpreter.
        python: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The script failed.
    #[error("the peers' script ended with {status}: {said}")]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its last line on stderr.
        said: String,
    },
    /// The script said what is not understood.
    #[error("the peers' script did not print its results")]
    Said {
        /// What is wrong with them.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Said {
    peers: Vec<Peer>,
}

#[derive(Deserialize)]
struct Peer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    tokens_per_cpu_s: Vec<f64>,
    #[serde(default)]
    tokens_per_s: Vec<f64>,
    #[serde(default)]
    bytes_per_token: Option<f64>,
    #[serde(default)]
    error: Option<String>,
}

/// What the peers did: measurements, and those that could not be measured with the reason.
pub type Asked = (Vec<Measurement>, Vec<(String, String)>);

/// Asks every installed peer to read the shards in `dir`.
///
/// # Errors
/// [`PeersError`] if Python cannot be started, or says nothing that is understood.
pub fn ask(dir: &Path, seq_tokens: usize, seconds: f64, repeats: u64) -> Result<Asked, PeersError> {
    let python = PathBuf::from(std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into()));
    let output = Command::new(&python)
        .args(["-c", SCRIPT, "--tokens"])
        .arg(dir)
        .args(["--seq", &seq_tokens.to_string(), "--seconds", &seconds.to_string()])
        .args(["--repeats", &repeats.to_string(), "--format", "json"])
        .output()
        .map_err(|source| PeersError::Start { python, source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let said = text.lines().last().unwrap_or_default().to_owned();
        return Err(PeersError::Failed { status: output.status, said });
    }
    let said: Said =
        serde_json::from_slice(&output.stdout).map_err(|source| PeersError::Said { source })?;
    Ok(understand(said))
}

fn understand(said: Said) -> Asked {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for peer in said.peers {
        let variant = peer.variant.map(|variant| format!(", {variant}")).unwrap_or_default();
        let version = peer.version.map(|version| format!(" {version}")).unwrap_or_default();
        let value = format!("{}{version}{variant}", peer.name);
        if let Some(error) = peer.error {
            failed.push((value, error));
            continue;
        }
        for (repeat, (cpu, wall)) in (0..).zip(peer.tokens_per_cpu_s.iter().zip(&peer.tokens_per_s))
        {
            // Rates are what is compared: as if a million tokens had been read.
            rows.push(Measurement {
                knob: "peer".into(),
                value: value.clone(),
                repeat,
                tokens: 1_000_000,
                seconds: 1e6 / wall.max(1e-9),
                cpu_seconds: 1e6 / cpu.max(1e-9),
                bytes_per_token: peer.bytes_per_token.unwrap_or(0.0),
                wait_share: 0.0,
                batch_ms_p50: 0.0,
                batch_ms_p99: 0.0,
                batch_ms_max: 0.0,
            });
        }
    }
    (rows, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_says_becomes_measurements_and_reasons() {
        let said = r#"{"machine": {}, "peers": [
            {"name": "pyarrow", "version": "26.0.1", "variant": "list", "tokens_per_cpu_s": [4e8, 5e8],
             "tokens_per_s": [4e8, 5e8], "bytes_per_token": 1.5, "checked": true},
            {"name": "grain", "error": "no module named grain"}]}"#;
        let (rows, failed) = understand(serde_json::from_str(said).unwrap());
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].value, "pyarrow 26.0.1, list");
        assert!((rows[1].tokens_per_cpu_second() - 5e8).abs() < 1.0);
        assert_eq!(failed, [("grain".to_owned(), "no module named grain".to_owned())]);
    }
}
