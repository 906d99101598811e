//! The functions of NVRTC and cublasLt that the engine calls, of the very libraries that were found.
//!
//! `cudarc` declares their types. Its own functions are those of the first library that the system has by one of many names,
//! which need not be the one that was found: where an installed CUDA is in the system's folders, it would always be that one.

use std::ffi::{CStr, c_char, c_int, c_void};

use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtHandle_t, cublasLtMatmulAlgo_t, cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t,
    cublasLtMatmulHeuristicResult_t, cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
    cublasLtMatrixLayout_t, cublasStatus_t, cudaDataType_t, cudaStream_t,
};
use cudarc::nvrtc::sys::{nvrtcProgram, nvrtcResult};
use gpu::Loaded;

macro_rules! functions {
    ($(#[$attribute:meta])* $library:ident { $($name:ident($($argument:ty),*) -> $result:ty;)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy)]
        #[expect(non_snake_case, reason = "NVIDIA's names")]
        pub struct $library {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl $library {
            /// The functions of a library, which must be what the name says.
            ///
            /// # Errors
            /// When one is missing, in the words of the system.
            pub fn of(library: Loaded) -> Result<Self, String> {
                // SAFETY: the functions of this name have these types in NVIDIA's headers, from CUDA 12 on.
                Ok(Self { $($name: unsafe { library.function(name(concat!(stringify!($name), "\0"))) }?,)* })
            }
        }
    };
}

fn name(text: &str) -> &CStr {
    CStr::from_bytes_with_nul(text.as_bytes()).expect("a name that ends with 0")
}

functions! {
    /// The compiler of kernels.
    Nvrtc {
        nvrtcVersion(*mut c_int, *mut c_int) -> nvrtcResult;
        nvrtcGetNumSupportedArchs(*mut c_int) -> nvrtcResult;
        nvrtcGetSupportedArchs(*mut c_int) -> nvrtcResult;
        nvrtcCreateProgram(
            *mut nvrtcProgram, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
        ) -> nvrtcResult;
        nvrtcDestroyProgram(*mut nvrtcProgram) -> nvrtcResult;
        nvrtcCompileProgram(nvrtcProgram, c_int, *const *const c_char) -> nvrtcResult;
        nvrtcGetProgramLogSize(nvrtcProgram, *mut usize) -> nvrtcResult;
        nvrtcGetProgramLog(nvrtcProgram, *mut c_char) -> nvrtcResult;
        nvrtcGetCUBINSize(nvrtcProgram, *mut usize) -> nvrtcResult;
        nvrtcGetCUBIN(nvrtcProgram, *mut c_char) -> nvrtcResult;
        nvrtcGetPTXSize(nvrtcProgram, *mut usize) -> nvrtcResult;
        nvrtcGetPTX(nvrtcProgram, *mut c_char) -> nvrtcResult;
    }
}

functions! {
    /// The library of matrix products.
    CublasLt {
        cublasLtGetVersion() -> usize;
        cublasLtCreate(*mut cublasLtHandle_t) -> cublasStatus_t;
        cublasLtDestroy(cublasLtHandle_t) -> cublasStatus_t;
        cublasLtMatmulDescCreate(*mut cublasLtMatmulDesc_t, cublasComputeType_t, cudaDataType_t) -> cublasStatus_t;
        cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t) -> cublasStatus_t;
        cublasLtMatmulDescSetAttribute(
            cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, *const c_void, usize
        ) -> cublasStatus_t;
        cublasLtMatrixLayoutCreate(*mut cublasLtMatrixLayout_t, cudaDataType_t, u64, u64, i64) -> cublasStatus_t;
        cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t) -> cublasStatus_t;
        cublasLtMatmulPreferenceCreate(*mut cublasLtMatmulPreference_t) -> cublasStatus_t;
        cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) -> cublasStatus_t;
        cublasLtMatmulPreferenceSetAttribute(
            cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, *const c_void, usize
        ) -> cublasStatus_t;
        cublasLtMatmulAlgoGetHeuristic(
            cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
            cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, c_int,
            *mut cublasLtMatmulHeuristicResult_t, *mut c_int
        ) -> cublasStatus_t;
        cublasLtMatmul(
            cublasLtHandle_t, cublasLtMatmulDesc_t, *const c_void, *const c_void, cublasLtMatrixLayout_t, *const c_void,
            cublasLtMatrixLayout_t, *const c_void, *const c_void, cublasLtMatrixLayout_t, *mut c_void,
            cublasLtMatrixLayout_t, *const cublasLtMatmulAlgo_t, *mut c_void, usize, cudaStream_t
        ) -> cublasStatus_t;
    }
}
