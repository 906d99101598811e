//! Matrix products with what comes before or after them, by cublasLt.
//!
//! A row-major matrix of `r` rows and `c` columns is a column-major one of `c` rows and `r` columns: with what lies on the
//! device row by row, `Y = X Wᵀ` is asked for as `Yᵀ = W Xᵀ`.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as Compute, cublasLtEpilogue_t as RawEpilogue,
    cublasLtMatmulDescAttributes_t as Attribute, cublasLtMatmulHeuristicResult_t as Heuristic,
    cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute, cublasStatus_t as Status, cudaDataType_t as DataType,
};
use cudarc::driver::sys::CUdeviceptr;

use super::device::{Allocator, Buffer, Stream};
use super::error::{Asked as _, Error};
use super::functions::CublasLt;
use super::kernels::{Differ, Kernels};
use crate::options::Precision;

/// What a matrix consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// 32 bits.
    Float32,
    /// 16 bits: the upper half of a `Float32`.
    Bfloat16,
}

impl Element {
    /// Of one.
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

/// Masks of cublasLtReductionScheme_t. A sum that is divided among blocks may be added up in `f32`; in the result's own
/// precision, which is the default as well, bf16 would lose what the blocks have kept.
const REDUCTION_IN_COMPUTE_TYPE: u32 = 2;
const NO_REDUCTION: u32 = 0;
/// Divided sums of bf16 products whose terms are no multiple of this are reported to lack their last terms, on the H100 with
/// cublasLt 12.8 and 13.1: they are not divided.
const WHOLE_TERMS: usize = 64;

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

    /// The first of these epilogues that the library has for this product, which the plain product always is.
    ///
    /// # Errors
    /// When the library has not even that.
    pub fn plan(
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
            found.set_len(count.unsigned_abs() as usize);
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

    /// The fastest of those that give the bytes of the first.
    fn fastest(
        &self,
        product: &mut Product,
        candidates: &[sys::cublasLtMatmulAlgo_t],
        kernels: &Kernels,
    ) -> Result<sys::cublasLtMatmulAlgo_t, Error> {
        let mut allocator = Allocator::taking(&self.stream);
        let outputs = product.outputs.clone();
        let kept = outputs.iter().map(|&(_, bytes)| allocator.take(bytes)).collect::<Result<Vec<_>, _>>()?;
        let differs = allocator.take(size_of::<u32>())?;
        product.algorithm = candidates[0];
        self.multiply(product)?;
        for (&(place, bytes), kept) in outputs.iter().zip(&kept) {
            self.stream.duplicate(place, bytes, kept)?;
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
                self.stream.replay(&runs)?;
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

/// A product that is ready to be run.
#[derive(Debug)]
pub struct Product {
    description: Description,
    /// Of the two operands and the result, column-major.
    layouts: [Layout; 3],
    places: [CUdeviceptr; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    /// How an algorithm may add up what several blocks have summed.
    reductions: u32,
    /// What it writes: places and bytes.
    outputs: Vec<(CUdeviceptr, usize)>,
    /// What happens to its result.
    pub epilogue: Epilogue,
}

impl Product {
    fn describe(request: Request, library: CublasLt, compute: Compute) -> Result<Self, CublasError> {
        let Request { kind, left, right, result, epilogue } = request;
        // Column-major, operands change places: (A B)ᵀ = Bᵀ Aᵀ.
        let (transposed_first, transposed_second) = match kind {
            Kind::Forward => (true, false),
            Kind::Backward => (false, false),
            Kind::Weight => (false, true),
        };
        let description = Description::new(library, compute)?;
        // CUBLAS_OP_N is 0 and CUBLAS_OP_T is 1.
        description.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(transposed_first))?;
        description.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(transposed_second))?;
        let mut outputs = vec![(result.place, result.rows * result.stride * result.element.bytes())];
        let mut gradient = |place: CUdeviceptr, count: usize| {
            description.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &place)?;
            outputs.push((place, count * result.element.bytes()));
            Ok::<_, CublasError>(())
        };
        let bits = |place: CUdeviceptr, stride: usize| {
            description.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &place)?;
            description.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &(stride as i64))
        };
        let raw = match epilogue {
            Epilogue::None => RawEpilogue::CUBLASLT_EPILOGUE_DEFAULT,
            Epilogue::ReluAuxBias { bias, bits: place, stride } => {
                description.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
                bits(place, stride)?;
                RawEpilogue::CUBLASLT_EPILOGUE_RELU_AUX_BIAS
            }
            Epilogue::Drelu { bits: place, stride } => {
                bits(place, stride)?;
                RawEpilogue::CUBLASLT_EPILOGUE_DRELU
            }
            Epilogue::DreluBgrad { bits: place, stride, gradient: sums } => {
                bits(place, stride)?;
                gradient(sums, result.columns)?;
                RawEpilogue::CUBLASLT_EPILOGUE_DRELU_BGRAD
            }
            Epilogue::Bgradb { gradient: sums } => {
                gradient(sums, result.rows)?;
                RawEpilogue::CUBLASLT_EPILOGUE_BGRADB
            }
        };
        description.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &raw)?;
        let layout = |matrix: Matrix| {
            let (rows, columns, stride) = (matrix.columns as u64, matrix.rows as u64, matrix.stride as i64);
            Layout::new(library, matrix.element.data_type(), [rows, columns], stride)
        };
        // The forward product is `X Wᵀ` and the weight's `Dᵀ X`: the right operand is the column-major first one.
        let layouts = [layout(right)?, layout(left)?, layout(result)?];
        let places = [right.place, left.place, result.place];
        let algorithm = sys::cublasLtMatmulAlgo_t { data: [0; 8] };
        let terms = if kind == Kind::Weight { left.rows } else { left.columns };
        let is_whole = left.element == Element::Float32 || terms.is_multiple_of(WHOLE_TERMS);
        let reductions = if is_whole { REDUCTION_IN_COMPUTE_TYPE } else { NO_REDUCTION };
        Ok(Self { description, layouts, places, algorithm, reductions, outputs, epilogue })
    }
}

