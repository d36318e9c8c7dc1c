//! Values of the lab's options: percentages and faults.

use lab::{Action, Fault, Faults};

/// A fault for one method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FaultOption {
    method: Method,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Invite,
    Register,
    Bye,
}

/// Sorts faults by their method.
pub(crate) fn faults(options: &[FaultOption]) -> Faults {
    let of = |method: Method| {
        options
            .iter()
            .filter(|option| option.method == method)
            .map(|option| option.fault)
            .collect()
    };
    Faults {
        invite: of(Method::Invite),
        register: of(Method::Register),
        bye: of(Method::Bye),
    }
}

/// `invite:503:10`, `invite:503:10:retry=5`, `register:silence:1`, `bye:slow=800:50`.
pub(crate) fn parse_fault(text: &str) -> Result<FaultOption, String> {
    let wrong = || {
        format!(
            "`{text}` is no fault; write METHOD:WHAT:PERCENT, such as invite:503:10 or invite:slow=800:50"
        )
    };
    let mut parts = text.split(':');
    let method = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
        "invite" => Method::Invite,
        "register" => Method::Register,
        "bye" => Method::Bye,
        _ => return Err(format!("{}; METHOD is invite, register or bye", wrong())),
    };
    let what = parts.next().ok_or_else(wrong)?;
    let percent = parse_percent(parts.next().ok_or_else(wrong)?)?;
    let retry = parts.next();
    if parts.next().is_some() {
        return Err(wrong());
    }
    let retry_after_s = match retry {
        None => None,
        Some(retry) => {
            let seconds = retry
                .strip_prefix("retry=")
                .and_then(|text| text.parse::<u32>().ok());
            Some(seconds.ok_or_else(wrong)?)
        }
    };
    let action = if what == "silence" {
        Action::Silence
    } else if let Some(ms) = what.strip_prefix("slow=") {
        Action::Slow {
            ms: ms.trim_end_matches("ms").parse().map_err(|_| wrong())?,
        }
    } else {
        let code = what
            .parse::<u16>()
            .ok()
            .filter(|code| (300..=699).contains(code));
        Action::Answer {
            code: code.ok_or_else(wrong)?,
            retry_after_s,
        }
    };
    if retry_after_s.is_some() && !matches!(action, Action::Answer { .. }) {
        return Err(wrong());
    }
    Ok(FaultOption {
        method,
        fault: Fault { action, percent },
    })
}

/// `0` to `100`, with or without a per cent sign.
pub(crate) fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse::<f64>().ok();
    number
        .filter(|value| (0.0..=100.0).contains(value))
        .ok_or_else(|| format!("`{text}` is no percentage; write 0 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        let parsed = parse_fault("invite:503:10:retry=5").unwrap();
        let action = Action::Answer {
            code: 503,
            retry_after_s: Some(5),
        };
        assert_eq!(
            parsed.fault,
            Fault {
                action,
                percent: 10.0
            }
        );
        assert_eq!(
            parse_fault("bye:slow=800:50%").unwrap().fault.action,
            Action::Slow { ms: 800 }
        );
        assert_eq!(
            faults(&[parse_fault("register:silence:1").unwrap()])
                .register
                .len(),
            1
        );
        for text in [
            "",
            "invite",
            "invite:200:5",
            "options:503:5",
            "invite:503:101",
            "invite:503:1:x",
            "invite:silence:1:retry=5",
            "invite:503:1:retry=5:x",
        ] {
            assert!(parse_fault(text).is_err(), "{text}");
        }
    }
}
