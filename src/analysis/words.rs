//! Numbers as people read them.

/// A share as a percentage with two significant digits: `9.0%`, `0.10%`, `0%`, `100%`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        return "0%".to_owned();
    }
    // Two significant digits: 1 decimal below ten percent, 2 below one, …
    let decimals = (1.0 - percent.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{percent:.decimals$}%")
}

/// An e-value or its bound: `0.05`, `19.9`, `3.1e7`. Cut, not rounded, so that what has not reached its bound is never
/// shown as the bound.
pub fn e_value(value: f64) -> String {
    if value >= 1e5 {
        format!("{value:.1e}")
    } else if value >= 100.0 {
        format!("{}", value.floor())
    } else {
        // A cut of 0.07 to 0.06 by a rounding error of the product is avoided by the small addition.
        let cut = (value * 100.0 + 1e-9).floor() / 100.0;
        format!("{cut}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        for (share, words) in [
            (0.0, "0%"),
            (37.0 / 412.0, "9.0%"),
            (8.0 / 7930.0, "0.10%"),
            (1.0, "100%"),
            (0.5, "50%"),
            (0.000_012, "0.0012%"),
            (f64::NAN, "NaN%"),
        ] {
            assert_eq!(percent(share), words);
        }
        for (value, words) in [
            (3.14e7, "3.1e7"),
            (100.0, "100"),
            (99.999, "99.99"),
            (20.0, "20"),
            (0.07, "0.07"),
            (1.0, "1"),
            (2.5, "2.5"),
            (0.04, "0.04"),
            (1e-9, "0"),
            (f64::MAX, "1.8e308"),
        ] {
            assert_eq!(e_value(value), words);
        }
    }
}
