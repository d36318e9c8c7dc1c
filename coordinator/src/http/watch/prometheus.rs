//! `/metrics`: the service as Prometheus reads it (OpenMetrics text).
//!
//! Never a label by run, endpoint, organization or key.

use std::cell::Cell;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use shared::api::{Node, Role};
use shared::phase::{Phase, RunStatus};

use super::process::Process;
use crate::http::auth::{Caller, unauthorized};
use crate::http::page::Query;
use crate::http::problem::ApiError;
use crate::http::state::Service;
use crate::store::{FLUSH_BOUNDS_US, FlushHistogram, StorageHealth};

/// Media type of the text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A label with one name.
type Label = [(&'static str, &'static str); 1];

/// Prometheus metrics
///
/// OpenMetrics text. Needs a key where the configuration does not make it public, which it is by
/// default on a loopback address.
#[utoipa::path(
    tag = "service",
    security(()),
    extensions(("x-role" = json!("public"))),
    responses((status = 200, description = "The metrics.", content_type = "application/openmetrics-text", body = String)),
)]
#[get("/metrics")]
pub(super) async fn metrics(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    let config = service.config();
    let public = config.metrics_public;
    if !public.unwrap_or_else(|| config.bind.ip().is_loopback()) {
        authenticated(&request, &service)?;
    }
    let books = service.books().await;
    let nodes = service.handle().nodes().await.unwrap_or_default();
    let mut registry = Registry::with_prefix("carillon");
    service.figures().register(&mut registry);
    streams(&mut registry, &service);
    runs(&mut registry, &service);
    storage(&mut registry, &service.control().health());
    cluster(
        &mut registry,
        &nodes,
        books.is_ok_and(|broken| broken.is_empty()),
    );
    bus(&mut registry, &service);
    let version = vec![("version", service.config().version.clone())];
    registry.register("build", "The program", Info::new(version));
    let mut text = String::new();
    let mut own = Registry::default();
    process(&mut own, Process::read());
    prometheus_client::encoding::text::encode_registry(&mut text, &registry)
        .and_then(|()| encode(&mut text, &own))
        .map_err(|error| ApiError::internal(&error))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, OPENMETRICS))
        .body(text))
}

/// Errors: 401, 403.
fn authenticated(request: &HttpRequest, service: &Service) -> Result<(), ApiError> {
    let secret = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim());
    let accepted = secret.and_then(|secret| service.objects().authenticate(secret).ok());
    let caller = Caller::new(accepted.ok_or_else(unauthorized)?);
    caller.require(Role::Viewer)
}

fn streams(registry: &mut Registry, service: &Service) {
    let (open, refused) = service.streams().counts();
    gauge(registry, "live_streams", "Live streams that are open", open);
    counter(
        registry,
        "live_streams_refused",
        "Live streams refused since the start",
        refused,
    );
    counter(
        registry,
        "live_updates_skipped",
        "Updates that readers of live streams were not sent because they did not keep up",
        service.figures().skipped_total(),
    );
}

fn runs(registry: &mut Registry, service: &Service) {
    let statuses = [
        RunStatus::Pending,
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Stopping,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::CannotRunForNow,
    ];
    let counts: [Cell<u64>; 7] = Default::default();
    let queued = Cell::new(0u64);
    // Counted in the condition, so that no record is handed out.
    service.control().runs().all(|run| {
        let place = statuses.iter().position(|status| *status == run.status());
        if let Some(count) = place.and_then(|place| counts.get(place)) {
            count.set(count.get() + 1);
        }
        if run.status() == RunStatus::Queued && service.handle().queue_position(run.id).is_some() {
            queued.set(queued.get() + 1);
        }
        false
    });
    let by_status = statuses.iter().zip(&counts);
    family(
        registry,
        "runs",
        "Runs that are stored, by status",
        by_status.map(|(status, count)| ([("status", status.name())], count.get())),
    );
    gauge(
        registry,
        "start_queue",
        "Runs that wait for their start slot",
        queued.get(),
    );
    let mut phases = [0u64; Phase::ALL.len()];
    let live = service.handle().board().latest();
    for update in live
        .iter()
        .filter(|update| !update.live.status.is_terminal())
    {
        for (sum, count) in phases.iter_mut().zip(update.live.all.counts.phases) {
            *sum += u64::from(count);
        }
    }
    family(
        registry,
        "live_endpoints",
        "Endpoints of live runs, by phase",
        Phase::ALL
            .iter()
            .zip(phases)
            .map(|(phase, count)| ([("phase", phase.name())], count)),
    );
}

fn storage(registry: &mut Registry, health: &StorageHealth) {
    gauge(
        registry,
        "storage_free_bytes",
        "Octets that may still be written",
        health.free_octets,
    );
    gauge(
        registry,
        "storage_full",
        "1: only ends of runs are stored",
        u64::from(health.full),
    );
    gauge(
        registry,
        "storage_queue",
        "Commands that wait for the storage thread",
        health.queue_depth,
    );
    gauge(
        registry,
        "storage_pending_ends",
        "Ends of runs that wait for room on a full disk",
        health.pending_ends,
    );
    registry.register(
        "storage_flush_seconds",
        "Time of flushes",
        Flushes(health.flushes.clone()),
    );
    registry.register(
        "storage_checkpoint_seconds",
        "Time of the checkpoints of live runs, the flush of their records included",
        Flushes(health.checkpoints.clone()),
    );
    let refused = [
        ("conflict", health.refused.conflicts),
        ("full", health.refused.commits_full),
        ("queue", health.refused.commits_queue),
        ("failed", health.refused.commits_failed),
    ];
    for (reason, count) in refused {
        counter(
            registry,
            &format!("storage_refused_{reason}"),
            "Commits refused since the start",
            count,
        );
    }
    counter(
        registry,
        "storage_records_dropped",
        "Records of runs that were not stored because of a full disk or an error before",
        health.refused.records,
    );
    counter(
        registry,
        "storage_reopened",
        "Times the database was opened anew after an error of the disk",
        health.refused.reopened,
    );
}

