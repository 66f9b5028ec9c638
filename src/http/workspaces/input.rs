//! What a workspace and its template are made from: the members of the bodies of `/v1/workspaces`.

use actors::engine::WorkspaceInput;
use domain::template::{NAMES_MAX, RETENTION_DAYS_MAX, Template};
use store::control::Workspace;

use crate::http::{
    members::{Given, Members, all_wrong},
    problem::{Code, FieldError, Problem},
    slug::Slug,
};

const NAME_LENGTH_MAX: usize = 100;
const ACTOR_FIELDS_MAX: usize = 5;

/// Reads the body of `POST /v1/workspaces`. Without a name the slug is the name.
pub(super) fn parse(body: &[u8]) -> Result<WorkspaceInput, Problem> {
    let mut members = Members::parse(body, &["slug", "name", "retention_days"])?;
    let slug = members.parsed::<Slug>("slug").value();
    members.missing("slug");
    let name = members.text("name", NAME_LENGTH_MAX).value();
    let retention_days = retention_days(&mut members).value();
    members.end()?;
    let slug = slug.map(String::from).unwrap_or_default();
    Ok(WorkspaceInput {
        name: name.unwrap_or_else(|| slug.clone()),
        slug,
        retention_days,
    })
}

/// Reads the body of `PATCH /v1/workspaces/{id}` into the workspace.
pub(super) fn merge(body: &[u8], workspace: &mut Workspace) -> Result<(), Problem> {
    let mut members = Members::parse(body, &["name", "retention_days"])?;
    let slug = workspace.slug.clone();
    members
        .text("name", NAME_LENGTH_MAX)
        .merge(&mut workspace.name, slug);
    match retention_days(&mut members) {
        Given::Value(days) => workspace.retention_days = Some(days),
        Given::Null => workspace.retention_days = None,
        Given::Absent => {}
    }
    members.end()
}

/// Reads the body of `PUT /v1/workspaces/{id}/template`. What is left out demands and adds nothing.
pub(super) fn template(body: &[u8]) -> Result<Template, Problem> {
    let known = [
        "required_actor_fields",
        "required_payload_keys",
        "default_category",
        "require_project",
        "retention_days",
        "personal_keys",
    ];
    let mut members = Members::parse(body, &known)?;
    let fields = "a list of id, type, name, email and ip";
    let names = |text: &str| Ok::<String, &str>(text.to_owned());
    let template = Template {
        required_actor_fields: members.read("required_actor_fields", fields).or(Vec::new()),
        required_payload_keys: members
            .list("required_payload_keys", NAMES_MAX, names)
            .or(Vec::new()),
        default_category: members.read("default_category", "a text").value(),
        require_project: members.read("require_project", "true or false").or(false),
        retention_days: retention_days(&mut members).value(),
        personal_keys: members
            .list("personal_keys", NAMES_MAX, names)
            .or(Vec::new()),
    };
    if template.required_actor_fields.len() > ACTOR_FIELDS_MAX {
        members.wrong("/required_actor_fields", "expected each field once");
    }
    members.end()?;
    template.check().map_err(|violations| {
        let mistakes = violations.into_iter().map(|violation| FieldError {
            pointer: violation.pointer,
            detail: violation.detail,
        });
        all_wrong(Code::InvalidField, mistakes.collect())
    })?;
    Ok(template)
}

fn retention_days(members: &mut Members) -> Given<u32> {
    let days = members.number("retention_days", 1..=u64::from(RETENTION_DAYS_MAX));
    match days {
        Given::Value(days) => u32::try_from(days).map_or(Given::Absent, Given::Value),
        Given::Null => Given::Null,
        Given::Absent => Given::Absent,
    }
}
