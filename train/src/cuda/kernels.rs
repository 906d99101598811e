//! The kernels of `kernels.cu`: compiled for a device, with their arguments.
//!
//! Each structure is the one of the same name there, field by field. Pointers are places on the device; 0 is none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys::CUdeviceptr;
use cudarc::nvrtc::result::NvrtcError;
use cudarc::nvrtc::sys::{nvrtcProgram, nvrtcResult};

use super::device::{Context, Kernel, Module};
use super::error::{Asked as _, Error};
use super::functions::Nvrtc;
use super::products::Element;
use crate::augment::Augmentation;
use crate::dropout;

const SOURCE: &str = include_str!("kernels.cu");

/// What changes from step to step.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Step {
    pub seed: u64,
    pub first: u32,
    pub epoch: u32,
    pub number: [u32; 2],
    pub half: u32,
    pub step_size: f32,
    pub deviation_scale: f32,
    pub keep: f32,
    pub average_share: f32,
    pub gradient_scale: f32,
}

/// Which columns are dropped. By default, none is.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Dropout {
    pub threshold: u32,
    pub scale: f32,
    pub layer: u32,
}

impl Dropout {
    /// Drops this share of what a layer puts out; layers are counted from 1, and 0 is the input.
    pub fn new(share: f64, layer: usize) -> Self {
        let dropout::Dropout { threshold, scale, words, .. } = dropout::Dropout::new(share, 0, 0, layer);
        Self { threshold, scale, layer: words[1] }
    }
}

/// What happens to an image.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Variation {
    pub from: [f32; 6],
    pub stroke: f32,
}

#[repr(C)]
#[derive(Debug)]
pub struct BeginStep {
    pub written: CUdeviceptr,
    pub step: CUdeviceptr,
    pub next: CUdeviceptr,
}

#[repr(C)]
#[derive(Debug)]
pub struct Vary {
    pub step: CUdeviceptr,
    pub order: CUdeviceptr,
    pub variations: CUdeviceptr,
    pub shift: f64,
    pub rotation: f64,
    pub shear: f64,
    pub scale: f64,
    pub stroke: f64,
    pub count: u32,
    pub domain: u32,
}

impl Vary {
    /// What draws variations of these strengths, but for the places and the number of images.
    pub fn new(augmentation: Augmentation) -> Self {
        let Augmentation { shift, rotation, shear, scale, stroke } = augmentation;
        let [step, order, variations] = [0; 3];
        let domain = crate::augment::DOMAIN;
        Self { step, order, variations, shift, rotation, shear, scale, stroke, count: 0, domain }
    }
}

