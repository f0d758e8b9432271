//! Which server is next: a pure choice among candidates. Who is a candidate (healthy, below its cap) is decided before.

use crate::moment::Moment;
use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Fewest live sessions for its weight: what long-lived connections need to stay spread.
    #[default]
    LeastConn,
    RoundRobin,
    /// The less loaded of two picked at random.
    TwoChoices,
    /// By a key of the request: the same key, the same server.
    Hash,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Balance::LeastConn => "least_conn",
            Balance::RoundRobin => "round_robin",
            Balance::TwoChoices => "p2c",
            Balance::Hash => "hash",
        })
    }
}

/// A server as the choice sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The same for the same server in every process and at every time.
    pub id: u64,
    pub weight: u32,
    /// The part of its weight that it has by now, above 0: less than 1 while it starts slowly.
    pub ramp: f64,
    /// Live sessions.
    pub live: usize,
    /// How many more than its weight asks for it had in the round so far; negative is owed.
    pub credit: f64,
}

impl Candidate {
    fn strength(&self) -> f64 {
        f64::from(self.weight) * self.ramp
    }

    /// Sessions for its strength, if it had one more.
    fn load(&self) -> f64 {
        (self.live as f64 + 1.0) / self.strength()
    }
}

/// What a choice may depend on besides the candidates. `random` yields 0 to 1, 1 excluded.
pub struct Choice<'a> {
    pub balance: Balance,
    /// For [`Balance::Hash`]: of the request's key.
    pub key: u64,
    pub random: &'a mut dyn FnMut() -> f64,
}

/// The place of the chosen one; none among none.
pub fn choose(candidates: &[Candidate], choice: &mut Choice<'_>) -> Option<usize> {
    match choice.balance {
        Balance::LeastConn => least_loaded(candidates, choice.random),
        Balance::RoundRobin => most_owed(candidates),
        Balance::TwoChoices => less_loaded_of_two(candidates, choice.random),
        Balance::Hash => highest_score(candidates, choice.key),
    }
}

/// Among equals any, so that gateways beside this one do not all take the first.
fn least_loaded(candidates: &[Candidate], random: &mut dyn FnMut() -> f64) -> Option<usize> {
    let least = candidates.iter().map(Candidate::load).min_by(f64::total_cmp)?;
    let equals: Vec<usize> = (0..candidates.len()).filter(|at| candidates[*at].load() <= least).collect();
    let pick = (random() * equals.len() as f64) as usize;
    equals.get(pick).or(equals.first()).copied()
}

/// Smooth weighted round robin: who is owed the most goes next, and then the credits are [`settled`].
fn most_owed(candidates: &[Candidate]) -> Option<usize> {
    let owed = |at: &usize| candidates[*at].credit - candidates[*at].strength();
    (0..candidates.len()).min_by(|a, b| owed(a).total_cmp(&owed(b)))
}

/// The credits of all after the one at `chosen` had its turn: everybody is owed their strength, and the turn cost what all
/// were owed.
pub fn settled(candidates: &[Candidate], chosen: usize) -> Vec<f64> {
    let turn: f64 = candidates.iter().map(Candidate::strength).sum();
    let paid = |at: usize| if at == chosen { turn } else { 0.0 };
    candidates.iter().enumerate().map(|(at, one)| one.credit - one.strength() + paid(at)).collect()
}

fn less_loaded_of_two(candidates: &[Candidate], random: &mut dyn FnMut() -> f64) -> Option<usize> {
    let first = by_strength(candidates, None, random())?;
    let Some(second) = by_strength(candidates, Some(first), random()) else {
        return Some(first);
    };
    let less = candidates[second].load() < candidates[first].load();
    Some(if less { second } else { first })
}

