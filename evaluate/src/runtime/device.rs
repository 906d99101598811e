//! What the system calls the device that computes.

use std::fs;
use std::path::Path;

use super::model::CUDA;

/// The processor's model, or that of the GPUs where they are all alike: which of them CUDA counts as the first one, the
/// driver's files do not say. Nothing where the system tells none.
pub(crate) fn name(provider: &str) -> Option<String> {
    if provider == CUDA { gpus(Path::new("/proc/driver/nvidia/gpus")) } else { processor(Path::new("/proc/cpuinfo")) }
}

fn processor(cpuinfo: &Path) -> Option<String> {
    value(&fs::read_to_string(cpuinfo).ok()?, "model name")
}

/// `folder` has a folder for each GPU, whose file `information` tells the model.
fn gpus(folder: &Path) -> Option<String> {
    let model = |gpu: fs::DirEntry| value(&fs::read_to_string(gpu.path().join("information")).ok()?, "Model");
    let mut models: Vec<String> = fs::read_dir(folder).ok()?.map(|gpu| model(gpu.ok()?)).collect::<Option<_>>()?;
    models.dedup();
    (models.len() == 1).then(|| models.remove(0))
}

/// The value of the first line `name : value`.
fn value(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_first_one_s_model() {
        let folder = tempfile::tempdir().unwrap();
        let cpuinfo = folder.path().join("cpuinfo");
        fs::write(&cpuinfo, "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\nmodel name\t: Other\n").unwrap();
        assert_eq!(processor(&cpuinfo).as_deref(), Some("AMD EPYC"));
        fs::write(&cpuinfo, "processor\t: 0\nBogoMIPS\t: 50.00\n").unwrap();
        assert_eq!(processor(&cpuinfo), None);
    }

    #[test]
    fn gpus_have_a_name_where_they_are_alike() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = |address: &str, model: &str| {
            fs::create_dir(folder.path().join(address)).unwrap();
            let text = format!("Model: \t\t NVIDIA {model}\nIRQ:   \t\t 1\n");
            fs::write(folder.path().join(address).join("information"), text).unwrap();
        };
        assert_eq!(gpus(folder.path()), None);
        gpu("0000:04:00.0", "H100");
        gpu("0000:05:00.0", "H100");
        assert_eq!(gpus(folder.path()).as_deref(), Some("NVIDIA H100"));
        gpu("0000:06:00.0", "T4");
        assert_eq!(gpus(folder.path()), None);
    }
}
