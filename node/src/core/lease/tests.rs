use super::*;

const SECOND: u64 = 1_000_000;

fn core() -> (LeaseCore, Arc<LeaseGuard>) {
    let guard = Arc::new(LeaseGuard::default());
    (LeaseCore::new(Arc::clone(&guard)), guard)
}

#[test]
fn a_lease_counts_from_the_sending_of_its_renewal() {
    let guard = LeaseGuard::default();
    assert!(!guard.permits(guard.generation(), 0), "none at the start");
    guard.renew(5 * SECOND, 9 * SECOND);
    let generation = guard.generation();
    assert!(guard.permits(generation, 15 * SECOND - 1));
    assert!(!guard.permits(generation, 15 * SECOND));
}

#[test]
fn a_generation_that_ran_out_is_never_revived() {
    let guard = LeaseGuard::default();
    guard.renew(0, 0);
    let first = guard.generation();
    assert!(guard.permits(first, SECOND));
    // Nobody looked while it ran out; the renewal itself finds it.
    guard.renew(70 * SECOND, 71 * SECOND);
    assert!(!guard.permits(first, 71 * SECOND));
    let second = guard.generation();
    assert!(second > first && guard.permits(second, 71 * SECOND));
    // Somebody looked first.
    assert!(!guard.permits(second, 80 * SECOND));
    guard.renew(80 * SECOND, 81 * SECOND);
    assert!(!guard.permits(second, 81 * SECOND));
    assert!(guard.permits(guard.generation(), 81 * SECOND));
}

#[test]
fn renewals_in_time_keep_the_generation_and_late_ones_shorten_nothing() {
    let guard = LeaseGuard::default();
    guard.renew(0, 0);
    let generation = guard.generation();
    for second in [2, 4, 9, 7, 18] {
        guard.renew(second * SECOND, second.max(9) * SECOND);
        assert_eq!(guard.generation(), generation);
    }
    assert!(guard.permits(generation, 28 * SECOND - 1));
    // An answer older than its own time to live is no lease.
    guard.renew(20 * SECOND, 30 * SECOND);
    assert!(!guard.permits(generation, 28 * SECOND));
}

#[test]
fn a_revoked_lease_is_over_at_once() {
    let guard = Arc::new(LeaseGuard::default());
    guard.renew(0, 0);
    let permit = Permit::of(Arc::clone(&guard), guard.generation());
    assert!(permit.allows(SECOND));
    guard.revoke();
    assert!(!permit.allows(SECOND));
    assert!(Permit::always().allows(SECOND) && !Permit::never().allows(0));
}

#[test]
fn it_renews_at_the_start_every_two_seconds_and_soon_where_there_is_news() {
    let (mut core, _) = core();
    assert!(core.renews(10 * SECOND));
    assert!(!core.renews(10 * SECOND));
    assert_eq!(core.next_deadline(), 12 * SECOND);
    core.renew_soon(10 * SECOND);
    assert_eq!(core.next_deadline(), 10 * SECOND + RENEW_GAP_US);
    core.renew_soon(11 * SECOND);
    assert!(core.renews(11 * SECOND));
    assert_eq!(core.next_deadline(), 13 * SECOND);
}

#[test]
fn answers_out_of_order_doubled_or_to_a_renewal_that_never_was_are_no_news() {
    let (mut core, _) = core();
    assert!(!core.is_news(0));
    assert!(core.renews(SECOND) && core.renews(3 * SECOND));
    assert!(core.is_news(SECOND) && core.is_news(3 * SECOND));
    assert!(!core.is_news(4 * SECOND), "it was not sent yet");
    core.answered(3 * SECOND);
    assert!(!core.is_news(SECOND) && !core.is_news(3 * SECOND));
}

#[test]
fn a_lost_lease_is_told_once_and_whoever_notices_it() {
    let (mut core, guard) = core();
    assert!(core.renews(0) && core.granted(0, SECOND));
    assert!(!core.granted(SECOND, 2 * SECOND), "it was live already");
    assert!(!core.is_lost(10 * SECOND));
    // A media thread looks first.
    assert!(!guard.permits(guard.generation(), 11 * SECOND));
    assert!(core.is_lost(11 * SECOND) && !core.is_lost(11 * SECOND));
    assert_eq!(core.generation(), None);
    assert!(!core.granted(SECOND, 12 * SECOND), "too old to be a lease");
    assert!(core.granted(12 * SECOND, 12 * SECOND));
}
