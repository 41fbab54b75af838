//! Comparing embeddings: similarities, search, mining and clusters, as sentence-transformers'
//! `util` has them.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::embeddings::pooling::length;
use crate::error::{Error, Result};
use crate::fields::choices;

choices! {
    /// Similarity functions, by the names of sentence-transformers; larger is more similar.
    Similarity, "similarity_fn_name" {
        /// The cosine of the angle between them.
        Cosine = "cosine",
        /// Their product.
        Dot = "dot",
        /// Minus the distance between them.
        Euclidean = "euclidean",
        /// Minus the sum of the distances in each dimension.
        Manhattan = "manhattan",
    }
}

impl Similarity {
    /// Of two vectors of one length.
    ///
    /// # Errors
    ///
    /// When their lengths differ.
    pub fn of(self, left: &[f32], right: &[f32]) -> Result<f32> {
        if left.len() != right.len() {
            let (left, right) = (left.len(), right.len());
            return Err(Error::input(format!("vectors of {left} and of {right} numbers")));
        }
        let pairs = || left.iter().zip(right).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let dot = || pairs().map(|(a, b)| a * b).sum::<f64>() as f32;
        Ok(match self {
            Self::Cosine => dot() / (length(left) * length(right)),
            Self::Dot => dot(),
            Self::Euclidean => -pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() as f32,
            Self::Manhattan => -pairs().map(|(a, b)| (a - b).abs()).sum::<f64>() as f32,
        })
    }
}

/// One result of a search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hit {
    /// The number of the vector in the corpus: `corpus_id`.
    #[serde(rename = "corpus_id")]
    pub index: usize,
    /// Its similarity.
    pub score: f32,
}

/// Two similar vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pair {
    /// Their similarity.
    pub score: f32,
    /// The number of one.
    pub first: usize,
    /// The number of the other, which is greater.
    pub second: usize,
}

/// For each query, the `top_k` most similar vectors of the corpus, best first; among equals, the
/// first in the corpus.
///
/// # Errors
///
/// When vectors differ in length.
pub fn semantic_search(
    queries: &[Vec<f32>],
    corpus: &[Vec<f32>],
    top_k: usize,
    similarity: Similarity,
) -> Result<Vec<Vec<Hit>>> {
    let search = |query: &Vec<f32>| -> Result<Vec<Hit>> {
        let mut hits = corpus
            .iter()
            .enumerate()
            .map(|(index, vector)| Ok(Hit { index, score: similarity.of(query, vector)? }))
            .collect::<Result<Vec<_>>>()?;
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        hits.truncate(top_k);
        Ok(hits)
    };
    queries.par_iter().map(search).collect()
}

/// The most similar pairs by cosine, best first. The `top_k` best partners of each vector are
/// candidates; the best `max_pairs` are returned. (The reference counts a pair that both sides
/// found twice and one less than `max_pairs` in all, so that it returns fewer.)
///
/// # Errors
///
/// When vectors differ in length.
pub fn paraphrase_mining(
    embeddings: &[Vec<f32>],
    top_k: usize,
    max_pairs: usize,
) -> Result<Vec<Pair>> {
    let found =
        semantic_search(embeddings, embeddings, top_k.saturating_add(1), Similarity::Cosine)?;
    let mut pairs: Vec<_> = found
        .into_iter()
        .enumerate()
        .flat_map(|(number, hits)| {
            let others = hits.into_iter().filter(move |hit| hit.index != number);
            others.map(move |Hit { index, score }| Pair {
                score,
                first: number.min(index),
                second: number.max(index),
            })
        })
        .collect();
    pairs.sort_by_key(|pair| (pair.first, pair.second));
    pairs.dedup_by_key(|pair| (pair.first, pair.second));
    pairs.sort_by(|a, b| b.score.total_cmp(&a.score));
    pairs.truncate(max_pairs);
    Ok(pairs)
}

/// Groups of at least `min_size` vectors whose cosine to the group's first is at least `threshold`,
/// the largest group first; a vector is in one group at most.
///
/// # Errors
///
/// When vectors differ in length.
pub fn community_detection(
    embeddings: &[Vec<f32>],
    threshold: f32,
    min_size: usize,
) -> Result<Vec<Vec<usize>>> {
    let min_size = min_size.min(embeddings.len()).max(1);
    let all = semantic_search(embeddings, embeddings, embeddings.len(), Similarity::Cosine)?;
    let mut groups: Vec<Vec<usize>> = all
        .into_iter()
        .map(|hits| {
            hits.into_iter().take_while(|hit| hit.score >= threshold).map(|hit| hit.index).collect()
        })
        .filter(|group: &Vec<usize>| group.len() >= min_size)
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut taken = vec![false; embeddings.len()];
    let mut kept: Vec<Vec<usize>> = Vec::new();
    for group in groups {
        let free: Vec<_> = group.into_iter().filter(|&number| !taken[number]).collect();
        if free.len() >= min_size {
            free.iter().for_each(|&number| taken[number] = true);
            kept.push(free);
        }
    }
    kept.sort_by_key(|group| std::cmp::Reverse(group.len()));
    Ok(kept)
}
