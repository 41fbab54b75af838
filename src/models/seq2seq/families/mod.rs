//! Families of encoder-decoders: data, one file each, written as "T5, except …" or "BART, except …".

pub(in crate::models) mod bart;
mod led;
mod longt5;
mod m2m_100;
mod marian;
mod mbart;
mod mt5;
mod nllb_moe;
mod parts;
mod pegasus;
mod plbart;
mod t5;
mod umt5;

use crate::models::seq2seq::family::Family;

/// Every family of encoder-decoders. A new one is a file and a line here. T5 stands before its kin: the first
/// reads the GGUF files of all.
pub(crate) const FAMILIES: &[&Family] = &[
    &t5::FAMILY,
    &bart::FAMILY,
    &led::FAMILY,
    &longt5::FAMILY,
    &m2m_100::FAMILY,
    &marian::FAMILY,
    &mbart::FAMILY,
    &mt5::FAMILY,
    &nllb_moe::FAMILY,
    &pegasus::FAMILY,
    &plbart::FAMILY,
    &umt5::FAMILY,
];
