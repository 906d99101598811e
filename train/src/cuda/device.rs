//! A device with its memory, streams, graphs and kernels: a thin layer over the driver that frees what it takes.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;

use cudarc::driver::result as driver;
use cudarc::driver::sys::{
    self, CUdevice_attribute_enum as Attribute, CUdeviceptr, CUevent_flags_enum as EventFlags, CUevent_wait_flags,
    CUfunction_attribute_enum as FunctionAttribute, CUgraphInstantiate_flags, CUstreamCaptureMode,
};

use super::error::{Asked as _, Error, is_out_of_memory};

/// The oldest compute capability that the kernels are checked for: the first with products in bf16 and tf32.
pub const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// A device as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Counted from 0.
    pub ordinal: u32,
    /// As "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// In bytes.
    pub memory: usize,
    /// Major and minor.
    pub capability: (i32, i32),
    handle: sys::CUdevice,
}

impl Device {
    /// All that the driver shows, which must be loaded.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn all() -> Result<Vec<Self>, Error> {
        let count = driver::device::get_count().to("count the devices")?;
        (0..count).map(Self::describe).collect()
    }

    fn describe(ordinal: i32) -> Result<Self, Error> {
        const ACTION: &str = "describe a device";
        let handle = driver::device::get(ordinal).to(ACTION)?;
        // SAFETY: the handle is of a device.
        let attribute = |attribute| unsafe { driver::device::get_attribute(handle, attribute) }.to(ACTION);
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let name = driver::device::get_name(handle).to(ACTION)?;
        // SAFETY: the handle is of a device.
        let memory = unsafe { driver::device::total_mem(handle) }.to(ACTION)?;
        Ok(Self { ordinal: ordinal.unsigned_abs(), name, memory, capability, handle })
    }
}

/// What all that is taken on a device belongs to.
#[derive(Debug)]
pub struct Context {
    /// Its device.
    pub device: Device,
}

impl Context {
    /// The device's context, for this thread. It is kept for as long as the process lives: libraries remember by the context
    /// what they have loaded, and the next engine need not start the device again.
    ///
    /// # Errors
    /// When the device is not free.
    pub fn of(device: Device) -> Result<Rc<Self>, Error> {
        // SAFETY: the handle is of a device.
        let context = unsafe { driver::primary_ctx::retain(device.handle) }.to("use the device")?;
        // SAFETY: the context was just retained, and is never released.
        unsafe { driver::ctx::set_current(context) }.to("use the device")?;
        Ok(Rc::new(Self { device }))
    }

    /// The free and all memory, in bytes.
    ///
    /// # Errors
    /// When the device fails.
    pub fn memory(&self) -> Result<(usize, usize), Error> {
        driver::mem_get_info().to("tell the free memory")
    }
}

/// Memory on a device.
#[derive(Debug)]
pub struct Buffer {
    pointer: CUdeviceptr,
    bytes: usize,
    _context: Option<Rc<Context>>,
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

/// What the driver rounds a piece of memory up to.
const PIECE: usize = 512;

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
        self.bytes += bytes.next_multiple_of(PIECE);
        let Some(stream) = self.stream else {
            return Ok(Buffer { pointer: 0, bytes, _context: None });
        };
        // SAFETY: a context is current since there is a stream.
        let pointer = match unsafe { driver::malloc_sync(bytes) } {
            Err(error) if is_out_of_memory(error) => {
                let (free, total) = stream.context.memory()?;
                // What was taken before this is the training's too.
                return Err(stream.context.out_of_memory(self.bytes, free + before, total));
            }
            taken => taken.to("take memory")?,
        };
        let buffer = Buffer { pointer, bytes, _context: Some(Rc::clone(&stream.context)) };
        stream.zero(&buffer)?;
        Ok(buffer)
    }
}

impl Context {
    /// The error that says so.
    #[must_use]
    pub fn out_of_memory(&self, needed: usize, free: usize, total: usize) -> Error {
        let Device { ordinal, name, .. } = self.device.clone();
        Error::OutOfMemory { ordinal, name, needed, free, total }
    }
}

/// Memory of the host that the device reads and writes by itself.
#[derive(Debug)]
pub struct Pinned<T> {
    pointer: *mut T,
    length: usize,
    _context: Rc<Context>,
}

