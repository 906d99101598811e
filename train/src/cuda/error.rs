use std::path::PathBuf;

use cudarc::cublaslt::result::CublasError;
use cudarc::driver::DriverError;
use cudarc::driver::sys::cudaError_enum;
use cudarc::nvrtc::result::NvrtcError;

use super::device::LEAST_CAPABILITY;

/// Why the CUDA engine cannot start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no driver, or the system does not load it.
    #[error("there is no CUDA driver: {reason}")]
    NoDriver {
        /// The system's reason.
        reason: String,
    },
    /// There is a driver, but it does not start.
    #[error("the CUDA driver does not start: {reason}")]
    DriverFails {
        /// Its error.
        code: cudaError_enum,
        /// What it says.
        reason: String,
    },
    /// A library beside the driver is missing, or the system does not load it.
    #[error("the CUDA library `{name}` is missing; looked for in {}: {reason}", listed(folders))]
    NoLibrary {
        /// Its file name, without a version.
        name: &'static str,
        /// Where it was looked for before the system's own search.
        folders: Vec<PathBuf>,
        /// The system's reason.
        reason: String,
    },
    /// A library in a folder that was named, which the system does not load or which lacks a function.
    #[error("the CUDA library `{}` does not load: {reason}", path.display())]
    BrokenLibrary {
        /// The library.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The driver is too old for a library.
    #[error("`{}` is of CUDA {library}, but the driver is of CUDA {driver}", path.display())]
    OldDriver {
        /// The library.
        path: PathBuf,
        /// Its major version.
        library: usize,
        /// The driver's version.
        driver: String,
    },
    /// The machine has no GPU that the driver shows.
    #[error("the CUDA driver shows no device")]
    NoDevice,
    /// There are devices, but not that one.
    #[error("there is no CUDA device {asked}: this machine has {there}, counted from 0")]
    NoSuchDevice {
        /// The number that was asked for.
        asked: u32,
        /// How many devices there are.
        there: usize,
    },
    /// The device is older than what the kernels are written for.
    #[error(
        "device {ordinal} ({name}) has compute capability {}.{}, but {}.{} or higher is needed",
        capability.0, capability.1, LEAST_CAPABILITY.0, LEAST_CAPABILITY.1
    )]
    OldDevice {
        /// Its number.
        ordinal: u32,
        /// Its name.
        name: String,
        /// What it can.
        capability: (i32, i32),
    },
    /// The training does not fit.
    #[error(
        "the training needs {} of memory on device {ordinal} ({name}), which has {} free of {}",
        size(*needed), size(*free), size(*total)
    )]
    OutOfMemory {
        /// The device's number.
        ordinal: u32,
        /// Its name.
        name: String,
        /// In bytes, with nothing of the data set but two batches.
        needed: usize,
        /// In bytes.
        free: usize,
        /// In bytes.
        total: usize,
    },
    /// The driver or the device fails.
    #[error("CUDA cannot {action}: {code} ({text})")]
    Device {
        /// What was asked of it, as an infinitive.
        action: &'static str,
        /// The error's name.
        code: String,
        /// What the driver says of it.
        text: String,
    },
    /// The compiler refuses the kernels.
    #[error("NVRTC cannot {action}: {status:?}{log}")]
    Compiler {
        /// What was asked of it, as an infinitive.
        action: &'static str,
        /// The error.
        status: cudarc::nvrtc::sys::nvrtcResult,
        /// What the compiler says, on lines of its own.
        log: String,
    },
    /// The library of matrix products fails.
    #[error("cublasLt cannot {action}: {status:?}")]
    Products {
        /// What was asked of it, as an infinitive.
        action: &'static str,
        /// The error.
        status: cudarc::cublaslt::sys::cublasStatus_t,
    },
}

impl Error {
    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::DriverFails { code: cudaError_enum::CUDA_ERROR_SYSTEM_NOT_READY, .. } => {
                "start NVIDIA's fabric manager, in the driver's version (`systemctl status nvidia-fabricmanager`), or train \
                 with --engine cpu"
            }
            Self::DriverFails { code: cudaError_enum::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, .. } => {
                "the driver's library and its kernel module are of two versions: reboot after an update of the driver, \
                 and start a container anew; or train with --engine cpu"
            }
            Self::NoDriver { .. } | Self::DriverFails { .. } => {
                "install NVIDIA's driver (in a container: start it with the GPU), or train with --engine cpu"
            }
            Self::NoLibrary { .. } => {
                "run `make train ENGINE=cuda`, which sets the libraries up; or set CUDA_HOME to an installed CUDA, or \
                 --cuda-libraries to a folder with them"
            }
            Self::BrokenLibrary { .. } => {
                "where `make` has set its folder up, remove the folder and run make again; or name another one by \
                 CUDA_HOME or --cuda-libraries"
            }
            Self::OldDriver { .. } => "update the driver, or set CUDA_HOME to an installed CUDA that it supports",
            Self::NoDevice => "`nvidia-smi` shows what the driver sees; CUDA_VISIBLE_DEVICES may hide it",
            Self::NoSuchDevice { .. } => "`train --engines` lists the devices",
            Self::OldDevice { .. } => "train with --engine cpu, or name another device with --device",
            Self::OutOfMemory { .. } => {
                "lower --batch-size, --hidden or --ensemble, end what else uses the device, or name another one with --device"
            }
            Self::Device { .. } => {
                "`dmesg` has the driver's own report; a training that had begun resumes after its last whole epoch with --resume"
            }
            Self::Compiler { .. } | Self::Products { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// What an action on the driver, the compiler or the library of products comes to.
pub(super) trait Asked<T> {
    /// The error, with what was asked for as an infinitive.
    fn to(self, action: &'static str) -> Result<T, Error>;
}

impl<T> Asked<T> for Result<T, DriverError> {
    fn to(self, action: &'static str) -> Result<T, Error> {
        self.map_err(|error| {
            let said = |text: Result<&std::ffi::CStr, DriverError>| {
                text.map_or_else(|_unknown| format!("{:?}", error.0), |text| text.to_string_lossy().into_owned())
            };
            Error::Device { action, code: said(error.error_name()), text: said(error.error_string()) }
        })
    }
}

impl<T> Asked<T> for Result<T, CublasError> {
    fn to(self, action: &'static str) -> Result<T, Error> {
        self.map_err(|CublasError(status)| Error::Products { action, status })
    }
}

impl<T> Asked<T> for Result<T, NvrtcError> {
    fn to(self, action: &'static str) -> Result<T, Error> {
        self.map_err(|NvrtcError(status)| Error::Compiler { action, status, log: String::new() })
    }
}

/// Whether there was no memory left.
pub(super) fn is_out_of_memory(error: DriverError) -> bool {
    error.0 == cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY
}

fn listed(folders: &[PathBuf]) -> String {
    let folders = folders.iter().map(|folder| format!("`{}`, ", folder.display()));
    format!("{}the system's folders", folders.collect::<String>())
}

/// Bytes as a person reads them.
pub(super) fn size(bytes: usize) -> String {
    const MEBI: f64 = 1_048_576.0;
    let mebi = bytes as f64 / MEBI;
    if mebi < 1024.0 { format!("{mebi:.1} MiB") } else { format!("{:.1} GiB", mebi / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!([0, 1 << 20, 3 << 29].map(size), ["0.0 MiB", "1.0 MiB", "1.5 GiB"]);
    }
}
