//! Every key, once: where it stands, what it sets, and the rule for its value.

use std::time::Duration;

use super::rule::{self, Raw};
use super::{Config, LogFormat};

/// Takes a value for one key.
pub(super) type Set<'s> = &'s mut dyn FnMut(&Raw<'_>) -> Result<(), String>;

/// Visits every key as `section.key` (or `key` at the top), with what sets it.
pub(super) fn every(config: &mut Config, on: &mut dyn FnMut(&'static str, Set<'_>)) {
    let mut visit = Visit { on };
    visit.key("embedded_node", &mut config.embedded_node, rule::flag);
    http(config, &mut visit);
    visit.key("storage.data_dir", &mut config.storage.data_dir, rule::path);
    visit.key(
        "storage.key_file",
        &mut config.storage.key_file,
        rule::path_or_blank,
    );
    visit.key("runs.starts_at_once", &mut config.starts_at_once, |raw| {
        rule::integer(raw, 1, 1_000)
    });
    visit.key("targets.allow", &mut config.allow, rule::networks);
    let node = &mut config.node;
    visit.key("node.name", &mut node.name, rule::name);
    visit.key("node.region", &mut node.region, rule::text);
    visit.key("node.address", &mut node.address, rule::ip);
    visit.key("node.media_ports", &mut node.media_ports, rule::ports);
    visit.key("node.threads", &mut node.threads, |raw| {
        rule::integer(raw, 0, 256)
    });
    visit.key("nats.url", &mut config.nats_url, rule::nats);
    visit.key("log.format", &mut config.log.format, |raw| {
        rule::choice(raw, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
    });
    visit.key("log.filter", &mut config.log.filter, rule::log_filter);
}

fn http(config: &mut Config, visit: &mut Visit<'_, '_>) {
    let http = &mut config.http;
    visit.key("http.bind", &mut http.bind, rule::socket);
    visit.key(
        "http.allow_plain_public",
        &mut http.allow_plain_public,
        rule::flag,
    );
    visit.key(
        "http.tls_certificate_file",
        &mut config.tls_certificate_file,
        rule::path_or_blank,
    );
    visit.key(
        "http.tls_key_file",
        &mut config.tls_key_file,
        rule::path_or_blank,
    );
    visit.key("http.workers", &mut http.workers, |raw| {
        rule::integer(raw, 1, 256)
    });
    visit.key("http.connections_max", &mut http.connections_max, |raw| {
        rule::integer(raw, 1, 1_000_000)
    });
    for (path, place) in [
        ("http.head_timeout", &mut http.head_timeout),
        ("http.body_timeout", &mut http.body_timeout),
        ("http.upload_timeout", &mut http.upload_timeout),
        ("http.keep_alive", &mut http.keep_alive),
        ("http.shutdown_timeout", &mut http.shutdown_timeout),
    ] {
        visit.key(path, place, |raw| {
            rule::duration(raw, Duration::from_millis(100), Duration::from_secs(3_600))
        });
    }
    for (path, place) in [
        ("http.json_max", &mut http.json_max),
        ("http.bulk_max", &mut http.bulk_max),
        ("http.media_max", &mut http.media_max),
        ("http.send_buffer", &mut http.send_buffer),
    ] {
        visit.key(path, place, |raw| rule::octets(raw, 4 << 10, 1 << 30));
    }
    for (path, place) in [
        ("http.requests_per_second", &mut http.requests_per_second),
        ("http.requests_burst", &mut http.requests_burst),
        (
            "http.failed_auth_per_minute",
            &mut http.failed_auth_per_minute,
        ),
    ] {
        visit.key(path, place, |raw| rule::integer(raw, 1, 1_000_000));
    }
    for (path, place) in [
        ("http.streams_max", &mut http.streams_max),
        ("http.streams_per_key", &mut http.streams_per_key),
    ] {
        visit.key(path, place, |raw| rule::integer(raw, 1, 100_000));
    }
}

struct Visit<'v, 'o> {
    on: &'v mut (dyn FnMut(&'static str, Set<'_>) + 'o),
}

impl Visit<'_, '_> {
    fn key<T>(
        &mut self,
        path: &'static str,
        place: &mut T,
        rule: impl Fn(&Raw<'_>) -> Result<T, String>,
    ) {
        (self.on)(path, &mut |raw| {
            *place = rule(raw)?;
            Ok(())
        });
    }
}
