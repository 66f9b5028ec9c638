//! Which handler answers which path. One line for each resource, and nothing else.

use actix_web::web::{self, ServiceConfig};

use super::{event_routes, operations, problem};

/// Adds every route. What no route takes is answered 404 by the server.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.route("/problems/{code}", web::get().to(problem::explain))
        .configure(event_routes::configure)
        .configure(operations::configure);
}