/// Something that the library describes products by, with what makes, changes and destroys it.
macro_rules! described {
    ($(#[$attribute:meta])* $name:ident: $raw:ty, destroyed by $destroy:ident) => {
        $(#[$attribute])*
        #[derive(Debug)]
        struct $name {
            library: CublasLt,
            raw: $raw,
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: nobody else destroys it.
                let _failed = unsafe { (self.library.$destroy)(self.raw) };
            }
        }
    };
}

described!(Description: sys::cublasLtMatmulDesc_t, destroyed by cublasLtMatmulDescDestroy);
described!(
    /// Of a matrix.
    Layout: sys::cublasLtMatrixLayout_t, destroyed by cublasLtMatrixLayoutDestroy
);
described!(
    /// Which algorithms are asked for.
    Preference: sys::cublasLtMatmulPreference_t, destroyed by cublasLtMatmulPreferenceDestroy
);

impl Description {
    fn new(library: CublasLt, compute: Compute) -> Result<Self, CublasError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer.
        unsafe { (library.cublasLtMatmulDescCreate)(&raw mut raw, compute, DataType::CUDA_R_32F) }.result()?;
        Ok(Self { library, raw })
    }

    fn set<T>(&self, attribute: Attribute, value: &T) -> Result<(), CublasError> {
        let bytes = size_of::<T>();
        // SAFETY: the description lives, and the value is of the attribute's type.
        unsafe {
            (self.library.cublasLtMatmulDescSetAttribute)(self.raw, attribute, ptr::from_ref(value).cast(), bytes)
        }
        .result()
    }
}

impl Layout {
    /// Column-major.
    fn new(library: CublasLt, element: DataType, [rows, columns]: [u64; 2], stride: i64) -> Result<Self, CublasError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer.
        unsafe { (library.cublasLtMatrixLayoutCreate)(&raw mut raw, element, rows, columns, stride) }.result()?;
        Ok(Self { library, raw })
    }
}

impl Preference {
    fn new(library: CublasLt) -> Result<Self, CublasError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer.
        unsafe { (library.cublasLtMatmulPreferenceCreate)(&raw mut raw) }.result()?;
        Ok(Self { library, raw })
    }

    fn set<T>(&self, attribute: PreferenceAttribute, value: &T) -> Result<(), CublasError> {
        let (value, bytes) = (ptr::from_ref(value).cast(), size_of::<T>());
        // SAFETY: the preference lives, and the value is of the attribute's type.
        unsafe { (self.library.cublasLtMatmulPreferenceSetAttribute)(self.raw, attribute, value, bytes) }.result()
    }
}
