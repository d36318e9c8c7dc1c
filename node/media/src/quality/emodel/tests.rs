use super::*;
use crate::codec::CodecId;
use crate::seeded::Random;

/// A codec that we do not speak, for the published tables only.
fn other(ie: f64, bpl: f64, scale: Scale) -> Profile {
    let name = "table row";
    Profile {
        name,
        scale,
        ie,
        bpl,
        ie_published: true,
        bpl_published: true,
    }
}

fn inputs(ppl_pct: f64, delay_ms: f64) -> Inputs {
    let delay_model = DelayModel::ColeRosenbluth;
    Inputs {
        ppl_pct,
        burst_r: 1.0,
        delay_ms,
        delay_model,
        advantage: 0.0,
    }
}

fn near(got: f64, want: f64, within: f64, what: &str) {
    assert!((got - want).abs() <= within, "{what}: {got} is not {want}");
}

#[test]
fn r_to_mos_and_opinions_as_in_g107_annex_b() {
    let table = [
        (0.0, 1.000, 0.0, 99.8),
        (10.0, 1.035, 0.1, 98.6),
        (20.0, 1.252, 0.6, 94.1),
        (30.0, 1.609, 3.0, 82.6),
        (40.0, 2.064, 10.6, 62.3),
        (50.0, 2.575, 26.6, 37.7),
        (60.0, 3.100, 50.0, 17.4),
        (70.0, 3.597, 73.4, 5.9),
        (80.0, 4.024, 89.4, 1.4),
        (90.0, 4.339, 97.0, 0.2),
        (93.2, 4.409, 98.1, 0.1),
        (94.0, 4.424, 98.3, 0.1),
        (95.0, 4.441, 98.6, 0.1),
        (100.0, 4.500, 99.4, 0.0),
    ];
    for (r, want, good, poor) in table {
        near(mos(Scale::Narrowband, r), want, 1e-3, "MOS");
        near(good_or_better_pct(r), good, 0.06, "GoB");
        near(poor_or_worse_pct(r), poor, 0.06, "PoW");
    }
    near(
        mos(Scale::Narrowband, 3.22),
        1.0,
        0.0,
        "the dip of the polynomial",
    );
}

#[test]
fn mos_to_r_and_back() {
    for tenth in 65..=999 {
        let r = f64::from(tenth) / 10.0;
        let back = r_of_mos(mos(Scale::Narrowband, r)).expect("a MOS in range");
        // At 6.5 the polynomial is a hair below 1 and is cut there.
        near(back, r, if tenth == 65 { 0.02 } else { 1e-6 }, "round trip");
    }
    assert_eq!(
        (r_of_mos(0.9), r_of_mos(4.6), r_of_mos(f64::NAN)),
        (None, None, None)
    );
}

#[test]
fn the_full_model_at_its_defaults() {
    let model = full_model(0.0);
    near(model.ro, 94.769, 1e-3, "Ro");
    near(model.iolr, 0.440, 1e-3, "Iolr");
    near(model.ist, -0.001, 1e-3, "Ist");
    near(model.iq, 0.974, 1e-3, "Iq");
    near(model.is(), 1.414, 1e-3, "Is");
    near(model.id(), 0.149, 1e-3, "Id");
    let clean = Profile::of(CodecId::Pcmu, true);
    let full = Inputs {
        delay_model: DelayModel::Full,
        ..inputs(0.0, 0.0)
    };
    near(rate(&clean, &full).r, 93.206, 1e-3, "R");
    near(rate(&clean, &full).mos, 4.409, 1e-3, "MOS");
}

