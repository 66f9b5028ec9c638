//! What the engine has to be told about the device's state.
//!
//! Pure. The last report is said again in every new session: a session begins without knowing anything.

use std::collections::VecDeque;

use domain::device::Report;

/// How many reports may wait within a session; older ones give way.
const WAITING_MAX: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Reports {
    last: Option<Report>,
    waiting: VecDeque<Report>,
}

impl Reports {
    pub(crate) fn push(&mut self, report: Report) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(report.clone());
        self.last = Some(report);
    }

    /// A session begins: only the last report counts.
    pub(crate) fn begin(&mut self) {
        self.waiting.clear();
        self.waiting.extend(self.last.clone());
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn next(&mut self) -> Option<Report> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_hears_the_last_report_only() {
        let mut reports = Reports::default();
        reports.push(Report::Pairing {
            qr: None,
            reason: None,
        });
        reports.push(Report::Connected { reason: None });
        reports.begin();
        assert_eq!(reports.next(), Some(Report::Connected { reason: None }));
        assert_eq!(reports.next(), None);
        reports.begin();
        assert_eq!(reports.next(), Some(Report::Connected { reason: None }));
    }
}
