//! One page of a list whose items come from the control plane: ask for one more than is shown, show the rest.

use std::fmt::Display;

use actix_web::HttpRequest;
use serde_json::Map;

use super::{
    call::Answer,
    envelope::ListBody,
    page::{PageRequest, cursor},
    problem::Problem,
};

/// How many items to ask the store for: one more than the page holds, which tells whether there is another page.
pub(crate) fn wanted(page: &PageRequest) -> u32 {
    u32::from(page.limit) + 1
}

/// Answers a page of `items`, of which there may be one too many. `push` adds an item to what is answered, and says where
/// the list goes on after it.
pub(crate) fn answer<T, P: Display>(
    request: &HttpRequest,
    page: &PageRequest,
    list: &str,
    items: &[T],
    push: impl Fn(&mut ListBody, &T) -> Result<P, Problem>,
) -> Answer {
    let shown = items.len().min(usize::from(page.limit));
    let mut body = ListBody::new();
    let mut last = None;
    for item in &items[..shown] {
        last = Some(push(&mut body, item)?);
    }
    let has_more = shown < items.len();
    let next = last.filter(|_| has_more).map(|last| cursor(list, last));
    Ok(body.finish(request, next, Map::new()))
}
