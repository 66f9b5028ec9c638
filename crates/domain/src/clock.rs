//! The one source of time.
//!
//! Wall time is read once at the start and moved on by a monotonic source that is passed in, so that a test which
//! owns that source owns every timestamp. Nothing else in the code base reads a clock.

use std::{fmt, sync::Arc, time::Duration};

use crate::time::Timestamp;

/// Tells the time. Cheap to clone; every clone agrees.
#[derive(Clone)]
pub struct Clock {
    epoch: Timestamp,
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// A clock that shows `epoch` plus what `elapsed` answers. `elapsed` must never go back.
    pub fn new(epoch: Timestamp, elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Clock {
        Clock {
            epoch,
            elapsed: Arc::new(elapsed),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.epoch.plus((self.elapsed)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish()
    }
}
