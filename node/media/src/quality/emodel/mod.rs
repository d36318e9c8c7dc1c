//! The E-model: from loss, burstiness and delay to R and MOS, each term visible.
//!
//! Owns: the formulas. Never: a default codec figure without its source (see `profile`).
//! Source: ITU-T G.107 (06/2015), G.107.1 (06/2019), G.107.2, G.113 Appendix I.

mod delay;
mod full;
mod profile;

pub use delay::{cole_rosenbluth, pure_delay};
pub use full::{FullModel, full_model};
pub use profile::Profile;

/// Three scales that must never be mixed, compared or averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// ITU-T G.107: R up to 93.2.
    #[default]
    Narrowband,
    /// ITU-T G.107.1: R up to 129.
    Wideband,
    /// ITU-T G.107.2: R up to 148.
    Fullband,
}

impl Scale {
    /// `NB`, `WB` or `FB`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Narrowband => "NB",
            Self::Wideband => "WB",
            Self::Fullband => "FB",
        }
    }

    /// R without any impairment of codec, loss or delay.
    #[must_use]
    pub fn best(self) -> f64 {
        match self {
            Self::Narrowband => 93.2,
            Self::Wideband => 129.0,
            Self::Fullband => 148.0,
        }
    }

    /// What R is divided by before the polynomial of G.107 Annex B.
    fn divisor(self) -> f64 {
        match self {
            Self::Narrowband => 1.0,
            Self::Wideband => 1.29,
            Self::Fullband => 1.48,
        }
    }

    /// What the delay impairment is multiplied by (G.107.2: `Idd,FB = 1.48 Idd`).
    fn delay_factor(self) -> f64 {
        match self {
            Self::Narrowband | Self::Wideband => 1.0,
            Self::Fullband => 1.48,
        }
    }

    /// The most that codec and loss together can take (G.107.2 has 132, the others 95).
    fn impairment_limit(self) -> f64 {
        match self {
            Self::Narrowband | Self::Wideband => 95.0,
            Self::Fullband => 132.0,
        }
    }
}

/// How the delay impairment is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DelayModel {
    /// Cole and Rosenbluth's two straight lines: what RFC-based tools print.
    #[default]
    ColeRosenbluth,
    /// `Idd` of G.107 only: no echo.
    PureDelay,
    /// `Idte + Idle + Idd` with every terminal parameter at its default (narrowband only; on the
    /// other scales the pure delay is used).
    Full,
}

/// What a rating is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs {
    /// Lost and discarded of expected, in per cent, taken behind the playout buffer.
    pub ppl_pct: f64,
    /// As measured; below 1 it counts as 1.
    pub burst_r: f64,
    /// One way, mouth to ear.
    pub delay_ms: f64,
    /// How delay counts.
    pub delay_model: DelayModel,
    /// Advantage factor A: 0 unless the user sets it.
    pub advantage: f64,
}

/// A rating with every term of `R = Ro - Is - Id - Ie,eff + A`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// Transmission rating.
    pub r: f64,
    /// MOS-CQ, 1 to 4.5.
    pub mos: f64,
    /// MOS without the delay impairment.
    pub mos_lq: f64,
    /// Delay impairment.
    pub id: f64,
    /// Effective equipment impairment.
    pub ie_eff: f64,
    /// The burst ratio used: at least 1.
    pub burst_r: f64,
    /// False where `burst_r` is above 2 at a loss of 2 % and more: outside what the recommendation
    /// has validated (it is used all the same: cutting it would flatter).
    pub burst_r_valid: bool,
    /// True where every codec figure that this rating needed is published.
    pub grounded: bool,
}

/// Rates a connection. Bounds: O(1). Never panics; inputs out of range are brought into it.
#[must_use]
pub fn rate(profile: &Profile, inputs: &Inputs) -> Rating {
    let scale = profile.scale;
    let ppl = inputs.ppl_pct.clamp(0.0, 100.0);
    let burst_r = inputs.burst_r.max(1.0);
    let delay = inputs.delay_ms.max(0.0);
    let ie_eff = profile.effective_impairment(ppl, burst_r);
    let narrow = scale == Scale::Narrowband;
    let (id, best) = match inputs.delay_model {
        DelayModel::ColeRosenbluth => (cole_rosenbluth(delay), scale.best()),
        DelayModel::Full if narrow => {
            let model = full_model(delay);
            (model.id(), model.ro - model.is())
        }
        DelayModel::PureDelay | DelayModel::Full => (pure_delay(delay), scale.best()),
    };
    let id = id * scale.delay_factor();
    let without_delay = best - ie_eff + inputs.advantage;
    let r = without_delay - id;
    Rating {
        r,
        mos: mos(scale, r),
        mos_lq: mos(scale, without_delay),
        id,
        ie_eff,
        burst_r,
        burst_r_valid: burst_r <= BURST_R_VALID || ppl < BURST_R_VALID_BELOW_PCT,
        grounded: profile.ie_published && (ppl <= 0.0 || profile.bpl_published),
    }
}

/// MOS of an R on its scale (G.107 Annex B), never below 1: the polynomial dips to 0.989.
#[must_use]
pub fn mos(scale: Scale, r: f64) -> f64 {
    let r = r / scale.divisor();
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

/// Narrowband R of a MOS between 1 and 4.5 (G.107 Appendix I); none outside.
#[must_use]
pub fn r_of_mos(mos: f64) -> Option<f64> {
    if !(1.0..=4.5).contains(&mos) {
        return None;
    }
    let root = (-903_522.0 + 1_113_960.0 * mos - 202_500.0 * mos * mos)
        .max(0.0)
        .sqrt();
    let h = (15.0 * root).atan2(18_566.0 - 6_750.0 * mos) / 3.0;
    let cosine = (h + std::f64::consts::FRAC_PI_3).cos();
    Some(20.0 / 3.0 * (8.0 - 226_f64.sqrt() * cosine))
}

/// Per cent of listeners who would say good or better (G.107 Annex B).
#[must_use]
pub fn good_or_better_pct(r: f64) -> f64 {
    100.0 * normal_distribution((r - 60.0) / 16.0)
}

/// Per cent of listeners who would say poor or worse (G.107 Annex B).
#[must_use]
pub fn poor_or_worse_pct(r: f64) -> f64 {
    100.0 * normal_distribution((45.0 - r) / 16.0)
}

/// Φ by Abramowitz and Stegun 7.1.26, wrong by less than 1e-7.
fn normal_distribution(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let polynomial = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ]
    .iter()
    .fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let erf = 1.0 - polynomial * (-z * z).exp();
    if x >= 0.0 {
        0.5 * (1.0 + erf)
    } else {
        0.5 * (1.0 - erf)
    }
}

/// G.107 §3.5: burst ratios up to this are covered at any loss,
const BURST_R_VALID: f64 = 2.0;
/// any burst ratio below this loss.
const BURST_R_VALID_BELOW_PCT: f64 = 2.0;

#[cfg(test)]
mod tests;
