//! Idempotency records: a request that is repeated with the same `Idempotency-Key` is done once.
//!
//! The id of what a request makes is chosen and stored before the work, so a crash between the work
//! and its record leads a repeat to the same object. Answers are kept for [`KEPT_MS`], bodies sealed:
//! that of a new API key holds its secret.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::id::{KeyId, OrganizationId};

use super::repository::{Answer, Read, Stop};
use super::seal::Bound;
use super::{ObjectError, Objects};
use crate::store::{Commit, keys};

/// The id that an object is to get, chosen before the work so that a repeat makes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedId(pub(crate) u64);

/// What the idempotency records say about a request.
#[derive(Debug)]
pub(crate) enum Begin {
    /// Do the work with this id, then call [`Objects::finish`]. Also after a crash between the work
    /// and its record: the same id again.
    New(InFlight),
    /// It was done: answer this.
    Replay(StoredAnswer),
    /// It is being done by another request right now: 409.
    Conflict,
    /// The key was used for another request: 422.
    Mismatch,
}

/// A request that is being done. Dropping it without [`Objects::finish`] lets a repeat do it again,
/// with the same planned id.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The id of what it makes.
    pub(crate) planned: PlannedId,
    place: Place,
    requests: Arc<Requests>,
}

/// An answer as it was given.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredAnswer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; sealed at rest.
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for StoredAnswer {
    /// Without the body, which may hold the secret of a new key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Whose record, and the hash that it stands under.
type Place = (OrganizationId, [u8; 32]);

/// What is known in memory: which requests are being done, and when records expire.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    in_flight: HashSet<Place>,
    kept: HashMap<OrganizationId, usize>,
    begun: BTreeSet<(u64, Place)>,
}

/// Status, headers, sealed body.
type Sealed = (u16, Vec<(String, String)>, Vec<u8>);

