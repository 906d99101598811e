//! ONNX Runtime's CUDA provider: its libraries, and a session that runs nowhere else.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ort::ep;
use ort::session::builder::SessionBuilder;

use crate::options::Options;

/// What the provider is linked with, by the beginnings of file names: cuDNN, and the libraries of CUDA.
const LIBRARIES: [&str; 7] =
    ["libcudart.", "libnvJitLink.", "libcublas", "libnvrtc", "libcurand.", "libcufft.", "libcudnn"];

/// Loads the CUDA driver.
///
/// # Errors
/// Says why there is none.
pub(crate) fn load_driver() -> Result<(), String> {
    gpu::load_driver().map(drop).map_err(|reason| format!("there is no CUDA driver: {reason}"))
}

/// Has every node run on the GPU that `options` name: ONNX Runtime refuses to leave one to the processor.
///
/// Products are in `f32`, not in tf32: the logits are compared with the trainer's.
pub(crate) fn use_cuda(builder: SessionBuilder, options: &Options, onnxruntime: &Path) -> ort::Result<SessionBuilder> {
    let mut loaded = HashSet::new();
    for folder in
        gpu::folders(options.cuda_libraries.as_deref()).iter().map(PathBuf::as_path).chain(onnxruntime.parent())
    {
        preload(folder, &mut loaded);
    }
    let provider = ep::CUDA::default().with_device_id(i32::from(options.device())).with_tf32(false);
    let builder = builder.with_execution_providers([provider.build().error_on_failure()])?;
    Ok(builder.with_disable_cpu_fallback()?)
}

/// Loads the folder's libraries by their full paths, so that those that need them find them without LD_LIBRARY_PATH; but none
/// of a name that is loaded already, lest there be two. One that needs another one fails until that one is loaded; what
/// fails for good, the provider speaks of when it is used.
fn preload(folder: &Path, loaded: &mut HashSet<OsString>) {
    let is_wanted = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default();
        let name = file.to_string_lossy();
        // A name with a version: the one by which others ask for it.
        name.contains(".so.") && LIBRARIES.iter().any(|library| name.starts_with(library)) && !loaded.contains(file)
    };
    let files = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut waiting: Vec<PathBuf> = files.filter(is_wanted).collect();
    waiting.sort();
    loop {
        let before = waiting.len();
        waiting.retain(|path| {
            // SAFETY: CUDA's libraries may be loaded by any process; the folder is the person's choice.
            let is_loaded = unsafe { gpu::load(path) }.is_ok();
            if is_loaded {
                loaded.extend(path.file_name().map(ToOwned::to_owned));
            }
            !is_loaded
        });
        if waiting.is_empty() || waiting.len() == before {
            return;
        }
    }
}