fn cluster(registry: &mut Registry, nodes: &[Node], books: bool) {
    use shared::api::NodeState::{Draining, Error, Offline, Online};
    let states = [
        (Online, "ONLINE"),
        (Draining, "DRAINING"),
        (Offline, "OFFLINE"),
        (Error, "ERROR"),
    ];
    family(
        registry,
        "nodes",
        "Nodes, by status",
        states.iter().map(|(state, name)| {
            let count = nodes.iter().filter(|node| node.status == *state).count();
            ([("status", *name)], count as u64)
        }),
    );
    gauge(
        registry,
        "books_hold",
        "1: every invariant of credits and slots held when it was checked last",
        u64::from(books),
    );
}

fn bus(registry: &mut Registry, service: &Service) {
    let counts = service.handle().board().bus_counts();
    gauge(
        registry,
        "bus_connected",
        "1: the bus to the nodes is connected",
        u64::from(service.handle().bus_is_connected()),
    );
    counter(
        registry,
        "bus_unreadable",
        "Messages of nodes that could not be read",
        counts.unreadable,
    );
    counter(
        registry,
        "bus_refused",
        "Messages of nodes that a full queue refused",
        counts.overflow,
    );
    counter(
        registry,
        "bus_unsent",
        "Commands to nodes that the bus did not take",
        counts.unsent,
    );
    let untaken = counts.untaken;
    let kinds = [
        ("unknown_run", counts.unknown_run),
        ("renewal_refused", counts.refused),
        ("renewal_displaced", counts.displaced),
        ("renewal_outdated", counts.outdated),
        ("foreign", untaken.foreign),
        ("late", untaken.late),
        ("tells", untaken.tells),
    ];
    counters(
        registry,
        "bus_messages_not_taken",
        "Messages of nodes that were not taken, by reason",
        kinds.map(|(kind, count)| ([("kind", kind)], count)),
    );
    counter(
        registry,
        "bus_items_repeated",
        "Items of runs that had come before",
        untaken.repeated,
    );
    counter(
        registry,
        "bus_items_early",
        "Items of runs that came before one that was missing, and come again",
        untaken.early,
    );
    let outward = service.handle().outward_counts();
    counter(
        registry,
        "bus_published",
        "Messages for subscribers that were published",
        outward.published,
    );
    counter(
        registry,
        "bus_unpublished",
        "Messages for subscribers that the bus did not take",
        outward.refused,
    );
}

fn process(registry: &mut Registry, process: Process) {
    registry.register(
        "process_cpu_seconds",
        "CPU time of the process",
        ConstCounter::new(process.cpu_s),
    );
    if let Some(resident) = process.resident {
        gauge(
            registry,
            "process_resident_memory_bytes",
            "Octets of the process in memory",
            resident,
        );
    }
    if let Some(descriptors) = process.descriptors {
        gauge(
            registry,
            "process_open_fds",
            "Open file descriptors of the process",
            descriptors,
        );
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: impl TryInto<u64>) {
    let value = value.try_into().unwrap_or(u64::MAX);
    registry.register(name, help, ConstGauge::new(value));
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstCounter::new(value));
}

fn family(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Label, u64)>,
) {
    let family: Family<Label, Gauge> = Family::default();
    for (label, value) in values {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        family.get_or_create(&label).set(value);
    }
    registry.register(name, help, family);
}

fn counters(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Label, u64)>,
) {
    let family: Family<Label, Counter> = Family::default();
    for (label, value) in values {
        family.get_or_create(&label).inc_by(value);
    }
    registry.register(name, help, family);
}

/// The flushes as the storage thread counted them.
#[derive(Debug)]
struct Flushes(FlushHistogram);

impl EncodeMetric for Flushes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = FLUSH_BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(self.0.counts).collect();
        let count = self.0.counts.iter().sum();
        let sum = self.0.sum_us as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_cumulative_and_end_with_all_of_them() {
        let mut counts = [0; FLUSH_BOUNDS_US.len() + 1];
        (counts[0], counts[3], counts[12]) = (2, 1, 4);
        let mut registry = Registry::default();
        registry.register(
            "flush_seconds",
            "help",
            Flushes(FlushHistogram {
                counts,
                sum_us: 1_500_000,
            }),
        );
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "flush_seconds_sum 1.5",
            "flush_seconds_count 7",
            "flush_seconds_bucket{le=\"0.0001\"} 2",
            "flush_seconds_bucket{le=\"0.001\"} 3",
            "flush_seconds_bucket{le=\"2.0\"} 3",
            "flush_seconds_bucket{le=\"+Inf\"} 7",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
