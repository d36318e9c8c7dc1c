//! SIP traces as text: one endpoint of each row of the failure table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use coordinator::Handle;
use shared::id::{EndpointIndex, RunId};
use shared::result::RunResult;
use shared::wire::Trace;

/// Writes `endpoint-N.txt` into the folder for each example of the failure table.
pub(crate) async fn write(
    handle: &Handle,
    run: RunId,
    result: &RunResult,
    folder: &Path,
) -> anyhow::Result<()> {
    for row in &result.failures {
        let endpoint = EndpointIndex(row.example_endpoint);
        if let Some(trace) = handle.trace(run, endpoint).await? {
            let head = format!("{}: {}", row.example_account, row.reason);
            let path = folder.join(format!("endpoint-{endpoint}.txt"));
            fs::write(&path, text(&head, &trace))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Each message with its time, direction and addresses, as it was on the wire.
fn text(head: &str, trace: &Trace) -> String {
    let mut text = format!("{head}\n");
    if trace.dropped > 0 {
        let _ = writeln!(text, "{} earlier messages are not kept", trace.dropped);
    }
    for message in &trace.messages {
        let seconds = message.at_us as f64 / 1e6;
        let arrow = if message.sent {
            "──►"
        } else {
            "◄──"
        };
        let _ = write!(
            text,
            "\n{seconds:>11.6} s  {} {arrow} {}  {}\n\n{}\n",
            message.local,
            message.remote,
            message.transport,
            String::from_utf8_lossy(&message.bytes)
                .replace('\r', "")
                .trim_end(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use shared::wire::TraceMessage;

    use super::*;

    #[test]
    fn a_trace_reads_like_the_wire() {
        let trace = Trace {
            run: RunId(1),
            endpoint: EndpointIndex(7),
            dropped: 2,
            messages: vec![TraceMessage {
                at_us: 1_250_000,
                sent: true,
                local: "127.0.0.1:5062".to_owned(),
                remote: "127.0.0.1:5060".to_owned(),
                transport: "UDP".to_owned(),
                bytes: b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n".to_vec(),
            }],
        };
        let text = text("alice: refused", &trace);
        assert!(
            text.contains("1.250000 s  127.0.0.1:5062 ──► 127.0.0.1:5060  UDP"),
            "{text}"
        );
        assert!(text.contains("OPTIONS sip:a SIP/2.0\nVia: x\n"), "{text}");
        assert!(text.contains("2 earlier messages"), "{text}");
    }
}
