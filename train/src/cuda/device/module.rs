//! Kernels as the device runs them.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;

use cudarc::driver::result as driver;
use cudarc::driver::sys::{self, CUfunction_attribute_enum as FunctionAttribute};

use super::{Context, Stream};
use crate::cuda::error::{Asked as _, Error};

/// Kernels that were compiled for the device.
#[derive(Debug)]
pub struct Module {
    raw: sys::CUmodule,
}

impl Module {
    /// Loads what the compiler made: machine code, or PTX with a zero byte at its end.
    ///
    /// # Errors
    /// When the device does not take it.
    ///
    /// # Safety
    /// The code is whole: the driver finds its end by what it says itself.
    pub unsafe fn load(_context: &Rc<Context>, code: &[u8]) -> Result<Rc<Self>, Error> {
        // SAFETY: the contract's; the driver copies what it needs.
        let raw = unsafe { driver::module::load_data(code.as_ptr().cast()) }.to("load the kernels")?;
        Ok(Rc::new(Self { raw }))
    }

    /// The kernel of that name; loaded, so that a recording may use it.
    ///
    /// # Errors
    /// When there is none.
    ///
    /// # Safety
    /// Its one argument is an `A`.
    pub unsafe fn kernel<A>(self: &Rc<Self>, name: &CStr) -> Result<Kernel<A>, Error> {
        // SAFETY: the module lives.
        let function = unsafe { driver::module::get_function(self.raw, name.to_owned()) }.to("find a kernel")?;
        let attribute = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
        // SAFETY: the function was just found.
        let threads = unsafe { driver::function::get_function_attribute(function, attribute) }.to("load a kernel")?;
        debug_assert!(threads >= THREADS as i32, "every kernel is compiled for {THREADS} threads");
        Ok(Kernel { function, _module: Rc::clone(self), arguments: PhantomData })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: nobody else unloads it.
        let _failed = unsafe { driver::module::unload(self.raw) };
    }
}

/// Threads of a block, for every kernel.
pub const THREADS: usize = 256;

/// A kernel, whose one argument is an `A`.
#[derive(Debug)]
pub struct Kernel<A> {
    function: sys::CUfunction,
    _module: Rc<Module>,
    arguments: PhantomData<A>,
}

impl<A> Kernel<A> {
    /// Gives the stream as many threads of it, at least one; some more may run.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// The arguments name places on the device that have room for what the kernel reads and writes there, and that stay
    /// until it is over.
    pub unsafe fn launch(&self, stream: &Stream, threads: usize, arguments: &A) -> Result<(), Error> {
        let blocks = u32::try_from(threads.div_ceil(THREADS).max(1)).expect("a grid has fewer than 2³² blocks");
        let mut parameters = [ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        // SAFETY: the kernel takes one `A`, which is copied before this returns; for the places, see above.
        unsafe {
            driver::launch_kernel(
                self.function,
                (blocks, 1, 1),
                (THREADS as u32, 1, 1),
                0,
                stream.raw(),
                &mut parameters,
            )
        }
        .to("launch a kernel")
    }
}
