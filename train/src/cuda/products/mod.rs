//! Matrix products with what comes before or after them, by cublasLt.
//!
//! A row-major matrix of `r` rows and `c` columns is a column-major one of `c` rows and `r` columns: with what lies on the
//! device row by row, `Y = X Wᵀ` is asked for as `Yᵀ = W Xᵀ`.

mod described;

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as Compute, cublasLtMatmulHeuristicResult_t as Heuristic,
    cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute, cublasStatus_t as Status, cudaDataType_t as DataType,
};
use cudarc::driver::sys::CUdeviceptr;

use super::device::{Allocator, Buffer, Stream};
use super::error::{Asked as _, Error};
use super::functions::CublasLt;
use super::kernels::{Differ, Kernels};
use crate::options::Precision;
use described::Preference;
pub use described::Product;

/// What a matrix consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// 32 bits.
    Float32,
    /// 16 bits: the upper half of a `Float32`.
    Bfloat16,
}

impl Element {
    /// The size of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Bfloat16 => 2,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Float32 => DataType::CUDA_R_32F,
            Self::Bfloat16 => DataType::CUDA_R_16BF,
        }
    }
}

/// A row-major matrix on the device.
#[derive(Debug, Clone, Copy)]
pub struct Matrix {
    pub place: CUdeviceptr,
    pub element: Element,
    pub rows: usize,
    pub columns: usize,
    /// From one row to the next, in elements.
    pub stride: usize,
}

/// Which product: `X Wᵀ`, `D W` or `Dᵀ X`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A layer's output `[images, out]` from its input `[images, in]` and weight `[out, in]`.
    Forward,
    /// The gradient by a layer's input `[images, in]` from that by its output `[images, out]` and its weight `[out, in]`.
    Backward,
    /// The gradient by a weight `[out, in]` from that by the output `[images, out]` and the input `[images, in]`.
    Weight,
}

/// What happens to the result before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// The bias is added and the ReLU applied; a bit an output says whether it was above 0.
    ReluAuxBias { bias: CUdeviceptr, bits: CUdeviceptr, stride: usize },
    /// The gradient passes where the bit says so.
    Drelu { bits: CUdeviceptr, stride: usize },
    /// Likewise, and its sum over the images is the gradient by a bias.
    DreluBgrad { bits: CUdeviceptr, stride: usize, gradient: CUdeviceptr },
    /// The sum over the images of the gradient by the output is the gradient by the bias.
    Bgradb { gradient: CUdeviceptr },
}

impl Epilogue {
    /// cublasLt's name for it, without what all names begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "DEFAULT",
            Self::ReluAuxBias { .. } => "RELU_AUX_BIAS",
            Self::Drelu { .. } => "DRELU",
            Self::DreluBgrad { .. } => "DRELU_BGRAD",
            Self::Bgradb { .. } => "BGRADB",
        }
    }

    /// Whether the gradient by the bias comes with it.
    pub fn sums_images(self) -> bool {
        matches!(self, Self::DreluBgrad { .. } | Self::Bgradb { .. })
    }
}

/// A product that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub kind: Kind,
    /// The left operand in the formula of [`Kind`].
    pub left: Matrix,
    /// The right one.
    pub right: Matrix,
    pub result: Matrix,
    pub epilogue: Epilogue,
}

/// How an algorithm is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The library's first.
    First,
    /// The fastest of those that give the bytes of the library's first, by a measurement: so that what the clock says
    /// decides no byte of a training. Of products whose result is bf16 it is the first all the same: rounded so far, sums of
    /// different orders are the same in all but a few places, and a measurement's operands may miss those.
    Fastest,
}

/// The library with the room that its algorithms need.
#[derive(Debug)]
pub struct Products {
    library: CublasLt,
    handle: sys::cublasLtHandle_t,
    workspace: Rc<Buffer>,
    compute: Compute,
    stream: Rc<Stream>,
}

