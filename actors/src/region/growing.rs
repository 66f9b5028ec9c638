//! An append that may still grow while it waits for its turn, and that is written only if the one before it was.
//!
//! Its tenant's actor offers it while an earlier one is being written, and adds to it until the region's actor takes it. So a
//! commit holds all that came before it began, and begins as soon as the last one has ended: nobody has to be asked first.

use std::{fmt, sync::Arc};

use domain::ids::TenantId;
use parking_lot::Mutex;
use store::log::Append;

/// See the module.
pub struct GrowingAppend {
    tenant: TenantId,
    state: Mutex<State>,
}

enum State {
    /// It waits for its turn.
    Open {
        append: Append,
        /// The one on its way whose events these follow.
        before: Option<Arc<GrowingAppend>>,
    },
    /// It is being written; what became of it is not known.
    Taken,
    /// It is on disk.
    Landed,
    /// It is not, and never will be.
    Refused,
}

/// What an append was found to be when its turn came.
#[derive(Debug)]
pub enum Turn {
    /// Write this.
    Write(Append),
    /// The one before it was not written, so its place in the log is not the one that it was numbered for. A store would
    /// not always notice: it compares the position that the log ends at, not what stands there.
    Refuse,
}

impl GrowingAppend {
    /// An append that follows `before`, the last one that is still on its way.
    pub fn new(append: Append, before: Option<Arc<GrowingAppend>>) -> Arc<GrowingAppend> {
        Arc::new(GrowingAppend {
            tenant: append.tenant,
            state: Mutex::new(State::Open { append, before }),
        })
    }

    /// Whose log it is for.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Lets `add` put more into it, unless its turn has come. Answers whether it did.
    pub fn grow(&self, add: impl FnOnce(&mut Append)) -> bool {
        match &mut *self.state.lock() {
            State::Open { append, .. } => {
                add(append);
                true
            }
            State::Taken | State::Landed | State::Refused => false,
        }
    }

    /// Its turn has come: it grows no more.
    pub fn take(&self) -> Turn {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Open { append, before }
                if before.as_ref().is_none_or(|before| before.has_landed()) =>
            {
                Turn::Write(append)
            }
            State::Open { .. } | State::Taken | State::Landed | State::Refused => {
                *state = State::Refused;
                Turn::Refuse
            }
        }
    }

    /// Notes what became of it.
    pub fn ended(&self, is_written: bool) {
        *self.state.lock() = if is_written {
            State::Landed
        } else {
            State::Refused
        };
    }

    fn has_landed(&self) -> bool {
        matches!(*self.state.lock(), State::Landed)
    }
}

impl fmt::Debug for GrowingAppend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrowingAppend")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use domain::position::Position;
    use uuid::Uuid;

    use super::*;

    fn append(expected_head: u64) -> Append {
        Append {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            expected_head: Position::new(expected_head),
            events: Vec::new(),
            nodes: Vec::new(),
            answers: Vec::new(),
            sessions: Vec::new(),
            messages: Vec::new(),
        }
    }

    #[test]
    fn it_grows_until_its_turn_has_come() {
        let growing = GrowingAppend::new(append(3), None);
        let move_on = |append: &mut Append| append.expected_head = append.expected_head.next();
        assert!(growing.grow(move_on));
        let Turn::Write(taken) = growing.take() else {
            panic!("it follows nothing that could have failed");
        };
        assert_eq!(taken.expected_head, Position::new(4));
        assert!(!growing.grow(move_on));
        growing.ended(true);
        assert!(!growing.grow(move_on));
    }

    #[test]
    fn it_is_written_only_after_the_one_before_it() {
        let before = GrowingAppend::new(append(0), None);
        let after = [(); 3].map(|()| GrowingAppend::new(append(1), Some(Arc::clone(&before))));
        assert!(matches!(before.take(), Turn::Write(_)));
        assert!(matches!(after[0].take(), Turn::Refuse), "not known yet");
        before.ended(false);
        assert!(matches!(after[1].take(), Turn::Refuse), "refused");
        before.ended(true);
        assert!(matches!(after[2].take(), Turn::Write(_)), "landed");
    }
}
