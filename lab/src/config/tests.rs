use super::*;
use crate::error::LabError;

#[test]
fn defaults_pass_their_own_check() {
    assert_eq!(LabConfig::default().check(), Ok(()));
    let config = LabConfig {
        relay: Some(RelayConfig::default()),
        ..LabConfig::default()
    };
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn a_public_bind_needs_permission() {
    let bind: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let config = LabConfig {
        bind,
        ..LabConfig::default()
    };
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("allow_public")
    );
    let config = LabConfig {
        allow_public: true,
        ..config
    };
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn every_problem_is_told_at_once() {
    let fault = Fault {
        action: Action::Answer {
            code: 200,
            retry_after_s: None,
        },
        percent: 60.0,
    };
    let mut config = LabConfig {
        realm: String::new(),
        min_expires_s: 9,
        max_expires_s: 8,
        faults: Faults {
            invite: vec![fault, fault],
            ..Faults::default()
        },
        ..LabConfig::default()
    };
    config.relay = Some(RelayConfig {
        impair: Impairment {
            loss: Loss::Random { percent: 101.0 },
            ..Impairment::default()
        },
        ..RelayConfig::default()
    });
    let Err(LabError::Config { problems }) = config.check() else {
        panic!("must be refused")
    };
    assert_eq!(problems.len(), 6, "{problems:?}");
}

#[test]
fn the_banner_says_what_is_broken() {
    let config = LabConfig {
        faults: Faults {
            invite: vec![Fault {
                action: Action::Answer {
                    code: 503,
                    retry_after_s: Some(2),
                },
                percent: 5.0,
            }],
            ..Faults::default()
        },
        relay: Some(RelayConfig {
            impair: Impairment {
                loss: Loss::Random { percent: 2.0 },
                ..Default::default()
            },
            ..Default::default()
        }),
        ..LabConfig::default()
    };
    let text = config.to_string();
    assert!(
        text.contains("INVITE: 5 % answered 503, Retry-After 2 s"),
        "{text}"
    );
    assert!(text.contains("2 % random loss"), "{text}");
    assert!(text.contains("password pw-NAME"), "{text}");
}