#[repr(C)]
#[derive(Debug)]
pub struct Gather {
    pub step: CUdeviceptr,
    pub order: CUdeviceptr,
    pub images: CUdeviceptr,
    pub variations: CUdeviceptr,
    pub output: CUdeviceptr,
    pub dropout: Dropout,
    pub first: u32,
    pub count: u32,
    pub staged: u32,
    pub height: u32,
    pub width: u32,
    pub stride: u32,
    pub scale: f32,
    pub offset: f32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Activate {
    pub step: CUdeviceptr,
    pub bias: CUdeviceptr,
    pub values: CUdeviceptr,
    pub dropout: Dropout,
    pub count: u32,
    pub width: u32,
    pub stride: u32,
    pub relu: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Deactivate {
    pub outputs: CUdeviceptr,
    pub gradients: CUdeviceptr,
    pub scale: f32,
    pub count: u32,
    pub width: u32,
    pub stride: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Judge {
    pub step: CUdeviceptr,
    pub order: CUdeviceptr,
    pub labels: CUdeviceptr,
    pub logits: CUdeviceptr,
    pub bias: CUdeviceptr,
    pub gradients: CUdeviceptr,
    pub losses: CUdeviceptr,
    pub count: u32,
    pub classes: u32,
    pub stride: u32,
    pub loss: u32,
    pub right: f32,
    pub wrong: f32,
    pub share: f32,
    pub exponent: f32,
    pub reverse: f32,
}

#[repr(C)]
#[derive(Debug)]
pub struct SumRows {
    pub gradients: CUdeviceptr,
    pub sums: CUdeviceptr,
    pub count: u32,
    pub width: u32,
    pub stride: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct SquareSums {
    pub gradients: CUdeviceptr,
    pub sums: CUdeviceptr,
    pub count: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Clip {
    pub step: CUdeviceptr,
    pub sums: CUdeviceptr,
    pub longest: f64,
    pub count: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Update {
    pub step: CUdeviceptr,
    pub gradients: CUdeviceptr,
    pub parameters: CUdeviceptr,
    pub exp_avg: CUdeviceptr,
    pub exp_avg_sq: CUdeviceptr,
    pub averaged: CUdeviceptr,
    pub copy: CUdeviceptr,
    pub quads: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Narrow {
    pub from: CUdeviceptr,
    pub to: CUdeviceptr,
    pub count: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Differ {
    pub one: CUdeviceptr,
    pub other: CUdeviceptr,
    pub found: CUdeviceptr,
    pub count: u64,
}

/// The kernels for activations of one kind of element.
#[derive(Debug)]
pub struct Kernels {
    pub begin_step: Kernel<BeginStep>,
    pub vary: Kernel<Vary>,
    pub gather: Kernel<Gather>,
    pub activate: Kernel<Activate>,
    pub deactivate: Kernel<Deactivate>,
    pub judge: Kernel<Judge>,
    pub sum_rows: Kernel<SumRows>,
    pub square_sums: Kernel<SquareSums>,
    pub clip: Kernel<Clip>,
    pub update: Kernel<Update>,
    pub narrow: Kernel<Narrow>,
    pub differ: Kernel<Differ>,
}

impl Kernels {
    /// Those for the context's device, compiled where no engine before had the like.
    ///
    /// # Errors
    /// When the compiler refuses them.
    pub fn compile(context: &Rc<Context>, nvrtc: &Nvrtc, element: Element) -> Result<Self, Error> {
        let capability = context.device.capability;
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let code = match compiled.entry((nvrtc.nvrtcVersion as usize, capability, element)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(compile(nvrtc, capability, element)?),
        };
        // SAFETY: the code is as NVRTC wrote it.
        let module = unsafe { Module::load(context, code) }?;
        // SAFETY: the argument of each kernel is the structure of its name, field by field.
        unsafe {
            Ok(Self {
                begin_step: module.kernel(c"begin_step")?,
                vary: module.kernel(c"vary")?,
                gather: module.kernel(c"gather")?,
                activate: module.kernel(c"activate")?,
                deactivate: module.kernel(c"deactivate")?,
                judge: module.kernel(c"judge")?,
                sum_rows: module.kernel(c"sum_rows")?,
                square_sums: module.kernel(c"square_sums")?,
                clip: module.kernel(c"clip")?,
                update: module.kernel(c"update")?,
                narrow: module.kernel(c"narrow")?,
                differ: module.kernel(c"differ")?,
            })
        }
    }
}

/// What came of each compilation: a cross-validation and the trainings of a sweep have engines of their own.
static COMPILED: Mutex<Compiled> = Mutex::new(BTreeMap::new());

/// Code by its compiler (the address of one of its functions), the device's compute capability and the kind of element.
type Compiled = BTreeMap<(usize, (i32, i32), Element), Vec<u8>>;

/// The device's own machine code: unlike PTX, no driver of this CUDA's major version is too old for it. For a device that is
/// newer than the compiler, PTX of the latest one that it knows, which the driver translates.
fn compile(nvrtc: &Nvrtc, (major, minor): (i32, i32), element: Element) -> Result<Vec<u8>, Error> {
    const ACTION: &str = "compile the kernels";
    let device = 10 * major + minor;
    let known = known_devices(nvrtc)?;
    let is_known = known.contains(&device);
    let architecture = if is_known {
        format!("sm_{device}")
    } else {
        format!("compute_{}", known.into_iter().filter(|&known| known < device).max().unwrap_or(device))
    };
    let mut options =
        vec![format!("--gpu-architecture={architecture}"), "--fmad=false".to_owned(), "--std=c++17".to_owned()];
    if element == Element::Bfloat16 {
        options.push("--define-macro=BFLOAT16".to_owned());
    }
    let text = |text: &str| CString::new(text).expect("the text has no zero byte");
    let options: Vec<CString> = options.iter().map(|option| text(option)).collect();
    let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
    let (source, count) = (text(SOURCE), i32::try_from(options.len()).expect("a few"));
    let (none, mut raw) = (ptr::null(), ptr::null_mut());
    // SAFETY: the texts live, and the program has no headers.
    unsafe { (nvrtc.nvrtcCreateProgram)(&raw mut raw, source.as_ptr(), c"kernels.cu".as_ptr(), 0, none, none) }
        .result()
        .to(ACTION)?;
    let program = Program { nvrtc, raw };
    // SAFETY: the program was just made, and the options live.
    if let Err(NvrtcError(status)) = unsafe { (nvrtc.nvrtcCompileProgram)(raw, count, options.as_ptr()) }.result() {
        let log = program.text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).unwrap_or_default();
        let log =
            CStr::from_bytes_until_nul(&log).map_or_else(|_none| String::new(), |log| log.to_string_lossy().into());
        let log = log.lines().map(|line| format!("\n  {line}")).collect();
        return Err(Error::Compiler { action: ACTION, status, log });
    }
    let code = if is_known {
        program.text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    } else {
        program.text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    };
    code.to(ACTION)
}

/// The compute capabilities that the compiler knows, as 90.
fn known_devices(nvrtc: &Nvrtc) -> Result<Vec<i32>, Error> {
    const ACTION: &str = "tell which devices it knows";
    let mut count = 0;
    // SAFETY: the compiler writes a number.
    unsafe { (nvrtc.nvrtcGetNumSupportedArchs)(&raw mut count) }.result().to(ACTION)?;
    let mut known = vec![0; count.unsigned_abs() as usize];
    // SAFETY: there is room for as many numbers as it has.
    unsafe { (nvrtc.nvrtcGetSupportedArchs)(known.as_mut_ptr()) }.result().to(ACTION)?;
    Ok(known)
}

struct Program<'a> {
    nvrtc: &'a Nvrtc,
    raw: nvrtcProgram,
}

impl Program<'_> {
    /// What one function says the size of and another one writes.
    fn text(
        &self,
        size: unsafe extern "C" fn(nvrtcProgram, *mut usize) -> nvrtcResult,
        write: unsafe extern "C" fn(nvrtcProgram, *mut c_char) -> nvrtcResult,
    ) -> Result<Vec<u8>, NvrtcError> {
        let mut bytes = 0;
        // SAFETY: the program lives.
        unsafe { size(self.raw, &raw mut bytes) }.result()?;
        let mut text = vec![0_u8; bytes];
        // SAFETY: there is room for as many bytes as it has.
        unsafe { write(self.raw, text.as_mut_ptr().cast()) }.result()?;
        Ok(text)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it.
        let _failed = unsafe { (self.nvrtc.nvrtcDestroyProgram)(&raw mut self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::adam::{BETA_1, BETA_2, EPSILON};

    /// Structures by name, each with its fields in their order, as "name: kind".
    type Structures = BTreeMap<String, Vec<String>>;

    /// Those in CUDA's C++: of each name between commas its type, and whether it is a pointer or an array.
    fn of_cuda() -> Structures {
        let code: String =
            SOURCE.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
        let fields = |body: &str| {
            let mut fields = Vec::new();
            for declaration in body.split(';').map(|text| text.trim().trim_start_matches("const ")) {
                let Some((kind, names)) = declaration.split_once(' ') else { continue };
                let kind = match kind {
                    "float" => "f32",
                    "double" => "f64",
                    other => other,
                };
                for name in names.split(',').map(str::trim) {
                    fields.push(match (name.strip_prefix('*'), name.split_once('[')) {
                        (Some(name), _) => format!("{name}: pointer"),
                        (None, Some((name, length))) => format!("{name}: [{kind}; {length}"),
                        (None, None) => format!("{name}: {kind}"),
                    });
                }
            }
            fields
        };
        let parts = code.split("\nstruct ").skip(1);
        parts
            .map(|part| {
                let (name, rest) = part.split_once('{').unwrap();
                (name.trim().to_owned(), fields(rest.split_once('}').unwrap().0))
            })
            .collect()
    }

    fn of_rust() -> Structures {
        let code = include_str!("kernels.rs").split("/// The kernels for activations").next().unwrap();
        let parts = code.split("#[repr(C)]").skip(1);
        parts
            .map(|part| {
                let (head, rest) = part.split_once(" {\n").unwrap();
                let name = head.rsplit(' ').next().unwrap().to_owned();
                let fields = rest.split_once("\n}").unwrap().0.lines();
                let fields = fields.filter_map(|line| line.trim().strip_prefix("pub ")?.strip_suffix(','));
                (name, fields.map(|field| field.replace("CUdeviceptr", "pointer")).collect())
            })
            .collect()
    }

    #[test]
    fn the_arguments_are_those_of_the_kernels_field_by_field() {
        let (cuda, rust) = (of_cuda(), of_rust());
        assert!(rust.len() > 12 && rust["Step"].len() == 10, "{rust:?}");
        for (name, fields) in rust {
            assert_eq!(cuda.get(&name), Some(&fields), "{name}");
        }
    }

    #[test]
    fn the_constants_of_adam_are_those_of_the_cpu_engine() {
        let [kept, taken, of_square] = [BETA_2, 1.0 - BETA_1, 1.0 - BETA_2].map(|share| share as f32);
        for expected in [
            format!("mean + {taken}f * (gradient - mean)"),
            format!("{kept}f * square + {of_square}f * gradient * gradient"),
            format!("* step.deviation_scale + {EPSILON:e}f)"),
        ] {
            assert!(SOURCE.contains(&expected), "no `{expected}`");
        }
    }
}
