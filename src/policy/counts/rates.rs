//! How fast each client comes: a token bucket for each, in a table whose size never changes.
//!
//! A client has eight places it may be in. When others hold all of them, the one with the least debt makes room, which is
//! one that owes nothing if there is such: an attacker who comes from ever new addresses displaces those that came once,
//! not the one who is at its limit. Being forgotten forgives a debt, and never makes one.

use super::{Place, lock};
use crate::meter::{Rate, TokenBucket};
use crate::moment::Moment;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::Duration;

/// In all: a mebibyte, for every limit of the process together. All powers of two.
const ENTRIES: usize = 65_536;
/// So many locks, and so many parts, each of which takes its memory when it is first needed.
const SHARDS: usize = 64;
/// So many places for a client: two lines of the cache.
const WAYS: usize = 8;
const SETS: usize = ENTRIES / SHARDS / WAYS;

#[derive(Debug)]
pub struct RateTable {
    seed: RandomState,
    shards: [Mutex<Box<[Entry]>>; SHARDS],
}

/// An empty one is nobody's, and owes nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Stands for the client and the limit. That two have the same is as likely as to guess a key of 64 bits.
    tag: u64,
    bucket: TokenBucket,
}

impl RateTable {
    pub fn new(seed: RandomState) -> RateTable {
        RateTable { seed, shards: std::array::from_fn(|_| Mutex::default()) }
    }

    pub fn spend(&self, place: &Place, rate: Rate, now: Moment) -> Result<(), Duration> {
        let tag = self.seed.hash_one(place);
        let (shard, set) = (tag as usize % SHARDS, tag as usize / SHARDS % SETS);
        let mut entries = lock(&self.shards[shard]);
        if entries.is_empty() {
            *entries = vec![Entry::default(); SETS * WAYS].into();
        }
        let ways = &mut entries[set * WAYS..][..WAYS];
        let found = ways.iter().position(|entry| entry.tag == tag);
        let at = found.or_else(|| (0..WAYS).min_by_key(|at| ways[*at].bucket)).unwrap_or_default();
        if found.is_none() {
            ways[at] = Entry { tag, ..Entry::default() };
        }
        // A reload may have changed the rate.
        ways[at].bucket.hold_to(rate, now);
        ways[at].bucket.take(rate, 1, now).map_err(|later| later.since(now))
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| size_of_val(&**lock(shard))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Key, Scope};
    use super::*;

    const RATE: Rate = Rate::new(10, 5);

    fn place(client: u32) -> Place {
        (Scope::Process, Key::V4(client))
    }

    /// Whether `client` is let in so many times and no more.
    fn burst(table: &RateTable, client: u32, rate: Rate, now: Moment) -> usize {
        (0..100).take_while(|_| table.spend(&place(client), rate, now).is_ok()).count()
    }

    #[test]
    fn a_burst_then_the_rate_for_each_alone() {
        let table = RateTable::new(RandomState::new());
        let start = Moment::from_millis(1000);
        assert_eq!(burst(&table, 1, RATE, start), 5);
        assert_eq!(table.spend(&place(1), RATE, start), Err(Duration::from_millis(100)));
        assert_eq!(burst(&table, 2, RATE, start), 5, "another client");
        let elsewhere = (Scope::Route("r".into()), Key::V4(1));
        assert_eq!(table.spend(&elsewhere, RATE, start), Ok(()), "another limit");
        let later = Moment::from_millis(1250);
        assert_eq!(burst(&table, 1, RATE, later), 2);
        assert_eq!(table.spend(&place(1), RATE, later), Err(Duration::from_millis(50)));
        assert_eq!(burst(&table, 1, RATE, Moment::from_millis(90_000)), 5);
    }

    #[test]
    fn a_faster_rate_is_no_slower_for_who_spent_before() {
        let table = RateTable::new(RandomState::new());
        let now = Moment::from_millis(1000);
        assert_eq!(burst(&table, 1, Rate::new(1, 60), now), 60);
        assert_eq!(table.spend(&place(1), Rate::new(60, 60), now), Err(Duration::from_nanos(16_666_667)));
    }

    /// Each address comes once, a hundred thousand of them in half a second; the offender tries all the while.
    #[test]
    fn churn_does_not_wash_an_offender_clean() {
        const CHURN: u32 = 100_000;
        let table = RateTable::new(RandomState::new());
        let start = Moment::from_millis(1000);
        let offenders: Vec<u32> = (0..32).map(|n| u32::MAX - n).collect();
        for offender in &offenders {
            assert_eq!(burst(&table, *offender, RATE, start), 5);
        }
        let mut passed = vec![0; offenders.len()];
        for stranger in 0..CHURN {
            let now = start + Duration::from_micros(u64::from(stranger) * 5);
            assert_eq!(table.spend(&place(stranger), RATE, now), Ok(()));
            if stranger % 100 == 0 {
                for (offender, passed) in offenders.iter().zip(&mut passed) {
                    *passed += usize::from(table.spend(&place(*offender), RATE, now).is_ok());
                }
            }
        }
        // Ten a second, for half a second: not one more.
        assert!(passed.iter().all(|passed| *passed <= 5), "{passed:?}");
        assert_eq!(table.bytes(), 1 << 20, "the stated size");
    }

    #[test]
    fn who_owes_least_makes_room() {
        let table = RateTable::new(RandomState::new());
        let now = Moment::from_millis(1000);
        // Clients of one set: their tags agree where the place comes from.
        let tag = |client: &u32| table.seed.hash_one(place(*client)) as usize;
        let in_set = |client: &u32| tag(client).is_multiple_of(SHARDS * SETS);
        let clients: Vec<u32> = (0..).filter(in_set).take(WAYS + 2).collect();
        let (holders, new) = clients.split_at(WAYS);
        for (owes, holder) in holders.iter().enumerate() {
            (0..=owes.min(4)).for_each(|_| table.spend(&place(*holder), RATE, now).unwrap());
        }
        // The newcomers displace the one that came once, then each other; all the others stand as they stood.
        for stranger in new {
            assert_eq!(table.spend(&place(*stranger), RATE, now), Ok(()));
        }
        for (owes, holder) in holders.iter().enumerate().skip(1) {
            assert_eq!(burst(&table, *holder, RATE, now), 4_usize.saturating_sub(owes), "holder {owes}");
        }
        // One that has paid goes before one that owes, however long it has been there.
        let later = Moment::from_millis(1000 + 350);
        assert_eq!(burst(&table, holders[7], RATE, later), 3);
        assert_eq!(burst(&table, holders[0], RATE, later), 5);
        assert_eq!(burst(&table, holders[7], RATE, later), 0);
    }

    #[test]
    fn memory_is_taken_as_it_is_needed_and_never_more_than_stated() {
        assert_eq!(size_of::<Entry>(), 16);
        let table = RateTable::new(RandomState::new());
        assert_eq!(table.bytes(), 0);
        table.spend(&place(1), RATE, Moment::default()).unwrap();
        assert_eq!(table.bytes(), (1 << 20) / SHARDS);
        (0..1_000_000).for_each(|client| table.spend(&place(client), RATE, Moment::default()).unwrap());
        assert_eq!(table.bytes(), 1 << 20);
    }
}