impl<T: Copy + Default> Pinned<T> {
    /// So many values, at least one.
    ///
    /// # Errors
    /// When the driver gives no such memory.
    pub fn new(context: &Rc<Context>, length: usize) -> Result<Self, Error> {
        let length = length.max(1);
        // SAFETY: a context is current.
        let pointer = unsafe { driver::malloc_host(length * size_of::<T>(), 0) }.to("pin memory of the host")?;
        let pinned = Self { pointer: pointer.cast(), length, _context: Rc::clone(context) };
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
    /// Behind the end.
    pub fn write(&mut self, place: usize, value: T) {
        assert!(place < self.length, "there are {} values, not {place}", self.length);
        // SAFETY: the place is within the memory; work that was launched before reads other places.
        unsafe { self.pointer.add(place).write_volatile(value) };
    }

    /// The values, while no work that was launched uses them.
    pub fn values(&mut self) -> &mut [T] {
        // SAFETY: all values were written; that no work uses them is seen to by whoever asks.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.length) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: nobody else frees it; freeing waits for what the device still does with it.
        let _failed = unsafe { driver::free_host(self.pointer.cast()) };
    }
}

/// Work in order.
#[derive(Debug)]
pub struct Stream {
    raw: sys::CUstream,
    context: Rc<Context>,
}

impl Stream {
    /// A stream of its own.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(context: &Rc<Context>) -> Result<Self, Error> {
        let raw = driver::stream::create(driver::stream::StreamKind::NonBlocking).to("make a stream")?;
        Ok(Self { raw, context: Rc::clone(context) })
    }

    /// The driver's own name for it.
    #[must_use]
    pub fn raw(&self) -> sys::CUstream {
        self.raw
    }

    /// What it belongs to.
    #[must_use]
    pub fn context(&self) -> &Rc<Context> {
        &self.context
    }

    /// Waits for all its work.
    ///
    /// # Errors
    /// When something of it failed.
    pub fn synchronize(&self) -> Result<(), Error> {
        // SAFETY: the stream lives.
        unsafe { driver::stream::synchronize(self.raw) }.to("finish what it was given")
    }

