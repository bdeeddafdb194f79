//! How many threads copy at once on this host, for all of its rounds.

use std::sync::Mutex;

use super::super::lock;

/// Beside its own thread a round gets at most so many.
const PER_ROUND: usize = 3;

/// Workers that are free.
#[derive(Debug)]
pub(super) struct Workers(Mutex<usize>);

/// Workers that a round has; they are free again when this is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    workers: &'a Workers,
    count: usize,
}

impl Workers {
    pub(super) fn new(count: usize) -> Self {
        Self(Mutex::new(count))
    }

    /// Takes as many as are wanted and free, without waiting. None at all is enough: a round has a thread of its own.
    pub(super) fn take(&self, wanted: usize) -> Taken<'_> {
        let mut free = lock(&self.0);
        let count = wanted.min(PER_ROUND).min(*free);
        *free -= count;
        Taken { workers: self, count }
    }
}

impl Taken<'_> {
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *lock(&self.workers.0) += self.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_given_than_there_are_and_they_come_back() {
        let workers = Workers::new(4);
        let first = workers.take(9);
        let second = workers.take(9);
        assert_eq!((first.count(), second.count(), workers.take(1).count()), (3, 1, 0));
        drop(first);
        assert_eq!(workers.take(2).count(), 2);
    }
}
