//! The full narrowband model with every terminal parameter at its default.
//!
//! Owns: Ro, Is and the three delay terms. Never: user-set terminal parameters (no test needs them).
//! Source: ITU-T G.107 §7.2 to §7.4, Table 2 for the defaults.

use super::pure_delay;

/// The terms of the full model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FullModel {
    /// Basic signal-to-noise ratio.
    pub ro: f64,
    /// Too loud a connection.
    pub iolr: f64,
    /// Sidetone.
    pub ist: f64,
    /// Quantisation.
    pub iq: f64,
    /// Talker echo.
    pub idte: f64,
    /// Listener echo.
    pub idle: f64,
    /// Delay alone.
    pub idd: f64,
}

impl FullModel {
    /// Simultaneous impairment.
    #[must_use]
    pub fn is(&self) -> f64 {
        self.iolr + self.ist + self.iq
    }

    /// Delay impairment.
    #[must_use]
    pub fn id(&self) -> f64 {
        self.idte + self.idle + self.idd
    }
}

/// Computes the terms for `T = Ta = delay_ms`, `Tr = 2T`.
#[must_use]
pub fn full_model(delay_ms: f64) -> FullModel {
    let no = noise();
    let ro = 15.0 - 1.5 * (SLR + no);
    FullModel {
        ro,
        iolr: too_loud(no),
        ist: sidetone(delay_ms),
        iq: quantisation(ro),
        idte: talker_echo(no, delay_ms),
        idle: listener_echo(ro, 2.0 * delay_ms),
        idd: pure_delay(delay_ms),
    }
}

/// eq. (7-3) to (7-7): the sum of all noise in dBm0p.
fn noise() -> f64 {
    let olr = SLR + RLR;
    let nos = PS - SLR - DS - 100.0 + 0.004 * (PS - olr - DS - 14.0).powi(2);
    let pre = PR + 10.0 * (1.0 + power((10.0 - (STMR + DR)) / 10.0)).log10();
    let nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
    let nfo = NFOR + RLR;
    10.0 * [NC, nos, nor, nfo]
        .iter()
        .map(|level| power(level / 10.0))
        .sum::<f64>()
        .log10()
}

/// eq. (7-9), (7-10).
fn too_loud(no: f64) -> f64 {
    let x = (SLR + RLR + 0.2 * (64.0 + no - RLR)) / 8.0;
    20.0 * ((1.0 + x.powi(8)).powf(1.0 / 8.0) - x)
}

/// eq. (7-11), (7-12).
fn sidetone(t: f64) -> f64 {
    let stmr_o = -10.0 * (power(-STMR / 10.0) + (-t / 4.0).exp() * power(-TELR / 10.0)).log10();
    let term = |x: f64, exponent: i32| (1.0 + x.powi(exponent)).powf(1.0 / f64::from(exponent));
    12.0 * term((stmr_o - 13.0) / 6.0, 8)
        - 28.0 * term((stmr_o + 1.0) / 19.4, 35)
        - 13.0 * term((stmr_o - 3.0) / 33.0, 13)
        + 29.0
}

/// eq. (7-13) to (7-17).
fn quantisation(ro: f64) -> f64 {
    let q = 37.0 - 15.0 * QDU.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    15.0 * (1.0 + power(y) + power(z)).log10()
}

/// eq. (7-19) to (7-22), for an STMR between 9 and 20 dB.
fn talker_echo(no: f64, t: f64) -> f64 {
    let terv =
        TELR - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10() + 6.0 * (-0.3 * t * t).exp();
    let roe = -1.5 * (no - RLR);
    let re = 80.0 + 2.5 * (terv - 14.0);
    let half = (roe - re) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
}

/// eq. (7-25), (7-26).
fn listener_echo(ro: f64, tr: f64) -> f64 {
    let rle = 10.5 * (WEPL + 7.0) * (tr + 1.0).powf(-0.25);
    let half = (ro - rle) / 2.0;
    half + (half * half + 169.0).sqrt()
}

fn power(exponent: f64) -> f64 {
    10_f64.powf(exponent)
}

const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const DS: f64 = 3.0;
const DR: f64 = 3.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const QDU: f64 = 1.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;
