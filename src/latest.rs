//! Something that is replaced whole while others use it: they go on with the one they took, and take the next one from
//! then on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Latest<T>(Mutex<Arc<T>>);

impl<T> Latest<T> {
    pub fn new(first: Arc<T>) -> Latest<T> {
        Latest(Mutex::new(first))
    }

    /// The lock is held for as long as it takes to count one user more.
    pub fn get(&self) -> Arc<T> {
        self.lock().clone()
    }

    /// Returns the one before.
    pub fn replace(&self, next: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *self.lock(), next)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_one_keeps_it_and_the_next_gets_the_new_one() {
        let latest = Latest::new(Arc::new(1));
        let before = latest.get();
        assert_eq!(*latest.replace(Arc::new(2)), 1);
        assert_eq!((*before, *latest.get()), (1, 2));
    }
}
