//! Work in order, and recordings of it.

use std::rc::Rc;

use cudarc::driver::result as driver;
use cudarc::driver::sys::{
    self, CUdeviceptr, CUevent_flags_enum as EventFlags, CUevent_wait_flags, CUgraphInstantiate_flags,
    CUstreamCaptureMode,
};

use super::{Buffer, Context, Pinned};
use crate::cuda::error::{Asked as _, Error};

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
        unsafe { driver::memset_d8_async(buffer.pointer(), 0, buffer.bytes(), self.raw) }.to("fill memory")
    }

    /// Copies values to the buffer from a place in bytes on, and waits until they are there.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the buffer has no room for them.
    pub fn upload<T: Copy>(&self, values: &[T], buffer: &Buffer, place: usize) -> Result<(), Error> {
        assert!(place + size_of_val(values) <= buffer.bytes(), "the buffer has {} bytes", buffer.bytes());
        // SAFETY: the buffer has room, and the values live until the copy is over.
        unsafe { driver::memcpy_htod_async(buffer.pointer() + place as u64, values, self.raw) }
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
    ///
    /// # Safety
    /// Until the copy is over, both stay, and nobody writes to the pinned values.
    pub unsafe fn copy<T: Copy + Default>(
        &self,
        pinned: &mut Pinned<T>,
        count: usize,
        buffer: &Buffer,
        place: usize,
    ) -> Result<(), Error> {
        // SAFETY: they are read only, which the copy does as well.
        let values = &unsafe { pinned.values() }[..count];
        assert!(place + size_of_val(values) <= buffer.bytes(), "the buffer has {} bytes", buffer.bytes());
        // SAFETY: the buffer has room; the values stay by the contract.
        unsafe { driver::memcpy_htod_async(buffer.pointer() + place as u64, values, self.raw) }.to("copy to the device")
    }

    /// Copies from one place on the device to another some time later.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the buffer has no room.
    ///
    /// # Safety
    /// `from` is a place on the device with as many bytes. Until the copy is over, both stay.
    pub unsafe fn duplicate(&self, from: CUdeviceptr, bytes: usize, to: &Buffer) -> Result<(), Error> {
        assert!(bytes <= to.bytes(), "the buffer has {} bytes", to.bytes());
        // SAFETY: the buffer has room; for `from`, see the contract.
        unsafe { driver::memcpy_dtod_async(to.pointer(), from, bytes, self.raw) }.to("copy on the device")
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
        assert!(size_of_val(&values[..]) <= buffer.bytes(), "the buffer has {} bytes", buffer.bytes());
        // SAFETY: the values live until the copy is over.
        unsafe { driver::memcpy_dtoh_async(&mut values, buffer.pointer(), self.raw) }.to("copy from the device")?;
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
        let executable = given.and_then(|()| {
            // SAFETY: the graph was just recorded; nothing but the executable is used of it.
            unsafe { driver::graph::instantiate(graph.to(ACTION)?, CUgraphInstantiate_flags(0)) }.to(ACTION)
        });
        if let Ok(graph) = graph {
            // SAFETY: nobody else destroys it.
            unsafe { driver::graph::destroy(graph) }.to(ACTION)?;
        }
        Ok(Graph { raw: executable? })
    }

    /// Does what was recorded some time later.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// All that the recorded work uses is still there, and stays until the work is over.
    pub unsafe fn replay(&self, graph: &Graph) -> Result<(), Error> {
        // SAFETY: both live; for what the work uses, see the contract.
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
}

impl Event {
    /// One that is over.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(_context: &Rc<Context>) -> Result<Self, Error> {
        let raw = driver::event::create(EventFlags::CU_EVENT_DISABLE_TIMING).to("make an event")?;
        Ok(Self { raw })
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
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it; work of it that is being done goes on.
        let _failed = unsafe { driver::graph::exec_destroy(self.raw) };
    }
}
