//! The control plane in one piece: coordinator, records, objects, HTTP service, and what has to be
//! done every minute.
//!
//! Owns the order of the start, the first credits, and retention's rounds. Decides nothing about a
//! run and serves nothing: [`crate::serve`] does, with [`ControlPlane::service`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use shared::api::Credits;
use shared::bus::Bus;
use shared::definition::Network;
use shared::id::OrganizationId;

use crate::handle::{CoordinatorConfig, Handle, StartError, start};
use crate::http::Service;
use crate::objects::{FirstStart, KeySource, LIMIT_MAX, ListQuery, ObjectError, Objects};
use crate::store::Control;

/// Credits of the first organization, so that a first run needs no operator.
const FIRST_CREDITS: u64 = 1_000_000;
/// How often records are tidied and retention is applied.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);
/// The key file in the data folder, where no other is given.
const KEY_FILE: &str = "storage.key";

/// What a control plane is started with.
#[derive(Clone)]
pub struct ControlPlaneConfig {
    /// Storage and start slots.
    pub coordinator: CoordinatorConfig,
    /// The key that seals passwords, as base64 or hexadecimal digits; none: the key file has it.
    pub key: Option<String>,
    /// The file with that key; none: `storage.key` in the data folder, made at the first start.
    pub key_file: Option<PathBuf>,
    /// Networks that any test may send to besides loopback.
    pub allow: Vec<Network>,
}

impl std::fmt::Debug for ControlPlaneConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlaneConfig")
            .field("coordinator", &self.coordinator)
            .field("key_file", &self.key_file)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

/// A control plane that runs.
#[derive(Debug)]
pub struct ControlPlane {
    handle: Handle,
    objects: Objects,
    service: Service,
    first: Option<FirstStart>,
}

impl ControlPlane {
    /// Starts all of it. Must be called inside an actix system.
    ///
    /// Errors: the data folder or the key that seals passwords cannot be used, with what to do.
    pub async fn start(config: ControlPlaneConfig, bus: Arc<dyn Bus>) -> Result<Self, StartError> {
        let data = config.coordinator.data_dir.clone();
        let source = KeySource {
            text: config.key,
            file: config.key_file.unwrap_or_else(|| data.join(KEY_FILE)),
        };
        let handle = start(config.coordinator, bus)?;
        let control = handle.control().clone();
        let told = |error: &dyn std::error::Error| StartError::Storage(error.to_string());
        let objects =
            Objects::open(control.clone(), &data, &source).map_err(|error| told(&error))?;
        let first = objects
            .first_start(now())
            .await
            .map_err(|error| told(&error))?;
        let mut house = House {
            handle: handle.clone(),
            objects: objects.clone(),
            control: control.clone(),
            granted: false,
        };
        // Before the first request, where the disk allows it.
        house.grant_once().await;
        actix_rt::spawn(house.keep());
        Ok(Self {
            service: Service::new(handle.clone(), objects.clone(), control, config.allow),
            handle,
            objects,
            first,
        })
    }

    /// The coordinator.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What [`crate::serve`] serves.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// The administrator's API key, until it has been shown.
    #[must_use]
    pub fn first_key(&self) -> Option<&str> {
        self.first.as_ref().map(|first| first.secret.as_str())
    }

    /// The key was shown: later starts do not have it any more.
    ///
    /// Errors: it cannot be stored; the next start then makes another key.
    pub async fn first_key_shown(&mut self) -> Result<(), StartError> {
        if let Some(first) = self.first.take() {
            tracing::info!(organization = %first.organization, key = %first.key, "the first key was shown");
            let stored = self.objects.first_start_shown().await;
            stored.map_err(|error| StartError::Storage(error.to_string()))?;
        }
        Ok(())
    }
}

/// What is done again and again.
struct House {
    handle: Handle,
    objects: Objects,
    control: Control,
    /// The first organization has its credits.
    granted: bool,
}

impl House {
    async fn keep(mut self) {
        let mut every = tokio::time::interval(HOUSEKEEPING_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.grant_once().await;
            if let Err(error) = self.objects.maintain(now()).await {
                tracing::warn!(%error, "records could not be tidied; it is tried again");
            }
            if let Err(error) = self.retain().await {
                tracing::warn!(error, "retention could not be applied; it is tried again");
            }
        }
    }

    async fn grant_once(&mut self) {
        if self.granted {
            return;
        }
        match self.grant().await {
            Ok(()) => self.granted = true,
            Err(error) => tracing::warn!(error, "the first credits are not entered yet"),
        }
    }

    /// Enters the first organization's credits; once, since the entry's id is made of its id.
    async fn grant(&self) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let first = self.objects.first_organization().await;
        let Some(organization) = first.map_err(|error| told(&error))? else {
            return Ok(());
        };
        match self.objects.organization(organization).await {
            Ok(_) => {}
            // Deleted since.
            Err(ObjectError::NotFound) => return Ok(()),
            Err(error) => return Err(told(&error)),
        }
        let granted = self.handle.grant(
            organization,
            FIRST_CREDITS * Credits::CREDIT,
            "first start".to_owned(),
            grant_id(organization),
        );
        granted.await.map(drop).map_err(|error| told(&error))
    }

    /// Deletes the runs that each project's retention no longer keeps.
    async fn retain(&self) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let mut organizations = ListQuery {
            limit: Some(LIMIT_MAX),
            ..ListQuery::default()
        };
        loop {
            let page = self.objects.organizations(&organizations).await;
            let page = page.map_err(|error| told(&error))?;
            for organization in page.items {
                self.retain_projects(organization.id).await?;
            }
            if page.next_cursor.is_none() {
                return Ok(());
            }
            organizations.cursor = page.next_cursor;
        }
    }

    async fn retain_projects(&self, organization: OrganizationId) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let mut projects = ListQuery {
            limit: Some(LIMIT_MAX),
            ..ListQuery::default()
        };
        loop {
            let page = self
                .objects
                .projects(organization, &projects, |_| true)
                .await;
            let page = page.map_err(|error| told(&error))?;
            for project in page.items {
                let kept = project.retention;
                let gone = self
                    .control
                    .apply_retention(organization, project.id, kept, now())
                    .await
                    .map_err(|error| told(&error))?;
                if gone > 0 {
                    tracing::info!(project = %project.id, runs = gone, "retention deleted runs");
                }
            }
            if page.next_cursor.is_none() {
                return Ok(());
            }
            projects.cursor = page.next_cursor;
        }
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, crate::core::millis)
}

/// The id of the ledger entry of an organization's first credits.
fn grant_id(organization: OrganizationId) -> String {
    let digest = Sha256::digest(format!("grant|first|{organization}").as_bytes());
    digest
        .iter()
        .take(16)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}
