//! Counts and times requests by route, method and status.
//!
//! Labels are bounded: the route is a template, the method one of a few. The handles are kept for each worker, because
//! looking them up by their labels each time would cost more than counting.

use std::{collections::HashMap, time::Duration};

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use crate::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

/// What a request without a route is counted under.
const NO_ROUTE: &str = "none";

/// One worker's handles.
#[derive(Default)]
pub(super) struct Metering {
    routes: HashMap<String, Vec<Series>>,
}

/// What is counted of one route and method.
struct Series {
    method: &'static str,
    seconds: Histogram,
    requests: Vec<(StatusCode, Counter)>,
}

impl Metering {
    /// Counts one request.
    pub(super) fn record(
        &mut self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        let route = route.unwrap_or(NO_ROUTE);
        let method = method_label(method);
        if !self.routes.contains_key(route) {
            self.routes.insert(route.to_owned(), Vec::new());
        }
        let Some(by_method) = self.routes.get_mut(route) else {
            return;
        };
        let place = by_method.iter().position(|series| series.method == method);
        let place = place.unwrap_or_else(|| {
            by_method.push(Series::new(route, method));
            by_method.len() - 1
        });
        let series = &mut by_method[place];
        series.seconds.record(duration.as_secs_f64());
        series.counter(route, status).increment(1);
    }
}

impl Series {
    fn new(route: &str, method: &'static str) -> Series {
        let route = route.to_owned();
        Series {
            method,
            seconds: metrics::histogram!(HTTP_REQUEST_SECONDS, "route" => route, "method" => method),
            requests: Vec::new(),
        }
    }

    fn counter(&mut self, route: &str, status: StatusCode) -> &Counter {
        let place = self.requests.iter().position(|(known, _)| *known == status);
        let place = place.unwrap_or_else(|| {
            let labels = [
                ("route", route.to_owned()),
                ("method", self.method.to_owned()),
                ("status", status.as_str().to_owned()),
            ];
            self.requests
                .push((status, metrics::counter!(HTTP_REQUESTS, &labels)));
            self.requests.len() - 1
        });
        &self.requests[place].1
    }
}

/// The method's name; whoever invents methods gets no label of their own.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
