//! `stillflow doctor`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use kernels::device::{
    Choice, choose, cuda_devices, hardware, is_software, wgpu_devices, working_dtype,
};
use kernels::{DType, Device};
use serde::Serialize;

use super::Format;
use crate::error::Error;

/// Which devices are here, which one is chosen, and why.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  stillflow doctor")]
pub(super) struct Doctor {
    /// Print it as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Found {
    what: String,
    found: String,
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Error> {
        let found = look()?;
        if self.format == Format::Json {
            super::print_json(&found);
            return Ok(());
        }
        let width = found.iter().map(|line| line.what.chars().count()).max().unwrap_or(0);
        for Found { what, found } in found {
            super::print(&format!("{what:width$}  {found}\n"));
        }
        Ok(())
    }
}

fn look() -> Result<Vec<Found>, Error> {
    let mut lines = Vec::new();
    let mut line = |what: &str, found: String| lines.push(Found { what: what.to_owned(), found });
    line("stillflow", env!("CARGO_PKG_VERSION").to_owned());
    line("cpu", format!("{}; {}", processor(), dtypes("cpu", &Device::flex())));
    line("NVIDIA driver", driver());
    line("NVRTC", library("libnvrtc.so", "it compiles CUDA kernels while they run"));
    line("CUDA headers", headers());
    let cuda = cuda_devices();
    if cuda.is_empty() {
        let why =
            if cfg!(feature = "cuda") { "none found" } else { "not compiled in: feature `cuda`" };
        line("CUDA devices", why.to_owned());
    }
    for (n, device) in cuda.iter().enumerate() {
        let name = format!("cuda:{n}");
        line(&name, opened(&name, device));
    }
    let adapters = wgpu_devices();
    if adapters.is_empty() {
        let why = "none found: no Vulkan or OpenGL driver is here";
        line(
            "wgpu adapters",
            if cfg!(feature = "wgpu") { why } else { "not compiled in: feature `wgpu`" }.to_owned(),
        );
    }
    for (n, device) in adapters.iter().enumerate() {
        let name = format!("wgpu:{n}");
        let kind = if is_software(device) { "; software, so auto never takes it" } else { "" };
        line(&name, format!("{}{kind}", opened(&name, device)));
    }
    let chosen = choose(Choice::Auto)?;
    line("auto", format!("{}: {}", chosen.name, chosen.reason));
    Ok(lines)
}

/// What a device is called and computes in. A driver that cannot open its device is what a person runs this for,
/// so that it panics (it says why itself) ends the line and not the command.
fn opened(name: &str, device: &Device) -> String {
    let look = || {
        let hardware = hardware(device).unwrap_or_else(|| "unnamed".to_owned());
        format!("{hardware}; {}", dtypes(name, device))
    };
    super::caught(look).unwrap_or_else(|| "listed, but its driver cannot open it".to_owned())
}

/// What weights and activations are there, and what tensors could be.
fn dtypes(name: &str, device: &Device) -> String {
    let lower = |dtype: DType| format!("{dtype:?}").to_lowercase();
    let known = [DType::F32, DType::F16, DType::BF16];
    let held: Vec<String> =
        known.into_iter().filter(|d| device.supports_dtype(*d)).map(lower).collect();
    format!("computes in {} (of {})", lower(working_dtype(name, device)), held.join(", "))
}

/// The processor's name, its threads, and the memory.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    let model = model.map_or_else(String::new, |(_, model)| format!("{}, ", model.trim()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}{threads} threads, {}", memory())
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.map_or_else(|| "memory unknown".to_owned(), |kib| format!("{} MiB of memory", kib / 1024))
}

fn driver() -> String {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    if let Ok(output) = Command::new("nvidia-smi").args(query).output()
        && output.status.success()
    {
        return String::from_utf8_lossy(&output.stdout).trim().replace('\n', "; ");
    }
    if let Ok(text) = std::fs::read_to_string("/proc/driver/nvidia/version") {
        return text.lines().next().unwrap_or_default().to_owned();
    }
    library("libcuda.so", "CUDA devices need it")
}

/// Where a library of this name lies, in the places that a loader looks.
fn library(stem: &str, what_for: &str) -> String {
    let listed = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let usual = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/cuda/lib64",
        "/opt/cuda/lib64",
    ];
    let dirs = listed.split(':').filter(|dir| !dir.is_empty()).chain(usual);
    for dir in dirs {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        if let Some(name) = names.find(|name| name.starts_with(stem)) {
            return Path::new(dir).join(name).display().to_string();
        }
    }
    format!("not found ({what_for})")
}

fn headers() -> String {
    let homes =
        ["CUDA_PATH", "CUDA_HOME", "CUDA_ROOT"].iter().filter_map(|key| std::env::var(key).ok());
    let homes =
        homes.chain(["/usr/local/cuda".to_owned(), "/opt/cuda".to_owned(), "/usr".to_owned()]);
    let headers: Vec<PathBuf> =
        homes.map(|home| Path::new(&home).join("include/cuda_fp16.h")).collect();
    match headers.iter().find(|path| path.is_file()) {
        Some(path) => path.display().to_string(),
        None => "not found (half-precision CUDA kernels include cuda_fp16.h; CUDA_PATH says where)"
            .to_owned(),
    }
}
