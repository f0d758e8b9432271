//! Seats that are taken, by whom. Only what is taken has an entry: an empty house has an empty table, and the table is
//! never larger than the connections there are.

use super::{Full, Place, lock};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

/// So many locks: threads that count different things seldom meet. A power of two.
const SHARDS: usize = 32;

/// Up to this many places a shard keeps what it once needed.
const KEPT: usize = 32;

#[derive(Debug)]
pub struct SeatTable {
    seed: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

type Shard = HashMap<Place, u32, RandomState>;

impl SeatTable {
    pub fn new(seed: RandomState) -> SeatTable {
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(seed.clone())));
        SeatTable { seed, shards }
    }

    pub fn enter(&self, place: &Place, cap: u32) -> Result<(), Full> {
        let mut shard = lock(self.shard(place));
        match shard.get_mut(place) {
            Some(taken) if *taken >= cap => Err(Full),
            Some(taken) => {
                *taken += 1;
                Ok(())
            }
            None if cap == 0 => Err(Full),
            None => {
                shard.insert(place.clone(), 1);
                Ok(())
            }
        }
    }

    pub fn leave(&self, place: &Place) {
        let mut shard = lock(self.shard(place));
        let Some(taken) = shard.get_mut(place) else { return };
        *taken -= 1;
        if *taken > 0 {
            return;
        }
        shard.remove(place);
        // After a rush the room goes back too.
        let left = shard.len();
        if shard.capacity() > 2 * KEPT && left < shard.capacity() / 8 {
            shard.shrink_to(KEPT.max(left * 2));
        }
    }

    pub fn taken(&self) -> u64 {
        let of = |shard: &Mutex<Shard>| lock(shard).values().map(|taken| u64::from(*taken)).sum::<u64>();
        self.shards.iter().map(of).sum()
    }

    fn shard(&self, place: &Place) -> &Mutex<Shard> {
        let hash = self.seed.hash_one(place);
        // The upper bits: the map in the shard goes by the lower ones.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counts, Key, Scope};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn seats_are_taken_and_given_back() {
        let counts = Arc::new(Counts::new(RandomState::new()));
        let scope = Scope::Route("a".into());
        let enter = |key, cap| counts.enter(&scope, key, cap);
        let first = enter(Key::V4(1), 2).unwrap();
        let second = enter(Key::V4(1), 2).unwrap();
        assert_eq!(enter(Key::V4(1), 2).unwrap_err(), Full);
        // Others have seats of their own.
        let other = enter(Key::V4(2), 2).unwrap();
        let elsewhere = counts.enter(&Scope::Listener("a".into()), Key::V4(1), 2).unwrap();
        assert_eq!(counts.seats(), 4);
        drop(first);
        let third = enter(Key::V4(1), 2).unwrap();
        assert_eq!(enter(Key::V4(1), 2).unwrap_err(), Full);
        // A cap that was lowered meanwhile lets nobody in and throws nobody out.
        assert_eq!(enter(Key::V4(1), 1).unwrap_err(), Full);
        drop((second, third, other, elsewhere));
        assert_eq!(counts.seats(), 0);
        assert_eq!(enter(Key::V4(1), 0).unwrap_err(), Full, "no seat at all");
    }

    #[test]
    fn an_empty_house_has_an_empty_table() {
        let counts = Arc::new(Counts::new(RandomState::new()));
        let scope = Scope::Process;
        let rush: Vec<_> = (0..100_000).map(|n| counts.enter(&scope, Key::V4(n), 1).unwrap()).collect();
        assert_eq!(counts.seats(), 100_000);
        drop(rush);
        for shard in &counts.seats.shards {
            let shard = lock(shard);
            assert!(shard.is_empty() && shard.capacity() <= 2 * KEPT, "room for {}", shard.capacity());
        }
    }

    #[test]
    fn never_more_than_the_cap_whoever_is_faster() {
        const CAP: u32 = 10;
        let counts = Arc::new(Counts::new(RandomState::new()));
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    use std::sync::atomic::Ordering::SeqCst;
                    for _ in 0..20_000 {
                        if let Ok(seat) = counts.enter(&Scope::Process, Key::Everyone, CAP) {
                            assert!(inside.fetch_add(1, SeqCst) < CAP);
                            inside.fetch_sub(1, SeqCst);
                            drop(seat);
                        }
                    }
                });
            }
        });
        assert_eq!(counts.seats(), 0);
    }
}
