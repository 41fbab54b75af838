//! When tokens were spoken: a path through the attention that they paid to the recording.

/// How much attention each token paid to each frame, as one head has it: `(tokens, frames)`, row by row.
pub(super) type Attention = Vec<f32>;

/// The frame at which each token begins to be spoken, by the attention of some heads, `(tokens, frames)`
/// each: what remains of `_extract_token_timestamps` of transformers once tokens and frames are chosen.
///
/// `median_filter_width` frames are smoothed together.
pub(super) fn frames_of_tokens(
    heads: Vec<Attention>,
    tokens: usize,
    frames: usize,
    median_filter_width: usize,
) -> Vec<usize> {
    if tokens == 0 || frames == 0 {
        return vec![0; tokens];
    }
    let count = heads.len().max(1) as f32;
    let mut cost = vec![0.0; tokens * frames];
    for mut head in heads {
        standardize(&mut head, frames);
        for row in head.chunks_mut(frames) {
            smooth(row, median_filter_width);
        }
        cost.iter_mut().zip(&head).for_each(|(cost, share)| *cost -= share / count);
    }
    path(&cost, tokens, frames)
}

/// Brings each frame to a mean of 0 and a standard deviation of 1 over the tokens. A frame that all tokens
/// attend to alike becomes 0.
fn standardize(head: &mut [f32], frames: usize) {
    let tokens = (head.len() / frames) as f64;
    for frame in 0..frames {
        let shares = || head.iter().skip(frame).step_by(frames).map(|&share| f64::from(share));
        let mean = shares().sum::<f64>() / tokens;
        let deviation = (shares().map(|share| (share - mean).powi(2)).sum::<f64>() / tokens).sqrt();
        let scale = if deviation > 0.0 { deviation.recip() } else { 0.0 };
        for share in head.iter_mut().skip(frame).step_by(frames) {
            *share = ((f64::from(*share) - mean) * scale) as f32;
        }
    }
}

/// Replaces each value by the median of those around it; beyond the ends the values are mirrored. A row that
/// is shorter than half of the width stays.
fn smooth(row: &mut [f32], width: usize) {
    let half = width / 2;
    if row.len() <= half || half == 0 {
        return;
    }
    let last = row.len() - 1;
    let mirrored = |place: usize| match place.checked_sub(half) {
        None => half - place,
        Some(place) if place > last => 2 * last - place,
        Some(place) => place,
    };
    let padded: Vec<f32> = (0..row.len() + 2 * half).map(|place| row[mirrored(place)]).collect();
    let mut around = Vec::with_capacity(width);
    for (value, near) in row.iter_mut().zip(padded.windows(2 * half + 1)) {
        around.clear();
        around.extend_from_slice(near);
        let (_, median, _) = around.select_nth_unstable_by(half, f32::total_cmp);
        *value = *median;
    }
}

/// The first frame of each token on the cheapest way from the first token and frame to the last, which goes on
/// by a token, a frame, or both (`_dynamic_time_warping`). Of ways that cost the same, one more frame comes
/// first.
fn path(cost: &[f32], tokens: usize, frames: usize) -> Vec<usize> {
    let mut steps = vec![Step::Frame; tokens * frames];
    let mut above = vec![f32::INFINITY; frames + 1];
    above[0] = 0.0;
    for token in 0..tokens {
        let mut row = vec![f32::INFINITY; frames + 1];
        for frame in 0..frames {
            let (both, one_token, one_frame) = (above[frame], above[frame + 1], row[frame]);
            let (least, step) = if both < one_token && both < one_frame {
                (both, Step::Both)
            } else if one_token < both && one_token < one_frame {
                (one_token, Step::Token)
            } else {
                (one_frame, Step::Frame)
            };
            let place = token * frames + frame;
            row[frame + 1] = (f64::from(cost[place]) + f64::from(least)) as f32;
            steps[place] = step;
        }
        above = row;
    }
    let mut firsts = vec![0; tokens];
    let (mut token, mut frame) = (tokens - 1, frames - 1);
    loop {
        firsts[token] = frame;
        let step = match (token, frame) {
            (0, 0) => return firsts,
            (0, _) => Step::Frame,
            (_, 0) => Step::Token,
            _ => steps[token * frames + frame],
        };
        token -= usize::from(matches!(step, Step::Both | Step::Token));
        frame -= usize::from(matches!(step, Step::Both | Step::Frame));
    }
}

/// How a way goes on.
#[derive(Debug, Clone, Copy)]
enum Step {
    Both,
    Token,
    Frame,
}
