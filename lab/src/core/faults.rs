//! Which request is broken, and how: a pure function of seed and request.
//!
//! Nothing is remembered: a retransmission carries the same Call-ID and CSeq, so it meets the
//! same fate, and so do the CANCEL and ACK that belong to an INVITE.

use crate::config::{Action, Fault};

use super::random::{Random, hash};

/// The fate of the request with this Call-ID, CSeq number and method, or `None`: treat it well.
pub(crate) fn decide(
    seed: u64,
    list: &[Fault],
    method: &str,
    call_id: &str,
    cseq: u32,
) -> Option<Action> {
    if list.is_empty() {
        return None;
    }
    let key = hash(
        seed,
        &[method.as_bytes(), call_id.as_bytes(), &cseq.to_be_bytes()],
    );
    let mut left = Random::new(key).unit() * 100.0;
    for fault in list {
        if left < fault.percent {
            return Some(fault.action);
        }
        left -= fault.percent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Action = Action::Answer {
        code: 486,
        retry_after_s: None,
    };
    const LIST: [Fault; 3] = [
        Fault {
            action: BUSY,
            percent: 10.0,
        },
        Fault {
            action: Action::Silence,
            percent: 5.0,
        },
        Fault {
            action: Action::Slow { ms: 300 },
            percent: 20.0,
        },
    ];

    #[test]
    fn shares_hold_and_repeat() {
        let fates: Vec<_> = (0..20_000)
            .map(|n| decide(3, &LIST, "INVITE", &format!("call-{n}"), 1))
            .collect();
        let share = |action: Option<Action>| {
            fates.iter().filter(|fate| **fate == action).count() as f64 / 200.0
        };
        assert!(
            (share(Some(BUSY)) - 10.0).abs() < 1.0,
            "seed 3: {}",
            share(Some(BUSY))
        );
        assert!((share(Some(Action::Silence)) - 5.0).abs() < 1.0);
        assert!((share(None) - 65.0).abs() < 1.5);
        for (n, fate) in fates.iter().enumerate() {
            assert_eq!(*fate, decide(3, &LIST, "INVITE", &format!("call-{n}"), 1));
        }
    }

    #[test]
    fn a_new_attempt_draws_anew() {
        let differs = (0..1000).any(|cseq| decide(3, &LIST, "INVITE", "one", cseq).is_none())
            && (0..1000).any(|cseq| decide(3, &LIST, "INVITE", "one", cseq).is_some());
        assert!(differs, "seed 3");
    }

    #[test]
    fn all_means_all() {
        let list = [Fault {
            action: Action::Silence,
            percent: 100.0,
        }];
        assert!((0..1000).all(|n| decide(n, &list, "BYE", "x", 2).is_some()));
    }
}
