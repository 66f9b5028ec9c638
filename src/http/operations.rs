//! What operators' tools ask for: metrics.

use actix_web::{HttpResponse, web};

use crate::metrics::Metrics;

/// The version of Prometheus's text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Adds the routes.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    app.route("/metrics", web::get().to(show_metrics));
}

/// Shows every metric, as Prometheus reads them.
pub(crate) async fn show_metrics(metrics: web::Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(TEXT_FORMAT)
        .body(metrics.render())
}
