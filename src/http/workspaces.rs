//! `/v1/workspaces`: the named streams of a tenant, and what each demands of its events.
//!
//! A key of a workspace sees its own workspace only, and makes none.

mod input;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ETAG},
};
use bytes::Bytes;
use domain::{
    ids::{TenantId, WorkspaceId},
    permission::Permission,
    template::Template,
    time::Timestamp,
};
use serde::Serialize;
use serde_json::json;
use store::control::Workspace;

use super::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    etag::{IfMatch, etag},
    idempotency::IdempotencyKey,
    listing,
    problem::{Code, Problem},
    slug::Slug,
};

const LIST: &str = "workspaces";
/// The workspace of events that name none.
const DEFAULT_SLUG: &str = "default";

#[derive(Serialize)]
struct ShownWorkspace<'a> {
    id: WorkspaceId,
    tenant: TenantId,
    slug: &'a str,
    name: &'a str,
    retention_days: Option<u32>,
    template: Option<&'a Template>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

/// `POST /v1/workspaces`
pub(crate) async fn create(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::WorkspacesManage)?;
    call.require_tenant_key()?;
    call.once(&key, &body.0, make(&call, &body.0)).await
}

async fn make(call: &Call, body: &Bytes) -> Answer {
    let input = input::parse(body)?;
    let made = call.engine().create_workspace(call.tenant(), input).await?;
    call.audit(
        "workspace.created",
        "workspace",
        made.id,
        json!({"slug": made.slug}),
    )
    .await;
    answer(StatusCode::CREATED, &made)
}

/// `GET /v1/workspaces`
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::WorkspacesRead)?;
    let page = call.page()?;
    let after = page.after_as::<WorkspaceId>(LIST)?;
    let workspaces = match (call.caller().workspace(), after) {
        (Some(own), None) => vec![call.engine().workspace(call.tenant(), own).await?],
        (Some(_), Some(_)) => Vec::new(),
        (None, after) => {
            let wanted = listing::wanted(&page);
            call.engine()
                .workspaces(call.tenant(), after, wanted)
                .await?
        }
    };
    let push = |list: &mut ListBody, workspace: &Workspace| {
        list.push(&shown(workspace))?;
        Ok(workspace.id)
    };
    listing::answer(call.request(), &page, LIST, &workspaces, push)
}

/// `GET /v1/workspaces/{id}`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::WorkspacesRead)?;
    answer(StatusCode::OK, &find(&call).await?)
}

/// `PATCH /v1/workspaces/{id}`
pub(crate) async fn update(call: Call, if_match: IfMatch, body: RawBody) -> Answer {
    call.require(Permission::WorkspacesManage)?;
    let mut workspace = find(&call).await?;
    let expected = if_match.0.unwrap_or(workspace.version);
    input::merge(&body.0, &mut workspace)?;
    let Workspace {
        id,
        name,
        retention_days,
        ..
    } = workspace;
    let engine = call.engine();
    let changed = engine
        .update_workspace(call.tenant(), id, name, retention_days, Some(expected))
        .await?;
    let meta = json!({"name": changed.name, "retention_days": changed.retention_days});
    call.audit("workspace.updated", "workspace", id, meta).await;
    answer(StatusCode::OK, &changed)
}

/// `DELETE /v1/workspaces/{id}`: its events stay in the log.
pub(crate) async fn delete(call: Call, if_match: IfMatch) -> Answer {
    call.require(Permission::WorkspacesManage)?;
    call.require_tenant_key()?;
    let workspace = find(&call).await?;
    if workspace.slug == DEFAULT_SLUG {
        let detail = "the workspace `default` takes the events that name none: it stays";
        return Err(Problem::new(Code::Conflict, detail));
    }
    call.engine()
        .delete_workspace(call.tenant(), workspace.id, if_match.0)
        .await?;
    let meta = json!({"slug": workspace.slug});
    call.audit("workspace.deleted", "workspace", workspace.id, meta)
        .await;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/workspaces/{id}/template`
pub(crate) async fn template(call: Call) -> Answer {
    call.require(Permission::WorkspacesRead)?;
    let workspace = find(&call).await?;
    if workspace.template.is_none() {
        return Err(Problem::not_found("template"));
    }
    answer_template(&workspace)
}

/// `PUT /v1/workspaces/{id}/template`
pub(crate) async fn set_template(call: Call, if_match: IfMatch, body: RawBody) -> Answer {
    call.require(Permission::WorkspacesManage)?;
    let workspace = find(&call).await?;
    let template = input::template(&body.0)?;
    let changed = change_template(&call, workspace.id, Some(template), if_match).await?;
    answer_template(&changed)
}

/// `DELETE /v1/workspaces/{id}/template`
pub(crate) async fn remove_template(call: Call, if_match: IfMatch) -> Answer {
    call.require(Permission::WorkspacesManage)?;
    let workspace = find(&call).await?;
    change_template(&call, workspace.id, None, if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn change_template(
    call: &Call,
    id: WorkspaceId,
    template: Option<Template>,
    if_match: IfMatch,
) -> Result<Workspace, Problem> {
    let action = match &template {
        Some(_) => "template.set",
        None => "template.removed",
    };
    let changed = call
        .engine()
        .set_template(call.tenant(), id, template, if_match.0)
        .await?;
    call.audit(action, "workspace", id, json!({"slug": changed.slug}))
        .await;
    Ok(changed)
}

/// The workspace in the path, by id or slug, as far as the key sees it.
async fn find(call: &Call) -> Result<Workspace, Problem> {
    let text: String = call.named("id", "workspace")?;
    let found = if text.starts_with(WorkspaceId::PREFIX) {
        let id = call.named("id", "workspace")?;
        call.engine().workspace(call.tenant(), id).await?
    } else {
        // What cannot be a slug is not asked for: stores differ in the texts that they take.
        let slug: String = call.named::<Slug>("id", "workspace")?.into();
        call.engine()
            .workspace_by_slug(call.tenant(), &slug)
            .await?
    };
    call.caller().confine(Some(found.id))?;
    Ok(found)
}

fn shown(workspace: &Workspace) -> ShownWorkspace<'_> {
    ShownWorkspace {
        id: workspace.id,
        tenant: workspace.tenant,
        slug: &workspace.slug,
        name: &workspace.name,
        retention_days: workspace.retention_days,
        template: workspace.template.as_ref(),
        created_at: workspace.created_at,
        updated_at: workspace.updated_at,
        version: workspace.version,
    }
}

fn answer(status: StatusCode, workspace: &Workspace) -> Answer {
    let mut response = envelope::one(status, &shown(workspace))?;
    response.headers_mut().insert(ETAG, etag(workspace.version));
    Ok(response)
}

fn answer_template(workspace: &Workspace) -> Answer {
    let mut response = envelope::one(StatusCode::OK, &workspace.template)?;
    response.headers_mut().insert(ETAG, etag(workspace.version));
    Ok(response)
}
