//! Vectors into groups: agglomerative clustering with average linkage.

/// The number of each vector's group, in the order in which groups come. Groups are joined, the nearest first,
/// as long as they are nearer than `threshold`, or until `number` of them are left. Vectors have length 1, and
/// their distance is 1 minus their product; that of groups is the mean of their vectors' distances.
///
/// The chain of nearest neighbours of D. Müllner, 2011, Modern hierarchical, agglomerative clustering algorithms,
/// <https://arxiv.org/abs/1109.2378>: time and memory with the square of the vectors.
pub(super) fn groups(vectors: &[Vec<f32>], number: Option<usize>, threshold: f32) -> Vec<usize> {
    let count = vectors.len();
    let mut joins = joins(distances(vectors), count);
    joins.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let most = match number {
        Some(number) => count.saturating_sub(number.max(1)),
        None => joins.iter().take_while(|join| join.distance <= threshold).count(),
    };
    // Each vector's group, by one of its vectors.
    let mut parents: Vec<usize> = (0..count).collect();
    let root = |parents: &[usize], mut at: usize| {
        while parents[at] != at {
            at = parents[at];
        }
        at
    };
    for join in joins.iter().take(most) {
        let [a, b] = join.vectors.map(|vector| root(&parents, vector));
        parents[a.max(b)] = a.min(b);
    }
    let mut numbers = vec![None; count];
    let mut next = 0;
    let mut number_of = |at: usize| {
        *numbers[root(&parents, at)].get_or_insert_with(|| {
            next += 1;
            next - 1
        })
    };
    (0..count).map(&mut number_of).collect()
}

/// Two groups, by one vector of each, that are joined.
struct Join {
    vectors: [usize; 2],
    distance: f32,
}

/// Of each two vectors.
struct Distances {
    count: usize,
    values: Vec<f32>,
}

impl Distances {
    fn place(&self, a: usize, b: usize) -> usize {
        let (a, b) = (a.min(b), a.max(b));
        a * self.count - a * (a + 1) / 2 + b - a - 1
    }

    fn of(&self, a: usize, b: usize) -> f32 {
        self.values[self.place(a, b)]
    }

    fn set(&mut self, a: usize, b: usize, value: f32) {
        let place = self.place(a, b);
        self.values[place] = value;
    }
}

fn distances(vectors: &[Vec<f32>]) -> Distances {
    let count = vectors.len();
    let mut values = Vec::with_capacity(count * count.saturating_sub(1) / 2);
    for (number, vector) in vectors.iter().enumerate() {
        let rest = vectors[number + 1..].iter();
        let product = |other: &Vec<f32>| vector.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
        values.extend(rest.map(|other| 1.0 - product(other)));
    }
    Distances { count, values }
}

/// All that are joined until one group is left, in the order in which they are found.
fn joins(mut distances: Distances, count: usize) -> Vec<Join> {
    let mut sizes = vec![1_usize; count];
    let mut joins: Vec<Join> = Vec::with_capacity(count);
    let mut chain: Vec<usize> = Vec::new();
    while joins.len() + 1 < count {
        let last = match chain.last() {
            Some(&last) => last,
            None => {
                let Some(first) = sizes.iter().position(|&size| size > 0) else { break };
                chain.push(first);
                first
            }
        };
        // Of equals the one before in the chain, or the chain would have no end.
        let before = chain.len().checked_sub(2).map(|at| chain[at]);
        let mut nearest = before.map(|at| (distances.of(last, at), at));
        for other in (0..count).filter(|&other| other != last && sizes[other] > 0) {
            let distance = distances.of(last, other);
            if nearest.is_none_or(|(least, _)| distance < least) {
                nearest = Some((distance, other));
            }
        }
        let Some((distance, other)) = nearest else { break };
        if Some(other) != before {
            chain.push(other);
            continue;
        }
        chain.truncate(chain.len() - 2);
        let (kept, gone) = (last.min(other), last.max(other));
        let (a, b) = (sizes[kept] as f32, sizes[gone] as f32);
        for third in (0..count).filter(|&it| it != kept && it != gone && sizes[it] > 0) {
            let mean = (a * distances.of(kept, third) + b * distances.of(gone, third)) / (a + b);
            distances.set(kept, third, mean);
        }
        sizes[kept] += sizes[gone];
        sizes[gone] = 0;
        joins.push(Join { vectors: [kept, gone], distance });
    }
    joins
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::Value;

    use super::*;

    /// `vectors` of `make_speakers.py`, made as long as 1.
    fn vectors(count: usize, seed: usize) -> Vec<Vec<f32>> {
        let row = |row: usize| {
            let voice = (row * 7 + seed) % (2 + seed % 3);
            let noise = |at: usize| ((row * 5 + at) * 7919 + seed * 104_729) as u64 % 1009;
            let value = |at: usize| {
                let noise = noise(at) as f64 / 1009.0 - 0.5;
                f64::from(u8::from(at == voice)) + 0.7 * noise
            };
            let values: Vec<f64> = (0..5).map(value).collect();
            let length = values.iter().map(|x| x * x).sum::<f64>().sqrt();
            values.into_iter().map(|x| (x / length) as f32).collect()
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn groups_are_those_of_the_reference() {
        let golden = include_str!("../../../tests/goldens/speakers/groups.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let number = |name: &str| case[name].as_u64().unwrap() as usize;
            let expected =
                |name: &str| -> Vec<usize> { serde_json::from_value(case[name].clone()).unwrap() };
            let vectors = vectors(number("count"), number("seed"));
            let threshold = case["threshold"].as_f64().unwrap() as f32;
            assert_eq!(groups(&vectors, None, threshold), expected("by_distance"), "{case}");
            assert_eq!(
                groups(&vectors, Some(number("number")), 0.0),
                expected("by_number"),
                "{case}"
            );
        }
    }

    #[test]
    fn few_vectors_have_few_groups() {
        assert!(groups(&[], None, 0.5).is_empty());
        assert_eq!(groups(&[vec![1.0]], Some(3), 0.5), [0]);
        let three = [vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 0.0]];
        assert_eq!(groups(&three, None, 0.5), [0, 1, 0]);
        assert_eq!(groups(&three, Some(9), 0.5), [0, 1, 2]);
        assert_eq!(groups(&three, Some(1), 0.5), [0, 0, 0]);
    }
}