/// The candidate at `point`, 0 to 1, of all strengths laid end to end, `without` one of them.
fn by_strength(candidates: &[Candidate], without: Option<usize>, point: f64) -> Option<usize> {
    let others = || candidates.iter().enumerate().filter(|(at, _)| Some(*at) != without);
    let total: f64 = others().map(|(_, candidate)| candidate.strength()).sum();
    let mut left = point * total;
    let mut last = None;
    for (at, candidate) in others() {
        last = Some(at);
        left -= candidate.strength();
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Weighted rendezvous hashing: every server scores every key, and the highest score wins. A server that comes or goes
/// moves only the keys that it wins. A slow start would move them twice, so the ramp has no say.
fn highest_score(candidates: &[Candidate], key: u64) -> Option<usize> {
    let score = |candidate: &Candidate| {
        // In (0, 1): the logarithm is below zero.
        let unit = ((mix(candidate.id ^ key) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        f64::from(candidate.weight) / -unit.ln()
    };
    let scores = candidates.iter().map(score).enumerate();
    scores.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(at, _)| at)
}

/// How much of its weight a server has that is up since `since`: it grows evenly over `slow_start`.
pub fn ramp(since: Option<Moment>, slow_start: Option<Duration>, now: Moment) -> f64 {
    let (Some(since), Some(span)) = (since, slow_start.filter(|span| !span.is_zero())) else {
        return 1.0;
    };
    (now.since(since).as_secs_f64() / span.as_secs_f64()).clamp(LEAST_RAMP, 1.0)
}

/// Where a slow start begins: a little has to go there, or nothing would be known of it.
const LEAST_RAMP: f64 = 0.05;

/// A key or a server's name as a number, the same in every process (FNV-1a, then mixed well).
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    mix(bytes.iter().fold(0xCBF2_9CE4_8422_2325, fnv))
}

/// Every bit of the result depends on every bit of `x` (the finaliser of SplitMix64).
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn servers(weights: &[u32]) -> Vec<Candidate> {
        let candidate = |(at, weight): (usize, &u32)| Candidate {
            id: hash(format!("server {at}").as_bytes()),
            weight: *weight,
            ramp: 1.0,
            live: 0,
            credit: 0.0,
        };
        weights.iter().enumerate().map(candidate).collect()
    }

    /// Opens so many sessions that never end; how many each server got.
    fn fill(balance: Balance, servers: &mut [Candidate], sessions: u64, seed: u64) -> Vec<usize> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let before: Vec<usize> = servers.iter().map(|server| server.live).collect();
        for session in 0..sessions {
            let mut random = || rng.f64();
            let key = hash(&session.to_be_bytes());
            let chosen = choose(servers, &mut Choice { balance, key, random: &mut random }).unwrap();
            servers[chosen].live += 1;
            let credits = settled(servers, chosen);
            for (server, credit) in servers.iter_mut().zip(credits) {
                server.credit = credit;
            }
        }
        servers.iter().zip(before).map(|(server, before)| server.live - before).collect()
    }

    fn shares(weights: &[u32], sessions: u64) -> Vec<f64> {
        let total: u32 = weights.iter().sum();
        weights.iter().map(|weight| sessions as f64 * f64::from(*weight) / f64::from(total)).collect()
    }

    #[test]
    fn nobody_among_none_and_the_only_one_among_one() {
        for balance in [Balance::LeastConn, Balance::RoundRobin, Balance::TwoChoices, Balance::Hash] {
            let mut random = || 0.999_999;
            let mut choice = Choice { balance, key: 7, random: &mut random };
            assert_eq!(choose(&[], &mut choice), None);
            assert_eq!(choose(&servers(&[3]), &mut choice), Some(0));
        }
    }

    #[test]
    fn round_robin_takes_turns_without_bursts() {
        let mut three = servers(&[5, 1, 1]);
        let mut turns = String::new();
        for _ in 0..14 {
            let got = fill(Balance::RoundRobin, &mut three, 1, 0);
            turns.push_str(["a", "b", "c"][got.iter().position(|got| *got == 1).unwrap()]);
        }
        assert_eq!(turns, "aabacaaaabacaa");
    }

    #[test]
    fn least_conn_makes_up_for_what_a_new_server_lacks() {
        let mut three = servers(&[1, 1, 1]);
        three[0].live = 500;
        three[1].live = 500;
        assert_eq!(fill(Balance::LeastConn, &mut three, 500, 1), [0, 0, 500]);
        let got = fill(Balance::LeastConn, &mut three, 300, 1);
        assert_eq!(got, [100, 100, 100]);
    }

    #[test]
    fn a_slow_start_is_a_share_that_grows() {
        let start = Moment::from_millis(5_000);
        let slow = Some(Duration::from_secs(30));
        let at = |secs: u64| ramp(Some(start), slow, start + Duration::from_secs(secs));
        assert_eq!((at(0), at(15), at(30), at(3000)), (LEAST_RAMP, 0.5, 1.0, 1.0));
        assert_eq!(ramp(None, slow, start), 1.0, "it was there from the start");
        assert_eq!(ramp(Some(start), None, start), 1.0);
        let mut three = servers(&[1, 1, 1]);
        three[0].live = 500;
        three[1].live = 500;
        let mut got = 0;
        for secs in 0..=30 {
            three[2].ramp = at(secs);
            got += fill(Balance::LeastConn, &mut three, 17, secs)[2];
            let most = 1.0 + three[0].live.max(three[1].live) as f64 * at(secs);
            assert!(three[2].live as f64 <= most, "{} after {secs} s", three[2].live);
        }
        assert!(got > 450, "{got} of 527");
    }

    #[test]
    fn hash_scores_by_weight_and_stays_the_same_for_ever() {
        let mut four = servers(&[1, 2, 3, 4]);
        let got = fill(Balance::Hash, &mut four, 20_000, 0);
        for (got, share) in got.iter().zip(shares(&[1, 2, 3, 4], 20_000)) {
            assert!((*got as f64 - share).abs() < 0.06 * share, "{got} for {share}");
        }
        // Other gateways, and those before and after this one, have to agree.
        assert_eq!((hash(b""), hash(b"alice")), (0xF52A_15E9_A9B5_E89B, 0xC5D1_556D_6677_4A5C));
    }

    proptest! {
        #[test]
        fn every_balance_is_fair_by_weight(weights in prop::collection::vec(1u32..6, 1..8), seed: u64) {
            let sessions = 200 * weights.iter().sum::<u32>() as u64;
            for (balance, slack) in [
                (Balance::LeastConn, 0.02), (Balance::RoundRobin, 0.01), (Balance::TwoChoices, 0.10),
            ] {
                let got = fill(balance, &mut servers(&weights), sessions, seed);
                for (got, share) in got.iter().zip(shares(&weights, sessions)) {
                    prop_assert!((*got as f64 - share).abs() <= slack * share + 1.0, "{balance:?} {got} for {share}");
                }
            }
        }

        #[test]
        fn a_server_more_moves_its_own_keys_and_no_other(
            weights in prop::collection::vec(1u32..4, 1..8), keys in prop::collection::vec(any::<u64>(), 300),
        ) {
            let more = servers(&weights);
            let fewer = &more[..more.len() - 1];
            let mut random = || 0.0;
            let mut moved = 0;
            for key in &keys {
                let mut choice = Choice { balance: Balance::Hash, key: *key, random: &mut random };
                let (before, after) = (choose(fewer, &mut choice), choose(&more, &mut choice));
                prop_assert!(after == before || after == Some(more.len() - 1), "{key}");
                moved += usize::from(after != before);
            }
            let share = shares(&weights, keys.len() as u64)[weights.len() - 1];
            prop_assert!((moved as f64 - share).abs() < 60.0, "{moved} moved for a share of {share}");
        }
    }
}
