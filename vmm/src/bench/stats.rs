//! Numbers out of samples: percentiles, and the interval of a median.

/// The value below which `share` of the samples lie; 0 if there are none.
pub fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    samples.get(at).copied().unwrap_or(0.0)
}

/// A median and the range in which it lies.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Median {
    /// The middle of the values.
    pub value: f64,
    /// The interval's low end.
    pub low: f64,
    /// The interval's high end.
    pub high: f64,
}

/// The median of `values` with its 95 % confidence interval, which supposes nothing of how they are distributed: the ranks between which
/// the median lies with at least that probability (binomial), or all of them if they are too few for it.
pub fn median(values: &[f64]) -> Median {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, cut) = (sorted.len(), ranks_outside(sorted.len()));
    let at = |rank: usize| sorted.get(rank).copied().unwrap_or(0.0);
    let value = f64::midpoint(at(count.saturating_sub(1) / 2), at(count / 2));
    Median {
        value,
        low: at(cut),
        high: at(count.saturating_sub(1 + cut)),
    }
}

/// How many values at each end can be left out so that the median lies between the others with 95 % probability.
fn ranks_outside(count: usize) -> usize {
    let (mut tail, mut term) = (0.0, 0.5_f64.powi(count as i32));
    for cut in 0..count {
        // Of `count` coins at most `cut` show heads.
        tail += term;
        if 2.0 * tail > 0.05 {
            return cut.saturating_sub(1);
        }
        term *= (count - cut) as f64 / (cut + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_and_one_numbers() {
        let mut samples: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut samples, 0.5), 50.0);
        assert_eq!(percentile(&mut samples, 0.99), 99.0);
        assert_eq!(percentile(&mut samples, 1.0), 100.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).value, 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).value, 2.5);
        assert_eq!(median(&[7.0]).value, 7.0);
        assert_eq!(median(&[1.0, 2.0]).value, 1.5);
    }

    /// From tables of the sign test: 5 values give no interval of 95 %, 6 to 8 give the extremes, 9 leave one out at each end.
    #[test]
    fn intervals_have_the_ranks_of_the_sign_test() {
        for (count, cut) in [
            (1, 0),
            (5, 0),
            (6, 0),
            (8, 0),
            (9, 1),
            (11, 1),
            (12, 2),
            (15, 3),
            (20, 5),
        ] {
            assert_eq!(ranks_outside(count), cut, "{count}");
        }
        let values: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(
            median(&values),
            Median {
                value: 5.0,
                low: 2.0,
                high: 8.0
            }
        );
    }
}