    /// Lets later work wait for what comes before the event.
    ///
    /// # Errors
    /// When the device fails.
    pub fn wait_for(&self, event: &Event) -> Result<(), Error> {
        // SAFETY: both live.
        unsafe { driver::stream::wait_event(self.raw, event.raw, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
            .to("wait for an event")
    }

    /// Fills with zeros.
    ///
    /// # Errors
    /// When the device fails.
    pub fn zero(&self, buffer: &Buffer) -> Result<(), Error> {
        // SAFETY: the buffer has so many bytes.
        unsafe { driver::memset_d8_async(buffer.pointer, 0, buffer.bytes, self.raw) }.to("fill memory")
    }

    /// Copies values to the buffer from a place in bytes on, and waits until they are there.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the buffer has no room for them.
    pub fn upload<T: Copy>(&self, values: &[T], buffer: &Buffer, place: usize) -> Result<(), Error> {
        assert!(place + size_of_val(values) <= buffer.bytes, "{} bytes have room", buffer.bytes);
        // SAFETY: the buffer has room, and the values live until the copy is over.
        unsafe { driver::memcpy_htod_async(buffer.pointer + place as u64, values, self.raw) }
            .to("copy to the device")?;
        self.synchronize()
    }

    /// Copies the first pinned values to the buffer some time later.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there are not as many, or the buffer has no room for them from `place` in bytes on.
    pub fn copy<T: Copy + Default>(
        &self,
        pinned: &mut Pinned<T>,
        count: usize,
        buffer: &Buffer,
        place: usize,
    ) -> Result<(), Error> {
        let values = &pinned.values()[..count];
        assert!(place + size_of_val(values) <= buffer.bytes, "{} bytes have room", buffer.bytes);
        // SAFETY: the buffer has room; whoever holds the pinned values waits for the copy before writing to them.
        unsafe { driver::memcpy_htod_async(buffer.pointer + place as u64, values, self.raw) }.to("copy to the device")
    }

    /// Copies from one place on the device to another.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the buffer has no room.
    pub fn duplicate(&self, from: CUdeviceptr, bytes: usize, to: &Buffer) -> Result<(), Error> {
        assert!(bytes <= to.bytes, "{} bytes have room", to.bytes);
        // SAFETY: `from` is a place on the device with as many bytes.
        unsafe { driver::memcpy_dtod_async(to.pointer, from, bytes, self.raw) }.to("copy on the device")
    }

    /// Waits for all work, and copies the first values of the buffer.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the buffer has fewer.
    pub fn download<T: Copy + Default>(&self, buffer: &Buffer, count: usize) -> Result<Vec<T>, Error> {
        let mut values = vec![T::default(); count];
        assert!(size_of_val(&values[..]) <= buffer.bytes, "there are {} bytes", buffer.bytes);
        // SAFETY: the values live until the copy is over.
        unsafe { driver::memcpy_dtoh_async(&mut values, buffer.pointer, self.raw) }.to("copy from the device")?;
        self.synchronize()?;
        Ok(values)
    }

    /// Records what `work` gives to the stream, which is not done.
    ///
    /// # Errors
    /// When the device fails, or `work` does.
    pub fn record(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<Graph, Error> {
        const ACTION: &str = "record a step";
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives, and is recording nothing.
        unsafe { driver::stream::begin_capture(self.raw, mode) }.to(ACTION)?;
        let given = work();
        // SAFETY: the stream has been recording.
        let graph = unsafe { driver::stream::end_capture(self.raw) };
        given?;
        let graph = graph.to(ACTION)?;
        // SAFETY: the graph was just recorded; nothing but the executable is used of it.
        let executable = unsafe { driver::graph::instantiate(graph, CUgraphInstantiate_flags(0)) };
        // SAFETY: nobody else destroys it.
        unsafe { driver::graph::destroy(graph) }.to(ACTION)?;
        Ok(Graph { raw: executable.to(ACTION)?, _context: Rc::clone(&self.context) })
    }

    /// Does what was recorded.
    ///
    /// # Errors
    /// When the device fails.
    pub fn replay(&self, graph: &Graph) -> Result<(), Error> {
        // SAFETY: both live; what the graph's work uses lives as long as the graph.
        unsafe { driver::graph::launch(graph.raw, self.raw) }.to("launch a step")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it.
        let _failed = unsafe { driver::stream::destroy(self.raw) };
    }
}

/// A moment in a stream's work.
#[derive(Debug)]
pub struct Event {
    raw: sys::CUevent,
    _context: Rc<Context>,
}

impl Event {
    /// One that is over.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(context: &Rc<Context>) -> Result<Self, Error> {
        let raw = driver::event::create(EventFlags::CU_EVENT_DISABLE_TIMING).to("make an event")?;
        Ok(Self { raw, _context: Rc::clone(context) })
    }

    /// Stands from now on for the moment when all that the stream has been given is done.
    ///
    /// # Errors
    /// When the device fails.
    pub fn record(&self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: both live.
        unsafe { driver::event::record(self.raw, stream.raw) }.to("record an event")
    }

    /// Waits for the moment.
    ///
    /// # Errors
    /// When something before it failed.
    pub fn synchronize(&self) -> Result<(), Error> {
        // SAFETY: the event lives.
        unsafe { driver::event::synchronize(self.raw) }.to("finish what it was given")
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it.
        let _failed = unsafe { driver::event::destroy(self.raw) };
    }
}

/// Recorded work.
#[derive(Debug)]
pub struct Graph {
    raw: sys::CUgraphExec,
    _context: Rc<Context>,
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it; work of it that is being done goes on.
        let _failed = unsafe { driver::graph::exec_destroy(self.raw) };
    }
}

/// Kernels that were compiled for the device.
#[derive(Debug)]
pub struct Module {
    raw: sys::CUmodule,
    _context: Rc<Context>,
}

impl Module {
    /// Loads what the compiler made.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn load(context: &Rc<Context>, binary: &[u8]) -> Result<Self, Error> {
        // SAFETY: the binary is what NVRTC made of the kernels.
        let raw = unsafe { driver::module::load_data(binary.as_ptr().cast()) }.to("load the kernels")?;
        Ok(Self { raw, _context: Rc::clone(context) })
    }

    /// The kernel of that name, whose one argument is an `A`; loaded, so that a recording may use it.
    ///
    /// # Errors
    /// When there is none.
    pub fn kernel<A>(&self, name: &CStr) -> Result<Kernel<A>, Error> {
        // SAFETY: the module lives as long as its kernels, which [`super::kernels::Kernels`] holds together.
        let function = unsafe { driver::module::get_function(self.raw, name.to_owned()) }.to("find a kernel")?;
        let attribute = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
        // SAFETY: the function was just found.
        let threads = unsafe { driver::function::get_function_attribute(function, attribute) }.to("load a kernel")?;
        debug_assert!(threads >= THREADS as i32, "every kernel is compiled for {THREADS} threads");
        Ok(Kernel { function, arguments: PhantomData })
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
    arguments: PhantomData<A>,
}

impl<A> Kernel<A> {
    /// Gives the stream as many threads of it, at least one; some more may run.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// The arguments name places on the device that have room for what the kernel reads and writes there.
    pub unsafe fn launch(&self, stream: &Stream, threads: usize, arguments: &A) -> Result<(), Error> {
        let blocks = u32::try_from(threads.div_ceil(THREADS).max(1)).expect("a grid has fewer than 2³² blocks");
        let mut parameters = [ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        // SAFETY: the kernel takes one `A`, which is copied before this returns; for the places, see above.
        unsafe {
            driver::launch_kernel(self.function, (blocks, 1, 1), (THREADS as u32, 1, 1), 0, stream.raw, &mut parameters)
        }
        .to("launch a kernel")
    }
}
