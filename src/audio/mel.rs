//! Banks of mel filters, as `mel_filter_bank` of transformers computes them (`audio_utils.py`).

/// How a bank of filters is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct MelBank {
    /// The number of filters.
    pub(super) filters: usize,
    /// The points of the Fourier transform, at least 2.
    pub(super) fft_length: usize,
    /// Samples per second.
    pub(super) sampling_rate: u32,
    /// Where the first filter begins, in Hz.
    pub(super) lowest: f64,
    /// Where the last filter ends, in Hz.
    pub(super) highest: f64,
    /// How the filters lie between both.
    pub(super) scale: MelScale,
}

/// How mels follow from Hz, and what the filters look like with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MelScale {
    /// Linear up to 1000 Hz, then logarithmic; each filter has the same area (Whisper).
    Slaney,
    /// `2595 log10(1 + f / 700)`, with filters that are triangles over Hz and reach 1 (CLAP, fused).
    Htk,
    /// As [`Htk`](Self::Htk), but each filter has the same area (XTTS).
    HtkAreas,
    /// `1127 ln(1 + f / 700)`, with filters that are triangles over mels (what follows Kaldi).
    Kaldi,
}

/// The filters, without the zeros around each.
#[derive(Debug, Clone)]
pub(super) struct MelFilters {
    /// For each filter the first bin and the end of its weights.
    spans: Vec<(usize, usize)>,
    weights: Vec<f64>,
}

impl MelBank {
    /// The weights of all filters.
    pub(super) fn filters(&self) -> MelFilters {
        let mels =
            evenly(self.scale.mels(self.lowest), self.scale.mels(self.highest), self.filters + 2);
        let bins = self.fft_length / 2 + 1;
        // The axis that the triangles have straight sides over.
        let (edges, centers) = match self.scale {
            MelScale::Kaldi => {
                let width = f64::from(self.sampling_rate) / (2 * (bins - 1)) as f64;
                (mels, (0..bins).map(|bin| self.scale.mels(width * bin as f64)).collect())
            }
            MelScale::Htk | MelScale::HtkAreas | MelScale::Slaney => {
                let edges = mels.iter().map(|&mel| self.scale.hertz(mel)).collect::<Vec<_>>();
                (edges, evenly(0.0, f64::from(self.sampling_rate / 2), bins))
            }
        };
        let mut filters =
            MelFilters { spans: Vec::with_capacity(self.filters), weights: Vec::new() };
        for edge in edges.windows(3) {
            let [left, top, right] = [edge[0], edge[1], edge[2]];
            let area = match self.scale {
                MelScale::HtkAreas | MelScale::Slaney => 2.0 / (right - left),
                MelScale::Htk | MelScale::Kaldi => 1.0,
            };
            let weight = |at: &f64| {
                let (up, down) = ((at - left) / (top - left), (right - at) / (right - top));
                up.min(down).max(0.0) * area
            };
            let first = centers.iter().position(|at| weight(at) > 0.0).unwrap_or(0);
            filters
                .weights
                .extend(centers[first..].iter().map(weight).take_while(|&weight| weight > 0.0));
            filters.spans.push((first, filters.weights.len()));
        }
        filters
    }
}

impl MelScale {
    fn mels(self, hertz: f64) -> f64 {
        match self {
            Self::Htk | Self::HtkAreas => 2595.0 * (1.0 + hertz / 700.0).log10(),
            Self::Kaldi => 1127.0 * (hertz / 700.0).ln_1p(),
            Self::Slaney if hertz < 1000.0 => 3.0 * hertz / 200.0,
            Self::Slaney => 15.0 + (hertz / 1000.0).ln() * (27.0 / SLANEY_STEP.ln()),
        }
    }

    fn hertz(self, mels: f64) -> f64 {
        match self {
            Self::Htk | Self::HtkAreas => 700.0 * (10.0_f64.powf(mels / 2595.0) - 1.0),
            Self::Kaldi => 700.0 * (mels / 1127.0).exp_m1(),
            Self::Slaney if mels < 15.0 => 200.0 * mels / 3.0,
            Self::Slaney => 1000.0 * ((SLANEY_STEP.ln() / 27.0) * (mels - 15.0)).exp(),
        }
    }
}

impl MelFilters {
    /// Filters that let something through of each bin, whose weights these are.
    pub(super) fn whole(filters: &[Vec<f64>]) -> Self {
        let mut end = 0;
        let spans = filters.iter().map(|filter| {
            end += filter.len();
            (0, end)
        });
        Self { spans: spans.collect(), weights: filters.concat() }
    }

    /// The number of filters.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Calls `each` with the number of each filter and what it lets through of the power of each bin, of `N` frames at
    /// once.
    pub(super) fn apply<const N: usize>(
        &self,
        power: &[[f64; N]],
        mut each: impl FnMut(usize, [f64; N]),
    ) {
        let mut start = 0;
        for (number, &(bin, end)) in self.spans.iter().enumerate() {
            let mut sums = [0.0; N];
            for (weight, power) in self.weights[start..end].iter().zip(&power[bin..]) {
                sums.iter_mut().zip(power).for_each(|(sum, power)| *sum += weight * power);
            }
            start = end;
            each(number, sums);
        }
    }
}

/// `count` numbers from `first` to `last` at equal distances.
fn evenly(first: f64, last: f64, count: usize) -> Vec<f64> {
    let step = (last - first) / (count.max(2) - 1) as f64;
    (0..count)
        .map(|number| if number + 1 == count { last } else { number as f64 * step + first })
        .collect()
}

/// The ratio of two frequencies that are 27 mels apart on Slaney's scale.
const SLANEY_STEP: f64 = 6.4;