/// A record as it is stored.
#[derive(Serialize, Deserialize)]
struct RequestRecord {
    organization: OrganizationId,
    hash: [u8; 32],
    route: String,
    request: [u8; 32],
    planned: u64,
    begun_unix_ms: u64,
    /// None: not finished.
    answer: Option<Sealed>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, begun: u64, place: Place) {
        let mut table = self.lock();
        if table.begun.insert((begun, place)) {
            *table.kept.entry(place.0).or_default() += 1;
        }
    }

    fn forget(&self, begun: u64, place: Place) {
        let mut table = self.lock();
        if table.begun.remove(&(begun, place))
            && let Some(kept) = table.kept.get_mut(&place.0)
        {
            *kept = kept.saturating_sub(1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.requests.lock().in_flight.remove(&self.place);
    }
}

impl Objects {
    /// Begins a request that has an idempotency key.
    ///
    /// `key`: the header `Idempotency-Key`, of the API key `by`. `route`: method and path.
    /// `request_hash`: SHA-256 of the body. `now`: milliseconds since 1970.
    /// Errors: [`ObjectError::TooMany`] above [`KEPT_MAX`] records of the organization.
    pub(crate) async fn begin(
        &self,
        organization: OrganizationId,
        by: KeyId,
        key: &str,
        route: &str,
        request_hash: [u8; 32],
        now: u64,
    ) -> Answer<Begin> {
        let mut hash = Sha256::new();
        hash.update(by.0.to_be_bytes());
        hash.update(key.as_bytes());
        let place = (organization, hash.finalize().into());
        let requests = &self.inner.requests;
        if !requests.lock().in_flight.insert(place) {
            return Ok(Begin::Conflict);
        }
        let mut request = InFlight {
            planned: PlannedId(0),
            place,
            requests: Arc::clone(requests),
        };
        let storage_key = keys::idempotency(organization, &place.1);
        let found = self.find::<RequestRecord>(&storage_key)?;
        if let Some(Read { record, .. }) = &found
            && record.begun_unix_ms.saturating_add(KEPT_MS) > now
        {
            if record.route != route || record.request != request_hash {
                return Ok(Begin::Mismatch);
            }
            request.planned = PlannedId(record.planned);
            return match &record.answer {
                None => Ok(Begin::New(request)),
                Some((status, headers, sealed)) => {
                    let body = self.inner.sealer.open(&bound(&place), sealed);
                    let failed = || ObjectError::Storage("a stored answer does not open".into());
                    Ok(Begin::Replay(StoredAnswer {
                        status: *status,
                        headers: headers.clone(),
                        body: body.ok_or_else(failed)?,
                    }))
                }
            };
        }
        if requests.lock().kept.get(&organization).copied() >= Some(KEPT_MAX) {
            return Err(ObjectError::TooMany {
                what: "idempotency keys of the last 24 hours",
                limit: KEPT_MAX,
            });
        }
        request.planned = PlannedId(self.id(None)?);
        let record = RequestRecord {
            organization,
            hash: place.1,
            route: route.to_owned(),
            request: request_hash,
            planned: request.planned.0,
            begun_unix_ms: now,
            answer: None,
        };
        let commit = Commit::new().put(storage_key, &record);
        self.once(commit).await?;
        if let Some(old) = found {
            requests.forget(old.record.begun_unix_ms, place);
        }
        requests.keep(now, place);
        Ok(Begin::New(request))
    }

    /// Stores the answer of a request, flushed, before it is given.
    ///
    /// For answers that are final: 2xx, and 4xx that a repeat would get again. Else drop the
    /// [`InFlight`].
    /// Errors: as every commit; the work itself is done and a repeat comes to the same object.
    pub(crate) async fn finish(&self, request: InFlight, answer: StoredAnswer) -> Answer<()> {
        let place = request.place;
        let key = keys::idempotency(place.0, &place.1);
        if answer.body.len() > BODY_MAX {
            // Repeats do the work again, which comes to the same object.
            return Ok(());
        }
        let Some(Read { mut record, .. }) = self.find::<RequestRecord>(&key)? else {
            return Ok(());
        };
        let body = self.inner.sealer.seal(&bound(&place), &answer.body)?;
        record.answer = Some((answer.status, answer.headers, body));
        self.once(Commit::new().put(key, &record)).await
    }

    /// Removes records that are older than [`KEPT_MS`].
    pub(super) async fn expire_requests(&self, now: u64) -> Answer<()> {
        let requests = &self.inner.requests;
        loop {
            let expired: Vec<(u64, Place)> = {
                let table = requests.lock();
                let old = |entry: &&(u64, Place)| {
                    let (begun, place) = entry;
                    begun.saturating_add(KEPT_MS) <= now && !table.in_flight.contains(place)
                };
                table
                    .begun
                    .iter()
                    .filter(old)
                    .take(BATCH)
                    .copied()
                    .collect()
            };
            if expired.is_empty() {
                return Ok(());
            }
            let commit = expired.iter().fold(Commit::new(), |commit, (_, place)| {
                commit.delete(keys::idempotency(place.0, &place.1))
            });
            self.once(commit.urgent()).await?;
            for (begun, place) in expired {
                requests.forget(begun, place);
            }
        }
    }

    /// Fills the memory from the store.
    pub(super) fn load_requests(&self) -> Answer<()> {
        for organization in self.every_organization()? {
            let prefix = keys::idempotencies(organization.id);
            for record in self.all::<RequestRecord>(&prefix, usize::MAX)? {
                let place = (record.organization, record.hash);
                self.inner.requests.keep(record.begun_unix_ms, place);
            }
        }
        Ok(())
    }

    /// A commit without guards: nobody else writes these records.
    async fn once(&self, commit: Commit) -> Answer<()> {
        match self.commit(commit).await {
            Ok(()) => Ok(()),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Again) => Err(ObjectError::Storage("a guard that is not there".into())),
        }
    }
}

fn bound(place: &Place) -> Bound<'_> {
    Bound {
        organization: place.0.0,
        owner: 0,
        name: &place.1,
        field: "answer",
    }
}

/// How long an answer is kept: 24 hours.
const KEPT_MS: u64 = 24 * 3_600_000;
/// Records of an organization: more than one a second for a day.
const KEPT_MAX: usize = 100_000;
/// Octets of a body that is kept; those of requests that make something are far shorter.
const BODY_MAX: usize = 256 << 10;
/// Records removed in one commit.
const BATCH: usize = 2_000;
