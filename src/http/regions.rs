//! `GET /v1/regions`: where logs can live, and the keys that check what each region signs.

use actix_web::{http::StatusCode, web};
use domain::{permission::Permission, region::Region};
use serde::Serialize;

use super::{
    call::{Answer, Call},
    envelope,
};
use crate::config::Settings;

#[derive(Serialize)]
struct ShownRegion {
    region: Region,
    /// Whether the caller's log lives here.
    home: bool,
    /// Checks the signed notes of the region.
    verifier_key: String,
}

/// Lists the regions that are served here.
pub(crate) async fn list(call: Call, settings: web::Data<Settings>) -> Answer {
    call.require(Permission::EventsRead)?;
    let home = call.caller().region();
    let shown = |region: &Region| ShownRegion {
        region: *region,
        home: *region == home,
        verifier_key: call.engine().signer(*region).verifier().to_string(),
    };
    let regions: Vec<ShownRegion> = settings.regions.enabled.iter().map(shown).collect();
    envelope::one(StatusCode::OK, &regions)
}