/// Algorithms that are tried.
const CANDIDATES: usize = 8;
/// A measurement, of which the shortest of a few counts.
const RUNS: u32 = 8;
const MEASUREMENTS: usize = 3;

impl Products {
    /// For products in this precision.
    ///
    /// # Errors
    /// When the library does not start.
    pub fn new(
        stream: &Rc<Stream>,
        library: CublasLt,
        precision: Precision,
        workspace: &Rc<Buffer>,
    ) -> Result<Self, Error> {
        let compute = if precision == Precision::Tf32 {
            Compute::CUBLAS_COMPUTE_32F_FAST_TF32
        } else {
            Compute::CUBLAS_COMPUTE_32F
        };
        let mut handle = ptr::null_mut();
        // SAFETY: a context is current since there is a stream.
        unsafe { (library.cublasLtCreate)(&raw mut handle) }.result().to("start")?;
        Ok(Self { library, handle, workspace: Rc::clone(workspace), compute, stream: Rc::clone(stream) })
    }

    /// The first of these epilogues that the library has for this product, which the plain product always is. It is run,
    /// in as many ways as are compared.
    ///
    /// # Errors
    /// When the library has not even that.
    ///
    /// # Safety
    /// The places of the request and of the epilogues have room for what they name, and stay for as long as the product is
    /// used.
    pub unsafe fn plan(
        &self,
        request: Request,
        epilogues: &[Epilogue],
        choice: Choice,
        kernels: &Kernels,
    ) -> Result<Product, Error> {
        for &epilogue in epilogues {
            if let Ok(product) = self.planned(Request { epilogue, ..request }, choice, kernels)? {
                return Ok(product);
            }
        }
        self.planned(Request { epilogue: Epilogue::None, ..request }, choice, kernels)?.to("plan a product")
    }

    /// A product, or why the library has none.
    fn planned(
        &self,
        request: Request,
        choice: Choice,
        kernels: &Kernels,
    ) -> Result<Result<Product, CublasError>, Error> {
        let mut product = Product::describe(request, self.library, self.compute).to("describe a product")?;
        let choice = if request.result.element == Element::Bfloat16 { Choice::First } else { choice };
        let most = if choice == Choice::First { 1 } else { CANDIDATES };
        let candidates = match self.candidates(&product, most) {
            Ok(candidates) => candidates,
            Err(error) => return Ok(Err(error)),
        };
        let mut refused = CublasError(Status::CUBLAS_STATUS_NOT_SUPPORTED);
        let mut runnable = Vec::new();
        for candidate in candidates {
            product.algorithm = candidate.algo;
            match self.run(&product) {
                Ok(()) => runnable.push(candidate.algo),
                Err(error) => refused = error,
            }
            self.stream.synchronize()?;
            if choice == Choice::First && !runnable.is_empty() {
                break;
            }
        }
        let Some(&first) = runnable.first() else { return Ok(Err(refused)) };
        product.algorithm = first;
        if runnable.len() > 1 {
            product.algorithm = self.fastest(&mut product, &runnable, kernels)?;
        }
        Ok(Ok(product))
    }

