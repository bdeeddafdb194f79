//! What is left to chance, drawn from a seed.
//!
//! Each lot hangs on what it is about and on nothing that was drawn before it. So what becomes of one server does not change with the order in
//! which others are moved, nor with a scheduler that was killed in between.

/// A seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lots(pub(super) u64);

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// How fast a guest writes.
    DirtyRate,
    /// Whether a migration fails.
    Fails,
    /// How far it comes before that.
    FailsAt,
    /// How long a server is off.
    Downtime,
    /// How long a hook takes.
    Hook,
    /// Whether it fails.
    HookFails,
    /// A server's size, in a fleet that is made up.
    Size,
    /// Whose it is.
    Owner,
    /// Whether its owner forbids that it is moved live.
    Forbidden,
    /// When the scheduler is killed.
    Kill,
}

impl Lots {
    /// A number from 0 to below 1.
    pub(super) fn draw(self, what: What, of: u128, nth: u64) -> f64 {
        let words = [what as u64, of as u64, (of >> 64) as u64, nth];
        let mixed = words.into_iter().fold(mix(self.0), |state, word| mix(state ^ mix(word)));
        // The upper bits, as many as the fraction of such a number has.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number between these two, each as likely by its logarithm: half of them are below the middle of a tenth and ten times.
    pub(super) fn between(self, what: What, of: u128, nth: u64, (least, most): (f64, f64)) -> f64 {
        least * (most / least).powf(self.draw(what, of, nth))
    }
}

/// The finalizer of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_the_same_for_a_seed_and_spread_evenly() {
        let lots = Lots(7);
        let drawn: Vec<f64> = (0..1000).map(|of| lots.draw(What::Fails, of, 0)).collect();
        assert_eq!(drawn, (0..1000).map(|of| lots.draw(What::Fails, of, 0)).collect::<Vec<_>>());
        assert_ne!(drawn[0], Lots(8).draw(What::Fails, 0, 0));
        assert_ne!(drawn[0], lots.draw(What::FailsAt, 0, 0));
        let below = drawn.iter().filter(|lot| **lot < 0.25).count();
        assert!((200..300).contains(&below), "{below}");
        assert!(drawn.iter().all(|lot| (0.0..1.0).contains(lot)));
    }
}
