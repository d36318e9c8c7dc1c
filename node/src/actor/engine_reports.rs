//! What the media engine reports, brought to the run's meter and to the endpoint that owns the stream.

use shared::id::EndpointIndex;

use super::node::NodeActor;
use super::shard::{ForStream, stream_parts};
use crate::core::endpoint::Input;
use crate::core::meter::SourceSecond;
use crate::core::quality;
use crate::net::media::{MediaReport, MediaSecond, TroubleWhat};

impl NodeActor {
    fn media_second(&mut self, second: &MediaSecond) {
        if let Some(heard) = self.heard.get_mut(second.thread) {
            *heard = second.engine_second;
        }
        for live in self.runs.values_mut() {
            let Some(run_second) = live.second(second.engine_second) else {
                continue;
            };
            let mut source = SourceSecond {
                second: run_second,
                send_late_us: second.send_late_us.clone(),
                skipped_packets: second.skipped,
                socket_drops: second.socket_drops,
                refused: second.refused_reports,
                strangers: second.strangers + second.ambiguous,
                ..SourceSecond::default()
            };
            for (id, figures) in &second.rows {
                let (number, _, endpoint, _) = stream_parts(*id);
                if number == live.number {
                    let endpoint = EndpointIndex(endpoint);
                    quality::samples(figures, |metric, value| {
                        source.samples.push((endpoint, metric, value));
                    });
                }
            }
            live.meter.add(source);
        }
    }

    pub(super) fn engine_report(&mut self, report: MediaReport) {
        match report {
            MediaReport::Second(second) => self.media_second(&second),
            MediaReport::Ended {
                id,
                engine_second,
                summary,
                last,
            } => {
                let (number, shard, endpoint, call) = stream_parts(id);
                if let Some(live) = self.runs.values_mut().find(|live| live.number == number) {
                    live.last_media_second = live.last_media_second.max(Some(engine_second));
                    if let Some(second) = live.second(engine_second) {
                        let index = EndpointIndex(endpoint);
                        let mut samples = Vec::new();
                        quality::samples(&last, |metric, value| {
                            samples.push((index, metric, value));
                        });
                        live.meter.add_part(SourceSecond {
                            second,
                            samples,
                            ..SourceSecond::default()
                        });
                    }
                }
                self.for_stream(shard, number, endpoint, Input::MediaEnded { call, summary });
            }
            MediaReport::Trouble { id: Some(id), what } => {
                let (number, shard, endpoint, call) = stream_parts(id);
                let address = match what {
                    TroubleWhat::Network { address, .. } => Some(address),
                    TroubleWhat::Egress(_)
                    | TroubleWhat::Duplicate
                    | TroubleWhat::Full { .. }
                    | TroubleWhat::Unknown => None,
                };
                let what = what.to_string();
                let trouble = Input::MediaTrouble {
                    call,
                    address,
                    what,
                };
                self.for_stream(shard, number, endpoint, trouble);
            }
            MediaReport::Trouble { id: None, what } => {
                tracing::warn!(%what, "trouble at a shared RTP socket");
            }
        }
    }

    fn for_stream(&self, shard: usize, number: u16, endpoint: u32, input: Input) {
        if let Some(shard) = self.shards.get(shard)
            && shard
                .try_send(ForStream {
                    number,
                    endpoint,
                    input,
                })
                .is_err()
        {
            tracing::error!("a shard's mailbox is full: the end of a stream was lost");
        }
    }
}
