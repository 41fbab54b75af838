//! PNG files that say how they were painted.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::media::Image;

/// Writes a picture as PNG, with texts by which it can be painted again, each a name of Latin letters and a value:
/// `parameters`, as other programs name it.
///
/// # Errors
///
/// When the file cannot be written, or a name is empty, too long or not Latin.
pub fn save_png(image: &Image, path: impl AsRef<Path>, texts: &[(&str, &str)]) -> Result<()> {
    let path = path.as_ref();
    let file =
        File::create(path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
    let mut file = BufWriter::new(file);
    write(image, &mut file, texts)
        .and_then(|()| file.flush().map_err(::png::EncodingError::from))
        .map_err(|error| match error {
            ::png::EncodingError::IoError(source) => Error::Write { path: path.to_owned(), source },
            other => Error::input(format!("{}: {other}", path.display())),
        })
}

fn write(
    image: &Image,
    to: impl Write,
    texts: &[(&str, &str)],
) -> std::result::Result<(), ::png::EncodingError> {
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let mut encoder = ::png::Encoder::new(to, side(image.width), side(image.height));
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    for (name, value) in texts {
        encoder.add_itxt_chunk((*name).to_owned(), (*value).to_owned())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.rgb)?;
    writer.finish()
}

/// The texts in a PNG file, in their order: `parameters` of a picture that another program painted, too.
///
/// # Errors
///
/// When the file cannot be read or is no PNG.
pub fn png_texts(path: impl AsRef<Path>) -> Result<Vec<(String, String)>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let broken = |error: ::png::DecodingError| Error::malformed(path, error);
    let mut reader = ::png::Decoder::new(BufReader::new(file)).read_info().map_err(broken)?;
    // Texts may stand behind the picture.
    reader.finish().map_err(broken)?;
    let info = reader.info();
    let mut texts = Vec::new();
    for text in &info.uncompressed_latin1_text {
        texts.push((text.keyword.clone(), text.text.clone()));
    }
    for text in &info.compressed_latin1_text {
        texts.push((text.keyword.clone(), text.get_text().map_err(broken)?));
    }
    for text in &info.utf8_text {
        texts.push((text.keyword.clone(), text.get_text().map_err(broken)?));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let image = Image::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let texts = [("parameters", "a cat, Dalí\nSteps: 20, Seed: 7"), ("model", "x")];
        save_png(&image, &path, &texts).unwrap();
        let found = png_texts(&path).unwrap();
        let found: Vec<_> = found.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!(found, texts);
        let mut reader =
            ::png::Decoder::new(BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, image.rgb);
        assert!(save_png(&image, &path, &[("", "x")]).is_err());
        assert!(png_texts(folder.path().join("b.png")).is_err());
        std::fs::write(&path, b"nothing").unwrap();
        assert!(png_texts(&path).is_err());
    }
}