    fn candidates(&self, product: &Product, most: usize) -> Result<Vec<Heuristic>, CublasError> {
        let preference = Preference::new(self.library)?;
        preference.set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &self.workspace.bytes())?;
        preference.set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &product.reductions)?;
        let mut found = Vec::with_capacity(most);
        let mut count = 0;
        let [left, right, result] = &product.layouts;
        // SAFETY: all descriptions live, and there is room for as many results.
        unsafe {
            (self.library.cublasLtMatmulAlgoGetHeuristic)(
                self.handle,
                product.description.raw,
                left.raw,
                right.raw,
                result.raw,
                result.raw,
                preference.raw,
                i32::try_from(most).expect("a few"),
                found.as_mut_ptr(),
                &raw mut count,
            )
            .result()?;
            found.set_len(most.min(count.unsigned_abs() as usize));
        }
        found.retain(|candidate: &Heuristic| candidate.state == Status::CUBLAS_STATUS_SUCCESS);
        Ok(found)
    }

    /// Gives the stream the product.
    fn run(&self, product: &Product) -> Result<(), CublasError> {
        let (alpha, beta) = (1.0_f32, 0.0_f32);
        let [left, right, result] = &product.layouts;
        let [a, b, d] = product.places.map(|place| place as *mut c_void);
        // SAFETY: all descriptions live, and the places have room for what they describe.
        unsafe {
            (self.library.cublasLtMatmul)(
                self.handle,
                product.description.raw,
                (&raw const alpha).cast(),
                a,
                left.raw,
                b,
                right.raw,
                (&raw const beta).cast(),
                d,
                result.raw,
                d,
                result.raw,
                &raw const product.algorithm,
                self.workspace.pointer() as *mut c_void,
                self.workspace.bytes(),
                self.stream.raw().cast(),
            )
        }
        .result()
    }

    /// Gives the stream the product.
    ///
    /// # Errors
    /// When the library fails.
    pub fn multiply(&self, product: &Product) -> Result<(), Error> {
        self.run(product).to("multiply")
    }

    /// Memory for a second copy of `outputs`, and for whether the two differ.
    fn beside(&self, outputs: &[(CUdeviceptr, usize)]) -> Result<(Vec<Buffer>, Buffer), Error> {
        let mut allocator = Allocator::taking(&self.stream);
        let kept = outputs.iter().map(|&(_, bytes)| allocator.take(bytes)).collect::<Result<_, _>>()?;
        Ok((kept, allocator.take(size_of::<u32>())?))
    }

    /// The fastest of those that give the bytes of the first: that one where no memory is left for the comparison.
    fn fastest(
        &self,
        product: &mut Product,
        candidates: &[sys::cublasLtMatmulAlgo_t],
        kernels: &Kernels,
    ) -> Result<sys::cublasLtMatmulAlgo_t, Error> {
        let outputs = product.outputs.clone();
        let (kept, differs) = match self.beside(&outputs) {
            // The training itself has all that it needs.
            Err(Error::OutOfMemory { .. }) => return Ok(candidates[0]),
            taken => taken?,
        };
        product.algorithm = candidates[0];
        self.multiply(product)?;
        for (&(place, bytes), kept) in outputs.iter().zip(&kept) {
            // SAFETY: the product's outputs stay; what is kept stays until the last measurement was waited for.
            unsafe { self.stream.duplicate(place, bytes, kept) }?;
        }
        let (mut fastest, mut least) = (candidates[0], Duration::MAX);
        for candidate in candidates {
            product.algorithm = *candidate;
            self.multiply(product)?;
            self.stream.zero(&differs)?;
            for (&(place, bytes), kept) in outputs.iter().zip(&kept) {
                let words = bytes / size_of::<u32>();
                let arguments =
                    Differ { one: place, other: kept.pointer(), found: differs.pointer(), count: words as u64 };
                // SAFETY: both have so many words.
                unsafe { kernels.differ.launch(&self.stream, words, &arguments) }?;
            }
            if self.stream.download::<u32>(&differs, 1)? != [0] {
                continue;
            }
            // Launched one by one, small products would wait for the host.
            let runs = self.stream.record(|| (0..RUNS).try_for_each(|_| self.multiply(product)))?;
            for _ in 0..MEASUREMENTS {
                let begin = Instant::now();
                // SAFETY: the product's operands and outputs stay.
                unsafe { self.stream.replay(&runs) }?;
                self.stream.synchronize()?;
                let time = begin.elapsed();
                if time < least {
                    (fastest, least) = (*candidate, time);
                }
            }
        }
        Ok(fastest)
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it.
        let _failed = unsafe { (self.library.cublasLtDestroy)(self.handle) };
    }
}
