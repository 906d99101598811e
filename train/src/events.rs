//! `events.out.tfevents`: the training's figures as TensorBoard reads them.
//!
//! The file is a row of records, each an `Event` message of protocol buffers. A record is the length of its data (`u64`),
//! that length's masked CRC-32C, the data, and the data's masked CRC-32C, all little-endian (TensorFlow,
//! `core/lib/io/record_writer.h`; the messages are in TensorBoard's `compat/proto/event.proto` and `summary.proto`).

use artifacts::EpochMetrics;

/// What TensorBoard expects to read first.
const FILE_VERSION: &str = "brain.Event:2";

/// The record that a file begins with.
pub fn file_version() -> Vec<u8> {
    record(&[double(1, 0.0), bytes(3, FILE_VERSION.as_bytes())].concat())
}

/// The record of an epoch, whose number is the step.
///
/// The number is the event's `wall_time` too: the file holds nothing of the clock, and TensorBoard's relative time counts
/// epochs.
pub fn epoch(metrics: &EpochMetrics) -> Vec<u8> {
    let scalars = [
        ("learning_rate", Some(metrics.learning_rate)),
        ("loss/train", Some(metrics.train_loss)),
        ("loss/valid", Some(metrics.valid_loss)),
        ("loss/valid_averaged", metrics.averaged_valid_loss),
        ("accuracy/valid", Some(metrics.valid_accuracy)),
        ("accuracy/valid_averaged", metrics.averaged_valid_accuracy),
    ];
    let scalars = scalars.into_iter().filter_map(|(tag, value)| Some(scalar(tag, value?)));
    let summary: Vec<u8> = scalars.flat_map(|value| bytes(1, &value)).collect();
    let epoch = metrics.epoch as u64;
    record(&[double(1, epoch as f64), integer(2, epoch), bytes(5, &summary)].concat())
}

/// A `Summary.Value`.
fn scalar(tag: &str, value: f64) -> Vec<u8> {
    [bytes(1, tag.as_bytes()), key(2, 5), (value as f32).to_le_bytes().to_vec()].concat()
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let [length_checksum, data_checksum] = [&length[..], data].map(|bytes| masked_crc32c(bytes).to_le_bytes());
    [&length[..], &length_checksum, data, &data_checksum].concat()
}

/// A field's number and wire type (protocol buffers, "Encoding": 0 variable-length integer, 1 eight bytes, 2 bytes after
/// their length, 5 four bytes).
fn key(field: u64, wire_type: u64) -> Vec<u8> {
    variable_length(field << 3 | wire_type)
}

fn integer(field: u64, value: u64) -> Vec<u8> {
    [key(field, 0), variable_length(value)].concat()
}

fn double(field: u64, value: f64) -> Vec<u8> {
    [key(field, 1), value.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [key(field, 2), variable_length(value.len() as u64), value.to_vec()].concat()
}

/// Seven bits a byte, the lowest first; all but the last byte have the highest bit.
fn variable_length(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A checksum of data that may hold checksums itself (TensorFlow, `core/lib/hash/crc32c.h`).
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (RFC 3720, section 12.1), a bit at a time: a record is a few hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let divided = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), divided))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        // Appendix B.4, whose figures stand in the order of transmission.
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(&[0xff; 32]).to_le_bytes(), [0x43, 0xab, 0xa8, 0x62]);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising).to_le_bytes(), [0x4e, 0x79, 0xdd, 0x46]);
    }

    #[test]
    fn the_first_record_is_the_one_that_tensorboard_writes() {
        // tensorboard.summary.writer.record_writer.RecordWriter of an Event with wall_time 0 set and this file_version.
        assert_eq!(file_version()[..8], 24_u64.to_le_bytes());
        assert_eq!(file_version()[12..36], *b"\x09\0\0\0\0\0\0\0\0\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn integers_take_as_many_bytes_as_they_need() {
        // Protocol buffers, "Encoding": 150 is 9601.
        assert_eq!(variable_length(150), [0x96, 0x01]);
        assert_eq!(variable_length(127), [0x7f]);
        assert_eq!(variable_length(128), [0x80, 0x01]);
    }
}