#[test]
fn delay_by_the_three_models() {
    // d, full Id and MOS, Cole-Rosenbluth Id, R and MOS, Idd and MOS.
    let table = [
        (0.0, 0.149, 4.409, 0.0, 93.20, 4.409, 0.0, 4.409),
        (50.0, 1.599, 4.380, 1.2, 92.00, 4.385, 0.0, 4.409),
        (100.0, 2.692, 4.355, 2.4, 90.80, 4.358, 0.0, 4.409),
        (150.0, 3.816, 4.328, 3.6, 89.60, 4.329, 0.164, 4.406),
        (200.0, 7.551, 4.223, 7.297, 85.90, 4.226, 3.044, 4.343),
        (250.0, 14.178, 3.993, 13.997, 79.20, 3.994, 8.917, 4.175),
        (300.0, 20.689, 3.719, 20.697, 72.50, 3.712, 14.761, 3.964),
        (400.0, 31.108, 3.216, 34.097, 59.10, 3.053, 24.070, 3.556),
        (500.0, 38.552, 2.828, 47.497, 45.70, 2.351, 30.636, 3.232),
    ];
    let clean = Profile::of(CodecId::Pcma, true);
    for (d, full_id, full_mos, cole_id, cole_r, cole_mos, idd, idd_mos) in table {
        let by = |delay_model| {
            rate(
                &clean,
                &Inputs {
                    delay_model,
                    ..inputs(0.0, d)
                },
            )
        };
        let full = by(DelayModel::Full);
        near(full.id, full_id, 1e-3, "full Id");
        near(full.mos, full_mos, 1e-3, "full MOS");
        let cole = by(DelayModel::ColeRosenbluth);
        near(cole.id, cole_id, 1e-3, "Cole-Rosenbluth Id");
        near(cole.r, cole_r, 5.1e-3, "Cole-Rosenbluth R");
        near(cole.mos, cole_mos, 1e-3, "Cole-Rosenbluth MOS");
        near(cole.mos_lq, 4.409, 1e-3, "MOS-LQ knows no delay");
        let pure = by(DelayModel::PureDelay);
        near(pure.id, idd, 1e-3, "Idd");
        near(pure.mos, idd_mos, 1e-3, "Idd MOS");
    }
    near(
        cole_rosenbluth(177.3),
        4.26,
        0.01,
        "Cole-Rosenbluth at its knee",
    );
    near(full_model(177.3).id(), 5.30, 0.01, "the full model there");
    near(
        pure_delay(100.0 + 1e-9),
        0.0,
        1e-6,
        "Idd is continuous at 100 ms",
    );
}

#[test]
fn narrowband_codecs_without_loss() {
    let table = [
        (0.0, 4.409),
        (2.0, 4.367),
        (7.0, 4.235),
        (25.0, 3.511),
        (50.0, 2.223),
        (20.0, 3.743),
        (10.0, 4.139),
        (11.0, 4.104),
        (15.0, 3.954),
        (19.0, 3.787),
        (5.0, 4.292),
    ];
    for (ie, want) in table {
        let codec = other(ie, 10.0, Scale::Narrowband);
        near(
            rate(&codec, &inputs(0.0, 0.0)).mos,
            want,
            1e-3,
            "MOS of an Ie",
        );
    }
}

/// Ppl, then Ie,eff, R and MOS for each of the five codecs.
const LOSS: &str = "
0    0     93.20 4.409  0     93.20 4.409  11    82.20 4.104  15    78.20 3.954  5     88.20 4.292
0.5  9.90  83.30 4.143  1.86  91.34 4.371  13.15 80.05 4.026  17.41 75.79 3.855  9.29  83.91 4.163
1    17.92 75.28 3.834  3.64  89.56 4.328  15.20 78.00 3.946  19.68 73.52 3.758  13.18 80.02 4.025
2    30.16 63.04 3.256  7.01  86.19 4.235  19.00 74.20 3.787  23.84 69.36 3.567  20.00 73.20 3.743
3    39.04 54.16 2.794  10.14 83.06 4.134  22.45 70.75 3.632  27.57 65.63 3.386  25.77 67.43 3.474
5    51.08 42.12 2.169  15.78 77.42 3.923  28.50 64.70 3.340  33.96 59.24 3.061  35.00 58.20 3.006
8    61.79 31.41 1.668  22.96 70.24 3.608  35.89 57.31 2.960  41.56 51.64 2.661  45.00 48.20 2.481
10   66.43 26.77 1.481  27.07 66.13 3.411  39.97 53.23 2.745  45.65 47.55 2.447  50.00 43.20 2.223
20   78.19 15.01 1.124  42.13 51.07 2.631  54.08 39.12 2.021  59.32 33.88 1.776  65.00 28.20 1.536
";

