//! The query parameters with which lists, tails and exports pick events.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};
use domain::{
    filter::{EventFilter, TypeFilter},
    ids::WorkspaceId,
    new_event::WorkspaceRef,
    time::Timestamp,
};
use url::form_urlencoded;

use super::{
    call::Call,
    problem::{Code, Problem},
    workspace_names::WorkspaceNames,
};

/// A filter, and what is beside it.
#[derive(Debug)]
pub(crate) struct EventQueryParameters {
    /// Which events.
    pub(crate) filter: EventFilter,
    /// A tail's `from`.
    pub(crate) from: Option<String>,
    /// A list's `after`.
    pub(crate) after: Option<String>,
    /// A list's `order`.
    pub(crate) order: Option<String>,
}

/// Parameters of a tail: filters, and `from` as a place in the log.
pub(crate) async fn tail(call: &Call) -> Result<EventQueryParameters, Problem> {
    const KNOWN: &[&str] = &[
        "workspace",
        "type",
        "category",
        "project",
        "actor",
        "device",
        "dedup_id",
        "from",
    ];
    let mut given = parameters(call.request(), KNOWN)?;
    let from = given.remove("from");
    let filter = filter(given, call).await?;
    Ok(EventQueryParameters {
        filter,
        from,
        after: None,
        order: None,
    })
}

/// Parameters of a list: filters, `from` and `to` as times, and how to page.
pub(crate) async fn list(call: &Call) -> Result<EventQueryParameters, Problem> {
    let known = [FILTERS, &["after", "order", "limit", "cursor"]].concat();
    let mut given = parameters(call.request(), &known)?;
    let (after, order) = (given.remove("after"), given.remove("order"));
    let filter = filter(given, call).await?;
    Ok(EventQueryParameters {
        filter,
        from: None,
        after,
        order,
    })
}

/// Parameters of an export: filters, and `from` and `to` as times. It has no pages.
pub(crate) async fn export(call: &Call) -> Result<EventFilter, Problem> {
    let given = parameters(call.request(), FILTERS)?;
    filter(given, call).await
}

/// What narrows a list or an export.
const FILTERS: &[&str] = &[
    "workspace",
    "type",
    "action",
    "category",
    "project",
    "actor",
    "device",
    "dedup_id",
    "from",
    "to",
];

/// All parameters by name. An unknown one would silently widen the answer, so it is refused.
pub(crate) fn parameters(
    request: &HttpRequest,
    known: &[&str],
) -> Result<HashMap<String, String>, Problem> {
    let mut given = HashMap::new();
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        if !known.contains(&&*name) {
            let detail = format!(
                "`{name}` is no parameter of this call: expected {}",
                known.join(", ")
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        if value.contains('\0') {
            return Err(Problem::new(
                Code::BadRequest,
                format!("{name}: expected a text without NUL"),
            ));
        }
        if given.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(Problem::new(
                Code::BadRequest,
                format!("`{name}` is given twice"),
            ));
        }
    }
    Ok(given)
}

/// The types that a list of patterns names; `None` if that is every type.
pub(crate) fn kinds(list: Option<&str>) -> Result<Option<TypeFilter>, Problem> {
    let kinds = list
        .map(TypeFilter::parse_list)
        .transpose()
        .map_err(|error| Problem::new(Code::BadRequest, format!("type: {error}")))?;
    Ok(kinds.filter(|kinds| !kinds.is_all()))
}

async fn filter(mut given: HashMap<String, String>, call: &Call) -> Result<EventFilter, Problem> {
    let named = match given.remove("workspace") {
        Some(text) => Some(workspace(&text, call).await?),
        None => None,
    };
    let types = given.remove("type").or_else(|| given.remove("action"));
    let kinds = kinds(types.as_deref())?;
    let device = given
        .remove("device")
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| Problem::new(Code::BadRequest, format!("device: {error}")))?;
    let mut time = |name: &str| {
        let text = given.remove(name);
        text.map(|text| Timestamp::parse(&text))
            .transpose()
            .map_err(|error| Problem::new(Code::BadRequest, format!("{name}: {error}")))
    };
    let (from, to) = (time("from")?, time("to")?);
    let mut text = |name: &str| given.remove(name).map(String::into_boxed_str);
    Ok(EventFilter {
        workspace: call.caller().confine(named)?,
        kinds,
        category: text("category"),
        project: text("project"),
        actor: text("actor"),
        device,
        dedup_id: text("dedup_id"),
        from,
        to,
    })
}

/// Finds a workspace by id or slug; one that does not exist, or is somebody else's, is not found.
async fn workspace(text: &str, call: &Call) -> Result<WorkspaceId, Problem> {
    let missing = || Problem::not_found("workspace");
    let named = WorkspaceRef::parse(text).ok_or_else(missing)?;
    let (engine, tenant) = (call.engine(), call.tenant());
    if let WorkspaceRef::Id(id) = named {
        return Ok(engine.workspace(tenant, id).await?.id);
    }
    let names = call
        .request()
        .app_data::<web::Data<WorkspaceNames>>()
        .ok_or_else(|| Problem::internal(&"a server without workspace names"))?;
    let found = names.find(engine, tenant, Some(&named)).await?;
    found.ok_or_else(missing)
}
