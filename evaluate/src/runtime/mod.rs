//! The model in ONNX Runtime, on the processor or a GPU: it runs models, whatever is judged with them.

mod batches;
mod cuda;
mod device;
mod latency;
mod library;
mod model;

pub(crate) use batches::{Batch, Batches};
pub(crate) use device::name as device_name;
pub use latency::Latency;
pub(crate) use library::{OLDEST_MINOR, Runtime};
pub(crate) use model::{Model, SESSION_OPTIONS};
