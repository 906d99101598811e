//! Images that do not fit on the device: two pinned buffers take turns to bring them there beside the computation.

use std::rc::Rc;

use super::device::{Buffer, Event, Pinned, Stream};
use super::error::Error;
use crate::data::Data;

/// Brings batches to the halves of the device's staging buffer.
#[derive(Debug)]
pub struct Feed {
    copies: Stream,
    halves: [Half; 2],
    turn: usize,
    pixels: usize,
    /// Images that a half has room for.
    room: usize,
}

#[derive(Debug)]
struct Half {
    pinned: Pinned<u8>,
    /// When its images are on the device.
    arrived: Event,
    /// When no step reads them there any more.
    read: Event,
}

impl Feed {
    /// For batches of at most `room` images of so many pixels.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn new(stream: &Stream, room: usize, pixels: usize) -> Result<Self, Error> {
        let context: &Rc<_> = stream.context();
        let half = || {
            let (arrived, read) = (Event::new(context)?, Event::new(context)?);
            Ok(Half { pinned: Pinned::new(context, room * pixels)?, arrived, read })
        };
        Ok(Self { copies: Stream::new(context)?, halves: [half()?, half()?], turn: 0, pixels, room })
    }

    /// Waits for what is being copied.
    ///
    /// # Errors
    /// When the device fails.
    pub fn finish(&self) -> Result<(), Error> {
        self.copies.synchronize()
    }

    /// Brings these rows of the training split to a half of `staging`, has `step` launched with the half where they will be,
    /// and the half kept until it has read them.
    ///
    /// # Errors
    /// When the device or `step` fails.
    pub fn bring(
        &mut self,
        data: &Data,
        rows: &[u32],
        staging: &Buffer,
        stream: &Stream,
        step: impl FnOnce(usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (turn, bytes) = (self.turn, rows.len() * self.pixels);
        let half = &mut self.halves[turn];
        // Until then, the images that were there two steps ago are still being copied.
        half.arrived.synchronize()?;
        // SAFETY: that copy is over, and the next one comes after this.
        let images = &mut unsafe { half.pinned.values() }[..bytes];
        for (image, &row) in images.chunks_exact_mut(self.pixels).zip(rows) {
            image.copy_from_slice(data.train.image(row as usize));
        }
        self.copies.wait_for(&half.read)?;
        // SAFETY: the half is written to when the copy is over; the engine waits for it before it lets both go.
        unsafe { self.copies.copy(&mut half.pinned, bytes, staging, turn * self.room * self.pixels) }?;
        half.arrived.record(&self.copies)?;
        stream.wait_for(&half.arrived)?;
        step(turn)?;
        half.read.record(stream)?;
        self.turn = 1 - turn;
        Ok(())
    }
}