#[test]
fn loss_for_five_codecs() {
    let codecs = [
        Profile::of(CodecId::Pcmu, false),
        Profile::of(CodecId::Pcmu, true),
        other(11.0, 19.0, Scale::Narrowband),
        other(15.0, 16.1, Scale::Narrowband),
        other(5.0, 10.0, Scale::Narrowband),
    ];
    let mut rows = 0;
    for line in LOSS.trim().lines() {
        let figures: Vec<f64> = line
            .split_whitespace()
            .map(|figure| figure.parse().expect("a number"))
            .collect();
        assert_eq!(figures.len(), 16);
        for (codec, row) in codecs.iter().zip(figures[1..].chunks(3)) {
            let rating = rate(codec, &inputs(figures[0], 0.0));
            near(rating.ie_eff, row[0], 5.1e-3, codec.name);
            near(rating.r, row[1], 5.1e-3, codec.name);
            near(rating.mos, row[2], 1e-3, codec.name);
            rows += 1;
        }
    }
    assert_eq!(rows, 45);
}

#[test]
fn burstiness_makes_the_same_loss_worse() {
    let codec = Profile::of(CodecId::Pcma, true);
    for (burst_r, want) in [(1.0, 7.011), (1.5, 7.188), (2.0, 7.280), (4.0, 7.422)] {
        let rating = rate(
            &codec,
            &Inputs {
                burst_r,
                ..inputs(2.0, 0.0)
            },
        );
        near(rating.ie_eff, want, 1e-3, "Ie,eff");
        assert_eq!(rating.burst_r_valid, burst_r <= 2.0);
    }
    let rating = rate(
        &codec,
        &Inputs {
            burst_r: 0.5,
            ..inputs(1.9, 0.0)
        },
    );
    assert_eq!(
        (rating.burst_r, rating.burst_r_valid),
        (1.0, true),
        "below one counts as one"
    );
    assert!(
        rate(
            &codec,
            &Inputs {
                burst_r: 9.0,
                ..inputs(1.9, 0.0)
            }
        )
        .burst_r_valid
    );
}

#[test]
fn the_published_worked_example() {
    // 2 % random loss, 150 ms: G.729A + VAD, and G.711 with PLC on the same path.
    let g729 = other(11.0, 19.0, Scale::Narrowband);
    let g711 = Profile::of(CodecId::Pcmu, true);
    for (codec, full_r, full_mos, short_r, short_mos) in [
        (&g729, 70.54, 3.62, 70.60, 3.625),
        (&g711, 82.53, 4.12, 82.59, 4.118),
    ] {
        let full = Inputs {
            delay_model: DelayModel::Full,
            ..inputs(2.0, 150.0)
        };
        near(rate(codec, &full).r, full_r, 0.01, "full R");
        near(rate(codec, &full).mos, full_mos, 0.01, "full MOS");
        near(
            rate(codec, &inputs(2.0, 150.0)).r,
            short_r,
            0.01,
            "simplified R",
        );
        near(
            rate(codec, &inputs(2.0, 150.0)).mos,
            short_mos,
            1e-3,
            "simplified MOS",
        );
    }
}

