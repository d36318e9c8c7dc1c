//! Delay impairment by the two short forms.
//!
//! Source: R. Cole, J. Rosenbluth, "Voice over IP performance monitoring", CCR 31(2), 2001;
//! ITU-T G.107 §7.4 eq. (7-27), (7-28).

/// Cole and Rosenbluth's fit of Id for a one-way delay in milliseconds.
#[must_use]
pub fn cole_rosenbluth(delay_ms: f64) -> f64 {
    let steep = (delay_ms - 177.3).max(0.0);
    0.024 * delay_ms + 0.11 * steep
}

/// Idd: what delay alone costs, without any echo; 0 up to 100 ms.
#[must_use]
pub fn pure_delay(delay_ms: f64) -> f64 {
    if delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0)
        + 2.0)
}
