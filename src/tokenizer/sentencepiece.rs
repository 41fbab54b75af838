//! The fields of a SentencePiece `.model` file that matter for splitting text.
//!
//! Such a file is one protocol-buffer message, `ModelProto` in
//! <https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto>. Lengths are
//! checked against the bytes that are really there; fields not needed are stepped over.

/// A SentencePiece model.
#[derive(Debug)]
pub(super) struct SpmModel {
    pub(super) pieces: Vec<Piece>,
    pub(super) kind: ModelKind,
    pub(super) unk_id: usize,
    pub(super) unk_piece: String,
    /// What an unknown piece is decoded to.
    pub(super) unk_surface: String,
    /// Whether characters without a piece become the pieces of their bytes.
    pub(super) byte_fallback: bool,
    /// Whether the space that is added to a text goes behind it.
    pub(super) whitespace_as_suffix: bool,
    /// The compiled normalization table; may be empty.
    pub(super) charsmap: Vec<u8>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
}

impl Default for SpmModel {
    /// The defaults of the file format.
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            kind: ModelKind::Unigram,
            unk_id: 0,
            unk_piece: "<unk>".to_owned(),
            unk_surface: " \u{2047} ".to_owned(),
            byte_fallback: false,
            whitespace_as_suffix: false,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

/// One token.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelKind {
    Unigram,
    Bpe,
    /// Words or characters, which no fast tokenizer covers.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl PieceKind {
    /// Whether a text is searched for the token before it is split.
    pub(super) fn is_added(self) -> bool {
        matches!(self, Self::Control | Self::UserDefined)
    }
}

type Parsed<T> = Result<T, String>;

impl SpmModel {
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut model = Self::default();
        fields(bytes, |number, value| match (number, value) {
            (1, Field::Bytes(bytes)) => {
                model.pieces.push(piece(bytes)?);
                Ok(())
            }
            (2, Field::Bytes(bytes)) => fields(bytes, |number, value| {
                match (number, value) {
                    (3, Field::Varint(1)) => model.kind = ModelKind::Unigram,
                    (3, Field::Varint(2)) => model.kind = ModelKind::Bpe,
                    (3, Field::Varint(_)) => model.kind = ModelKind::Other,
                    (24, Field::Varint(flag)) => model.whitespace_as_suffix = flag != 0,
                    (35, Field::Varint(flag)) => model.byte_fallback = flag != 0,
                    (40, Field::Varint(id)) => {
                        model.unk_id = usize::try_from(id).map_err(|error| error.to_string())?;
                    }
                    (44, Field::Bytes(text)) => model.unk_surface = utf8(text)?,
                    (45, Field::Bytes(text)) => model.unk_piece = utf8(text)?,
                    _ => {}
                }
                Ok(())
            }),
            (3, Field::Bytes(bytes)) => fields(bytes, |number, value| {
                match (number, value) {
                    (2, Field::Bytes(table)) => model.charsmap = table.to_vec(),
                    (3, Field::Varint(flag)) => model.add_dummy_prefix = flag != 0,
                    (4, Field::Varint(flag)) => model.remove_extra_whitespaces = flag != 0,
                    (5, Field::Varint(flag)) => model.escape_whitespaces = flag != 0,
                    _ => {}
                }
                Ok(())
            }),
            _ => Ok(()),
        })?;
        if model.pieces.is_empty() {
            return Err("is not a SentencePiece model: it holds no tokens".to_owned());
        }
        Ok(model)
    }
}

fn piece(bytes: &[u8]) -> Parsed<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Field::Bytes(text)) => piece.text = utf8(text)?,
            (2, Field::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Field::Varint(kind)) => {
                piece.kind = match kind {
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    5 => PieceKind::Unused,
                    6 => PieceKind::Byte,
                    _ => PieceKind::Normal,
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(piece)
}

fn utf8(bytes: &[u8]) -> Parsed<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "holds a token that is not UTF-8")?;
    Ok(text.to_owned())
}

/// A field's value, by wire type.
#[derive(Clone, Copy)]
enum Field<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

/// Calls `each` for every field of a message.
fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(u64, Field<'a>) -> Parsed<()>) -> Parsed<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Field::Varint(varint(&mut rest)?),
            1 => {
                take(&mut rest, 8)?;
                Field::Fixed64
            }
            2 => {
                let length = varint(&mut rest)?;
                Field::Bytes(take(&mut rest, length)?)
            }
            5 => {
                let bytes = take(&mut rest, 4)?;
                Field::Fixed32(bytes.try_into().map(u32::from_le_bytes).unwrap_or_default())
            }
            kind => {
                return Err(format!("is not a SentencePiece model: field of unknown type {kind}"));
            }
        };
        each(key >> 3, value)?;
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Parsed<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("is not a SentencePiece model: a number of more than 64 bits".to_owned())
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Parsed<&'a [u8]> {
    let taken = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, after) = taken.ok_or("is truncated")?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SpmModel::parse(&bytes);
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        assert!(
            SpmModel::parse(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])
                .unwrap_err()
                .contains("truncated")
        );
    }
}