#[test]
fn the_wideband_scale() {
    let table = [
        (1.0, 4.494),
        (8.0, 4.4206),
        (13.0, 4.3371),
        (20.0, 4.182),
        (26.0, 4.018),
        (31.0, 3.863),
        (36.0, 3.694),
        (41.0, 3.5123),
        (56.0, 2.922),
    ];
    for (ie, want) in table {
        let codec = other(ie, 4.3, Scale::Wideband);
        near(rate(&codec, &inputs(0.0, 0.0)).mos, want, 1e-3, "WB MOS");
    }
    let amr = other(20.0, 4.3, Scale::Wideband);
    let rating = rate(&amr, &inputs(2.0, 0.0));
    near(rating.ie_eff, 43.8095, 1e-4, "Ie,eff,WB");
    near(rating.mos, 3.4062, 1e-4, "WB MOS with loss");
    near(
        rate(&Profile::of(CodecId::G722, true), &inputs(0.0, 0.0)).mos,
        4.3371,
        1e-4,
        "G.722",
    );
}

#[test]
fn the_fullband_scale() {
    let table = [
        (7.2, 11.4, [4.444, 4.296, 4.117, 3.570]),
        (17.1, 11.7, [4.299, 4.109, 3.910, 3.365]),
        (10.2, 4.3, [4.408, 3.929, 3.452, 2.515]),
    ];
    for (ie, bpl, row) in table {
        let codec = other(ie, bpl, Scale::Fullband);
        for (ppl, want) in [0.0, 1.0, 2.0, 5.0].into_iter().zip(row) {
            near(rate(&codec, &inputs(ppl, 0.0)).mos, want, 1e-3, "FB MOS");
        }
    }
    let pure = Inputs {
        delay_model: DelayModel::PureDelay,
        ..inputs(0.0, 300.0)
    };
    let id = rate(&other(0.0, 1.0, Scale::Fullband), &pure).id;
    near(id, 1.48 * 14.761, 1e-3, "Idd,FB");
}

#[test]
fn only_published_figures_are_grounded() {
    let grounded = |codec, ppl| rate(&Profile::of(codec, true), &inputs(ppl, 0.0)).grounded;
    assert!(grounded(CodecId::Pcmu, 3.0) && grounded(CodecId::Pcma, 0.0));
    assert!(grounded(CodecId::G722, 0.0) && !grounded(CodecId::G722, 0.1));
    assert!(!grounded(CodecId::Opus, 0.0));
    assert_eq!(Profile::of(CodecId::Opus, true).scale.label(), "NB");
    assert_eq!(Profile::of(CodecId::G722, true).scale.label(), "WB");
    assert_eq!(Scale::Fullband.label(), "FB");
}

#[test]
fn mos_never_rises_with_loss_delay_or_burstiness() {
    for seed in 0..2_000_u64 {
        let mut random = Random::new(seed);
        let codec = other(
            random.unit() * 50.0,
            1.0 + random.unit() * 40.0,
            Scale::Narrowband,
        );
        let model = [
            DelayModel::ColeRosenbluth,
            DelayModel::PureDelay,
            DelayModel::Full,
        ][(random.bits() % 3) as usize];
        let base = Inputs {
            burst_r: 1.0 + random.unit() * 4.0,
            delay_model: model,
            ..inputs(random.unit() * 100.0, random.unit() * 600.0)
        };
        let here = rate(&codec, &base).mos;
        assert!((1.0..=4.5).contains(&here), "seed {seed}: MOS {here}");
        let more = random.unit() * 5.0;
        for worse in [
            Inputs {
                ppl_pct: base.ppl_pct + more,
                ..base
            },
            Inputs {
                delay_ms: base.delay_ms + more,
                ..base
            },
            Inputs {
                burst_r: base.burst_r + more,
                ..base
            },
        ] {
            let there = rate(&codec, &worse).mos;
            // The polynomial itself falls below 1 and rises again; the clamp flattens that.
            assert!(
                there <= here + 1e-9,
                "seed {seed}: {base:?} {here}, {worse:?} {there}"
            );
        }
        let random_loss = rate(
            &codec,
            &Inputs {
                burst_r: 1.0,
                ..base
            },
        );
        assert!(random_loss.ie_eff < 95.0, "seed {seed}");
    }
}
