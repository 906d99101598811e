//! A device with its memory, streams, graphs and kernels: a thin layer over the driver that frees what it takes.
//!
//! What the device does later, it does with places in memory that no borrow holds: functions that give it such work are
//! `unsafe`, and say what must stay.

mod memory;
mod module;
mod stream;

use std::rc::Rc;

use cudarc::driver::result as driver;
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};

use super::error::{Asked as _, Error};
pub use memory::{Allocator, Buffer, Pinned};
pub use module::{Kernel, Module, THREADS};
pub use stream::{Event, Graph, Stream};

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

    /// The device, where it is one that the kernels are checked for.
    ///
    /// # Errors
    /// When it is too old.
    pub fn usable(&self) -> Result<&Self, Error> {
        if self.capability < LEAST_CAPABILITY {
            let Self { ordinal, name, capability, .. } = self.clone();
            return Err(Error::OldDevice { ordinal, name, capability });
        }
        Ok(self)
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

    /// The error that says so.
    #[must_use]
    pub fn out_of_memory(&self, needed: usize, free: usize, total: usize) -> Error {
        let Device { ordinal, name, .. } = self.device.clone();
        Error::OutOfMemory { ordinal, name, needed, free, total }
    }
}
