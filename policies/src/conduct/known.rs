//! Things as they were read, until something else is decided of them: of thousands that are looked at only those are copied that change.

use std::ops::Deref;
use std::sync::Arc;

/// Something that was read, or what was decided of it since. A copy shares what it is a copy of.
#[derive(Debug)]
pub(super) enum Known<'a, T> {
    Read(&'a T),
    Decided(Arc<T>),
}

impl<T: Clone> Known<'_, T> {
    /// To be changed.
    pub(super) fn to_mut(&mut self) -> &mut T {
        match self {
            Self::Decided(decided) => Arc::make_mut(decided),
            Self::Read(read) => {
                *self = Self::Decided(Arc::new((*read).clone()));
                self.to_mut()
            }
        }
    }

    pub(super) fn into_inner(self) -> T {
        match self {
            Self::Read(read) => read.clone(),
            Self::Decided(decided) => Arc::unwrap_or_clone(decided),
        }
    }
}

impl<T> From<T> for Known<'_, T> {
    fn from(decided: T) -> Self {
        Self::Decided(Arc::new(decided))
    }
}

impl<T> Deref for Known<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Read(read) => read,
            Self::Decided(decided) => decided,
        }
    }
}

impl<T> Clone for Known<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Read(read) => Self::Read(read),
            Self::Decided(decided) => Self::Decided(Arc::clone(decided)),
        }
    }
}

impl<T: PartialEq> PartialEq for Known<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(&raw const **self, &raw const **other) || **self == **other
    }
}
