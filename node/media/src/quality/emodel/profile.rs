//! Codec figures: equipment impairment Ie and packet-loss robustness Bpl, and where they come from.
//!
//! Owns: the table for our codecs. Never: a figure without its source in `name`.
//! Source: ITU-T G.113 Appendix I (narrowband), Appendix IV (wideband).

use super::Scale;
use crate::codec::CodecId;

/// What the E-model must know about a codec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// The figures' source, for people.
    pub name: &'static str,
    /// The scale on which they hold.
    pub scale: Scale,
    /// Ie at no loss.
    pub ie: f64,
    /// Bpl: at this loss in per cent half of the rest is gone.
    pub bpl: f64,
    /// Ie is published for this codec.
    pub ie_published: bool,
    /// Bpl is published for this codec.
    pub bpl_published: bool,
}

impl Profile {
    /// The figures for a codec of ours; `plc`: the receiver conceals losses.
    #[must_use]
    pub fn of(codec: CodecId, plc: bool) -> Self {
        match (codec, plc) {
            (CodecId::Pcmu | CodecId::Pcma, true) => G711_PLC,
            (CodecId::Pcmu | CodecId::Pcma, false) => G711,
            (CodecId::G722, _) => G722,
            (CodecId::Opus, _) => OPUS,
        }
    }

    /// `Ie,eff` for a loss in per cent; `burst_r` counts on the narrowband scale only, where
    /// G.107 eq. (7-29) has it.
    #[must_use]
    pub fn effective_impairment(&self, ppl_pct: f64, burst_r: f64) -> f64 {
        if ppl_pct <= 0.0 {
            return self.ie;
        }
        let weighted = match self.scale {
            Scale::Narrowband => ppl_pct / burst_r,
            Scale::Wideband | Scale::Fullband => ppl_pct,
        };
        self.ie + (self.scale.impairment_limit() - self.ie) * ppl_pct / (weighted + self.bpl)
    }
}

const G711: Profile = Profile {
    name: "G.711 without PLC (ITU-T G.113 App. I: Ie 0, Bpl 4.3)",
    scale: Scale::Narrowband,
    ie: 0.0,
    bpl: 4.3,
    ie_published: true,
    bpl_published: true,
};

const G711_PLC: Profile = Profile {
    name: "G.711 with PLC (ITU-T G.113 App. I: Ie 0, Bpl 25.1)",
    bpl: 25.1,
    ..G711
};

/// G.113 has no Bpl,WB for G.722; that of the nearest wideband codec that has one stands in, and
/// every rating that needed it is marked as not grounded.
const G722: Profile = Profile {
    name: "G.722 64 kbit/s (ITU-T G.113: Ie,WB 13; Bpl,WB 4.3 assumed from AMR-WB 12.65)",
    scale: Scale::Wideband,
    ie: 13.0,
    bpl: 4.3,
    ie_published: true,
    bpl_published: false,
};

/// G.113 has no Opus at all: the narrowband equivalent with the published concealment of G.711.
const OPUS: Profile = Profile {
    name: "Opus as narrowband (assumed: Ie 0, Bpl 25.1 of G.711 with PLC; not in ITU-T G.113)",
    scale: Scale::Narrowband,
    ie: 0.0,
    bpl: 25.1,
    ie_published: false,
    bpl_published: false,
};
