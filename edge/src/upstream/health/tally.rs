//! Counts good and bad answers in a row. No clock, no socket.

/// What a server's checks say of it. Unknown counts as up: a start must not wait for checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Tally {
    up: bool,
    /// Answers in a row that speak against `up`.
    against: u32,
}

/// The other way round from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Change {
    /// It can be used again.
    Up,
    /// It cannot be used.
    Down,
}

impl Default for Tally {
    fn default() -> Self {
        Self { up: true, against: 0 }
    }
}

impl Tally {
    /// Notes one answer.
    pub(in crate::upstream) fn note(&mut self, good: bool, up_after: u32, down_after: u32) -> Option<Change> {
        if good == self.up {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        if self.against < if good { up_after } else { down_after } {
            return None;
        }
        *self = Self { up: good, against: 0 };
        Some(if good { Change::Up } else { Change::Down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_in_a_row_change_anything() {
        let mut tally = Tally::default();
        let mut note = |good| tally.note(good, 2, 3);
        let said: Vec<_> = [false, false, true, false, false, false, false, true, false, true, true, true]
            .into_iter()
            .map(&mut note)
            .collect();
        let none = None;
        let (down, up) = (Some(Change::Down), Some(Change::Up));
        assert_eq!(said, [none, none, none, none, none, down, none, none, none, none, up, none]);
    }

    #[test]
    fn one_is_enough_if_one_is_asked_for() {
        let mut tally = Tally::default();
        assert_eq!(tally.note(false, 1, 1), Some(Change::Down));
        assert_eq!(tally.note(true, 1, 1), Some(Change::Up));
        assert_eq!(tally.note(true, 1, 1), None);
    }
}
