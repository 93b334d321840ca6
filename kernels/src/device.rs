//! Where numbers are made: CUDA first, a real GPU through wgpu as the fallback, the CPU everywhere.
//!
//! `burn`'s own default device is the first backend compiled in, whatever the machine has, and the first
//! operation on it then panics. So every device here comes out of an enumeration.

use std::fmt;
use std::str::FromStr;

#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;
use burn::tensor::{DType, Device};

/// What a person asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// CUDA if a driver is there, else a GPU through wgpu, else the CPU.
    #[default]
    Auto,
    /// The n-th CUDA device.
    Cuda(usize),
    /// The n-th adapter that wgpu finds, software adapters included.
    Wgpu(usize),
    /// The CPU.
    Cpu,
}

/// A device could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is not one of a device.
    #[error("device `{found}`: expected `auto`, `cuda[:n]`, `wgpu[:n]` or `cpu`")]
    Unknown {
        /// What was asked for.
        found: String,
    },
    /// There is no such device here.
    #[error("device `{asked}` is not here: {reason}")]
    Absent {
        /// What was asked for.
        asked: String,
        /// What was found instead.
        reason: String,
    },
}

impl FromStr for Choice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { found: text.to_owned() };
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, index.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        match name {
            "auto" if !text.contains(':') => Ok(Self::Auto),
            "cpu" if !text.contains(':') => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(index)),
            "wgpu" => Ok(Self::Wgpu(index)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Wgpu(n) => write!(f, "wgpu:{n}"),
        }
    }
}

/// A device, and why it was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// To make tensors on.
    pub device: Device,
    /// `cuda:0`, `wgpu:0` or `cpu`.
    pub name: String,
    /// One line for a person.
    pub reason: String,
}

/// All threads share one queue of a GPU, before anybody has one.
///
/// By default each thread has its own, and whoever reads a tensor waits for the thread that made its buffer, not
/// for the one that last wrote to it. The learner updates weights in place, in buffers that another thread made:
/// a third that wrote a checkpoint, or judged, could read what they were a step before.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn share_one_queue() {
    use cubecl_environment::stream::{StreamPolicy, set_policy};
    set_policy(StreamPolicy::Single);
}

/// The CUDA devices; none if no driver can be loaded.
#[must_use]
pub fn cuda_devices() -> Vec<Device> {
    #[cfg(feature = "cuda")]
    {
        share_one_queue();
        Device::enumerate(DeviceType::Cuda).into_vec()
    }
    #[cfg(not(feature = "cuda"))]
    Vec::new()
}

/// The adapters that wgpu finds, software adapters included.
#[must_use]
pub fn wgpu_devices() -> Vec<Device> {
    #[cfg(feature = "wgpu")]
    {
        share_one_queue();
        Device::enumerate(DeviceType::Wgpu).into_vec()
    }
    #[cfg(not(feature = "wgpu"))]
    Vec::new()
}

/// Whether a wgpu device computes on the CPU (Mesa's lavapipe, say), which `auto` never takes.
#[must_use]
pub fn is_software(device: &Device) -> bool {
    format!("{device:?}").contains("Cpu")
}

/// What the hardware behind a device calls itself (`NVIDIA H100 PCIe`, `llvmpipe`); opens the device.
///
/// # Panics
///
/// If the driver fails to open it.
#[must_use]
pub fn hardware(device: &Device) -> Option<String> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    return device.identity().map(|identity| identity.name);
    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    {
        let _ = device;
        None
    }
}

/// The device that `choice` names.
///
/// # Errors
///
/// If it is not here.
pub fn choose(choice: Choice) -> Result<Chosen, DeviceError> {
    let absent = |reason: String| DeviceError::Absent { asked: choice.to_string(), reason };
    let cpu = |reason: &str| Chosen {
        device: Device::flex(),
        name: "cpu".to_owned(),
        reason: reason.to_owned(),
    };
    match choice {
        Choice::Cpu => Ok(cpu("asked for")),
        Choice::Cuda(n) => {
            let devices = cuda_devices();
            let count = devices.len();
            devices
                .into_iter()
                .nth(n)
                .map(|device| chosen(device, "cuda", n, "asked for"))
                .ok_or_else(|| absent(format!("{count} CUDA devices found")))
        }
        Choice::Wgpu(n) => {
            let devices = wgpu_devices();
            let count = devices.len();
            devices
                .into_iter()
                .nth(n)
                .map(|device| chosen(device, "wgpu", n, "asked for"))
                .ok_or_else(|| absent(format!("{count} adapters found")))
        }
        Choice::Auto if !may_have_gpu() => Ok(cpu("no GPU is here")),
        Choice::Auto => {
            if let Some(device) = cuda_devices().into_iter().next() {
                return Ok(chosen(device, "cuda", 0, "a CUDA driver is here"));
            }
            let mut adapters = wgpu_devices().into_iter().enumerate();
            if let Some((n, device)) = adapters.find(|(_, d)| !is_software(d)) {
                return Ok(chosen(
                    device,
                    "wgpu",
                    n,
                    "no CUDA driver, but a GPU that wgpu reaches",
                ));
            }
            Ok(cpu("no CUDA driver, and no GPU that wgpu reaches"))
        }
    }
}

/// Whether a GPU can be there at all. Asking the drivers takes a while, and some complain on stderr about a machine
/// without a screen.
fn may_have_gpu() -> bool {
    let nodes = ["/dev/dri", "/dev/dxg", "/dev/nvidiactl", "/dev/nvmap"];
    !cfg!(target_os = "linux") || nodes.iter().any(|node| std::path::Path::new(node).exists())
}

fn chosen(device: Device, kind: &str, n: usize, reason: &str) -> Chosen {
    Chosen { device, name: format!("{kind}:{n}"), reason: reason.to_owned() }
}

/// The type that weights and activations have on a device: bf16 on CUDA, f32 elsewhere.
#[must_use]
pub fn working_dtype(name: &str, device: &Device) -> DType {
    if name.starts_with("cuda") && device.supports_dtype(DType::BF16) {
        DType::BF16
    } else {
        DType::F32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_parsed_and_printed() {
        for (text, choice) in [
            ("auto", Choice::Auto),
            ("cpu", Choice::Cpu),
            ("cuda", Choice::Cuda(0)),
            ("cuda:3", Choice::Cuda(3)),
            ("wgpu:1", Choice::Wgpu(1)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for wrong in ["gpu", "cuda:x", "cpu:0", ""] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_device_that_is_not_here_is_an_error_and_auto_always_finds_one() {
        let error = choose(Choice::Cuda(99)).unwrap_err();
        assert!(error.to_string().starts_with("device `cuda:99` is not here"), "{error}");
        assert!(choose(Choice::Auto).is_ok());
    }
}
