//! Which revision this is, for `origin.json`.

use std::path::Path;
use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=STILLFLOW_REVISION={revision}");
    // Moves with every commit; a file that is not there would run this each time.
    if Path::new(".git/logs/HEAD").is_file() {
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    } else {
        println!("cargo:rerun-if-changed=build.rs");
    }
}
