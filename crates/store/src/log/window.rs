//! Decides along what a search goes through a log, and which stretch of it a page looks at.
//!
//! Pure: both databases find places and seqs in their own way and bring them here.

use domain::ids::DeviceId;

use super::{EventQuery, Order, stored::place};

/// Along what a search goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) enum Path {
    /// The tenant's log.
    Log,
    /// One workspace's chain.
    Stream(i64),
    /// The events of one device.
    Device(DeviceId),
    /// The events with one dedup id, which are few.
    DedupId,
}

/// A stretch of the log that a page looks at, as places or (along a workspace's chain) as seqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Window {
    pub(in crate::log) first: i64,
    pub(in crate::log) last: i64,
    /// There is more of the log beyond its far end.
    pub(in crate::log) is_cut: bool,
}

impl Window {
    /// Everything from one number to another.
    pub(in crate::log) fn whole(first: i64, last: i64) -> Window {
        Window {
            first,
            last,
            is_cut: false,
        }
    }

    /// What the positions that bound a query leave of a tenant's places.
    pub(in crate::log) fn within(self, tenant_no: i64, query: &EventQuery) -> Window {
        let after = query.after.map(|after| place(tenant_no, after) + 1);
        let before = query.before.map(|before| place(tenant_no, before) - 1);
        self.from(after).to(before)
    }

    /// What is left of it from a number on, if there is such a bound.
    pub(in crate::log) fn from(self, first: Option<i64>) -> Window {
        Window {
            first: first.map_or(self.first, |first| first.max(self.first)),
            ..self
        }
    }

    /// What is left of it up to a number, if there is such a bound.
    pub(in crate::log) fn to(self, last: Option<i64>) -> Window {
        Window {
            last: last.map_or(self.last, |last| last.min(self.last)),
            ..self
        }
    }

    /// The near part of a range of numbers without holes, no longer than a page may look at.
    pub(in crate::log) fn cut(self, query: &EventQuery) -> Window {
        let length = i64::from(query.scan_max.max(1));
        if self.last - self.first < length {
            return self;
        }
        let edge = match query.order {
            Order::Ascending => self.first + length - 1,
            Order::Descending => self.last - length + 1,
        };
        self.cut_at(Some(edge), query.order)
    }

    /// The near part up to an edge, if there is one before the far end.
    pub(in crate::log) fn cut_at(self, edge: Option<i64>, order: Order) -> Window {
        match (edge, order) {
            (Some(edge), Order::Ascending) if edge < self.last => Window {
                last: edge,
                is_cut: true,
                ..self
            },
            (Some(edge), Order::Descending) if edge > self.first => Window {
                first: edge,
                is_cut: true,
                ..self
            },
            _whole => self,
        }
    }

    /// Where a page that goes in this order ends.
    pub(in crate::log) fn far_end(&self, order: Order) -> i64 {
        match order {
            Order::Ascending => self.last,
            Order::Descending => self.first,
        }
    }

    /// Whether there is nothing to look at.
    pub(in crate::log) fn is_empty(&self) -> bool {
        self.first > self.last
    }
}

#[cfg(test)]
mod tests {
    use domain::{filter::EventFilter, position::Position};

    use super::*;

    fn query(order: Order, scan_max: u32) -> EventQuery {
        EventQuery {
            after: Some(Position::new(2)),
            before: Some(Position::new(9)),
            order,
            limit: 10,
            scan_max,
            bytes_max: 1_000,
            filter: EventFilter::default(),
        }
    }

    #[test]
    fn bounds_are_left_out_and_the_near_part_of_what_remains_is_kept() {
        let at = |position| place(7, Position::new(position));
        let log = Window::whole(at(1), at(20));
        let ascending = query(Order::Ascending, 3);
        let range = log.within(7, &ascending);
        assert_eq!(range, Window::whole(at(3), at(8)));
        let near = range.cut(&ascending);
        assert_eq!((near.first, near.last, near.is_cut), (at(3), at(5), true));
        let near = range.cut(&query(Order::Descending, 3));
        assert_eq!((near.first, near.last, near.is_cut), (at(6), at(8), true));
        assert_eq!(range.cut(&query(Order::Descending, 6)), range);
        assert!(range.from(Some(at(9))).is_empty());
    }

    #[test]
    fn an_edge_at_the_far_end_cuts_nothing() {
        let range = Window::whole(1, 9);
        assert_eq!(range.cut_at(Some(9), Order::Ascending), range);
        assert_eq!(range.cut_at(Some(1), Order::Descending), range);
        assert_eq!(range.cut_at(None, Order::Descending), range);
        assert!(range.cut_at(Some(8), Order::Ascending).is_cut);
    }
}
