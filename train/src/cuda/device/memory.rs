//! Memory of the device, and of the host for the device.

use std::marker::PhantomData;
use std::rc::Rc;
use std::slice;

use cudarc::driver::result as driver;
use cudarc::driver::sys::CUdeviceptr;

use super::{Context, Stream};
use crate::cuda::error::{Asked as _, Error, is_out_of_memory};

/// Memory on a device.
#[derive(Debug)]
pub struct Buffer {
    pointer: CUdeviceptr,
    bytes: usize,
    /// It is freed by the thread that the context is current for, and not sent to another.
    thread: PhantomData<*const ()>,
}

impl Buffer {
    /// Where it lies on the device.
    #[must_use]
    pub fn pointer(&self) -> CUdeviceptr {
        self.pointer
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.pointer != 0 {
            // SAFETY: nobody else frees it. What fails here has failed before.
            let _failed = unsafe { driver::free_sync(self.pointer) };
        }
    }
}

/// Takes memory, or counts what would be taken: the same code says how much is needed and takes it.
#[derive(Debug)]
pub struct Allocator<'a> {
    stream: Option<&'a Stream>,
    /// What was taken or counted.
    pub bytes: usize,
}

/// Where the driver begins a small piece of memory, of which several share a page.
const PIECE: usize = 512;
/// What it rounds a larger one up to.
const PAGE: usize = 2 << 20;

impl<'a> Allocator<'a> {
    /// One that only counts; its buffers are nowhere.
    #[must_use]
    pub fn counting() -> Self {
        Self { stream: None, bytes: 0 }
    }

    /// One that takes memory and has it filled with zeros.
    #[must_use]
    pub fn taking(stream: &'a Stream) -> Self {
        Self { stream: Some(stream), bytes: 0 }
    }

    /// Memory of this many bytes, at least one, filled with zeros.
    ///
    /// # Errors
    /// When there is too little.
    pub fn take(&mut self, bytes: usize) -> Result<Buffer, Error> {
        let bytes = bytes.max(1);
        let before = self.bytes;
        self.bytes += bytes.next_multiple_of(if bytes < PAGE { PIECE } else { PAGE });
        let Some(stream) = self.stream else {
            return Ok(Buffer { pointer: 0, bytes, thread: PhantomData });
        };
        // SAFETY: a context is current since there is a stream.
        let pointer = match unsafe { driver::malloc_sync(bytes) } {
            Err(error) if is_out_of_memory(error) => {
                let (free, total) = stream.context().memory()?;
                // What was taken before this is the training's too.
                return Err(stream.context().out_of_memory(self.bytes, free + before, total));
            }
            taken => taken.to("take memory")?,
        };
        let buffer = Buffer { pointer, bytes, thread: PhantomData };
        stream.zero(&buffer)?;
        Ok(buffer)
    }
}

/// Memory of the host that the device reads and writes by itself.
#[derive(Debug)]
pub struct Pinned<T> {
    pointer: *mut T,
    length: usize,
}

impl<T: Copy + Default> Pinned<T> {
    /// So many values, at least one.
    ///
    /// # Errors
    /// When the driver gives no such memory.
    pub fn new(_context: &Rc<Context>, length: usize) -> Result<Self, Error> {
        let length = length.max(1);
        // SAFETY: a context is current.
        let pointer = unsafe { driver::malloc_host(length * size_of::<T>(), 0) }.to("pin memory of the host")?;
        let pinned = Self { pointer: pointer.cast(), length };
        for place in 0..length {
            // SAFETY: the memory has room for as many values, and nobody reads it yet.
            unsafe { pinned.pointer.add(place).write(T::default()) };
        }
        Ok(pinned)
    }

    /// Where the device finds it.
    #[must_use]
    pub fn pointer(&self) -> CUdeviceptr {
        self.pointer as CUdeviceptr
    }

    /// How many values.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Writes a value, which work that is launched afterwards reads.
    ///
    /// # Panics
    /// When `place` is past the end.
    ///
    /// # Safety
    /// No work that was launched and is not over uses the place.
    pub unsafe fn write(&mut self, place: usize, value: T) {
        assert!(place < self.length, "there are {} values, not {place}", self.length);
        // SAFETY: the place is within the memory, and by the contract nobody reads it meanwhile.
        unsafe { self.pointer.add(place).write_volatile(value) };
    }

    /// The values.
    ///
    /// # Safety
    /// No work that was launched and is not over uses them, and none is launched while they are borrowed.
    pub unsafe fn values(&mut self) -> &mut [T] {
        // SAFETY: all values were written, and by the contract nobody else uses them.
        unsafe { slice::from_raw_parts_mut(self.pointer, self.length) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: nobody else frees it; freeing waits for what the device still does with it.
        let _failed = unsafe { driver::free_host(self.pointer.cast()) };
    }
}
