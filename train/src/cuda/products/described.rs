//! What the library is told about a product: its descriptions, which it makes and destroys.

use std::ptr;

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as Compute, cublasLtEpilogue_t as RawEpilogue,
    cublasLtMatmulDescAttributes_t as Attribute, cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute,
    cudaDataType_t as DataType,
};
use cudarc::driver::sys::CUdeviceptr;

use super::{Element, Epilogue, Kind, Matrix, Request};
use crate::cuda::functions::CublasLt;

/// Masks of cublasLtReductionScheme_t. A sum that is divided among blocks may be added up in `f32`; in the result's own
/// precision, which is the default as well, bf16 would lose what the blocks have kept.
const REDUCTION_IN_COMPUTE_TYPE: u32 = 2;
const NO_REDUCTION: u32 = 0;
/// Divided sums of bf16 products whose terms are no multiple of this are reported to lack their last terms, on the H100 with
/// cublasLt 12.8 and 13.1: they are not divided.
const WHOLE_TERMS: usize = 64;

/// A product that is ready to be run.
#[derive(Debug)]
pub struct Product {
    pub(super) description: Description,
    /// The layouts of the two operands and the result, column-major.
    pub(super) layouts: [MatrixLayout; 3],
    pub(super) places: [CUdeviceptr; 3],
    pub(super) algorithm: sys::cublasLtMatmulAlgo_t,
    /// How an algorithm may add up what several blocks have summed.
    pub(super) reductions: u32,
    /// What it writes: places and bytes.
    pub(super) outputs: Vec<(CUdeviceptr, usize)>,
    /// What happens to its result.
    pub epilogue: Epilogue,
}

impl Product {
    pub(super) fn describe(request: Request, library: CublasLt, compute: Compute) -> Result<Self, CublasError> {
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
            MatrixLayout::new(library, matrix.element.data_type(), [rows, columns], stride)
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
        pub(super) struct $name {
            library: CublasLt,
            pub(super) raw: $raw,
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
    /// How a matrix lies.
    MatrixLayout: sys::cublasLtMatrixLayout_t, destroyed by cublasLtMatrixLayoutDestroy
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

impl MatrixLayout {
    /// Column-major.
    fn new(library: CublasLt, element: DataType, [rows, columns]: [u64; 2], stride: i64) -> Result<Self, CublasError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer.
        unsafe { (library.cublasLtMatrixLayoutCreate)(&raw mut raw, element, rows, columns, stride) }.result()?;
        Ok(Self { library, raw })
    }
}

impl Preference {
    pub(super) fn new(library: CublasLt) -> Result<Self, CublasError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer.
        unsafe { (library.cublasLtMatmulPreferenceCreate)(&raw mut raw) }.result()?;
        Ok(Self { library, raw })
    }

    pub(super) fn set<T>(&self, attribute: PreferenceAttribute, value: &T) -> Result<(), CublasError> {
        let (value, bytes) = (ptr::from_ref(value).cast(), size_of::<T>());
        // SAFETY: the preference lives, and the value is of the attribute's type.
        unsafe { (self.library.cublasLtMatmulPreferenceSetAttribute)(self.raw, attribute, value, bytes) }.result()
    }
}
