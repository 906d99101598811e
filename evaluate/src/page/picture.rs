//! Pictures as `data:` addresses, so that the page needs no file beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::error::{ParameterError, ParameterErrorKind};
use image::{ExtendedColorType, ImageEncoder as _, ImageError};

/// An 8-bit grey image.
///
/// # Errors
/// When there are not `height · width` pixels.
pub(crate) fn grey(pixels: &[u8], [height, width]: [usize; 2]) -> Result<String, ImageError> {
    png(pixels, [height, width], ExtendedColorType::L8)
}

/// Weights: white for 0, blue below and orange above, as strong as at `largest`.
pub(crate) fn weights(values: &[f32], largest: f32, size: [usize; 2]) -> Result<String, ImageError> {
    const BELOW: [f32; 3] = [0.0, 92.0, 160.0];
    const ABOVE: [f32; 3] = [205.0, 80.0, 0.0];
    let colour = |value: f32| {
        let share = if largest > 0.0 { (value / largest).clamp(-1.0, 1.0) } else { 0.0 };
        let end = if share < 0.0 { BELOW } else { ABOVE };
        end.map(|end| (255.0 + (end - 255.0) * share.abs()).round() as u8)
    };
    png(&values.iter().flat_map(|&value| colour(value)).collect::<Vec<_>>(), size, ExtendedColorType::Rgb8)
}

/// Values from 0: black for 0, over orange to a pale yellow at `largest`.
pub(crate) fn heat(values: &[f32], largest: f32, size: [usize; 2]) -> Result<String, ImageError> {
    const STOPS: [[f32; 3]; 4] = [[0.0, 0.0, 4.0], [120.0, 40.0, 80.0], [240.0, 130.0, 30.0], [252.0, 250.0, 190.0]];
    let colour = |value: f32| {
        let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
        let place = share * (STOPS.len() - 1) as f32;
        let first = (place as usize).min(STOPS.len() - 2);
        let [below, above] = [STOPS[first], STOPS[first + 1]];
        [0, 1, 2].map(|part| (below[part] + (above[part] - below[part]) * (place - first as f32)).round() as u8)
    };
    png(&values.iter().flat_map(|&value| colour(value)).collect::<Vec<_>>(), size, ExtendedColorType::Rgb8)
}

fn png(bytes: &[u8], [height, width]: [usize; 2], colour: ExtendedColorType) -> Result<String, ImageError> {
    // The encoder takes it for granted.
    if bytes.len() != height * width * usize::from(colour.bits_per_pixel() / 8) {
        return Err(ImageError::Parameter(ParameterError::from_kind(ParameterErrorKind::DimensionMismatch)));
    }
    let [height, width] = [height, width].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::NoFilter);
    encoder.write_image(bytes, width, height, colour)?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(address: &str) -> image::DynamicImage {
        let encoded = address.strip_prefix("data:image/png;base64,").unwrap();
        image::load_from_memory(&STANDARD.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn a_grey_image_comes_back_from_its_address() {
        let address = grey(&[0, 1, 2, 253, 254, 255], [2, 3]).unwrap();
        assert_eq!(pixels(&address).to_luma8().into_raw(), [0, 1, 2, 253, 254, 255]);
        assert_eq!((pixels(&address).height(), pixels(&address).width()), (2, 3));
    }

    #[test]
    fn weights_are_white_at_zero_and_their_sign_is_told_by_their_hue() {
        let colours = pixels(&weights(&[0.0, -2.0, 2.0, 1.0], 2.0, [1, 4]).unwrap()).to_rgb8().into_raw();
        assert_eq!(colours, [255, 255, 255, 0, 92, 160, 205, 80, 0, 230, 168, 128]);
        assert_eq!(pixels(&weights(&[0.0], 0.0, [1, 1]).unwrap()).to_rgb8().into_raw(), [255; 3]);
    }

    #[test]
    fn heat_rises_from_black() {
        let colours = pixels(&heat(&[0.0, 3.0], 3.0, [1, 2]).unwrap()).to_rgb8().into_raw();
        assert_eq!(colours, [0, 0, 4, 252, 250, 190]);
    }

    #[test]
    fn pixels_that_do_not_fit_the_size_are_an_error() {
        assert!(grey(&[0; 5], [2, 3]).is_err());
    }
}
